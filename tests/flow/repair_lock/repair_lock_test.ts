import { beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { spawnSkyq } from "../../harness/process.ts";
import { SlowLink } from "../../harness/slow_link.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

const LIMIT_S = 3;

/** The product's SHARE locks. */
const LOCKS = `from pg_locks l join pg_stat_activity a on a.pid = l.pid
  where l.relation = 'public.t'::regclass and l.mode = 'ShareLock' and a.application_name = 'skyq compare'`;

describe("the lock of compare and repair", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;

  const locks = async (what: "granted" | "not granted") =>
    Number(await provider.sql(`select count(*) ${LOCKS} and ${what === "granted" ? "" : "not "}l.granted`));
  const held = (what: "granted" | "not granted" = "granted") =>
    waitFor(async () => await locks(what) > 0, { what: `a lock that is ${what}`, timeoutMs: 120_000, pollMs: 5 });
  const gone = () =>
    waitFor(async () => await locks("granted") + await locks("not granted") === 0, {
      what: "the lock to be gone",
      timeoutMs: 120_000,
      pollMs: 20,
    });

  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2);
    job = new Job({ provider, subscriber, settings: { lock_timeout: String(LIMIT_S) } });
    await provider.sql("create table t (id integer primary key, v text); insert into t values (1, 'a'), (2, 'b')");
    await subscriber.sql("create table t (id integer primary key, v text)");
    await job.install();
    await job.add("t");
    job.startReplay();
    await job.allOk();
    await job.killReplay();
    return () => job[Symbol.asyncDispose]();
  });

  it("is given back when nobody replays: exit status 5, and no file is written", async () => {
    const { code, stderr, stdout } = await job.try("repair", "conf.ini", "t", "--force");
    expect(code).toBe(5);
    expect(stderr).toContain("Ticker seems dead");
    expect(stdout).toMatch(/public\.t\s+failed/);
    expect(await locks("granted")).toBe(0);
    expect([...Deno.readDirSync(job.dir)].filter(({ name }) => name.endsWith(".sql"))).toEqual([]);
  });

  it("is given back when ticks are made, but not applied: exit status 5", async () => {
    await using _ticker = spawnSkyq(["ticker", "ticker.ini"], { cwd: job.dir });
    const { code, stderr } = await job.try("compare", "conf.ini", "t", "--force");
    expect(code).toBe(5);
    expect(stderr).toMatch(/Consumer lagging too much, tick \d+ was not applied/);
    expect(await locks("granted")).toBe(0);
  });

  it("ends when skyq is killed -9 while it holds it", async () => {
    await using skyq = spawnSkyq(["compare", "conf.ini", "t", "--force", "--set", "lock_timeout=600"], {
      cwd: job.dir,
    });
    await held();
    await skyq.kill("SIGKILL");
    await gone();
  });

  it("ends on the server when the network is cut while skyq holds it", async () => {
    await using link = SlowLink.open({ host: provider.cluster.host, port: provider.cluster.port });
    const dsn = provider.dsn().replace(/port=\d+/, `port=${link.port}`);
    await using _skyq = spawnSkyq(["compare", "conf.ini", "t", "--force", "--set", `provider_db=${dsn}`], {
      cwd: job.dir,
    });
    await held();
    link.cut();
    await gone();
    await provider.sql("update t set v = 'written' where id = 1");
  });

  it("lets writers through while it waits for a long transaction, again and again", async () => {
    // Our own session holds the table by a write that it does not commit.
    // It ends when its session is ended below, at whatever moment.
    const long = provider.sql("begin; update t set v = 'long' where id = 1; select pg_sleep(60); commit")
      .catch(() => {});
    await using skyq = spawnSkyq(["compare", "conf.ini", "t", "--force"], { cwd: job.dir });
    await held("not granted");
    // These queue up behind the lock that waits, and are done before the long transaction is.
    for (let n = 10; n < 15; n++) await provider.sql(`insert into t values (${n}, 'short')`);
    const isLongOpen = await provider.sql(
      "select count(*) from pg_stat_activity where query like '%pg_sleep(60)%' and state = 'active' and datname = current_database() and pid <> pg_backend_pid()",
    );
    expect(Number(isLongOpen)).toBe(1);
    const { code, stderr } = await skyq.wait(60_000);
    expect(stderr).toMatch(/public\.t is in use \(process \d+/);
    expect(code).toBe(5);
    expect(stderr).toContain("Cannot lock public.t: not obtained in 3 s");
    await provider.sql(
      "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_sleep(60)%' and datname = current_database() and pid <> pg_backend_pid()",
    );
    await long;
  });

  it("needs more than SELECT, and the error says what to grant", async () => {
    await provider.sql(`do $$ begin create role lock_reader login; exception when duplicate_object then null; end $$;
      grant select on t to lock_reader; grant usage on schema pgq, pgq_node, londiste to lock_reader;
      grant execute on all functions in schema pgq, pgq_node, londiste to lock_reader`);
    const { code, stderr } = await job.try(
      "compare",
      "conf.ini",
      "t",
      "--force",
      "--set",
      `provider_db=${provider.dsn("lock_reader")}`,
    );
    await provider.sql("drop owned by lock_reader; drop role lock_reader");
    expect(code).toBe(1);
    expect(stderr).toContain('GRANT UPDATE ON "public"."t"');
    expect(stderr).toContain("--online");
  });
});
