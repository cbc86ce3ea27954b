import { afterAll, describe, expect, it } from "vitest";
import { SkyqError } from "../../../../src/base/errors.ts";
import { one } from "../../../../src/db/queryable.ts";
import { parseTarget } from "../../../../src/db/target.ts";
import { WireConnection } from "../../../../src/db/wire/connection.ts";
import { MessageWriter } from "../../../../src/db/wire/messages.ts";
import { lendDatabases } from "../../../harness/pair.ts";
import { waitFor } from "../../../harness/wait_for.ts";

const [database] = await lendDatabases(1);
const target = parseTarget(database.dsn());
const db = await WireConnection.connect(target);
const watcher = await WireConnection.connect(target);
afterAll(() => Promise.all([db.close(), watcher.close()]));

const encoder = new TextEncoder();
const decoder = new TextDecoder();

async function failure(work: Promise<unknown>): Promise<SkyqError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof SkyqError) return error;
    throw error;
  }
  throw new Error("It did not fail");
}

/** Bind and Execute of a prepared statement, as the apply's kernels make them. */
function bindExecute(name: string, ...values: (string | null)[]): Uint8Array {
  const message = new MessageWriter().begin("B").cstring("").cstring(name).int16(0).int16(values.length);
  for (const value of values) message.value(value);
  return message.int16(0).end().begin("E").cstring("").int32(0).end().done();
}

async function kill(processId: number): Promise<void> {
  await watcher.query("select pg_terminate_backend($1)", [processId]);
}

/** Payload of a COPY's frames, put together. */
function payloadOf(frames: Uint8Array): string {
  let text = "";
  const view = new DataView(frames.buffer, frames.byteOffset, frames.byteLength);
  for (let at = 0; at < frames.length;) {
    const length = view.getInt32(at + 1);
    text += decoder.decode(frames.subarray(at + 5, at + 1 + length));
    at += 1 + length;
  }
  return text;
}

async function copyOutText(connection: WireConnection, sql: string): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of connection.copyOut(sql)) chunks.push(chunk.slice());
  const all = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.length, 0));
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return payloadOf(all);
}

