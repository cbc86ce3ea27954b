import { beforeAll, describe, expect, it } from "vitest";
import { join } from "node:path";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { skyq, type SkyqResult } from "../../harness/process.ts";
import { seeded } from "../../harness/seed.ts";
import { size } from "../job.ts";

describe("repair of rows that exchange values which are unique", () => {
  let source: LentDatabase;
  let target: LentDatabase;
  let dir: string;
  const random = seeded("repair_unique");

  beforeAll(async () => {
    [source, target] = await lendDatabases(2);
    dir = Deno.makeTempDirSync({ prefix: "skyq-unique-" });
    return () => Deno.removeSync(dir, { recursive: true });
  });

  const both = (sql: string) => Promise.all([source.sql(sql), target.sql(sql)]);
  const run = (command: "compare" | "repair", ...args: string[]): Promise<SkyqResult> =>
    skyq([command, `--source=${source.dsn()}`, `--target=${target.dsn()}`, "t", ...args], { cwd: dir });
  const rows = (database: LentDatabase) => database.sql("select * from t order by id");
  const psql = (name: string) => target.sql(Deno.readTextFileSync(join(dir, name)));
  const emptied = () => [...Deno.readDirSync(dir)].forEach(({ name }) => Deno.removeSync(join(dir, name)));

  /** Both ways to mend the table, and back again. */
  async function mended(...args: string[]): Promise<void> {
    const [wanted, diverged] = [await rows(source), await rows(target)];
    expect(diverged).not.toBe(wanted);
    emptied();
    expect(await run("repair", ...args)).toMatchObject({ code: 3 });
    expect([...Deno.readDirSync(dir)].map(({ name }) => name).sort()).toEqual([
      "fix.public.t.sql",
      "undo.public.t.sql",
    ]);
    await psql("fix.public.t.sql");
    expect(await rows(target)).toBe(wanted);
    await psql("undo.public.t.sql");
    expect(await rows(target)).toBe(diverged);

    emptied();
    const { code, stderr } = await run("repair", "--apply", ...args);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect(await rows(target)).toBe(wanted);
    await psql("undo.public.t.sql");
    expect(await rows(target)).toBe(diverged);
  }

  async function make(columns: string, from: string, to: string): Promise<void> {
    await both(`drop table if exists t cascade; create table t (id integer primary key, ${columns})`);
    await source.sql(`insert into t values ${from}`);
    await target.sql(`insert into t values ${to}`);
  }

  const SHAPES: [what: string, columns: string, from: string, to: string][] = [
    ["two rows swap", "u text unique", "(1, 'a'), (2, 'b')", "(1, 'b'), (2, 'a')"],
    ["two rows swap what must not be null", "u text not null unique", "(1, 'a'), (2, 'b')", "(1, 'b'), (2, 'a')"],
    ["a cycle of numbers", "u int not null unique", "(1, 1), (2, 2), (3, 3)", "(1, 2), (2, 3), (3, 1)"],
    ["a cycle of small numbers", "u smallint not null unique", "(1, 32000), (2, 2)", "(1, 2), (2, 32000)"],
    [
      "a cycle of uuids",
      "u uuid not null unique",
      `(1, '${"1".repeat(32)}'), (2, '${"2".repeat(32)}')`,
      `(1, '${"2".repeat(32)}'), (2, '${"1".repeat(32)}')`,
    ],
    [
      "bytes, and a width",
      "u bytea not null unique, w char(9) not null unique",
      "(1,'a','x'), (2,'b','y')",
      "(1,'b','y'), (2,'a','x')",
    ],
    ["a chain up", "u date not null unique", "(1,'2001-1-1'),(2,'2001-1-2')", "(1,'2001-1-2'),(2,'2001-1-3')"],
    ["a chain down", "u date not null unique", "(1,'2001-1-2'),(2,'2001-1-3')", "(1,'2001-1-1'),(2,'2001-1-2')"],
    ["from a row that goes to one that comes", "u date not null unique", "(1, '2001-1-1')", "(2, '2001-1-1')"],
    [
      "from a row that goes to one that stays",
      "u date not null unique",
      "(1, '2001-1-1')",
      "(1, '2001-1-2'), (2, '2001-1-1')",
    ],
    [
      "from a row that stays to one that comes",
      "u date not null unique",
      "(1, '2001-1-1'), (2, '2001-1-2')",
      "(2, '2001-1-1')",
    ],
    [
      "two rules, crosswise",
      "a int not null unique, b int unique",
      "(1,1,1),(2,2,2),(3,3,3)",
      "(1,2,3),(2,3,1),(3,1,2)",
    ],
    [
      "two columns in one rule",
      "a text not null, b int not null, v text, unique (a, b)",
      "(1,'x',1,'v'),(2,'x',2,'v')",
      "(1,'x',2,'v'),(2,'x',1,'w')",
    ],
    [
      "a deferrable constraint",
      "u date not null unique deferrable",
      "(1,'2001-1-1'),(2,'2001-1-2'),(3,'2001-1-3')",
      "(1,'2001-1-2'),(2,'2001-1-1')",
    ],
    ["numbers that look different", "u numeric unique", "(1, 1.0), (2, 2)", "(1, 2.00), (2, 1)"],
    [
      "an exclusion constraint",
      "r int4range, exclude using gist (r with &&)",
      "(1,'[1,5)'),(2,'[5,9)')",
      "(1,'[5,9)'),(2,'[1,3)')",
    ],
    [
      "ranges that must not be null",
      "r int4range not null, exclude using gist (r with &&)",
      "(1,'[1,5)'),(2,'[5,9)'),(3,'[10,11)')",
      "(1,'[4,9)'),(2,'[1,4)'),(3,'[9,12)')",
    ],
    [
      "values with quotes",
      "u text not null unique",
      `(1, E'it''s \\\\ a'), (2, E'\\n')`,
      `(1, E'\\n'), (2, E'it''s \\\\ a')`,
    ],
  ];
  for (const [what, ...shape] of SHAPES) {
    it(what, async () => {
      await make(...shape);
      await mended();
    });
  }

  it("indexes over expressions, over some rows, and of other collations", async () => {
    const swap = [
      "(1, 'a', true), (2, 'b', true), (3, 'A', false)",
      "(1, 'B', true), (2, 'A', true), (3, 'b', false)",
    ] as const;
    for (
      const index of [
        "on t (lower(u)) where on_duty",
        "on t (u) where on_duty",
        "on t ((on_duty::text || '-' || id % 1), upper(u)) where on_duty and id < 100",
      ]
    ) {
      await make("u text not null, on_duty boolean", ...swap);
      await both(`create unique index on${index.slice(2)}`);
      await mended();
    }
    // Where an expression makes one of many values, the column beside it is set aside.
    for (const index of ["on t ((n % 10), u)", "on t (coalesce(w, 'none'), u)"]) {
      const rows = ["(1, 1, 'a', null), (2, 2, 'b', 'x')", "(1, 2, 'b', 'x'), (2, 1, 'a', null)"] as const;
      await make("n int not null, u text not null, w text", ...rows);
      await both(`create unique index ${index}`);
      await mended();
    }
    await both(`drop table t; drop collation if exists nocase;
      create collation nocase (provider = icu, locale = 'und-u-ks-level2', deterministic = false)`);
    await make(
      "u text collate nocase not null unique, on_duty boolean",
      "(1, 'a', true), (2, 'b', true)",
      "(1, 'B', true), (2, 'A', true)",
    );
    await mended();
  });

  it("the target alone has the rule, and columns of it are left out", async () => {
    await make(
      "u text not null, region int",
      "(1, 'a', 1), (2, 'b', 1), (3, 'a', 2)",
      "(1, 'b', 1), (2, 'a', 1), (3, 'a', 2)",
    );
    await target.sql("alter table t add more text default 'x'; alter table t add unique (u, region, more)");
    const [before, wanted] = [
      await target.sql("select id, u from t order by id"),
      await source.sql("select id, u from t order by id"),
    ];
    for (const args of [[], ["--ignore-columns=region"]]) {
      expect((await run("repair", "--apply", ...args)).code).toBe(0);
      expect(await target.sql("select id, u from t order by id")).toBe(wanted);
      await psql("undo.public.t.sql");
      expect(await target.sql("select id, u from t order by id")).toBe(before);
      expect((await run("repair", ...args)).code).toBe(3);
      await psql("fix.public.t.sql");
      expect(await target.sql("select id, u from t order by id")).toBe(wanted);
      await psql("undo.public.t.sql");
    }
  });

  it("partitions have rules of their own", async () => {
    await both(
      "drop table if exists t cascade; create table t (id int, p int, u text not null, primary key (id, p)) partition by list (p)",
    );
    await both(`create table t1 partition of t for values in (1); create table t2 partition of t for values in (2);
      create unique index on t1 (u); alter table t add unique (u, p)`);
    await source.sql("insert into t select i, 1 + i % 2, 'u' || i from generate_series(1, 20) i");
    await target.sql("insert into t select i, 1 + i % 2, 'u' || (i + 1) % 20 + 1 from generate_series(1, 20) i");
    await mended();
  });

  it("a random exchange over many rows: what depends on each other is in one transaction", async () => {
    const count = size({ smoke: 1500, long: 20_000 });
    await both(`drop table if exists t cascade;
      create table t (id integer primary key, a integer not null unique, b text unique, v text)`);
    await source.sql(`insert into t select i, i, 'b' || i, 'v' from generate_series(1, ${count}) i`);
    await target.sql(
      `insert into t select i, i + 3, 'b' || (i + 700) % ${count}, 'v' from generate_series(1, ${count}) i;
      delete from t where id % ${random.int(50, 90)} = 0;
      insert into t select ${count} + i, 1000000 + i, 'B' || i from generate_series(1, 50) i;
      update t set b = 'b' || ${count} where id = ${count + 7};
      update t set v = 'w' where id % 10 = 0`,
    );
    await mended();
    await mended("--method=hash");
    const { stdout } = await run("repair", "--dry-run");
    // Numbers that are free are the same each time.
    expect(stdout).not.toBe("");
    const files = ["fix", "undo"].map((kind) => join(dir, `${kind}.public.t.sql`));
    expect((await run("repair", "--resume=on.json")).code).toBe(3);
    expect(Deno.readTextFileSync(files[0]!)).toBe(stdout);
  });

  it("nobody else's row is touched, and what cannot be done is named", async () => {
    await make("u int not null unique", "(1, 1), (2, 2), (3, 3)", "(1, 2), (2, 1), (3, 7)");
    const diverged = await rows(target);
    const outside = await run("repair", "--apply", "--where=id <> 2");
    expect(outside.stderr).toMatch(
      /key \(id\)=\(1\): .*"t_u_key" is held by \(id\)=\(2\), which the condition leaves out/,
    );
    expect(outside.code).toBe(1);
    expect(await target.sql("select u from t where id = 2")).toBe("1");
    await target.sql("update t set u = 7 where id = 3");
    expect(await rows(target)).toBe(diverged);

    // Rows that both sides have alike keep what they hold.
    await make("u int not null", "(1, 1), (2, 1), (3, 3)", "(1, 2), (2, 1), (3, 4)");
    await target.sql("alter table t add unique (u) deferrable");
    const held = await run("repair", "--apply", "--json");
    expect(held.stderr).toMatch(/key \(id\)=\(1\): .*is held by \(id\)=\(2\), where it stays/);
    expect(JSON.parse(held.stdout)).toMatchObject({ differing: 2, applied: 1, refused: 1 });
    expect(await target.sql("select u from t order by id")).toBe("2\n1\n3");

    // No value of the type can be proven to be free.
    await make("u boolean not null unique", "(1, true), (2, false)", "(1, false), (2, true)");
    const stuck = await run("repair", "--apply");
    expect(stuck.stderr).toMatch(/key \(id\)=\(1\): .*duplicate key value violates unique constraint "t_u_key"/);
    expect(stuck.code).toBe(1);
  });

  it("what foreign keys refer to is set aside without their following", async () => {
    await make("u int not null unique", "(1, 1), (2, 2)", "(1, 2), (2, 1)");
    await target.sql(`create table child (u int references t (u) on update set null on delete cascade, v text);
      insert into child values (1, 'one'), (2, 'two')`);
    await mended();
    expect(await target.sql("select * from child order by u")).toBe("1|one\n2|two");
    // Who may not keep them from following changes nothing.
    await target.sql(`do $$ begin create role plain_mender login; exception when duplicate_object then null; end $$;
      grant select, update on t to plain_mender; grant select, update, delete on child to plain_mender`);
    expect((await run("repair")).code).toBe(3);
    const before = await rows(target);
    await expect(target.sql(`set role plain_mender; ${Deno.readTextFileSync(join(dir, "fix.public.t.sql"))}`)).rejects
      .toThrow("session_replication_role");
    expect(await rows(target)).toBe(before);
    await target.sql("drop owned by plain_mender; drop role plain_mender");
  });
});
