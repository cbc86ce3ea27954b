import { beforeAll, describe, expect, it } from "vitest";
import { join } from "node:path";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { skyq, type SkyqResult } from "../../harness/process.ts";

describe("repair of tables with columns and triggers of their own", () => {
  let source: LentDatabase;
  let target: LentDatabase;
  let dir: string;

  beforeAll(async () => {
    [source, target] = await lendDatabases(2);
    dir = Deno.makeTempDirSync({ prefix: "skyq-odd-" });
    return () => Deno.removeSync(dir, { recursive: true });
  });

  const both = (sql: string) => Promise.all([source.sql(sql), target.sql(sql)]);
  const run = (command: "compare" | "repair", ...args: string[]): Promise<SkyqResult> =>
    skyq([command, `--source=${source.dsn()}`, `--target=${target.dsn()}`, "t", ...args], { cwd: dir });
  const file = (kind: "fix" | "undo") => Deno.readTextFileSync(join(dir, `${kind}.public.t.sql`));
  const emptied = () => {
    for (const { name } of Deno.readDirSync(dir)) Deno.removeSync(join(dir, name));
    return both("drop table if exists t cascade; drop table if exists child; drop table if exists parent");
  };

  /** Both ways to mend the table, and back again. */
  async function mended(columns: string): Promise<void> {
    const rows = (database: LentDatabase) => database.sql(`select ${columns} from t order by id`);
    const [wanted, diverged] = [await rows(source), await rows(target)];
    expect(diverged).not.toBe(wanted);
    for (const apply of [[], ["--apply"]]) {
      const { code, stderr } = await run("repair", ...apply);
      expect({ code, stderr }).toMatchObject({ code: apply.length === 0 ? 3 : 0 });
      if (apply.length === 0) await target.sql(file("fix"));
      expect(await rows(target)).toBe(wanted);
      expect((await run("compare")).code).toBe(0);
      await target.sql(file("undo"));
      expect(await rows(target)).toBe(diverged);
    }
  }

  it("domains over types of the user's", async () => {
    await emptied();
    await both(`create type mood as enum ('low', 'high'); create domain "Odd mood" as mood;
      create type span as range (subtype = float8); create domain span_domain as span;
      create type pair as (a int, b text); create domain pair_domain as pair;
      create table t (id int primary key, m "Odd mood", s span_domain, p pair_domain)`);
    await source.sql("insert into t values (1, 'low', '[1,2)', row(1, 'a')), (2, 'high', null, null)");
    await target.sql("insert into t values (1, 'high', '[1,3)', row(2, 'b')), (2, null, 'empty', row(null, ''))");
    await mended("*");
    // As keys, and under rules.
    await both(
      'drop table t; create table t (id "Odd mood", s span_domain, p pair_domain unique, primary key (id, s))',
    );
    await both("alter table t add constraint no_overlap exclude using gist (s with &&)");
    await source.sql("insert into t values ('low', '[1,2)', row(1, 'a')), ('high', '[4,5)', row(2, 'b'))");
    await target.sql(
      "insert into t values ('low', '[1,2)', row(2, 'b')), ('high', '[2,4)', row(3, 'b')), ('high', '[4,5)', row(1, 'a'))",
    );
    await mended("*");
  });

  it("keys with a label that the target's enum lacks are rows that it lacks", async () => {
    await emptied();
    await source.sql("create type label as enum ('b', 'a')");
    await target.sql("create type label as enum ('a')");
    await both("create table t (id label primary key, v text)");
    await source.sql("insert into t values ('a', '1'), ('b', '2')");
    await target.sql("insert into t values ('a', 'x')");
    // With a condition rows are looked up by key.
    for (const more of [[], ["--where=v <> ''"]]) {
      const { code, stdout } = await run("compare", "--json", ...more);
      expect([code, JSON.parse(stdout)]).toEqual([3, expect.objectContaining({ missing: 1, differing: 1, extra: 0 })]);
    }
    const { code, stdout } = await run("repair", "--apply", "--json");
    expect([code, JSON.parse(stdout)]).toEqual([1, expect.objectContaining({ applied: 1, refused: 1 })]);
    expect(await target.sql("select * from t")).toBe("a|1");
  });

  it("types whose operators are in a schema that nobody's search path has", async () => {
    await emptied();
    // What an extension such as hstore brings.
    const functions = [["<", "lt"], ["<=", "le"], ["=", "eq"], [">=", "ge"], [">", "gt"]].map(([sign, how], n) => `
      create function ext.word_${how}(ext.word, ext.word) returns bool language internal immutable strict as 'bytea${how}';
      create operator ext.${sign} (leftarg = ext.word, rightarg = ext.word, procedure = ext.word_${how});
      alter operator family ext.words using btree add operator ${n + 1} ext.${sign} (ext.word, ext.word)`);
    await both(`create schema ext; create type ext.word;
      create function ext.word_in(cstring) returns ext.word language internal immutable strict as 'byteain';
      create function ext.word_out(ext.word) returns cstring language internal immutable strict as 'byteaout';
      create type ext.word (input = ext.word_in, output = ext.word_out);
      create function ext.word_cmp(ext.word, ext.word) returns int language internal immutable strict as 'byteacmp';
      create operator family ext.words using btree; ${functions.join(";")};
      create operator class ext.words default for type ext.word using btree family ext.words as
        storage ext.word, function 1 ext.word_cmp(ext.word, ext.word);
      create domain ext.word_domain as ext.word;
      create table t (id int, w ext.word, d ext.word_domain, a ext.word[], u ext.word unique, primary key (id, w))`);
    await source.sql(
      "insert into t values (1, 'a', 'b', '{c}', 'x'), (2, 'a', null, null, 'y'), (4, 'a', 'b', '{}', null)",
    );
    await target.sql(
      "insert into t values (1, 'a', 'c', '{d}', 'y'), (2, 'a', 'b', '{}', 'x'), (3, 'a', 'b', '{}', null)",
    );
    await mended("*");
    // As a key that may be NULL.
    await both("alter table t drop constraint t_pkey, drop constraint t_u_key, alter w drop not null");
    await both("create unique index on t (w, id)");
    await source.sql("insert into t values (7, null, 'a'), (8, null, 'b')");
    await target.sql("insert into t values (7, null, 'b'), (9, null, 'b')");
    await mended("*");
    await both("drop schema ext cascade");
  });

  it("timestamps with a zone on the target alone, whatever zone who mends them has", async () => {
    await emptied();
    await target.sql(`alter database "${target.name}" set timezone = 'Europe/Berlin'`);
    const table = (type: string) =>
      `create table t (id int, k ${type}, a ${type}, u ${type} not null unique, primary key (id, k))`;
    await source.sql(
      `${table("timestamp")}; insert into t values (1, '2024-06-01 12:00', '2024-06-01 12:00', '2024-01-01'),
      (2, '2024-01-01', null, '2024-02-01'), (3, '2024-01-01', '2024-06-01 13:00', '2024-04-01')`,
    );
    await target.sql(
      `${table("timestamptz")}; insert into t values (1, '2024-06-01 12:00', '2024-10-27 02:30 CET', '2024-01-01'),
      (3, '2024-01-01', null, '2024-02-01'), (3, '2024-06-01 12:00', '2024-10-27 02:30 CEST', '2024-05-01')`,
    );
    await mended("id, k::timestamp, a::timestamp, u::timestamp");
    expect((await run("compare", "--where=u > '2024-03-01'")).code).toBe(3);
    expect((await run("repair")).code).toBe(3);
    await target.sql(`set timezone = 'Asia/Tokyo'; ${file("fix")}`);
    expect((await run("compare", "--where=u > '2024-03-01'")).code).toBe(0);
    expect((await run("compare")).code).toBe(0);
    await target.sql(`alter database "${target.name}" reset timezone`);
  });

  it("a column that only the source computes is written, one that the target computes is not", async () => {
    await emptied();
    await source.sql(`create table t (id int primary key, a int, g int generated always as (a * 2) stored, h int);
      insert into t (id, a, h) values (1, 1, 3), (2, 2, 6)`);
    await target.sql(`create table t (id int primary key, a int, g int, h int generated always as (a * 3) stored);
      insert into t (id, a, g) values (1, 5, 7), (3, 3, 6)`);
    await mended("id, a, g, h");
  });

  it("a column that no update may set takes the row anew, with what is not compared and without what follows it", async () => {
    await emptied();
    await source.sql(
      "create table t (id int primary key, n int, v text); insert into t values (1, 1, 'a'), (2, 2, 'b')",
    );
    await target.sql(`create table t (id int primary key, n int generated always as identity, v text, more text);
      create table child (id int references t on delete cascade);
      insert into t overriding system value values (1, 7, 'a', 'kept'), (2, 2, 'c', 'kept'); insert into child values (1)`);
    await mended("id, n, v");
    expect(await target.sql("select string_agg(more, ',') from t")).toBe("kept,kept");
    expect(await target.sql("select * from child")).toBe("1");
    expect((await run("repair")).code).toBe(3);
    // Where the foreign key cannot be kept quiet, the row stays as it is.
    await target.sql(`do $$ begin create role plain_fixer login; exception when duplicate_object then null; end $$;
      grant select, insert, update, delete on t, child to plain_fixer`);
    await target.sql(`set role plain_fixer; ${file("fix")}`);
    expect(await target.sql("select id, n, v from t order by id")).toBe("1|7|a\n2|2|b");
    expect(await target.sql("select * from child")).toBe("1");
    await target.sql("drop owned by plain_fixer; drop role plain_fixer");
  });

  it("triggers and foreign keys of the target keep quiet for files as for --apply, where the role may do that", async () => {
    await emptied();
    await both("create table t (id int primary key, parent int references t, v text)");
    await source.sql("insert into t values (5, null, 'a'), (3, 5, 'b'), (9, 5, 'c')");
    await target.sql(`insert into t values (1, null, 'a'), (4, 1, 'b'), (9, 1, 'c');
      create function shout() returns trigger language plpgsql as $$ begin new.v := new.v || '!'; return new; end $$;
      create trigger "it's $skyq$ loud" before insert or update on t for each row execute function shout()`);
    await mended("*");
    expect((await run("repair")).code).toBe(3);
    expect(file("fix").trimEnd().split("\n").at(-1)).toContain("reset session_replication_role;");
    await target.sql('drop trigger "it\'s $skyq$ loud" on t');
    // Without the right the file says what fires, and a foreign key says itself what it blocks.
    await target.sql(`do $$ begin create role plain_fixer login; exception when duplicate_object then null; end $$;
      grant select, insert, update, delete on t to plain_fixer`);
    await expect(target.sql(`set role plain_fixer; ${file("fix")}`)).rejects.toThrow("t_parent_fkey");
    await target.sql("drop owned by plain_fixer; drop role plain_fixer");
  });

  it("where changes are told to a queue they still are, and --apply says that it does not", async () => {
    await emptied();
    await both("create table t (id int primary key, v text)");
    await source.sql("insert into t values (1, 'a')");
    await target.sql(`create schema pgq; create table told (v text);
      create function pgq.logutriga() returns trigger language plpgsql as
        $$ begin insert into public.told values (new.v); return new; end $$;
      create trigger capture after insert on t for each row execute function pgq.logutriga('queue')`);
    expect((await run("repair")).code).toBe(3);
    expect(file("fix")).toContain("-- Triggers and foreign keys fire for these statements: capture\n");
    await target.sql(file("fix"));
    expect(await target.sql("table told")).toBe("a");
    await target.sql("delete from t");
    expect((await run("repair", "--apply")).stderr).toContain("those for queues neither");
  });

  it("a database that is read-only unless somebody says otherwise is mended by --apply", async () => {
    await emptied();
    await both("create table t (id int primary key, v text); insert into t values (1, 'a')");
    await target.sql(`update t set v = 'b'; alter database "${target.name}" set default_transaction_read_only = on`);
    expect((await run("repair", "--apply")).code).toBe(0);
    await target.sql(
      `begin read write; alter database "${target.name}" reset default_transaction_read_only; commit`,
    );
    expect(await target.sql("table t")).toBe("1|a");
  });
});