describe("WireConnection.query()", () => {
  it("takes and gives each kind of value", async () => {
    const row = await one(
      db,
      `select $1::int4 as i, $2::int8 as b, $3::bool as t, $4::text as s, $5::text[] as a, $6::float8 as f,
              $7::text as n, $8::numeric as d, $9::int8[] as ids, $10::jsonb as j, 'x'::name as name, 7::oid as o`,
      [1, 9007199254740993n, true, "a'b\\", ['a"b', null, "", "c,d"], 1.5, null, "1.50", [1n, 2], '{"a": 1}'],
    );
    expect(row).toEqual({
      i: 1,
      b: 9007199254740993n,
      t: true,
      s: "a'b\\",
      a: ['a"b', null, "", "c,d"],
      f: 1.5,
      n: null,
      d: "1.50",
      ids: "{1,2}",
      j: '{"a": 1}',
      name: "x",
      o: 7,
    });
  });

  it("answers many sent at once in order", async () => {
    const rows = await Promise.all(
      Array.from({ length: 50 }, (_, i) => one<{ i: number }>(db, "select $1::int as i", [i])),
    );
    expect(rows.map(({ i }) => i)).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  it("fails alone among others, and names the statement", async () => {
    const [good, bad, after] = await Promise.allSettled([
      db.query("select 1 as a"),
      db.query("select * from nowhere"),
      db.query("select 2 as a"),
    ]);
    expect(good.status).toBe("fulfilled");
    expect(after.status).toBe("fulfilled");
    const error = (bad as PromiseRejectedResult).reason as SkyqError;
    expect(error.sqlstate).toBe("42P01");
    expect(error.facts.statement).toBe("select * from nowhere");
  });

  it("tells constraint and table of a violation", async () => {
    await db.exec("create table uniq (k int constraint uniq_pk primary key); insert into uniq values (1)");
    const error = await failure(db.query("insert into uniq values (1)"));
    expect(error.facts).toMatchObject({ constraint: "uniq_pk", table: "uniq", severity: "ERROR" });
    expect(error.facts.detail).toContain("(1)");
  });

  it("follows the transaction's state", async () => {
    expect(db.transactionStatus).toBe("I");
    await db.exec("begin");
    expect(db.transactionStatus).toBe("T");
    await failure(db.query("select 1/0"));
    expect(db.transactionStatus).toBe("E");
    await db.exec("rollback");
    expect(db.transactionStatus).toBe("I");
  });

  it("gets out of a COPY that came by the wrong way", async () => {
    await db.exec("create temp table wrong (a int)");
    await expect(db.query("copy wrong from stdin")).rejects.toThrow("copyIn");
    await expect(db.exec("copy (select 1) to stdout")).rejects.toThrow("copyOut");
    expect(await db.query("select 1 as a")).toEqual([{ a: 1 }]);
  });
});

describe("WireConnection.connect() options", () => {
  it("makes settings, limits and name", async () => {
    const session = await WireConnection.connect(target, {
      applicationName: "skyq test",
      statementTimeoutMs: 100,
      lockTimeoutMs: 50,
      settings: { search_path: "pg_catalog", "skyq.any": "x" },
    });
    const row = await one(
      session,
      `select current_setting('application_name') as name, current_setting('search_path') as path,
              current_setting('lock_timeout') as lock, current_setting('skyq.any') as own`,
    );
    expect(row).toEqual({ name: "skyq test", path: "pg_catalog", lock: "50ms", own: "x" });
    expect((await failure(session.query("select pg_sleep(5)"))).fault).toBe("timeout");
    await db.exec("begin; lock table uniq");
    expect((await failure(session.query("table public.uniq"))).fault).toBe("lock-timeout");
    await db.exec("rollback");
    await session.close();
  });

  it("fails for a setting that does not exist, and leaves no session behind", async () => {
    const options = { applicationName: "skyq leaves", settings: { no_such_setting: "x" } };
    expect((await failure(WireConnection.connect(target, options))).sqlstate).toBe("42704");
    const left = "select 1 from pg_stat_activity where application_name = 'skyq leaves'";
    await waitFor(async () => (await db.query(left)).length === 0, { what: "the session to end" });
  });

  it("tells notices and notifications", async () => {
    const told: string[] = [];
    const session = await WireConnection.connect(target, {
      onNotice: (notice) => told.push(notice.message),
      onNotification: ({ channel, payload }) => told.push(`${channel}=${payload}`),
    });
    await session.exec("listen here; do $$ begin raise notice 'hello'; end $$");
    await db.query("select pg_notify('here', 'you')");
    await waitFor(async () => (await session.query("select 1")) && told.length > 1, { what: "both to be told" });
    expect(told).toEqual(["hello", "here=you"]);
    await session.close();
  });
});

describe("a run of raw messages", () => {
  it("gives all command tags in order, however many", async () => {
    await db.exec("create temp table run (a int, b text)");
    db.prepare("ins", "insert into run values ($1, $2)", [23, 25]);
    await db.prepare("upd", "update run set b = 'x' where a = $1");
    for (let i = 0; i < 3000; i++) await db.sendRaw(bindExecute("ins", String(i), null));
    await db.sendRaw(bindExecute("upd", "1"));
    const tags = await db.sync();
    expect(tags.length).toBe(3001);
    expect(new Set(tags.slice(0, 3000))).toEqual(new Set(["INSERT 0 1"]));
    expect(tags.at(-1)).toBe("UPDATE 1");
    expect(await db.sync()).toEqual([]);
  });

  it("rejects with the first error and the number of commands before it, and goes on", async () => {
    await db.sendRaw(bindExecute("ins", "1", "x"));
    await db.sendRaw(bindExecute("ins", "2", "x"));
    await db.sendRaw(bindExecute("ins", "oops", "x"));
    await db.sendRaw(bindExecute("ins", "3", "x"));
    const error = await failure(db.sync());
    expect(error.sqlstate).toBe("22P02");
    expect(error.facts.index).toBe(2);
    await db.sendRaw(bindExecute("ins", "4", "y"));
    expect(await db.sync()).toEqual(["INSERT 0 1"]);
  });

  it("takes a prepare in its middle", async () => {
    await db.sendRaw(bindExecute("ins", "5", "z"));
    await db.prepare("del", "delete from run where b = $1");
    await db.sendRaw(bindExecute("del", "z"));
    expect(await db.sync()).toEqual(["INSERT 0 1", "DELETE 1"]);
    await db.sendRaw(bindExecute("ins", "6", "z"));
    expect((await failure(db.prepare("bad", "nonsense"))).sqlstate).toBe("42601");
    expect((await failure(db.sync())).facts.index).toBe(1);
    expect((await failure(db.prepare("bad", "nonsense"))).sqlstate).toBe("42601");
  });

  it("lets nothing else in between", async () => {
    await db.sendRaw(bindExecute("ins", "7", "z"));
    await expect(db.query("select 1")).rejects.toThrow("call sync first");
    expect(await db.sync()).toEqual(["INSERT 0 1"]);
  });
});

describe("COPY", () => {
  it("goes through from one table to another, frames untouched", async () => {
    await db.exec(
      "create table copied as select i, repeat('é', i % 300) as t, null::int as n from generate_series(1, 20000) i;" +
        "create table received (like copied)",
    );
    const to = await WireConnection.connect(target);
    const copy = await to.copyIn("copy received from stdin");
    for await (const frames of db.copyOut("copy copied to stdout")) await copy.writeFrames(frames);
    expect(await copy.finish()).toBe(20000);
    const hash = "select count(*) as n, sum(hashtextextended(c::text, 0)) as h from ";
    expect(await to.query(`${hash} received c`)).toEqual(await to.query(`${hash} copied c`));
    await to.close();
  });

  it("takes payload in pieces of any size", async () => {
    await db.exec("create temp table pieces (a text)");
    const copy = await db.copyIn("copy pieces from stdin");
    const large = "x".repeat(3_000_000);
    for (const piece of ["a", "b\nc", "\n", "", large, "\n"]) await copy.write(encoder.encode(piece));
    expect(await copy.finish()).toBe(3);
    expect(await db.query("select length(a) as n from pieces order by 1")).toEqual([{ n: 1 }, { n: 2 }, {
      n: 3_000_000,
    }]);
  });

  it("keeps writes that are not awaited in order", async () => {
    await db.exec("truncate pieces");
    const copy = await db.copyIn("copy pieces from stdin");
    await Promise.all(Array.from({ length: 200 }, (_, i) => copy.write(encoder.encode(`${i}\n`))));
    expect(await copy.finish()).toBe(200);
    expect(await copyOutText(db, "copy (select a from pieces order by a::int) to stdout")).toBe(
      Array.from({ length: 200 }, (_, i) => `${i}\n`).join(""),
    );
  });

  it("tells an error in the data at the next write or at the end, and goes on", async () => {
    await db.exec("create temp table numbers (a int)");
    const copy = await db.copyIn("copy numbers from stdin");
    const bad = encoder.encode(`1\n${"oops\n"}` + "2\n".repeat(40_000));
    const error = await failure((async () => {
      for (let i = 0; i < 100; i++) await copy.write(bad);
      await copy.finish();
    })());
    expect(error.sqlstate).toBe("22P02");
    expect(error.facts.where).toContain("line 2");
    expect((await failure(copy.finish())).sqlstate).toBe("22P02");
    expect(await db.query("select count(*) as n from numbers")).toEqual([{ n: 0n }]);
  });

  it("forgets an aborted COPY", async () => {
    const copy = await db.copyIn("copy numbers from stdin");
    await copy.write(encoder.encode("1\n2\n"));
    await copy.abort("no longer wanted");
    expect(await db.query("select count(*) as n from numbers")).toEqual([{ n: 0n }]);
    const half = await db.copyIn("copy numbers from stdin");
    await half.writeFrames(new Uint8Array([0x64, 0, 0, 0, 50, 0x31]));
    await expect(half.finish()).rejects.toThrow("not complete");
    expect(await db.query("select count(*) as n from numbers")).toEqual([{ n: 0n }]);
  });

  it("fails at once when the table is not there, both ways", async () => {
    expect((await failure(db.copyIn("copy nowhere from stdin"))).sqlstate).toBe("42P01");
    expect((await failure(copyOutText(db, "copy nowhere to stdout"))).sqlstate).toBe("42P01");
  });

  it("stops a large COPY that nobody wants any more", async () => {
    for (const wanted of [0, 1, 5]) {
      let count = 0;
      const sql = "copy (select generate_series(1, 100000000), 'text') to stdout";
      for await (const _ of db.copyOut(sql)) if (count++ >= wanted) break;
    }
    expect(await db.query("select 1 as a")).toEqual([{ a: 1 }]);
  });

  it("throws what the server says in the middle", async () => {
    const sql = "copy (select 1 / (50000 - i) from generate_series(1, 100000) i) to stdout";
    let size = 0;
    const error = await failure((async () => {
      for await (const chunk of db.copyOut(sql)) size += chunk.length;
    })());
    expect(error.sqlstate).toBe("22012");
    expect(size).toBeGreaterThan(100_000);
    expect(await db.query("select 1 as a")).toEqual([{ a: 1 }]);
  });

  it("lets nothing else in between", async () => {
    const copy = await db.copyIn("copy numbers from stdin");
    await expect(db.query("select 1")).rejects.toThrow("in the middle of a COPY");
    await copy.abort("done");
  });
});

describe("a value of 100 MB", () => {
  const size = 100_000_000;

  it("comes and goes as a value and as a row of a COPY", async () => {
    const row = await one<{ large: string }>(db, `select repeat('x', ${size}) as large`);
    expect(row.large.length).toBe(size);
    expect(await one(db, "select length($1::text) as n", [row.large.slice(0, size / 5)])).toEqual({ n: size / 5 });

    await db.exec("create temp table large (a text); alter table large alter a set storage external");
    const sender = await WireConnection.connect(target);
    const copy = await db.copyIn("copy large from stdin");
    let chunkMax = 0;
    for await (const frames of sender.copyOut(`copy (select repeat('y', ${size})) to stdout`)) {
      chunkMax = Math.max(chunkMax, frames.length);
      await copy.writeFrames(frames);
    }
    expect(await copy.finish()).toBe(1);
    expect(chunkMax).toBeLessThan(1 << 20);
    expect(await one(db, "select length(a) as n from large")).toEqual({ n: size });
    await sender.close();
  });
});

describe("a session that is killed", () => {
  it("tells the reader of a COPY", async () => {
    const victim = await WireConnection.connect(target);
    let count = 0;
    const error = await failure((async () => {
      for await (const _ of victim.copyOut("copy (select generate_series(1, 100000000)) to stdout")) {
        if (count++ === 3) await kill(victim.processId);
      }
    })());
    expect(error.fault).toBe("connection-lost");
    expect(victim.isClosed).toBe(true);
  });

  it("tells the writer of a COPY", async () => {
    await db.exec("create table if not exists killed (a text)");
    const victim = await WireConnection.connect(target);
    const copy = await victim.copyIn("copy killed from stdin");
    const block = encoder.encode("some text\n".repeat(1000));
    const error = await failure((async () => {
      for (let i = 0;; i++) {
        await copy.write(block);
        if (i === 20) await kill(victim.processId);
      }
    })());
    expect(error.fault).toBe("connection-lost");
    expect((await failure(copy.finish())).fault).toBe("connection-lost");
    expect(await db.query("select count(*) as n from killed")).toEqual([{ n: 0n }]);
  });

  it("tells everyone who waits, with the server's last words", async () => {
    const victim = await WireConnection.connect(target);
    const waiting = [victim.query("select pg_sleep(30)"), victim.query("select 1"), victim.exec("select 2")].map(
      failure,
    );
    const begun = "select 1 from pg_stat_activity where pid = $1 and query like '%sleep%'";
    await waitFor(async () => (await watcher.query(begun, [victim.processId])).length > 0, {
      what: "the statement to begin",
    });
    await kill(victim.processId);
    const errors = await Promise.all(waiting);
    for (const error of errors) expect(error.fault).toBe("connection-lost");
    expect(errors[0]!.sqlstate).toBe("57P01");
    await victim.close();
  });

  it("says after close that it is closed", async () => {
    const session = await WireConnection.connect(target);
    const sleeping = failure(session.query("select pg_sleep(30)"));
    await session.close();
    expect((await sleeping).fault).toBe("connection-lost");
    expect((await failure(session.query("select 1"))).message).toContain("it is closed");
    expect((await failure(session.copyIn("copy killed from stdin"))).message).toContain("it is closed");
    await session.close();
  });
});
