import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { join } from "node:path";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { spawnSkyq } from "../../harness/process.ts";
import { Job } from "../job.ts";

const SCHEMA = `
  create table t (id integer primary key, v text, n numeric);
  create table same (id integer primary key, v text);`;

describe("compare and repair of a replicated pair", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;

  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2);
    job = new Job({ provider, subscriber });
    await provider.sql(
      `${SCHEMA} insert into t select i, 'row ' || i, i / 7.0 from generate_series(1, 3000) i;
       insert into same select i, 'x' from generate_series(1, 10) i`,
    );
    await subscriber.sql(SCHEMA);
    await job.install();
    await job.add("t", "same");
    job.startReplay();
    await job.allOk();
  });
  afterAll(() => job[Symbol.asyncDispose]());

  /** What a replay cannot do: the subscriber differs. */
  async function diverge(): Promise<void> {
    await subscriber.sql(`update t set v = 'it''s \\ ' || chr(9) || chr(10) where id in (5, 700);
      delete from t where id between 20 and 24; insert into t values (9000, null, 1), (0, '', null)`);
  }

  it("equal tables are equal, each counted", async () => {
    const { code, stdout, stderr } = await job.try("compare", "conf.ini");
    expect(stderr).toContain("Locking public.t");
    expect(stderr).toContain("Syncing public.t");
    expect(stderr).toContain(
      "finished public.t: src: 3000 rows, dst: 3000 rows, missed: 0 inserts, 0 updates, 0 deletes",
    );
    expect(code).toBe(0);
    expect(stdout).toMatch(/public\.same\s+equal\s+10\s+10/);
  });

  it("--count-only says what the manual says", async () => {
    const { code, stderr, stdout } = await job.try("compare", "conf.ini", "t", "--count-only");
    expect(stderr).toContain("Counting public.t");
    expect(stderr).toContain("srcdb: res = 3000");
    expect(stdout).toMatch(/public\.t +equal +3000 +3000 +- +- +-/);
    expect(code).toBe(0);
    const json = JSON.parse((await job.try("compare", "conf.ini", "t", "--count-only", "--json")).stdout);
    expect(json).toMatchObject({ result: "equal", reason: null, source_rows: 3000, target_rows: 3000, missing: null });
  });

  it("repair writes files that mend the subscriber, and take that back", async () => {
    await diverge();
    const before = await subscriber.sql("select * from t order by id");
    const compared = await job.try("compare", "conf.ini", "t", "--json");
    expect(compared.code).toBe(3);
    expect(compared.stderr).toContain("public.t: Results do not match!");
    expect(JSON.parse(compared.stdout)).toMatchObject({ table: "public.t", missing: 5, differing: 2, extra: 2 });
    const { code } = await job.try("repair", "conf.ini", "t");
    expect(code).toBe(3);
    await subscriber.sql(Deno.readTextFileSync(join(job.dir, "fix.public.t.sql")));
    expect(await job.differences("t")).toEqual([]);
    await subscriber.sql(Deno.readTextFileSync(join(job.dir, "undo.public.t.sql")));
    expect(await subscriber.sql("select * from t order by id")).toBe(before);
  });

  it("repair --apply mends at once, and no fix file is left when all is equal", async () => {
    const { code, stderr, stdout } = await job.try("repair", "conf.ini", "t", "--apply");
    expect(stderr).toContain("public.t: 9 rows fixed");
    expect(stdout).toMatch(/public\.t\s+repaired/);
    expect(code).toBe(0);
    expect(await job.differences("t")).toEqual([]);
    expect((await job.try("repair", "conf.ini", "t")).code).toBe(0);
    expect([...Deno.readDirSync(job.dir)].some(({ name }) => name === "fix.public.t.sql")).toBe(false);
  });

  it("tables that are not subscribed, or not in sync, are said to be, and are not called equal", async () => {
    const unknown = await job.try("compare", "conf.ini", "same", "other");
    expect(unknown.stderr).toContain("Table not subscribed: other");
    expect(unknown.code).toBe(1);
    // The replay would copy it at once.
    await job.killReplay();
    await subscriber.sql("update londiste.table_info set merge_state = 'in-copy' where table_name = 'public.same'");
    const unsynced = await job.try("compare", "conf.ini", "same");
    await subscriber.sql("update londiste.table_info set merge_state = 'ok' where table_name = 'public.same'");
    job.startReplay();
    expect(unsynced.stderr).toContain("Table public.same not synced yet, no point");
    expect(unsynced.stdout).toMatch(/public\.same\s+skipped/);
    expect(unsynced.code).toBe(4);
  });

  it("compare_sql and compare_fmt of the config say what is compared", async () => {
    const settings = [
      "--set",
      "compare_sql=select count(1) as cnt, max(_COLS_) as top from _TABLE_ where _WHERE_",
      "--set",
      "compare_fmt=%(cnt)d rows, top %(top)s",
    ];
    const { code, stderr } = await job.try(
      "compare",
      "conf.ini",
      "same",
      ...settings,
      "--ignore-columns",
      "v",
      "--where",
      "id < 8",
    );
    expect(stderr).toContain("srcdb: 7 rows, top 7");
    expect(code).toBe(0);
    await subscriber.sql("delete from same where id = 3");
    const unequal = await job.try("compare", "conf.ini", "same", ...settings, "--ignore-columns", "v");
    await subscriber.sql("insert into same values (3, 'x')");
    expect(unequal.stderr).toContain("dstdb: 9 rows, top 10");
    expect(unequal.stderr).toContain("public.same: Results do not match!");
    expect(unequal.code).toBe(3);
  });

  it("options that do not go together are refused before anything is done", async () => {
    const cases: [args: string[], text: string][] = [
      [["repair", "conf.ini", "t", "--apply", "--dry-run"], "--apply and --dry-run"],
      [["compare", "conf.ini", "t", "--all"], "--all and names"],
      [["compare", "conf.ini", "--target=dbname=x"], "--source and --target go together"],
      [["compare", "--source=dbname=x", "--target=dbname=y", "--online"], "there is no queue"],
      [["compare", "conf.ini", "--count-only", "--online"], "Cannot count with --online"],
      [["compare", "conf.ini", "--count-only", "--resume=progress"], "--resume where rows are only counted"],
      [["compare", "conf.ini", "--count-only", "--method=hash"], "--method where rows are only counted"],
      [["compare", "conf.ini", "--count-only", "--jobs=2"], "--jobs where rows are only counted"],
      [["compare", "conf.ini", "--count-only", "--max-lag=2"], "--max-lag where rows are only counted"],
      [["compare", "conf.ini", "--max-rate=fast"], "is no rate"],
      [["compare", "conf.ini", "--sort-dir=."], "Cannot take --sort-dir"],
      [["compare", "conf.ini", "--method=guess"], "auto"],
    ];
    for (const [args, text] of cases) {
      const { code, stderr } = await job.try(...args);
      expect(stderr).toContain(text);
      expect(code).toBe(2);
    }
    const { code, stderr } = await job.try("repair", "conf.ini", "t", "--output=/nowhere/at/all");
    expect(stderr).toContain('Cannot write to directory "/nowhere/at/all"');
    expect(stderr).not.toContain("Locking");
    expect(code).toBe(1);
  });

  it("--max-lag pauses while the subscriber is behind", async () => {
    await job.killReplay();
    await provider.sql("update same set v = 'later'");
    await using compare = spawnSkyq(["compare", "conf.ini", "t", "--online", "--max-lag=1", "--max-rate=1000rows"], {
      cwd: job.dir,
    });
    await compare.waitForOutput(/Reading pauses: the subscriber is/, 60_000);
    job.startReplay();
    const { code, stderr } = await compare.wait(120_000);
    expect(stderr).toContain("Reading goes on");
    expect(code).toBe(0);
    // A queue where nothing happens is ticked once a minute: who has read it to its end is not behind for that.
    await job.finished();
    await provider.sql("select pgq.set_queue_config('q', 'ticker_paused', 'true')");
    await provider.sql("update pgq.tick set tick_time = tick_time - interval '40 seconds'");
    const idle = await job.try("compare", "conf.ini", "t", "--online", "--max-lag=1");
    expect([idle.code, idle.stderr]).toEqual([0, expect.not.stringContaining("Reading pauses")]);
    await provider.sql("select pgq.set_queue_config('q', 'ticker_paused', 'false')");
  });
});
