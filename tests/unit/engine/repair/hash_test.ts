import { beforeAll, describe, expect, it } from "vitest";
import { parseTarget } from "../../../../src/db/target.ts";
import { WireConnection } from "../../../../src/db/wire/connection.ts";
import {
  bucketCount,
  gapMax,
  hashBuckets,
  hashingOf,
  hashRanges,
  rangeRows,
  rangesOf,
  runsOf,
  sameHash,
} from "../../../../src/engine/repair/hash.ts";
import { type Layout, readLayout } from "../../../../src/engine/repair/layout.ts";
import { type KeyRange, pinSettings } from "../../../../src/engine/repair/order.ts";
import { lendDatabases, type LentDatabase } from "../../../harness/pair.ts";
import { seeded } from "../../../harness/seed.ts";

const ROWS = 7;

describe("hashes of key ranges", () => {
  const random = seeded("hash_test");
  let databases: LentDatabase[];
  let source: WireConnection;
  let target: WireConnection;

  beforeAll(async () => {
    databases = await lendDatabases(2);
    // What a database has set for itself must not make a difference.
    await databases[1]!.sql(
      `alter database "${databases[1]!.name}" set timezone = 'Asia/Tokyo'; alter database "${
        databases[1]!.name
      }" set extra_float_digits = 0;
       alter database "${databases[1]!.name}" set datestyle = 'German'; alter database "${
        databases[1]!.name
      }" set bytea_output = 'escape'`,
    );
    [source, target] = await Promise.all(
      databases.map((database) => WireConnection.connect(parseTarget(database.dsn()))),
    ) as [WireConnection, WireConnection];
    return async () => {
      await source.close();
      await target.close();
    };
  });

  const both = (sql: string) => Promise.all(databases.map((database) => database.sql(sql)));

  async function layoutOf(table: string): Promise<Layout> {
    const layout = await readLayout(source, target, { sourceTable: table, targetTable: table });
    await Promise.all([pinSettings(source, layout), pinSettings(target, layout)]);
    return layout;
  }

  /** The ranges whose hashes differ, and how many there are. */
  async function differing(
    layout: Layout,
    where: string | null = null,
  ): Promise<{ ranges: KeyRange[]; count: number }> {
    const ranges: KeyRange[] = [];
    let count = 0;
    const boundsAtOnce = random.pick([1, 2, 3, 5, 100]);
    for await (const some of rangesOf(source, layout, ROWS, { where, after: null, boundsAtOnce })) {
      count += some.length;
      const [here, there] = await Promise.all([
        hashRanges(source, layout, "source", some, { rows: ROWS, where }),
        hashRanges(target, layout, "target", some, { rows: ROWS, where }),
      ]);
      ranges.push(...some.filter((_, n) => !sameHash(here[n]!, there[n]!)));
    }
    return { ranges, count };
  }

  const text = (cells: KeyRange["after"]) => cells?.map((cell) => cell && new TextDecoder().decode(cell)).join(",");
  const shown = ({ after, upTo }: KeyRange) => `(${text(after) ?? ""}..${text(upTo) ?? ""}]`;

  it("one changed, missing or added row is found in its range and in no other, at every place of the table", async () => {
    await both(
      "create table t (id integer primary key, v text); insert into t select i, 'v' || i from generate_series(1, 40) i",
    );
    const layout = await layoutOf("public.t");
    expect(await differing(layout)).toEqual({ ranges: [], count: 6 });
    for (let id = -1; id <= 43; id++) {
      const end = Math.min(6, Math.max(1, Math.ceil(id / ROWS)));
      const range = `(${end === 1 ? "" : (end - 1) * ROWS}..${end === 6 ? "" : end * ROWS}]`;
      const isThere = id >= 1 && id <= 40;
      for (
        const change of isThere
          ? [`update t set v = null where id = ${id}`, `delete from t where id = ${id}`]
          : [`insert into t values (${id}, 'x')`]
      ) {
        await target.exec(`begin; ${change}`);
        expect((await differing(layout)).ranges.map(shown)).toEqual([range]);
        await target.exec("rollback");
      }
    }
  });

  it("what cancels out in sums and by XOR does not here", async () => {
    await both(`create table x (id integer primary key, a bigint, b bigint);
      insert into x select i, i, 100 - i from generate_series(1, 20) i`);
    const layout = await layoutOf("public.x");
    for (
      const change of [
        "update x set a = case id when 3 then 4 else 3 end where id in (3, 4)", // two rows' values change places
        "update x set a = b, b = a where id = 5", // two columns' values
        "update x set a = a + 1, b = b - 1",
        "update x set a = a + case when id % 2 = 0 then 1 else -1 end",
        // The same row twice instead of two rows would be nothing to XOR.
        "delete from x where id in (1, 2); insert into x values (-1, 1, 99), (0, 2, 98)",
        "update x set id = id + 1000 where id = 20",
      ]
    ) {
      await target.exec(`begin; ${change}`);
      expect((await differing(layout)).ranges.length).toBeGreaterThan(0);
      await target.exec("rollback");
    }
  });

  it("NULL, empty text, quotes and bounds between columns are told apart", async () => {
    await both("create table q (id integer primary key, a text, b text)");
    const values = [
      ["null", "''"],
      ["''", "null"],
      ["'null'", "''"],
      ["'a,b'", "'c'"],
      ["'a'", "'b,c'"],
      ["'\"'", "'\"\"'"],
      ["'\"\"'", "'\"'"],
      ["'\\'", "'\\\\'"],
      ["')('", "' '"],
    ];
    const layout = await layoutOf("public.q");
    for (const [n, here] of values.entries()) {
      for (const [m, there] of values.entries()) {
        await databases[0]!.sql(`truncate q; insert into q values (1, ${here})`);
        await databases[1]!.sql(`truncate q; insert into q values (1, ${there})`);
        expect((await differing(layout)).ranges.length).toBe(n === m ? 0 : 1);
      }
    }
  });

  it("what databases have set does not show in the values, and what differs in the last bit does", async () => {
    await both(
      `create table v (id integer primary key, f float8, n numeric, t timestamptz, b bytea, i interval, c char(5));
      insert into v values (1, 0.1::float8 + 0.2::float8, 1.0, '2024-03-31 02:30:00+00', '\\x00ff', '1 day 25:00', 'a'),
        (2, '-0', 'NaN', 'infinity', '', '-1 mon', null)`,
    );
    const layout = await layoutOf("public.v");
    expect((await differing(layout)).ranges).toEqual([]);
    for (
      const change of [
        "f = 0.3",
        "n = 1.00",
        "t = t + interval '1 microsecond'",
        "b = '\\x00fe'",
        "i = '2 days 01:00'",
        "c = 'b'",
      ]
    ) {
      await target.exec(`begin; update v set ${change} where id = 1`);
      expect((await differing(layout)).ranges.length).toBe(1);
      await target.exec("rollback");
    }
    await target.exec("begin; update v set f = 0 where id = 2");
    expect((await differing(layout)).ranges.length).toBe(1);
    await target.exec("rollback");
  });

  it("one flipped bit anywhere in a random table is found", async () => {
    await both("create table r (a uuid, b bigint, v bytea, primary key (b, a))");
    const lines = Array.from({ length: 200 }, () => {
      const hex = (size: number) =>
        Array.from(random.bytes(size), (byte) => byte.toString(16).padStart(2, "0")).join("");
      return `('${hex(16)}', ${random.int(1, 9)}, '\\x${hex(random.int(1, 30))}')`;
    });
    await both(`insert into r values ${lines.join(", ")}`);
    const layout = await layoutOf("public.r");
    const { ranges, count } = await differing(layout);
    expect(ranges).toEqual([]);
    expect(count).toBe(Math.floor(200 / ROWS) + 1);
    for (let n = 0; n < 60; n++) {
      const bit = random.int(0, 7);
      await target.exec(
        `begin; update r set v = set_bit(v, ${bit}, 1 - get_bit(v, ${bit})) where (b, a) =
           (select b, a from r order by a, b offset ${random.int(0, 199)} limit 1)`,
      );
      expect((await differing(layout)).ranges.length).toBe(1);
      await target.exec("rollback");
    }
  });

  it("keys whose order two servers may see differently are hashed into buckets", async () => {
    await both(
      `create table words (w text collate "en-x-icu" primary key); create table bytes (w text collate "C" primary key);
      create table maybe (w integer unique); create domain some_number as integer not null; create table said (w some_number unique)`,
    );
    expect(hashingOf(await layoutOf("public.words"))).toBe("buckets");
    expect(hashingOf(await layoutOf("public.bytes"))).toBe("ranges");
    expect(hashingOf(await layoutOf("public.maybe"))).toBe("buckets");
    // NULL gets past a domain.
    expect(hashingOf(await layoutOf("public.said"))).toBe("buckets");
  });

  it("a change to any row shows in its bucket, whatever the key is", async () => {
    await both(`create table k (a text collate "en-x-icu", b timestamptz, v bigint, unique (a, b));
      insert into k select case when i % 7 = 0 then null else 'k' || i end, '2024-01-01 00:00+00'::timestamptz + i * interval '1 hour', i
        from generate_series(1, 60) i`);
    const layout = await layoutOf("public.k");
    const changed = async () => {
      const [here, there] = await Promise.all([
        hashBuckets(source, layout, "source", { count: 16, where: null }),
        hashBuckets(target, layout, "target", { count: 16, where: null }),
      ]);
      return [...new Set([...here.keys(), ...there.keys()])].filter((bucket) =>
        !sameHash(here.get(bucket) ?? { count: 0, hash: "" }, there.get(bucket) ?? { count: 0, hash: "" })
      );
    };
    expect(await changed()).toEqual([]);
    for (let v = 1; v <= 60; v++) {
      await target.exec(
        `begin; ${v % 2 === 0 ? `delete from k where v = ${v}` : `update k set v = -v where v = ${v}`}`,
      );
      expect((await changed()).length).toBe(1);
      await target.exec("rollback");
    }
    for (
      const swap of [
        "update k set v = case v when 3 then 4 else 3 end where v in (3, 4)",
        "update k set v = v + case when v % 2 = 0 then 1 else -1 end",
      ]
    ) {
      await target.exec(`begin; ${swap}`);
      expect((await changed()).length).toBeGreaterThan(0);
      await target.exec("rollback");
    }
  });

  it("a condition holds for bounds and hashes alike", async () => {
    await both(
      "create table c (id integer primary key, v integer); insert into c select i, i % 3 from generate_series(1, 60) i",
    );
    const layout = await layoutOf("public.c");
    await target.exec("begin; update c set v = 5 where v = 1");
    expect((await differing(layout, "v = 0")).ranges).toEqual([]);
    expect((await differing(layout, "v <> 0")).ranges.length).toBeGreaterThan(0);
    await target.exec("rollback");
  });
});

describe("ranges", () => {
  it("that differ are read together with the few that lie between them", () => {
    const wanted = [false, true, true, false, true, false, false, true];
    expect(runsOf(wanted, 0)).toEqual([[1, 2], [4, 4], [7, 7]]);
    expect(runsOf(wanted, 1)).toEqual([[1, 4], [7, 7]]);
    expect(runsOf(wanted, 2)).toEqual([[1, 7]]);
    expect(runsOf([], 5)).toEqual([]);
    expect(gapMax(2.5e6)).toBe(0);
    expect(gapMax(100e6)).toBe(22);
  });

  it("and buckets are as many as the table is large", () => {
    expect(bucketCount(0, 100)).toBe(16);
    expect(bucketCount(2_000_000, 150)).toBe(4578);
  });

  it("hold fewer rows the larger these are, and one at least", () => {
    expect(rangeRows(100)).toBe(655);
    expect(rangeRows(10_000_000)).toBe(1);
    expect(rangeRows(0)).toBe(5000);
  });
});
