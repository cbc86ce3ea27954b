import { beforeAll, describe, expect, it } from "vitest";
import { fileURLToPath } from "node:url";
import { SkyqError } from "../../../../src/base/errors.ts";
import { parseTarget } from "../../../../src/db/target.ts";
import { WireConnection } from "../../../../src/db/wire/connection.ts";
import { fixStatement, undoStatement } from "../../../../src/engine/repair/fix.ts";
import { type Difference, walkTables } from "../../../../src/engine/repair/walk.ts";
import { pair } from "../../../harness/pair.ts";
import { seeded } from "../../../harness/seed.ts";
import { openSides, Sides, textOf } from "./_sides.ts";

/** The error that a promise must end with. */
async function failure(work: Promise<unknown>): Promise<SkyqError> {
  const error = await work.then(() => null, (error) => error);
  expect(error).toBeInstanceOf(SkyqError);
  return error;
}

describe("walkTables()", () => {
  const random = seeded("walkTables()");
  let sides: Sides;
  beforeAll(async () => {
    sides = await openSides();
  });

  /** The table on both sides, then rows for each. */
  async function make(create: string, source: string, target = source): Promise<void> {
    await sides.both(`drop table if exists public.t cascade; ${create}`);
    await sides.source.exec(source);
    await sides.target.exec(target);
  }

  it("reports what is missing, surplus and different, with the cells of both", async () => {
    await make(
      "create table t (a text, id int primary key, b text)",
      "insert into t values ('x', 2, null), ('new', 4, null), ('same', 10, '')",
      "insert into t values (null, 4, 'old'), ('same', 10, ''), ('y', 5000, 'z')",
    );
    const { counts, differences } = await sides.walk();
    expect(counts).toEqual({ sourceRows: 3, targetRows: 3, inserts: 1, updates: 1, deletes: 1 });
    const cells = (row: Difference["source"]) => row?.map(textOf) ?? null;
    expect(differences.map((one) => [one.kind, cells(one.key), cells(one.source), cells(one.target)])).toEqual([
      ["insert", ["2"], ["2", "x", null], null],
      ["update", ["4"], ["4", "new", null], ["4", null, "old"]],
      ["delete", ["5000"], null, ["5000", "y", "z"]],
    ]);
  });

  it("tells NULL from '', blank from blank, and values that only the type calls equal", async () => {
    await make(
      "create table t (id int primary key, x text, f float8, n numeric, c char(5), j json)",
      `insert into t values (1, null, 0, 1.0, 'a', '{}'), (2, '', 0, 1, 'a', '{}'), (3, ' ', 0, 1, 'a', '{}'),
        (4, 'a', '-0', 1, 'a', '{}'), (5, 'a', 0, 1.0, 'a', '{}'), (6, 'a', 0, 1, 'a', '{"a":1}'), (7, E'a\\t', 0, 1, 'a', '{}'),
        (8, 'a', 'NaN', 'NaN', 'a   ', '{}')`,
      `insert into t values (1, '', 0, 1.0, 'a', '{}'), (2, null, 0, 1, 'a', '{}'), (3, '  ', 0, 1, 'a', '{}'),
        (4, 'a', '0', 1, 'a', '{}'), (5, 'a', 0, 1.00, 'a', '{}'), (6, 'a', 0, 1, 'a', '{"a": 1}'), (7, E'a\\\\t', 0, 1, 'a', '{}'),
        (8, 'a', 'NaN', 'NaN', 'a', '{}')`,
    );
    const walked = await sides.walk();
    expect(walked.shown).toEqual(["~1", "~2", "~3", "~4", "~5", "~6", "~7"]);
    await sides.apply(walked, fixStatement);
    expect((await sides.walk()).shown).toEqual([]);
    await sides.apply(walked, undoStatement);
    expect((await sides.walk()).shown).toEqual(walked.shown);
  });

  it("finds one row with another key that the type calls equal", async () => {
    await make(
      "create table t (k numeric, f float8, v int, primary key (k, f))",
      "insert into t values (1.0, 0, 1), (2, '-0', 1), (3, 1, 1)",
      "insert into t values (1.00, 0, 1), (2, '0', 1), (3, 1, 1)",
    );
    const walked = await sides.walk();
    expect(walked.shown).toEqual(["~1.0|0", "~2|-0"]);
    await sides.apply(walked, fixStatement);
    expect((await sides.walk()).shown).toEqual([]);
  });

  it("finds a row in random tables that is the only one not the same, and mends and undoes random divergence", async () => {
    const columns =
      "id bigint, a text, b bytea, c numeric(12,3), d timestamptz, e float8, f integer[], g boolean, h jsonb";
    await make(
      `create table t (${columns}, primary key (a, id))`,
      `insert into t select i, chr(97 + i % 26) || md5(i::text), decode(md5((i * 7)::text), 'hex'), i / 7.0,
         '2024-01-01'::timestamptz + i * interval '1.234567 s', sqrt(i), array[i, i % 3], i % 3 = 0,
         case when i % 5 = 0 then null else jsonb_build_object('k', i) end from generate_series(1, 3000) as i`,
    );
    expect((await sides.walk()).shown).toEqual([]);
    const changes = [
      "a = a || ' '",
      "b = set_byte(b, 15, get_byte(b, 15) # 1)",
      "c = c + 0.001",
      "d = d + interval '1 us'",
      "e = e * 1.0000000000000002",
      "f = f || 0",
      "g = not g",
      "h = '{}'",
      "id = id + 100000",
      "a = upper(a)",
    ]; // deno-fmt-ignore
    for (const change of changes) {
      const id = random.int(1, 3000);
      await sides.target.exec(`begin; update t set ${change} where id = ${id}`);
      const { counts } = await sides.walk();
      const found = counts.inserts + counts.updates + counts.deletes;
      if (change !== "h = '{}'") expect([change, id, found > 0]).toEqual([change, id, true]);
      await sides.target.exec("rollback");
    }
    for (const change of changes) {
      await sides.target.exec(`update t set ${change} where id % 97 = ${random.int(0, 96)}`);
    }
    await sides.target.exec(
      "delete from t where id % 31 = 3; insert into t (id, a) select -i, 'z' from generate_series(1, 9) i",
    );
    const before = await sides.target.query("select md5(string_agg(t::text, ',' order by a, id)) as sum from t");
    const walked = await sides.walk();
    expect(walked.counts.deletes).toBeGreaterThan(8);
    await sides.apply(walked, fixStatement);
    expect((await sides.walk()).shown).toEqual([]);
    const sum = "select md5(string_agg(t::text, ',' order by a, id)) as sum from t";
    expect(await sides.target.query(sum)).toEqual(await sides.source.query(sum));
    await sides.apply(walked, undoStatement);
    expect(await sides.target.query(sum)).toEqual(before);
  });

  it("walks a range of keys, exactly once each, in every order", async () => {
    await make(
      `create table t (n numeric, k text collate "und-x-icu", d date, primary key (n, k, d))`,
      `insert into t select i % 10 / 4.0, (array['a', 'B', 'ä', E'\\\\', ''])[i % 5 + 1], '2024-01-01'::date + i / 10
         from generate_series(0, 499) as i`,
      "",
    );
    const all = await sides.walk();
    expect(all.counts.inserts).toBe(500);
    const cuts = [...new Set([0, random.int(1, 498), random.int(1, 498), 499])].sort((a, b) => a - b)
      .map((index) => all.differences[index]!.key);
    const found: string[] = [];
    for (let i = 0; i <= cuts.length; i++) {
      const range = { after: cuts[i - 1] ?? null, upTo: cuts[i] ?? null };
      found.push(...(await sides.walk({ range })).shown);
    }
    expect(found).toEqual(all.shown);
    expect((await sides.walk({ range: { after: cuts.at(-1)! }, where: "k = 'a' -- and nothing else" })).shown).toEqual(
      [],
    );
    expect((await sides.walk({ where: "t.k = 'a' or k = 'B' -- as typed" })).counts.inserts).toBe(200);
  });

  it("tells its position, from which it can be taken up again", async () => {
    await make(
      "create table t (id int primary key, v text)",
      "insert into t select i, repeat('x', 1000) from generate_series(1, 5000) i",
      "insert into t select i, repeat(case when i % 100 = 0 then 'y' else 'x' end, 1000) from generate_series(1, 5000) i",
    );
    const before: string[] = [];
    const layout = await sides.layout();
    const stop = new AbortController();
    let position: readonly (Uint8Array | null)[] | null = null;
    const { source, target } = sides;
    const stopped = await failure(walkTables({
      source,
      target,
      layout,
      signal: stop.signal,
      onDifference: (one) => void before.push(`~${textOf(one.key[0]!)}`),
      onProgress(progress) {
        position = progress.position();
        if (progress.sourceRows > 1000) stop.abort();
      },
    }));
    expect(stopped.fault).toBe("stopped");
    const rest = await sides.walk({ range: { after: position! } });
    expect([...before, ...rest.shown]).toEqual(Array.from({ length: 50 }, (_, i) => `~${(i + 1) * 100}`));
    expect(rest.counts.sourceRows).toBeLessThan(4000);
  });

  it("reads on only when a difference has been accepted", async () => {
    await make("create table t (id int primary key)", "insert into t select generate_series(1, 20000)", "");
    let open = 0;
    const seen: number[] = [];
    await sides.walk({
      async onDifference(one) {
        expect(++open).toBe(1);
        await Promise.resolve();
        seen.push(Number(textOf(one.key[0]!)));
        open--;
      },
    });
    expect(seen).toEqual(Array.from({ length: 20000 }, (_, i) => i + 1));
  });

  it("takes rows of 20 MB and tables of 1600 columns", async () => {
    await make(
      "create table t (id int primary key, v text)",
      "insert into t select i, repeat(chr(96 + i), case when i % 2 = 0 then 20000000 else 10 end) from generate_series(1, 5) i",
    );
    await sides.target.exec("update t set v = v || '!' where id = 4; delete from t where id = 2");
    expect((await sides.walk()).shown).toEqual(["+2", "~4"]);

    const columns = Array.from({ length: 1599 }, (_, i) => `c${i} int default ${i}`);
    await make(
      `create table t (id int primary key, ${columns.join(", ")})`,
      "insert into t select generate_series(1, 20)",
    );
    await sides.target.exec("update t set c1598 = null where id = 7");
    const walked = await sides.walk();
    expect(walked.shown).toEqual(["~7"]);
    expect(textOf(fixStatement(walked.layout, walked.differences[0]!)))
      .toBe("update only public.t set c1598 = '1598' where id = '7' and c1598 is null;\n");
  });

  it("is an error when a row is there twice, as with a damaged index", async () => {
    await make("create table t (id int, v text)", "insert into t values (1, 'a'), (2, 'b'), (2, 'b'), (3, 'c')");
    // A key that the catalogue believes in and the rows do not have.
    await sides.both("create unique index t_key on t (id) where false; alter table t alter id set not null");
    await sides.both("update pg_index set indpred = null where indexrelid = 't_key'::regclass");
    const error = await failure(sides.walk());
    expect(error.fault).toBe("structure");
    expect(error.message).toBe(`Cannot compare table "public.t": the source's rows are not in order at (id) = ('2')`);
  });

  it("is an error when either server ends it, and leaves the other side's connection usable", async () => {
    await make(
      "create table t (id int primary key, v text)",
      "insert into t select i, repeat('x', 500) from generate_series(1, 20000) i",
    );
    for (const [victim, other] of [["source", "target"], ["target", "source"]] as const) {
      for (const act of ["pg_cancel_backend", "pg_terminate_backend"]) {
        const again = await openAgain(sides);
        let progress = 0;
        const error = await failure(again.walk({
          async onProgress() {
            if (++progress !== 1) return;
            await sides[victim].query(`select ${act}($1::int)`, [again[victim].processId]);
          },
        }));
        // What a server says last may be lost with the connection.
        expect(error.message).toMatch(
          act === "pg_cancel_backend"
            ? /canceling statement/
            : /terminating connection|the server closed the connection/,
        );
        expect(await again[other].query("select 1 as one")).toEqual([{ one: 1 }]);
        await again.close();
      }
    }
  });

  it("stops while a server has not given a row yet", async () => {
    await make("create table t (id int primary key)", "insert into t select generate_series(1, 3)");
    const stop = new AbortController();
    const walking = sides.walk({ where: "(select true from pg_sleep(60))", signal: stop.signal });
    setTimeout(() => stop.abort(), 200);
    expect((await failure(walking)).fault).toBe("stopped");
    expect(await sides.source.query("select 1 as one")).toEqual([{ one: 1 }]);
    expect((await sides.walk()).counts.sourceRows).toBe(3);
  });

  it("refuses rather than compare what row security leaves of a table", async () => {
    await make("create table t (id int primary key, who text)", "insert into t values (1, 'a'), (2, 'b')");
    const role = `walker_${crypto.randomUUID().slice(0, 8)}`;
    const { provider } = await pair();
    await sides.source.exec(`create role ${role} login; grant select on t to ${role};
      alter table t enable row level security; create policy p on t using (id = 1)`);
    const [{ name }] = await sides.source.query<{ name: string }>("select current_database()::text as name") as [
      { name: string },
    ];
    const limited = await WireConnection.connect(parseTarget(provider.dsn(name, role)));
    try {
      const error = await failure(new Sides(limited, sides.target).walk());
      expect(error.message).toContain("row-level security");
    } finally {
      await limited.close();
      await sides.source.exec(`drop table t; drop role ${role}`);
    }
  });

  it("puts the session's settings back, and does not depend on them", async () => {
    await make(
      "create table t (id int primary key, d timestamptz, f float8, b bytea, i interval, r regclass)",
      "insert into t values (1, '2024-05-06 07:08:09', 0.1 + 0.2::float8, '\\x00ff', '1 mon 2 days', 't')",
    );
    await sides.source.exec(
      "set datestyle = 'SQL, DMY'; set timezone = 'Asia/Kolkata'; set intervalstyle = iso_8601; " +
        "set extra_float_digits = 0; set bytea_output = escape; set search_path = public",
    );
    expect((await sides.walk()).shown).toEqual([]);
    const [row] = await sides.source.query<{ tz: string; path: string }>(
      "select current_setting('timezone') as tz, current_setting('search_path') as path",
    );
    expect(row).toEqual({ tz: "Asia/Kolkata", path: "public" });
    await sides.source.exec("discard all");
  });
});

