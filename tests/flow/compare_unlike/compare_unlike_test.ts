import { beforeAll, describe, expect, it } from "vitest";
import { join } from "node:path";
import { parseTarget } from "../../../src/db/target.ts";
import { WireConnection } from "../../../src/db/wire/connection.ts";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { skyq, skyqCommand, type SkyqResult, spawnSkyq } from "../../harness/process.ts";
import { Random } from "../../harness/seed.ts";
import { SlowLink } from "../../harness/slow_link.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { differences } from "../contents.ts";

describe("compare and repair of tables that no queue connects", () => {
  let source: LentDatabase;
  let target: LentDatabase;
  let dir: string;

  beforeAll(async () => {
    [source, target] = await lendDatabases(2);
    dir = Deno.makeTempDirSync({ prefix: "skyq-unlike-" });
    return () => Deno.removeSync(dir, { recursive: true });
  });

  const run = (command: "compare" | "repair", ...args: string[]): Promise<SkyqResult> =>
    skyq([command, `--source=${source.dsn()}`, `--target=${target.dsn()}`, ...args], { cwd: dir });
  /** The same from a shell that has set something before. */
  async function skyqUnder(
    setting: string,
    command: string,
    ...args: string[]
  ): Promise<{ code: number; stderr: string }> {
    const words = [...skyqCommand(), command, `--source=${source.dsn()}`, `--target=${target.dsn()}`, ...args];
    const { code, stderr } = await new Deno.Command("sh", {
      args: ["-c", `${setting}; exec "$@"`, "sh", ...words],
      cwd: dir,
      stdout: "null",
    }).output();
    return { code, stderr: new TextDecoder().decode(stderr) };
  }
  const both = (sql: string) => Promise.all([source.sql(sql), target.sql(sql)]);
  const files = () => [...Deno.readDirSync(dir)].map(({ name }) => name).sort();

  it("a random divergence is mended, by files and at once, and taken back", async () => {
    await both(`create table r (a integer, b text, n numeric(8,2), t timestamptz, j json, x bytea, primary key (b, a));
      insert into r select i % 50, 'k ' || i / 50, i / 3.0, '2024-01-01'::timestamptz + i * interval '1 minute',
        json_build_object('i', i), decode(md5(i::text), 'hex') from generate_series(1, 5000) i`);
    const random = new Random(7);
    for (let n = 0; n < 60; n++) {
      const [a, b] = [random.int(0, 49), `k ${random.int(0, 100)}`];
      await target.sql(
        random.pick([
          `update r set n = null, x = '\\x5c27' where a = ${a} and b = '${b}'`,
          `update r set j = '{"it''s": "\\\\ \\n"}' where a = ${a} and b = '${b}'`,
          `delete from r where a = ${a} and b = '${b}'`,
          `insert into r values (${100 + n}, E'new\\t\\'\\\\ ${b}', 1, now(), null, '')`,
        ]),
      );
    }
    const rows = () => target.sql('select * from r order by a, b collate "C"');
    const diverged = await rows();
    for (const method of ["stream", "hash"]) {
      expect((await run("repair", "r", "--method", method)).code).toBe(3);
      await target.sql(Deno.readTextFileSync(join(dir, "fix.public.r.sql")));
      expect(await differences({ provider: source, subscriber: target }, ["r"])).toEqual([]);
      expect((await run("compare", "r", "--method", method)).code).toBe(0);
      await target.sql(Deno.readTextFileSync(join(dir, "undo.public.r.sql")));
      expect(await rows()).toBe(diverged);
    }
    const applied = await run("repair", "r", "--apply");
    expect(applied.stdout).toMatch(/public\.r\s+repaired/);
    expect(applied.code).toBe(0);
    expect(await differences({ provider: source, subscriber: target }, ["r"])).toEqual([]);
    await target.sql(Deno.readTextFileSync(join(dir, "undo.public.r.sql")));
    expect(await rows()).toBe(diverged);
    // The undo file of then is kept when more is applied.
    await run("repair", "r", "--apply");
    expect(files()).toContain("undo.public.r.sql.~1~");
  });

  it("--dry-run prints the statements and writes nothing", async () => {
    await both("create table d (id integer primary key, v text); insert into d values (1, 'a')");
    await target.sql("update d set v = null");
    const before = files();
    const { stdout, code } = await run("repair", "d", "--dry-run");
    expect(stdout).toBe(
      "set client_encoding = 'UTF8';\nupdate only public.d set v = 'a' where id = '1' and v is null;\n",
    );
    expect(code).toBe(3);
    expect(files()).toEqual(before);
  });

  it("--repair-where and --ignore-columns leave out what they name", async () => {
    await both(
      "create table p (id integer primary key, region text, v text, seen integer); insert into p select i, case when i % 2 = 0 then 'eu' else 'us' end, 'v', i from generate_series(1, 20) i",
    );
    await target.sql("update p set v = 'other' where id in (2, 3); update p set seen = 0");
    const { stdout } = await run(
      "compare",
      "p",
      "--ignore-columns",
      "seen",
      "--where",
      "region = 'eu' -- rest",
      "--json",
    );
    expect(JSON.parse(stdout)).toMatchObject({ differing: 1, source_rows: 10 });
    // The condition's own column differs: it is one row, not one that is missing.
    await target.sql("update p set region = 'us' where id = 4");
    const { stdout: sql } = await run(
      "repair",
      "p",
      "--ignore-columns=seen",
      "--repair-where=region = 'eu'",
      "--dry-run",
    );
    expect(sql).toContain("update only public.p set region = 'eu' where id = '4' and region = 'us';");
    expect(sql.trimEnd().split("\n").length).toBe(3);
    expect((await run("compare", "p", "--ignore-columns", "nope")).stderr).toContain('no side has a column "nope"');
  });

  it("names that no shell or file system likes make safe files", async () => {
    const name = `a/b "c" .. ${"ü".repeat(20)}`;
    await both(
      `create schema "s/x"; create table "s/x"."${name.replaceAll('"', '""')}" ("i d" integer primary key, "V" text);`,
    );
    await source.sql(`insert into "s/x"."${name.replaceAll('"', '""')}" values (1, 'x')`);
    const { code, stderr } = await run("repair", `s/x.${name}`);
    expect({ code, stderr }).toMatchObject({ code: 3 });
    const file = files().find((entry) => entry.startsWith("fix.s"))!;
    expect(file).toBe(`fix.s%2Fx.a%2Fb %22c%22 .. ${"ü".repeat(20)}.sql`);
    await target.sql(Deno.readTextFileSync(join(dir, file)));
    expect((await run("repair", `s/x.${name}`)).code).toBe(0);
    expect(files()).not.toContain(file);
  });

  it("a table that cannot be compared is never called equal", async () => {
    await both("create table good (id integer primary key)");
    await source.sql(
      "create table here (id integer primary key); create table nokey (v text); create table keys (a integer primary key, b integer)",
    );
    await target.sql(
      "create table there (id integer primary key); create table nokey (v text); create table keys (a integer, b integer primary key)",
    );
    const cases: [table: string, text: RegExp][] = [
      ["here", /no such table on the target/],
      ["there", /no such table on the source/],
      ["nokey", /no primary key/],
      ["keys", /pkeys do not match/],
      ["none", /No table matches none/],
      ["conf.ini", /No table matches conf.ini[^]*there is no config file: leave it out/],
    ];
    for (const [table, text] of cases) {
      const { code, stderr, stdout } = await run("compare", "good", table);
      expect(code).toBe(1);
      expect(stderr).toMatch(text);
      expect(stdout).toMatch(/public\.good\s+equal/);
      expect(stdout).toMatch(new RegExp(`${table}\\s+failed`));
    }
  });

  it("types that differ are compared by their texts, with a warning", async () => {
    await source.sql(
      "create table ty (id integer primary key, v integer, w char(5)); insert into ty values (1, 5, 'a')",
    );
    await target.sql("create table ty (id bigint primary key, v text, w char(9)); insert into ty values (1, '5', 'a')");
    const { code, stderr } = await run("compare", "ty");
    expect(stderr).toContain("compared as text");
    expect(code).toBe(0);
    // A key that the other side's type does not take is missing there, whoever looks for it.
    await source.sql(
      "create table tk (id bigint primary key, v text); insert into tk values (1, 'a'), (3000000000, 'b')",
    );
    await target.sql("create table tk (id integer primary key, v text); insert into tk values (1, 'b')");
    expect((await run("compare", "tk", "--where=id > 1")).code).toBe(3);
    const applied = await run("repair", "tk", "--apply");
    expect(applied.code).toBe(1);
    expect(applied.stderr).toMatch(/key \(id\)=\(3000000000\).*out of range[^]*1 rows fixed/);
  });

  it("a role without rights, and one that a policy hides rows from, fail", async () => {
    await both("create table secret (id integer primary key); insert into secret values (1)");
    await source.sql(`do $$ begin create role policy_reader login; exception when duplicate_object then null; end $$`);
    const asReader = () =>
      skyq(["compare", `--source=${source.dsn("policy_reader")}`, `--target=${target.dsn()}`, "secret"], { cwd: dir });
    const denied = await asReader();
    expect(denied.code).toBe(1);
    expect(denied.stderr).toContain("permission denied for table secret");
    await source.sql(
      "grant select on secret to policy_reader; alter table secret enable row level security; create policy none on secret using (false)",
    );
    const hidden = await asReader();
    expect(hidden.code).toBe(1);
    expect(hidden.stderr).toMatch(/row-level security[^]*hint: .*BYPASSRLS/);
    await source.sql("drop owned by policy_reader; drop role policy_reader");
  });

  it("a server that dies in the middle is a failure, and leaves no file", async () => {
    await both(
      "create table long (id integer primary key, v text); insert into long select i, repeat('x', 1000) from generate_series(1, 20000) i",
    );
    await target.sql("delete from long where id < 100");
    const before = files();
    await using link = SlowLink.open({ host: target.cluster.host, port: target.cluster.port, bytesPerSecond: 2e6 });
    const dsn = target.dsn().replace(/port=\d+/, `port=${link.port}`);
    await using job = spawnSkyq(["repair", `--source=${source.dsn()}`, `--target=${dsn}`, "long", "--method=stream"], {
      cwd: dir,
    });
    await job.waitForOutput(/reading all rows/);
    await waitFor(async () =>
      Number(
        await target.sql(
          `select count(pg_terminate_backend(pid)) from pg_stat_activity
            where datname = current_database() and application_name = 'skyq compare' and query like 'copy%long%'`,
        ),
      ) > 0, { what: "the reading to be ended", timeoutMs: 120_000, pollMs: 5 });
    const { code, stdout } = await job.wait(120_000);
    expect(code).toBe(1);
    expect(stdout).toMatch(/public\.long\s+failed/);
    expect(files()).toEqual(before);
  });

  it("equal tables over a slow path: few bytes for much table, whatever the key is", async () => {
    await both(
      `create table slow (id bigint primary key, v text); insert into slow select i, repeat(md5(i::text), 10) from generate_series(1, 40000) i;
      create table word (w text collate "en-x-icu" primary key, v text); insert into word select 'w' || i, repeat(md5(i::text), 10) from generate_series(1, 40000) i;
      analyze slow, word`,
    );
    for (const table of ["slow", "word"]) {
      await using here = SlowLink.open({ host: source.cluster.host, port: source.cluster.port, bytesPerSecond: 0.5e6 });
      await using there = SlowLink.open({
        host: target.cluster.host,
        port: target.cluster.port,
        bytesPerSecond: 0.5e6,
      });
      const [from, to] = [[source, here], [target, there]].map(([database, link]) =>
        (database as LentDatabase).dsn().replace(/port=\d+/, `port=${(link as SlowLink).port}`)
      );
      const { code, stderr } = await skyq(["compare", `--source=${from}`, `--target=${to}`, table], { cwd: dir });
      expect(code).toBe(0);
      expect(stderr).toMatch(/hashes of/);
      const size = Number(await source.sql(`select pg_table_size('${table}')`));
      expect(Math.max(here.bytes, there.bytes)).toBeLessThan(size / 100);
    }
  });

  it("--resume goes on where it was stopped, and refuses another command", async () => {
    await both(
      "create table part (id integer primary key, v text); insert into part select i, repeat('x', 300) from generate_series(1, 30000) i",
    );
    await target.sql("update part set v = 'a' where id = 10; update part set v = 'z' where id = 29990");
    const args = ["part", "--method=stream", "--resume=progress.json"];
    await using first = spawnSkyq([
      "repair",
      `--source=${source.dsn()}`,
      `--target=${target.dsn()}`,
      ...args,
      "--max-rate=2000rows",
    ], { cwd: dir });
    await first.waitForOutput(/reading all rows/);
    await waitFor(() => /"after"/.test(Deno.readTextFileSync(join(dir, "progress.json"))), { what: "a checkpoint" });
    await first.kill("SIGKILL");
    for (const other of [["d"], ["--dry-run"], ["--where=id > 5"]]) {
      const refused = await run("repair", ...args, ...other);
      expect(refused.stderr).toContain("belongs to another command");
    }
    const { code, stderr, stdout } = await run("repair", ...args, "--json");
    expect(code).toBe(3);
    expect(stderr).toContain("goes on behind");
    expect(JSON.parse(stdout)).toMatchObject({ source_rows: 30000, target_rows: 30000, differing: 2 });
    expect(Deno.readTextFileSync(join(dir, "fix.public.part.sql")).split("\n").length).toBe(4);
    expect(files()).not.toContain("progress.json");
  });

  it("a partitioned table is as large as its partitions together", async () => {
    for (const side of [source, target]) {
      await side.sql(`create table parted (id integer primary key, v text) partition by range (id);
        create table parted_1 partition of parted for values from (0) to (1000);
        create table parted_2 partition of parted for values from (1000) to (9000);
        insert into parted select i, repeat('x', 300) from generate_series(1, 2000) i`);
    }
    const { code, stderr } = await run("compare", "parted");
    expect([code, stderr]).toEqual([0, expect.stringMatching(/it is small \([1-9]\d* kB\)/)]);
  });

  it("--resume of a run by hashes counts each row once", async () => {
    for (const [side, v] of [[source, "a"], [target, "b"]] as const) {
      await side.sql(`create table half (id integer primary key, v text);
        insert into half select i, case when i <= 20000 then repeat('${v}', 300) else 'same' end from generate_series(1, 60000) i`);
    }
    const args = ["half", "--method=hash", "--resume=half.json", "--json"];
    const sides = [`--source=${source.dsn()}`, `--target=${target.dsn()}`];
    await using first = spawnSkyq(["compare", ...sides, ...args, "--max-rate=4000rows"], { cwd: dir });
    await waitFor(() => /"after"/.test(Deno.readTextFileSync(join(dir, "half.json"))), { what: "a checkpoint" });
    await first.kill("SIGKILL");
    const { code, stderr, stdout } = await run("compare", ...args);
    expect(code).toBe(3);
    expect(stderr).toContain("goes on behind");
    expect(JSON.parse(stdout)).toMatchObject({ source_rows: 60000, target_rows: 60000, differing: 20000 });
  });

  it("a condition is one expression, and cannot end the statement it stands in", async () => {
    await both("create table w (id integer primary key, v text); insert into w values (1, 'a')");
    await target.sql("update w set v = 'b'");
    const args = ["w", "--where"];
    for (
      const where of [
        "true)) to stdout; commit; create table broken_out (); --",
        "true) or (true",
        "true /*",
        "id = 1; drop table w",
        "",
        "no_such_column = 1",
      ]
    ) {
      for (const method of ["stream", "hash"]) {
        const { code, stdout, stderr } = await run("repair", ...args, where, "--method", method, "--apply");
        expect({ where, code, stdout, stderr }).toMatchObject({
          code: 2,
          stderr: expect.stringContaining("condition"),
        });
      }
    }
    for (const database of [source, target]) expect(await database.sql("select to_regclass('broken_out')")).toBe("");
    expect(await target.sql("select v from w")).toBe("b");
    expect((await run("repair", ...args, "id = 1 -- the first one", "--apply")).code).toBe(0);
    expect(await target.sql("select v from w")).toBe("a");
  });

  it("files mend what they mean in a session that takes bytes and arrays for something else", async () => {
    await both("create domain words as text[]; create table e (id text primary key, a text[], d words)");
    await source.sql("insert into e values ('ä', array['NULL', null], null), ('å', null, array['NULL', null])");
    await target.sql("insert into e values ('ö', '{NULL}', '{NULL}')");
    const diverged = await target.sql("table e");
    expect((await run("repair", "e")).code).toBe(3);
    const runFile = async (file: string) => {
      const session = await WireConnection.connect(parseTarget(target.dsn()));
      await session.exec("set client_encoding = 'LATIN1'; set array_nulls = off");
      for (const line of Deno.readTextFileSync(join(dir, file)).split("\n")) await session.exec(line);
      await session.close();
    };
    await runFile("fix.public.e.sql");
    expect((await run("compare", "e")).code).toBe(0);
    await runFile("undo.public.e.sql");
    expect(await target.sql("table e")).toBe(diverged);
    // The database's own setting must not matter either.
    await target.sql(`alter database "${target.name}" set array_nulls = off`);
    expect((await run("repair", "e", "--apply")).code).toBe(0);
    await target.sql(`alter database "${target.name}" reset array_nulls`);
    expect((await run("compare", "e")).code).toBe(0);
  });

  it("what was applied can be taken back after any later run, equal or not", async () => {
    await both(
      "create table o (id integer primary key, v text); insert into o select i, 'a' from generate_series(1, 9) i",
    );
    await target.sql("update o set v = 'b' where id < 4");
    const diverged = await target.sql("select * from o order by id");
    expect((await run("repair", "o", "--apply")).code).toBe(0);
    // As a run leaves it that was killed while it applied.
    Deno.renameSync(join(dir, "undo.public.o.sql"), join(dir, "undo.public.o.sql.part"));
    expect((await run("repair", "o")).code).toBe(0);
    await target.sql("update o set v = 'c' where id = 9");
    expect((await run("repair", "o")).code).toBe(3);
    expect((await run("repair", "o", "--apply")).code).toBe(0);
    expect(files().filter((name) => name.startsWith("undo.public.o."))).toEqual([
      "undo.public.o.sql",
      "undo.public.o.sql.~1~",
      "undo.public.o.sql.~2~",
    ]);
    await target.sql(Deno.readTextFileSync(join(dir, "undo.public.o.sql.~1~")));
    expect(await target.sql("select * from o order by id")).toBe(diverged);
  });

  it("--apply mends keys that are the same in another spelling, and can take that back", async () => {
    await both(`create collation loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
      create domain loose_word as text collate loose; create table l (k loose_word primary key, v text, u integer unique)`);
    await source.sql("insert into l select 'Key' || i, 'v', i from generate_series(1, 1200) i");
    await target.sql(`insert into l select case when i % 3 = 0 then 'KEY' else 'Key' end || i,
      case when i % 5 = 0 then 'w' else 'v' end, i from generate_series(4, 1204) i`);
    const rows = () => target.sql('select * from l order by k::text collate "C"');
    const diverged = await rows();
    const { code, stderr } = await run("repair", "l", "--apply");
    expect({ code, stderr }).toMatchObject({ code: 0 });
    expect((await run("compare", "l")).code).toBe(0);
    await target.sql(Deno.readTextFileSync(join(dir, "undo.public.l.sql")));
    expect(await rows()).toBe(diverged);
  });

  it("several tables at a time are reported in the order in which they were named", async () => {
    await both(
      "create table j1 (id integer primary key); create table j2 (id integer primary key); create table j3 (id integer primary key); insert into j1 select generate_series(1, 20000)",
    );
    await target.sql("delete from j2; insert into j3 values (1)");
    const { code, stdout } = await run("compare", "j1", "j3", "j2", "--jobs=3", "--json");
    const reports = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
    expect(reports.map(({ table, result }) => [table, result])).toEqual([
      ["public.j1", "equal"],
      ["public.j3", "different"],
      ["public.j2", "equal"],
    ]);
    expect(code).toBe(3);
  });

  it("a disk that is full is a failure that says so, and leaves no file behind", async () => {
    await both("create table big (id integer primary key, v text)");
    await source.sql("insert into big select i, repeat('x', 500) from generate_series(1, 3000) i");
    const before = files();
    // Files of this process may grow to so many blocks of 512 bytes; to write more is an error as on a full disk.
    const { code, stderr } = await skyqUnder("trap '' XFSZ; ulimit -f 600", "repair", "big", "--method=stream");
    expect(stderr).toMatch(/Cannot write ".*fix\.public\.big\.sql": .*large/);
    expect(stderr).toContain("--output=DIR");
    expect(code).toBe(1);
    expect(files()).toEqual(before);
  });

  it("what a server refuses is named, and the other rows are mended", async () => {
    await both(
      "create table picky (id integer primary key, v integer unique, w integer); insert into picky select i, i, i from generate_series(1, 50) i",
    );
    await target.sql(
      "alter table picky add check (w <> 77); update picky set v = -v where id in (10, 20); update picky set v = case id when 30 then -31 else -30 end where id in (30, 31);",
    );
    await source.sql("update picky set w = 77 where id = 5");
    const { code, stderr, stdout } = await run("repair", "picky", "--apply", "--json");
    expect(stderr).toMatch(/public\.picky: key \(id\)=\(5\): .*violates check constraint/);
    expect(JSON.parse(stdout)).toMatchObject({ result: "failed", applied: 4, refused: 1 });
    expect(code).toBe(1);
    expect(await target.sql("select count(*) from picky where v < 0")).toBe("0");
  });

  it("a table that somebody has locked is waited for under lock_timeout, and SIGINT ends the waiting", async () => {
    await Promise.all([source, target].map((side) => side.sql("create table held (id integer primary key)")));
    const lock = target.sql("begin; lock table held; select pg_sleep(600)").catch(() => {});
    const sees = (what: string) =>
      waitFor(
        async () =>
          await target.sql(`select 1 from pg_locks where relation = 'held'::regclass and ${what}`) !== "" || null,
        { what },
      );
    await sees("granted");
    for (const more of [[], ["--count-only"]]) {
      const args = ["compare", `--source=${source.dsn()}`, `--target=${target.dsn()}`, "held", ...more];
      expect((await skyq([...args, "--set", "lock_timeout=1"], { cwd: dir })).code).toBe(5);
      await using waiting = spawnSkyq([...args, "--set", "lock_timeout=600"], { cwd: dir });
      await sees("not granted");
      expect((await waiting.kill("SIGINT")).code).toBe(130);
    }
    await target.sql("select pg_terminate_backend(pid) from pg_locks where relation = 'held'::regclass and granted");
    await lock;
  });

  it("SIGINT ends a comparison that is hashing", async () => {
    await both(
      "create table much (id integer primary key, v text); insert into much select i, repeat('x', 200) from generate_series(1, 300000) i",
    );
    await using job = spawnSkyq([
      "compare",
      `--source=${source.dsn()}`,
      `--target=${target.dsn()}`,
      "much",
      "--method=hash",
    ], { cwd: dir });
    await job.waitForOutput(/hashes of key ranges first/);
    const { code, stdout } = await job.kill("SIGINT");
    expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
  });

  it("--html shows the differences side by side, and nothing of them is taken for HTML", async () => {
    await both(
      "create table html (id text primary key, v text); insert into html values ('<script>alert(1)</script>', '\"&<b>')",
    );
    await target.sql("update html set v = null");
    const { code } = await run("compare", "html", "good", "--html=report.html");
    expect(code).toBe(3);
    const page = Deno.readTextFileSync(join(dir, "report.html"));
    expect(page).not.toContain("<script");
    expect(page).toContain("&#60;script&#62;alert(1)");
    expect(page).toContain("<i>NULL</i>");
    // Of a large value the beginning, and what tells it from another one.
    await both(
      "create table large (id integer primary key, v text); insert into large values (1, repeat('a', 100000))",
    );
    await target.sql("update large set v = v || 'b'");
    expect((await run("compare", "large", "--html=report.html")).code).toBe(3);
    const large = Deno.readTextFileSync(join(dir, "report.html"));
    expect(large.match(/a{100}… \(100,00[01] bytes, md5 [0-9a-f]{32}\)/g)).toHaveLength(2);
  });
});
