/** The replay as a daemon: a reload in the middle of a batch, and its log file. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { isAlive } from "../../harness/proc.ts";
import { waitFor } from "../../harness/wait_for.ts";
import { Gate, gateSql } from "../gate.ts";
import { Job } from "../job.ts";

const SCHEMA = "create table t (id integer primary key, v text);";
/** Every row that is ever written to the subscriber's table. */
const AUDIT = `
  create table public.audit (op text, id integer);
  create function public.note_row() returns trigger language plpgsql as $$
  begin
    insert into public.audit values (tg_op, coalesce(new.id, old.id));
    return null;
  end $$;
  create trigger note_row after insert or update or delete on t for each row execute function public.note_row();
  alter table t enable always trigger note_row;`;

describe("a replay that runs", () => {
  let job: Job;
  let provider: LentDatabase;
  let subscriber: LentDatabase;

  beforeAll(async () => {
    [provider, subscriber] = await lendDatabases(2);
    job = new Job({ provider, subscriber, settings: { log_size: "3000", log_count: "2" } });
    await provider.sql(SCHEMA);
    await subscriber.sql(SCHEMA);
    await job.install();
    await subscriber.sql(
      AUDIT + gateSql({
        name: "before commit",
        table: "pgq_node.local_state",
        condition: "new.last_tick_id is distinct from old.last_tick_id",
      }),
    );
    job.startReplay();
    await job.add("t");
    await job.caughtUp();
  });
  afterAll(async () => await job?.[Symbol.asyncDispose]());

  const log = (suffix = "") => Deno.readTextFileSync(`${job.dir}/job.log${suffix}`);
  const logs = () =>
    Array.from(Deno.readDirSync(job.dir), ({ name }) => name).filter((name) => name.startsWith("job.log")).sort();
  /** Changes a key of the config file. */
  function configure(line: string): void {
    const key = line.split(" ")[0];
    const conf = Deno.readTextFileSync(`${job.dir}/conf.ini`).replace(new RegExp(`^${key} .*\n`, "m"), "");
    Deno.writeTextFileSync(`${job.dir}/conf.ini`, `${conf}${line}\n`);
  }

  it("reads its config again without losing the batch in hand, or applying it twice", async () => {
    await job.finished();
    {
      await using gate = await Gate.close(subscriber, "before commit");
      await provider.sql("insert into t values (1, 'in the batch'), (2, 'too')");
      await gate.reached();
      configure("loop_delay = 0.05");
      await job.run("replay", "conf.ini", "-r");
      await waitFor(() => job.replay.stderr.includes("Config reloaded"), { what: "the reload" });
      expect((await subscriber.sql("select count(*) from t")).trim()).toBe("0");
      await gate.open();
    }
    await provider.sql("insert into t values (3, 'after')");
    await job.finished();
    expect(await job.differences("t")).toEqual([]);
    expect((await subscriber.sql("select op || id from public.audit order by id")).trim()).toBe(
      "INSERT1\nINSERT2\nINSERT3",
    );
    expect(job.replay.hasEnded).toBe(false);
  });

  it("keeps the old config when the new one is wrong, and says so", async () => {
    configure("loop_delay = soon");
    const { code, stderr } = await job.try("replay", "conf.ini", "-r");
    expect(code).toBe(1);
    expect(stderr).toContain('"loop_delay": value "soon" is not a time');
    job.replay.signal("SIGHUP");
    await waitFor(() => job.replay.stderr.includes("Config not reloaded, the old one stays"), { what: "the refusal" });
    configure("loop_delay = 0.05");
    await provider.sql("insert into t values (4, 'goes on')");
    await job.finished();
    expect(await job.differences("t")).toEqual([]);
  });

  it("rotates its log by size, and loses no line", async () => {
    const stats = () => (job.replay.stderr.match(/\{count: \d+, ignored: \d+, duration: [\d.]+/g) ?? []).length;
    const before = stats();
    await waitFor(async () => {
      await provider.sql("insert into t select max(id) + 1, 'more' from t; select pgq.force_tick('q')");
      return logs().length === 3 && stats() - before > 60;
    }, { what: "two rotated files", pollMs: 20, timeoutMs: 120_000 });
    await job.finished();
    expect(logs()).toEqual(["job.log", "job.log.1", "job.log.2"]);
    for (const suffix of [".1", ".2"]) expect(Deno.statSync(`${job.dir}/job.log${suffix}`).size).toBeLessThan(3_300);
    // The files together are the end of what went to stderr, line by line.
    await waitFor(() => job.replay.stderr.endsWith(log(".2") + log(".1") + log()), {
      what: "files and stderr to be the same",
    });
  });

  it("goes on in a new file after somebody moved its log away and -r", async () => {
    configure("log_size = 0");
    Deno.renameSync(`${job.dir}/job.log`, `${job.dir}/moved.log`);
    await job.run("replay", "conf.ini", "-r");
    await waitFor(() => logs().includes("job.log") && log().includes("Config reloaded"), { what: "a new file" });
  });

  it("ends after -s with its batch done, and its pidfile is gone", async () => {
    await provider.sql("insert into t values (1000001, 'last')");
    await job.finished();
    await job.run("replay", "conf.ini", "-s", "--wait");
    expect(isAlive(job.replay.pid)).toBe(false);
    expect((await job.replay.wait()).code).toBe(0);
    expect(() => Deno.statSync(`${job.dir}/job.pid`)).toThrow();
    expect(await job.differences("t")).toEqual([]);
  });
});
