import { beforeAll, describe, expect, it } from "vitest";
import { join } from "node:path";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { skyq, skyqCommand, type SkyqProcess, type SkyqResult, spawnSkyq } from "../../harness/process.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { TappedDatabase } from "../../harness/wire_tap.ts";

describe("the files of repair", () => {
  let source: LentDatabase;
  let target: LentDatabase;
  let dir: string;

  beforeAll(async () => {
    [source, target] = await lendDatabases(2);
    dir = Deno.makeTempDirSync({ prefix: "skyq-files-" });
    await both(`create table wide (id integer primary key, v text);
      insert into wide select i, repeat('x', 300) from generate_series(1, 20000) i;
      create table t (id integer primary key, v text); insert into t select i, 'a' from generate_series(1, 9) i`);
    await target.sql("update wide set v = 'y' where id % 100 = 0");
    return () => Deno.removeSync(dir, { recursive: true });
  });

  const both = (sql: string) => Promise.all([source.sql(sql), target.sql(sql)]);
  const args = (command: "compare" | "repair", ...more: string[]) => [
    command,
    `--source=${source.dsn()}`,
    `--target=${target.dsn()}`,
    ...more,
  ];
  const run = (...more: Parameters<typeof args>): Promise<SkyqResult> => skyq(args(...more), { cwd: dir });
  /** A run that takes long enough to be met on its way. */
  const slow = (...more: Parameters<typeof args>): SkyqProcess =>
    spawnSkyq(args(...more, "wide", "--method=stream", "--max-rate=500rows"), { cwd: dir });
  const files = (about = "wide") =>
    [...Deno.readDirSync(dir)].map(({ name }) => name).filter((name) => name.includes(about)).sort();
  const emptied = () => [...Deno.readDirSync(dir)].forEach(({ name }) => Deno.removeSync(join(dir, name)));
  const checkpoint = () =>
    waitFor(() => /"after"/.test(Deno.readTextFileSync(join(dir, "wide.json"))), {
      what: "a checkpoint",
      timeoutMs: 120_000,
      pollMs: 20,
    });

  it("belong to one run at a time; the lock of a run that was killed is void", async () => {
    emptied();
    await using first = slow("repair");
    await first.waitForOutput(/reading all rows/);
    for (const more of [[], ["--apply"], ["--resume=other.json"]]) {
      const { code, stderr } = await run("repair", "wide", ...more);
      expect(stderr).toContain(`process ${first.pid} is writing it`);
      expect(code).toBe(6);
    }
    expect(files("other")).toEqual([]);
    // It is one table's files that are kept apart, and only where files are written.
    expect((await run("repair", "t")).code).toBe(0);
    expect((await run("repair", "wide", "--dry-run", "--where=id < 10")).code).toBe(0);
    await first.kill("SIGKILL");
    expect(files()).toContain("fix.public.wide.sql.lock");
    const next = await run("repair", "wide");
    expect(next.stderr).toContain("was killed");
    expect(next.code).toBe(3);
    expect(files()).toEqual(["fix.public.wide.sql", "undo.public.wide.sql"]);
  });

  it("of --resume belong to one run at a time", async () => {
    emptied();
    await using first = slow("repair", "--resume=wide.json");
    await first.waitForOutput(/reading all rows/);
    await checkpoint();
    const second = await run("repair", "wide", "--resume=wide.json", "--method=stream");
    expect(second.stderr).toContain(`process ${first.pid} is writing it`);
    expect(second.code).toBe(6);
    await first.kill("SIGKILL");
    const third = await run("repair", "wide", "--resume=wide.json", "--method=stream");
    expect(third.stderr).toContain("goes on behind");
    expect(third.code).toBe(3);
    expect(Deno.readTextFileSync(join(dir, "fix.public.wide.sql")).match(/^update/gm)!.length).toBe(200);
    expect(files()).toEqual(["fix.public.wide.sql", "undo.public.wide.sql"]);
  });

  it("are gone when a run was stopped, but for what --resume needs", async () => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) {
      emptied();
      await using first = slow("repair", "--html=wide.html");
      await first.waitForOutput(/reading all rows/);
      await waitFor(() => files().includes("fix.public.wide.sql.lock"), { what: "the files", pollMs: 10 });
      const { code, stderr } = await first.kill(signal);
      expect(stderr.trimEnd().split("\n").at(-1)).toContain("of tables that were not finished no files are left");
      expect(code).toBe(signal === "SIGINT" ? 130 : 143);
      expect(files()).toEqual([]);

      await using second = slow("repair", "--resume=wide.json");
      await second.waitForOutput(/reading all rows/);
      await checkpoint();
      const { stderr: said } = await second.kill(signal);
      expect(said.trimEnd().split("\n").at(-1)).toContain('the same command goes on from "wide.json"');
      expect(files().filter((name) => !/^(fix|undo)\.public\.wide\.sql\.part$/.test(name))).toEqual(["wide.json"]);
      expect((await run("repair", "wide", "--resume=wide.json", "--method=stream")).code).toBe(3);
      expect(files()).toEqual(["fix.public.wide.sql", "undo.public.wide.sql"]);

      await using third = slow("compare");
      await third.waitForOutput(/reading all rows/);
      expect((await third.kill(signal)).stderr.trimEnd().split("\n").at(-1)).toContain("nothing is left behind");
    }
  });

  it("of a run that had no progress to remember are not kept for --resume", async () => {
    emptied();
    await both("create table secret (id integer primary key, v text)");
    await source.sql("insert into secret select i, repeat('x', 300) from generate_series(1, 3000) i");
    // As on a full disk: files may have so many blocks of 512 bytes.
    const { code } = await new Deno.Command("sh", {
      args: [
        "-c",
        `trap '' XFSZ; ulimit -f 600; exec "$@"`,
        "sh",
        ...skyqCommand(),
        ...args("repair", "secret", "--resume=secret.json"),
      ],
      cwd: dir,
      stdout: "null",
      stderr: "null",
    }).output();
    expect(code).toBe(1);
    expect(files("secret")).toEqual([]);
  });

  it("keep what takes back fixes of which nobody knows whether they were committed", async () => {
    for (const [when, fixed] of [["before", "0"], ["after", "3"]] as const) {
      emptied();
      await both("drop table if exists unsure; create table unsure (id integer primary key, v text)");
      await source.sql("insert into unsure values (1, 'x'), (2, 'x'), (3, 'x')");
      await target.sql("insert into unsure values (1, 'y'), (2, 'y'), (3, 'y')");
      const tapped = new TappedDatabase(target);
      const committing = tapped.reached("skyq repair: commit", when);
      await using job = spawnSkyq(
        ["repair", `--source=${source.dsn()}`, `--target=${tapped.dsn()}`, "unsure", "--apply"],
        { cwd: dir },
      );
      await committing;
      await tapped[Symbol.asyncDispose]();
      const { code, stderr } = await job.wait();
      expect([code, stderr]).toEqual([1, expect.stringContaining("may have been committed; the undo file has them")]);
      expect(await target.sql("select count(*) from unsure where v = 'x'")).toBe(fixed);
      await target.sql(Deno.readTextFileSync(join(dir, "undo.public.unsure.sql")));
      expect(await target.sql("select string_agg(v, '') from unsure")).toBe("yyy");
    }
  });

  it("take back what was applied before the disk was full, by whole statements alone", async () => {
    emptied();
    await both("create table many (id integer primary key, v text)");
    await source.sql("insert into many select i, repeat('x', 300) from generate_series(1, 3000) i");
    await target.sql("insert into many select i, repeat('y', 300) from generate_series(1, 3000) i");
    const { code } = await new Deno.Command("sh", {
      args: [
        ...["-c", `trap '' XFSZ; ulimit -f 1400; exec "$@"`, "sh"],
        ...skyqCommand(),
        ...args("repair", "many", "--apply"),
      ],
      cwd: dir,
      stdout: "null",
      stderr: "null",
    }).output();
    expect(code).toBe(1);
    const changed = "select count(*) from many where v like 'x%'";
    expect(Number(await target.sql(changed))).toBeGreaterThan(0);
    const undo = Deno.readTextFileSync(join(dir, "undo.public.many.sql"));
    expect(undo.slice(-2)).toBe(";\n");
    await target.sql(undo);
    expect(await target.sql(changed)).toBe("0");
  });

  it("take back what was applied before a run was stopped", async () => {
    for (const signal of ["SIGINT", "SIGTERM", "SIGKILL"] as const) {
      emptied();
      await both(`drop table if exists wide_too; create table wide_too as table wide;
        update wide_too set v = 'z'; alter table wide_too add primary key (id)`);
      await target.sql("update wide_too set v = 'y' where id % 3 = 0");
      const sum = () => target.sql("select md5(string_agg(v, ',' order by id)) from wide_too");
      const before = await sum();
      await using job = spawnSkyq(args("repair", "wide_too", "--apply", "--method=stream", "--max-rate=500rows"), {
        cwd: dir,
      });
      await waitFor(async () => await sum() !== before, { what: "fixes", timeoutMs: 120_000, pollMs: 20 });
      const { stderr } = await job.kill(signal);
      if (signal !== "SIGKILL") {
        expect(stderr.trimEnd().split("\n").at(-1)).toMatch(/what was changed stays.*undo\.public\.wide_too\.sql/);
        expect(files()).toEqual(["undo.public.wide_too.sql"]);
      } else expect((await run("repair", "wide_too", "--where=false")).code).toBe(0);
      const [undo] = files().filter((name) => name.startsWith("undo"));
      // The server may be at the last transaction yet.
      await waitFor(
        async () =>
          await target.sql(
            "select count(*) from pg_stat_activity where application_name = 'skyq repair' and datname = current_database()",
          ) === "0",
        {
          what: "the session to end",
        },
      );
      expect(await sum()).not.toBe(before);
      await target.sql(Deno.readTextFileSync(join(dir, undo!)));
      expect(await sum()).toBe(before);
    }
  });

  it("are of this run alone: --apply, and a run that finds nothing, remove an older fix file and say so", async () => {
    emptied();
    await target.sql("update t set v = 'b' where id = 3");
    expect((await run("repair", "t")).code).toBe(3);
    expect(files("public.t")).toEqual(["fix.public.t.sql", "undo.public.t.sql"]);
    const dry = await run("repair", "t", "--dry-run");
    expect(dry.stderr).not.toContain("Removed");
    const { code, stderr } = await run("repair", "t", "--apply");
    expect(code).toBe(0);
    expect(stderr).toContain("Removed fix.public.t.sql of an earlier run");
    expect(files("public.t")).toEqual(["undo.public.t.sql", "undo.public.t.sql.~1~"]);
    Deno.writeTextFileSync(join(dir, "fix.public.gone.sql"), "");
    // Whatever keeps the table from being read, yesterday's file must not be taken for today's.
    await both("create table gone (id integer)");
    expect((await run("repair", "gone")).code).toBe(1);
    expect(files("gone")).toEqual([]);
  });

  it("of a report are written when they are complete; until then an older one stays", async () => {
    emptied();
    const page = join(dir, "t.html");
    const unreachable = [`--source=${source.dsn()}`, "--target=host=127.0.0.1 port=1 dbname=x", "t", "--html=t.html"];
    expect((await skyq(["compare", ...unreachable], { cwd: dir })).code).toBe(1);
    expect(files("html")).toEqual([]);
    expect((await run("compare", "t", "--html=t.html")).code).toBe(0);
    const report = Deno.readTextFileSync(page);
    expect(report).toContain("</html>");
    expect((await skyq(["compare", ...unreachable], { cwd: dir })).code).toBe(1);
    expect(Deno.readTextFileSync(page)).toBe(report);
    expect(files("html")).toEqual(["t.html"]);
    // Where nothing can be put beside it, it is written as it is.
    expect((await run("compare", "t", "--html=/dev/null")).code).toBe(0);
    expect(Deno.statSync("/dev/null").isCharDevice).toBe(true);
    expect((await run("compare", "t", `--html=${dir}`)).stderr).toContain("it is a directory");
  });

  it("a row that was refused is counted as missing, and shown", async () => {
    await both("create table picky (id integer primary key, v integer)");
    await source.sql("insert into picky values (1, 1), (2, 77), (3, 3)");
    await target.sql("alter table picky add check (v <> 77)");
    const { code, stderr, stdout } = await run("repair", "picky", "--apply", "--json", "--html=picky.html");
    expect(stderr).toContain("missed: 3 inserts, 0 updates, 0 deletes");
    expect(JSON.parse(stdout)).toMatchObject({ result: "failed", missing: 3, applied: 2, refused: 1 });
    expect(Deno.readTextFileSync(join(dir, "picky.html"))).toContain("<code>77</code>");
    expect(code).toBe(1);
  });
});
