/** Rows that the subscriber refuses: they wait in quarantine, or their table is set aside, and all others go on. */
import { beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Gate } from "../gate.ts";
import { Job, size } from "../job.ts";
import { Writer } from "../writer.ts";

const LONG_NAME = "ключ 'x' \"q\" ,.=&%+ 1234567890abcdefgh ёжик".slice(0, 47);
const IDENT = `"${LONG_NAME.replaceAll('"', '""')}"`;
const SCHEMA = `
  create table plain (id integer primary key, v text);
  create table healthy (id integer primary key, v integer);
  create table ${IDENT} ("K,1" integer, "k=2" text, "w&" text, primary key ("K,1", "k=2"));
  create table money_like (n numeric primary key, v integer);
  create table partial (id integer primary key, v integer);
  create table jsonish (id bigint primary key, v integer);
  create table many (id integer primary key, v integer);
  create table skipped (id integer primary key, v integer);
  create table overfull (id integer primary key, v integer);`;
const TABLES = ["plain", "healthy", `public.${LONG_NAME}`, "money_like", "many", "skipped", "overfull"];

interface Held {
  ev_id: number;
  table_name: string;
  key: string | null;
  ev_type: string;
  sqlstate: string | null;
  error: string;
}

describe("rows that the subscriber refuses", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;
  const held = async (table: string): Promise<Held[]> =>
    JSON.parse(
      await subscriber.sql(`select coalesce(json_agg(q order by q.ev_id), '[]') from skyq.quarantine q
        where q.table_name = 'public.${table.replaceAll("'", "''")}'`),
    );
  const check = (table: string, condition: string) =>
    subscriber.sql(`alter table ${table} add constraint fine check (${condition})`);
  const mend = (table: string) => subscriber.sql(`alter table ${table} drop constraint fine`);

  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2) as [LentDatabase, LentDatabase];
    job = new Job({
      provider,
      subscriber,
      settings: { on_error: "quarantine", on_error_tables: "skip*=skip-table", quarantine_max: "50" },
    });
    for (const db of [provider, subscriber]) await db.sql(SCHEMA);
    await job.install();
    await job.add(...TABLES);
    for (const [table, flag] of [["partial", "Q"], ["jsonish", "J"]]) {
      await provider.sql(`select londiste.local_add_table('${job.queue}', '${table}', array['tgflags=${flag}'])`);
    }
    await job.run("subscriber", "add", "conf.ini", "partial", "jsonish");
    job.startReplay();
    await job.allOk();
    return () => job[Symbol.asyncDispose]();
  });

  it("go to quarantine with all later events of their keys, in any form of events, and NULL is not ''", async () => {
    await check("plain", "v is null or v <> ''");
    await provider.sql(`insert into plain values (1, 'a'), (2, ''), (3, null); insert into healthy values (1, 1);
      update plain set v = 'now fine' where id = 2; delete from plain where id = 1; insert into plain values (4, 'b')`);
    await job.finished();
    expect((await held("plain")).map(({ key, ev_type, sqlstate }) => [key, ev_type, sqlstate])).toEqual([
      ["id=2", "I:id", "23514"],
      ["id=2", "U:id", null],
    ]);
    expect((await held("plain"))[0]!.error).toMatch(/"fine" \(Failing row contains \(2, \)\.\)/);
    expect(await subscriber.sql("select id, v is null from plain order by id")).toBe("3|t\n4|f");
    expect(await job.differences("healthy")).toEqual([]);
    await provider.sql("update plain set v = v || '!' where id in (2, 4)"); // later batches follow as well
    await job.finished();
    expect((await held("plain")).map(({ key }) => key)).toEqual(["id=2", "id=2", "id=2"]);
    expect(await subscriber.sql("select v from plain where id = 4")).toBe("b!");
    expect(job.log).toMatch(/WARNING Event \d+ of public\.plain, key \(id\)=\(2\) went to quarantine: .*"fine"/);
    expect(job.log).toMatch(/\{count: .*quarantined: \d/);
  });

  it("are found by keys of several odd columns, and by keys that are equal without looking so", async () => {
    await check(IDENT, `"w&" <> 'bad'`);
    await provider.sql(`insert into ${IDENT} values (1, 'a&b=c', 'bad'), (1, '', 'ok'), (2, 'a&b=c', 'ok')`);
    await provider.sql(`update ${IDENT} set "w&" = 'later' where "K,1" = 1`);
    await check("money_like", "v > 0");
    await provider.sql(
      "insert into money_like values (1.0, -1), (2, 2); update money_like set n = 1.00, v = 1 where n = 1",
    );
    await provider.sql("delete from money_like where n = 1.0000");
    await job.finished();
    expect((await held(LONG_NAME)).map(({ key, sqlstate }) => [key, sqlstate])).toEqual([
      ["K%2c1=1&k%3d2=a%26b%3dc", "23514"],
      ["K%2c1=1&k%3d2=a%26b%3dc", null],
    ]);
    expect(await subscriber.sql(`select "K,1", "k=2", "w&" from ${IDENT} order by 1, 2`)).toBe("1||later\n2|a&b=c|ok");
    expect((await held("money_like")).map(({ key }) => key)).toEqual(["n=1.0", "n=1.00", "n=1.00"]);
    expect(await subscriber.sql("select n, v from money_like")).toBe("2|2");
  });

  it("of JSON events are told apart by key; behind one of partial SQL waits the whole table", async () => {
    await check("jsonish", "v > 0");
    await check("partial", "v > 0");
    await provider.sql(`insert into jsonish values (9007199254740993, -1), (2, 2);
      update jsonish set v = v + 5; insert into partial values (1, 1), (2, -2), (3, 3); delete from partial where id = 1`);
    await job.finished();
    expect((await held("jsonish")).map(({ key }) => key)).toEqual(["id=9007199254740993", "id=9007199254740993"]);
    expect(await subscriber.sql("select * from jsonish")).toBe("2|7");
    expect((await held("partial")).map(({ ev_type, sqlstate }) => [ev_type, sqlstate])).toEqual([
      ["I", "23514"],
      ["I", null],
      ["D", null],
    ]);
    await provider.sql("truncate partial; insert into partial values (4, 4)"); // nothing from before matters any more
    await job.finished();
    expect(await held("partial")).toEqual([]);
    expect(await job.differences("partial")).toEqual([]);
  });

  const ROWS = size({ smoke: 20_000, long: 100_000 });
  it(`are found among ${ROWS} of one batch, exactly those`, async () => {
    const bad = Array.from({ length: 3 }, () => 1 + Math.floor(Math.random() * ROWS)).sort((a, b) => a - b);
    console.log(`bad rows: ${bad}`);
    await check("many", "v > 0");
    await provider.sql(`insert into many select i, case when i in (${bad}) then -i else i end
      from generate_series(1, ${ROWS}) i; insert into healthy select i, i from generate_series(10, 30) i`);
    await job.finished();
    expect((await held("many")).map(({ key }) => key)).toEqual([...new Set(bad)].map((id) => `id=${id}`));
    expect(await subscriber.sql("select count(*), sum(v) from many")).toBe(
      await provider.sql("select count(*), sum(v) from many where v > 0"),
    );
    expect(await job.differences("healthy")).toEqual([]);
    // Set-based again, but for those who must follow.
    await provider.sql("update many set v = v + 1 where v > 0");
    await provider.sql(`update many set v = 1 where id = ${bad[0]}`);
    await job.finished();
    expect((await held("many")).filter(({ key }) => key === `id=${bad[0]}`)).toHaveLength(2);
    expect(await subscriber.sql("select count(*), sum(v) from many")).toBe(
      await provider.sql(`select count(*), sum(v) from many where id not in (${bad})`),
    );
  });

  it("are listed, shown, retried key by key, and dropped", async () => {
    const quarantine = (...args: string[]) => job.try("quarantine", args[0]!, "conf.ini", ...args.slice(1));
    const list = await quarantine("list");
    expect(list.stdout).toMatch(/event +table +key +type +tick +since +sqlstate +error\n/);
    expect(list.stdout).toMatch(
      /public\.plain +\(id\)=\(2\) +I:id .* 23514 +new row .*"fine" \(Failing row contains \(2, \)\.\)/,
    );
    const rows = (await quarantine("list", "plain", "money*", "--json")).stdout.trim().split("\n").map((line) =>
      JSON.parse(line)
    );
    expect(rows.map((row) => [row.table_name, row.key])).toEqual([
      ...Array(3).fill(["public.plain", "id=2"]),
      ["public.money_like", "n=1.0"],
      ["public.money_like", "n=1.00"],
      ["public.money_like", "n=1.00"],
    ]);
    const id = String(rows[0].ev_id);
    expect((await quarantine("show", id)).stdout).toMatch(/ev_data +id=2&v=\n(.|\n)*sqlstate +23514/);

    for (const act of ["retry", "drop"]) {
      expect(await quarantine(act)).toMatchObject({ code: 2, stderr: expect.stringMatching(/or use --all/) });
      expect((await quarantine(act, "1", "--all")).code).toBe(2);
      expect(await quarantine(act, "999999")).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/999999 is not in quarantine/),
      });
      expect(await quarantine(act, "healthy")).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/No event of table healthy/),
      });
    }

    // What the events come to is a row that fits by now.
    expect(await quarantine("retry", id)).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/plain \(id\)=\(2\): 3 event\(s\) applied/),
    });
    expect(await job.differences("plain")).toEqual([]);
    // Two of three are as bad as before, the third has come to fit.
    const many = await quarantine("retry", "many", "--json");
    expect(many.code).toBe(1);
    expect(many.stdout.trim().split("\n").map((line) => JSON.parse(line).error === null)).toEqual(
      expect.arrayContaining([true, false, false]),
    );
    expect(many.stderr).toMatch(/ERROR public\.many \(id\)=\(\d+\): event \d+ is refused: .*"fine"/);
    for (const table of ["many", "money_like", "jsonish", IDENT]) await mend(table);
    const all = await quarantine("retry", "--all");
    expect([all.code, await held("many"), all.stderr]).toEqual([0, [], expect.stringMatching(/money_like: 3 event/)]);
    expect(await job.differences("plain", "many", "money_like", "jsonish", IDENT)).toEqual([]);
    expect(await quarantine("retry", "--all")).toMatchObject({
      code: 0,
      stderr: expect.stringMatching(/Nothing is in/),
    });

    await check("jsonish", "id <> 5");
    await provider.sql("insert into jsonish values (5, 5)");
    await job.finished();
    expect(await job.run("subscriber", "tables", "conf.ini")).toMatch(
      /public\.jsonish +ok +1 event\(s\) in quarantine/,
    );
    expect((await quarantine("drop", "jsonish")).stderr).toMatch(/1 event\(s\) were forgotten/);
    expect((await quarantine("list")).stdout).toBe("");
    expect(await quarantine("list", "plain")).toMatchObject({
      stdout: "",
      stderr: expect.stringMatching(/No event of table plain is in quarantine/),
    });
    await mend("jsonish");
    await provider.sql("delete from jsonish where id = 5"); // nothing holds the key back any more
    await job.finished();
    expect(await job.differences("jsonish")).toEqual([]);
  });

  it("are retried beside a replay that meets the same keys, and end up as the provider has them", async () => {
    await subscriber.sql("alter table plain drop constraint fine");
    await check("plain", "v not like '%7'");
    await provider.sql("insert into plain select i, '' from generate_series(500, 505) i");
    await using writer = new Writer(
      provider,
      (n) => `update plain set v = ${n} where id in (500 + ${n} % 6, 500 + ${n} % 4)`,
    );
    await waitFor(async () => (await held("plain")).length > 10, { what: "some events in quarantine" });
    await mend("plain");
    await waitFor(async () => {
      await job.try("quarantine", "retry", "conf.ini", "plain");
      return (await held("plain")).length === 0;
    }, { what: "quarantine to be empty" });
    await writer.stop();
    await job.finished();
    expect(await held("plain")).toEqual([]);
    expect(await job.differences("plain")).toEqual([]);
    await check("plain", "true");
  });

  it("set their table aside where the policy says so, until it is copied anew", async () => {
    await check("skipped", "v > 0");
    await provider.sql("insert into skipped values (1, 1); insert into healthy values (2, 2)");
    await provider.sql("insert into skipped values (2, -2), (3, 3); insert into healthy values (3, 3)");
    await job.finished();
    expect(await job.differences("healthy")).toEqual([]);
    expect(await job.run("subscriber", "tables", "conf.ini")).toMatch(
      /public\.skipped +set-aside +\[ev_id=\d+,ev_txid=\d+\] Cannot apply event "I:id" of table "public\.skipped", key \(id\)=\(2\), of the batch that ends with tick \d+: .*"fine"/,
    );
    expect((await job.states()).get("public.skipped")).toBe(null);
    expect(await job.try("subscriber", "add", "conf.ini", "healthy", "--wait-sync")).toMatchObject({
      code: 4,
      stderr: expect.stringMatching(/public\.skipped, it is set aside: .*\n.*hint: .*resync CONFIG public\.skipped/),
    });
    await mend("skipped");
    await job.run("subscriber", "resync", "conf.ini", "skipped");
    await job.caughtUp();
    expect(await job.differences("skipped")).toEqual([]);
    expect(await job.run("subscriber", "tables", "conf.ini")).toMatch(/public\.skipped +ok\n/);
  });

  it("set their table aside when there are too many of them", async () => {
    await check("overfull", "v > 0");
    await provider.sql(
      "insert into overfull select i, -i from generate_series(1, 51) i; insert into healthy values (4, 4)",
    );
    await job.finished();
    expect(await job.differences("healthy")).toEqual([]);
    expect(await job.run("subscriber", "tables", "conf.ini")).toMatch(
      /public\.overfull +set-aside +50 events in quarantine, and one more: /,
    );
    await mend("overfull");
    await job.run("subscriber", "resync", "conf.ini", "overfull");
    await job.caughtUp();
    expect(await job.differences("overfull")).toEqual([]);
    expect(await held("overfull")).toEqual([]);
  });

  it("are in quarantine together with their batch, whenever the replay is killed", async () => {
    await subscriber.sql("alter table plain drop constraint fine; create table gone_by (n int)");
    await check("plain", "id < 1000 or id % 7 <> 0");
    for (let round = 0; round < 3; round++) {
      const from = 1000 + round * 200;
      await provider.sql(`insert into plain select i, 'x' from generate_series(${from}, ${from + 99}) i`);
      await new Promise((resolve) => setTimeout(resolve, 40 + 60 * round));
      await job.killReplay();
      job.startReplay();
      await job.finished();
      const expected = Array.from({ length: 100 }, (_, i) => from + i).filter((id) => id % 7 === 0);
      expect(
        (await held("plain")).map(({ key }) => Number(key!.slice(3))).filter((id) => id >= from),
      ).toEqual(expected);
      expect(await subscriber.sql(`select count(*) from plain where id >= ${from}`)).toBe(
        String(100 - expected.length),
      );
    }
  });

  it("are not in quarantine before their batch is marked, and there once after a kill -9 in between", async () => {
    await subscriber.sql(`create table if not exists public.gate (name text);
      create function public.pass_with_refusals() returns trigger language plpgsql as $$
      begin
        if exists (select from public.gate g where g.name = 'mark')
           and exists (select from skyq.quarantine q where q.quarantined_at = now()) then
          perform pg_advisory_xact_lock(4711);
        end if;
        return new;
      end $$;
      create trigger gate before update on pgq_node.local_state for each row execute function public.pass_with_refusals();
      alter table pgq_node.local_state enable always trigger gate`);
    {
      await using gate = await Gate.close(subscriber, "mark");
      await provider.sql("insert into plain values (1995, 'bad'), (1996, 'good')");
      await gate.reached();
      expect((await held("plain")).filter(({ key }) => key === "id=1995")).toHaveLength(0);
      expect(await subscriber.sql("select count(*) from plain where id = 1996")).toBe("0");
      await job.killReplay();
    }
    job.startReplay();
    await job.finished();
    expect((await held("plain")).filter(({ key }) => key === "id=1995")).toHaveLength(1);
    expect(await subscriber.sql("select count(*) from plain where id = 1996")).toBe("1");
  });

  it("do not stand for a batch that fails as a whole: that one stops the replay, and says so", async () => {
    await subscriber.sql(`create function late() returns trigger language plpgsql as
        $$ begin if new.v = 77 then raise exception 'not at the end' using errcode = '23505'; end if; return null; end $$;
      create constraint trigger late after insert on healthy deferrable initially deferred for each row execute function late();
      alter table healthy enable always trigger late`);
    await provider.sql("insert into healthy values (77, 77)");
    await waitFor(() => /Cannot commit the batch of "job".*checked at the end.*not at the end/.test(job.log), {
      what: "the log to tell of the commit",
    });
    expect(await held("healthy")).toEqual([]);
    await subscriber.sql("drop trigger late on healthy");
    await job.finished();
    expect(await job.differences("healthy")).toEqual([]);
  });

  it("are forgotten with their table", async () => {
    await check("many", "id > 0");
    await provider.sql("insert into many values (-1, 1)");
    await job.finished();
    expect(await held("many")).toHaveLength(1);
    await job.run("provider", "remove", "conf.ini", "many");
    await job.finished();
    expect(await held("many")).toEqual([]);
  });
});
