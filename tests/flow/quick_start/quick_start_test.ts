/** The manual's quick start, each command as a person types it. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lendDatabases } from "../../harness/pair.ts";
import { guard } from "../../harness/process.ts";
import { isAlive } from "../../harness/proc.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Job } from "../job.ts";

const SCHEMA = `
  create table t1 (id integer primary key, name text, at timestamptz default now());
  create table t2 (id bigserial primary key, t1_id integer references t1, amount numeric);
  create table t3 (a text, b text, c text, primary key (a, b));`;

const ROWS = `
  insert into t1 select n, 'name ' || n from generate_series(1, 20000) n;
  insert into t2 (t1_id, amount) select n, n / 3.0 from generate_series(1, 20000) n;
  insert into t3 select n, 'b', null from generate_series(1, 10) n;`;

/** Every state a table ever has, in order; the trigger fires whoever writes. */
const STATES = `
  create table public.seen (nr serial, table_name text, state text);
  create function public.note() returns trigger language plpgsql as $$
  begin
    insert into public.seen (table_name, state) values (new.table_name, coalesce(new.merge_state, 'NEW'));
    return null;
  end $$;
  create trigger note after insert or update on londiste.table_info for each row when (new.local)
    execute function public.note();
  alter table londiste.table_info enable always trigger note;`;

describe("quick start", () => {
  let job: Job;
  const daemons: { pid: number; release(): void }[] = [];

  const pidOf = (name: string) => Number(Deno.readTextFileSync(`${job.dir}/${name}.pid`).split("\n")[0]);

  /** Starts a daemon; it ends with the tests, whatever happens. */
  async function daemon(command: string, config: string, name: string): Promise<number> {
    await job.run(command, config, "-d");
    const pid = pidOf(name);
    daemons.push({ pid, release: guard(pid) });
    return pid;
  }

  beforeAll(async () => {
    const [provider, subscriber] = await lendDatabases(2);
    job = new Job({ provider, subscriber });
    await provider.sql(SCHEMA + ROWS);
    await subscriber.sql(SCHEMA);
  });

  afterAll(async () => {
    for (const { pid, release } of daemons) {
      if (isAlive(pid)) Deno.kill(pid, "SIGKILL");
      release();
    }
    await job[Symbol.asyncDispose]();
  });

  it("installs both sides, twice without harm", async () => {
    for (let time = 0; time < 2; time++) {
      await job.run("provider", "install", "conf.ini");
      await job.run("subscriber", "install", "conf.ini");
    }
    const nodes = await job.subscriber.sql("select node_name, node_type from pgq_node.get_node_info('q')");
    expect(nodes.trim()).toBe("job|leaf");
    await job.subscriber.sql(STATES);
  });

  it("starts ticker and replay in the background and copies tables", async () => {
    const ticker = await daemon("ticker", "ticker.ini", "ticker");
    const replay = await daemon("replay", "conf.ini", "job");
    expect([ticker, replay].map(isAlive)).toEqual([true, true]);

    await job.add("t1", "t2");
    await job.allOk();
    for (const table of ["public.t1", "public.t2"]) {
      const seen = await job.subscriber.sql(
        `select state from public.seen where table_name = '${table}' and state <> 'NEW' order by nr`,
      );
      const names = seen.trim().split("\n").map((state) => state.replace(/:\d+$/, ""));
      expect(names.filter((name, index) => name !== names[index - 1])).toEqual(
        ["in-copy", "catching-up", "wanna-sync", "do-sync", "ok"],
      );
    }
    expect(await job.differences("t1", "t2")).toEqual([]);
  });

  it("shows tables and their states", async () => {
    expect(await job.run("subscriber", "tables", "conf.ini")).toBe(
      "Table                                           State\n" +
        "public.t1                                          ok\n" +
        "public.t2                                          ok\n",
    );
  });

  it("follows every change", async () => {
    await job.provider.sql(`
      begin;
      insert into t1 values (100001, 'new'), (100002, '');
      savepoint s; delete from t2; rollback to s;
      update t2 set amount = -amount where id % 10 = 0;
      update t1 set id = id + 1000000 where id in (100001, 100002);
      delete from t2 where id % 100 = 7;
      commit;`);
    await job.caughtUp();
    expect(await job.differences("t1", "t2")).toEqual([]);
    const restored = await job.subscriber.sql(
      "select conname from pg_constraint where contype = 'f' and conrelid = 't2'::regclass",
    );
    expect(restored.trim()).toBe("t2_t1_id_fkey");
  });

  it("takes the manual's order of words as well", async () => {
    const [ours, manual] = await Promise.all([
      job.run("provider", "tables", "conf.ini"),
      job.run("conf.ini", "provider", "tables"),
    ]);
    expect(ours).toBe("public.t1\npublic.t2\n");
    expect(manual).toBe(ours);
  });

  it("refuses a second replay and a second ticker with status 6", async () => {
    const second = await job.try("replay", "conf.ini");
    expect(second.code).toBe(6);
    expect(second.stderr).toContain("Pidfile exists, another process running?");
    // From another machine, where the pidfile says nothing.
    const [elsewhere, ticker] = await Promise.all([
      job.try("replay", "conf.ini", "--set", "pidfile=", "--set", "logfile=", "--set", "ticker=off"),
      job.try("ticker", "ticker.ini", "--set", "pidfile=", "--set", "logfile="),
    ]);
    expect(elsewhere.code).toBe(6);
    expect(elsewhere.stderr).toMatch(/another instance holds it \(server process \d+/);
    expect(ticker.stderr).toContain("another ticker works on this database");
    expect(ticker.code).toBe(6);
  });

  it("reloads the config of the running replay", async () => {
    const pid = pidOf("job");
    await job.run("replay", "conf.ini", "-r");
    await waitFor(() => /reload/i.test(job.log), { what: "the log to speak of the reload" });
    await job.provider.sql("insert into t1 values (200001, 'after the reload')");
    await job.caughtUp();
    expect(await job.differences("t1")).toEqual([]);
    expect(pidOf("job")).toBe(pid);
  });

  it("stops the replay, shows a table as NEW until it runs again", async () => {
    const pid = pidOf("job");
    await job.run("replay", "conf.ini", "-s", "--wait");
    expect(isAlive(pid)).toBe(false);
    expect(() => pidOf("job")).toThrow();
    await job.add("t3");
    expect(await job.run("conf.ini", "subscriber", "tables")).toMatch(/^public\.t3 +NEW$/m);
    await daemon("replay", "conf.ini", "job");
    await job.allOk();
    expect(await job.differences("t3")).toEqual([]);
  });

  it("kills the replay", async () => {
    const pid = pidOf("job");
    await job.run("replay", "conf.ini", "-k", "--wait");
    expect(isAlive(pid)).toBe(false);
    const again = await job.try("replay", "conf.ini", "-k");
    expect(again.code).toBe(0);
    expect(again.stderr).toContain("process not running");
  });

  it("stops the ticker", async () => {
    const pid = pidOf("ticker");
    await job.run("ticker", "ticker.ini", "-s", "--wait");
    expect(isAlive(pid)).toBe(false);
  });
});