describe("walkTables() in a process of its own", () => {
  it("needs no more memory for more rows", async () => {
    const { stdout, stderr, success } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "-A", "--no-check", fileURLToPath(new URL("walk_memory.ts", import.meta.url))],
    }).output();
    expect([success, new TextDecoder().decode(stderr)]).toEqual([true, ""]);
    // What a walk keeps of each read, of 120,000 here, would be more than this.
    expect(Number(new TextDecoder().decode(stdout))).toBeLessThan(12 << 20);
  });
});

describe("walkTables() between encodings", () => {
  const TEXTS = ["a", "é", "ÿ", "Z", "z", "ß", "a b", "\\", "~"];

  for (
    const [from, to] of [["LATIN1", "UTF8"], ["EUC_JP", "UTF8"], ["UTF8", "EUC_JP"], ["LATIN9", "LATIN1"]] as const
  ) {
    it(`${from} and ${to} have one order`, async () => {
      const sides = await openSides({ source: from, target: to });
      const japanese = ["日本", "ｱ", "ア", "あ", "亜", "龠", "－"];
      const texts = from === "EUC_JP" || to === "EUC_JP" ? ["a", "Z", "\\", "~", ...japanese] : TEXTS;
      await sides.both("create table t (k text primary key, v text)");
      for (const db of [sides.source, sides.target]) {
        await db.query("insert into t select x, x from unnest($1::text[]) as x", [texts]);
      }
      expect((await sides.walk()).shown).toEqual([]);
      await sides.target.query("delete from t where k = $1", [texts.at(-1)!]);
      await sides.target.query("update t set v = 'other' where k = $1", [texts[1]!]);
      const walked = await sides.walk();
      expect(walked.shown.toSorted()).toEqual([`+${texts.at(-1)}`, `~${texts[1]}`].sort());
      const { after, upTo } = { after: walked.differences[0]!.key, upTo: walked.differences[1]!.key };
      expect((await sides.walk({ range: { after, upTo } })).shown).toEqual([walked.shown[1]!]);
      await sides.apply(walked, fixStatement);
      expect((await sides.walk()).shown).toEqual([]);
    });
  }

  it("SQL_ASCII bytes are compared as they are stored, and fixes carry them", async () => {
    const sides = await openSides({ source: "SQL_ASCII", target: "SQL_ASCII" });
    await sides.both("set client_encoding = sql_ascii; create table t (k text primary key, v text)");
    const bytes = "convert_from('\\x61ff'::bytea, 'SQL_ASCII')";
    await sides.source.exec(`insert into t values (${bytes}, ${bytes} || '''\\'), ('b', 'x')`);
    await sides.target.exec("insert into t values ('b', convert_from('\\xfe'::bytea, 'SQL_ASCII'))");
    const walked = await sides.walk();
    expect(walked.counts).toEqual({ sourceRows: 2, targetRows: 1, inserts: 1, updates: 1, deletes: 0 });
    const [insert, update] = walked.differences.map((one) => fixStatement(walked.layout, one)!);
    expect([...insert!]).toEqual([...new TextEncoder().encode("insert into public.t (k, v) values ('a")].concat(
      0xff,
      [...new TextEncoder().encode("', E'a")],
      0xff,
      [...new TextEncoder().encode("''\\\\');\n")],
    ));
    expect(update!.includes(0xfe)).toBe(true);
    expect((await sides.walk({ range: { after: walked.differences[0]!.key } })).counts.sourceRows).toBe(1);
    expect((await sides.walk({ range: { upTo: walked.differences[0]!.key } })).counts.sourceRows).toBe(1);
  });
});

/** New connections to the same two databases. */
async function openAgain(sides: Sides): Promise<Sides> {
  const { provider, subscriber } = await pair();
  const again = async (db: WireConnection, cluster: typeof provider) => {
    const [row] = await db.query<{ name: string }>("select current_database()::text as name");
    return await WireConnection.connect(parseTarget(cluster.dsn(row!.name)));
  };
  return new Sides(await again(sides.source, provider), await again(sides.target, subscriber));
}
