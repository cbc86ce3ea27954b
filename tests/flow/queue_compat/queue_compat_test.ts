/**
 * skyq's schema under the originals' programs, and skyq's programs on the originals' schema. Skipped, saying so, where
 * those are not installed: pgqd, Python's pgq, the extension. `SKYQ_LONG=1` goes on for a minute each.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lendDatabases, type LentDatabase, pair } from "../../harness/pair.ts";
import { skyq, spawnSkyq } from "../../harness/process.ts";
import { Job, size } from "../job.ts";
import { waitFor } from "../../harness/wait_for.ts";

const PYTHON = "/usr/bin/python3";

function hasProgram(program: string, ...args: string[]): boolean {
  try {
    return new Deno.Command(program, { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

const hasPgqd = hasProgram("pgqd", "-V");
const { provider } = await pair();
const hasExtension =
  (await provider.sql("postgres", "select 1 from pg_available_extensions where name = 'pgq'")) !== "";
const hasPython = hasProgram(PYTHON, "-c", "import pgq, psycopg2");

/** A consumer that retries each event whose data ends in 7 once, and notes what it gets. */
const CONSUMER = `
import sys, pgq
class Noting(pgq.Consumer):
    def process_event(self, db, ev):
        again = ev.ev_data.endswith('7') and ev.ev_retry is None
        if again:
            ev.tag_retry(0)
        db.cursor().execute("insert into public.noted (data, retry) values (%s, %s)", [ev.ev_data, ev.ev_retry or 0])
    def process_batch(self, db, batch_id, events):
        pgq.Consumer.process_batch(self, db, batch_id, events)
Noting("noting", "db", sys.argv[1:]).start()
`;

/** One of several workers that share a consumer; it notes its events, and its process, slowly. */
const WORKER = `
import os, sys, time, pgq
class Working(pgq.CoopConsumer):
    def process_event(self, db, ev):
        db.cursor().execute("insert into public.worked (data, pid) values (%s, %s)", [ev.ev_data, os.getpid()])
        time.sleep(0.002)
Working("working", "db", sys.argv[1:]).start()
`;

let dir: string;
beforeAll(() => void (dir = Deno.makeTempDirSync({ prefix: "skyq-compat-" })));
afterAll(() => Deno.removeSync(dir, { recursive: true }));

/** A skyq config for a database. */
function config(database: LentDatabase): string {
  const path = `${dir}/${database.name}.ini`;
  Deno.writeTextFileSync(
    path,
    `[skyq]\ndb = ${database.dsn()}\nticker_period = 0.05\nmaint_period = 0.2\nretry_period = 0.2\n`,
  );
  return path;
}

/** A program in the foreground, killed at the end. */
class Program implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  output = "";

  constructor(program: string, args: string[]) {
    this.#child = new Deno.Command(program, { args, stdin: "null", stdout: "piped", stderr: "piped" }).spawn();
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      (async () => {
        for await (const text of stream.pipeThrough(new TextDecoderStream())) this.output += text;
      })();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
  }
}

function pythonConsumer(database: LentDatabase): Program {
  Deno.writeTextFileSync(`${dir}/consumer.py`, CONSUMER);
  Deno.writeTextFileSync(
    `${dir}/consumer.ini`,
    `[noting]\njob_name = noting\ndb = ${database.dsn()}\nqueue_name = q\nloop_delay = 0.1\nuse_skylog = 0\nlogfile = ${dir}/consumer.log\n`,
  );
  return new Program(PYTHON, [`${dir}/consumer.py`, `${dir}/consumer.ini`]);
}

const SETTINGS = `
  select pgq.set_queue_config('q', 'ticker_max_lag', '0.05 s'), pgq.set_queue_config('q', 'ticker_idle_period', '0.2 s'),
         pgq.set_queue_config('q', 'rotation_period', '0.5 s');
  create table public.noted (data text, retry int);`;

/** How long events are written; nearly all of it is waiting. */
const WRITE_MS = size({ smoke: 20_000, long: 60_000 });
const PAUSE_MS = 200;
const EVENTS_PER_WRITE = 10;

/**
 * Two writers write for a while; half way the Python consumer is killed and started again. In the end it has each event
 * once, those ending in 7 twice.
 * @returns how often the queue was rotated meanwhile
 */
async function produceAndCheck(database: LentDatabase, told: () => string): Promise<number> {
  let consumer = pythonConsumer(database);
  const output = () => `${told()}\n${consumer.output}`;
  try {
    const endMs = performance.now() + WRITE_MS;
    const tables = new Set<string>();
    let count = 0;
    const write = async () => {
      while (performance.now() < endMs) {
        const first = count;
        count += EVENTS_PER_WRITE;
        await database.sql(
          `select pgq.insert_event('q', 't', (${first} + n)::text) from generate_series(0, ${EVENTS_PER_WRITE - 1}) n`,
        );
        tables.add(await database.sql("select queue_switch_step1 from pgq.queue"));
        await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
      }
    };
    const writers = [write(), write()];
    await new Promise((resolve) => setTimeout(resolve, WRITE_MS / 2));
    await consumer[Symbol.asyncDispose]();
    consumer = pythonConsumer(database);
    await Promise.all(writers);
    const wanted = `${count + count / 10}|${count}|${count / 10}`;
    const seen = async () =>
      (await database.sql("select count(*), count(distinct data), sum(retry) from noted")).trim();
    await waitFor(async () => Number((await seen()).split("|")[0]) >= count + count / 10, {
      what: "all events to be consumed",
      timeoutMs: 120_000,
    }).catch(async (error) => {
      throw new Error(`${error.message}\n${await seen()} of ${wanted}\n${output()}`);
    });
    expect(await seen()).toBe(wanted);
    expect((await database.sql("select count(*) from noted where retry = 1 and data not like '%7'")).trim()).toBe("0");
    expect((await database.sql("select count(*) from pgq.retry_queue")).trim()).toBe("0");
    console.log(`queue_compat: ${count} events in ${WRITE_MS / 1000} s, ${tables.size - 1} rotations`);
    return tables.size - 1;
  } finally {
    await consumer[Symbol.asyncDispose]();
  }
}

describe("a database installed by skyq", () => {
  const title = "serves the C ticker and a Python consumer";
  if (!hasPgqd || !hasPython) {
    it.skip(`${title} (pgqd or Python's pgq is not installed)`, () => {});
    return;
  }
  it(title, async () => {
    const [database] = await lendDatabases(1);
    const file = config(database);
    expect((await skyq(["queue", "install", file])).code).toBe(0);
    await skyq(["queue", "create", file, "q"]);
    await skyq(["consumer", "register", file, "q", "noting"]);
    await database.sql(SETTINGS);
    // A limit of skyq's is looked after by pgqd as well.
    expect((await skyq(["queue", "config", file, "q", "max_size=10kB", "on_full=warn"])).code).toBe(0);
    const { host, port, superuser } = database.cluster;
    Deno.writeTextFileSync(
      `${dir}/pgqd.ini`,
      `[pgqd]\nbase_connstr = host=${host} port=${port} user=${superuser}\ndatabase_list = ${database.name}\nsyslog = 0\n` +
        "ticker_period = 0.05\nmaint_period = 0.2\nretry_period = 0.2\n",
    );
    await using pgqd = new Program("pgqd", [`${dir}/pgqd.ini`]);
    expect(await produceAndCheck(database, () => pgqd.output)).toBeGreaterThan(3);
    await waitFor(
      async () => (await database.sql("select full_since is not null from skyq.queue_policy")).trim() === "t",
      {
        what: "the limit to be looked at",
      },
    );
    expect(pgqd.output).not.toMatch(/ERROR/);
  });
});

describe("workers of Python that share a consumer", () => {
  const title = "get each event once, and take over from one that is killed";
  if (!hasPython) {
    it.skip(`${title} (Python's pgq is not installed)`, () => {});
    return;
  }
  for (const extension of hasExtension ? [false, true] : [false]) {
    it(`${title}, ${extension ? "beside the original extension" : "in a database installed by skyq"}`, async () => {
      const [database] = await lendDatabases(1);
      if (extension) await database.sql("create extension pgq");
      const file = config(database);
      expect((await skyq(["queue", "install", file])).code).toBe(0);
      await skyq(["queue", "create", file, "q"]);
      await database.sql(`
        select pgq.set_queue_config('q', 'ticker_max_lag', '0.05 s'), pgq_coop.register_subconsumer('q', 'team', 'w0');
        create table public.worked (data text, pid int)`);
      await using ticker = spawnSkyq(["ticker", file]);
      Deno.writeTextFileSync(`${dir}/worker.py`, WORKER);
      const worker = (name: string) => {
        const ini = `${dir}/${database.name}_${name}.ini`;
        Deno.writeTextFileSync(
          ini,
          `[working]\njob_name = ${name}\ndb = ${database.dsn()}\nqueue_name = q\nconsumer_name = team\nuse_skylog = 0\n` +
            `subconsumer_name = ${name}\nsubconsumer_timeout = 4 seconds\nloop_delay = 0.05\nlogfile = ${ini}.log\n`,
        );
        return new Program(PYTHON, [`${dir}/worker.py`, ini]);
      };
      const workers = ["w0", "w1", "w2"].map(worker);
      const write = (from: number) =>
        database.sql(`select pgq.insert_event('q', 't', n::text) from generate_series(${from}, ${from + 19}) n`);
      const seen = async () =>
        (await database.sql("select count(*), count(distinct data) from public.worked")).trim().split("|").map(Number);
      const told = () => workers.map(({ output }) => output).join("\n") + ticker.stderr;
      try {
        for (let from = 0; from < 400; from += 20) {
          await write(from);
          await new Promise((resolve) => setTimeout(resolve, 100));
          // Busy for 40 ms with 20 events, most of the time.
          if (from === 200) await workers[0]![Symbol.asyncDispose]();
        }
        await waitFor(async () => (await seen())[1] === 400, { what: "all events", timeoutMs: 120_000 })
          .catch(async (error) => {
            throw new Error(`${error.message}\n${await seen()}\n${told()}`);
          });
        expect(await seen()).toEqual([400, 400]);
        expect(Number(await database.sql("select count(distinct pid) from public.worked"))).toBeGreaterThan(1);
      } finally {
        for (const one of workers.slice(1)) await one[Symbol.asyncDispose]();
      }
    });
  }
});

describe("a database where the original extension was created", () => {
  const title = "is ticked, maintained and administered by skyq";
  if (!hasExtension) {
    it.skip(`${title} (the extension pgq is not installed)`, () => {});
    return;
  }
  it(title, async () => {
    const [database] = await lendDatabases(1);
    await database.sql("create extension pgq");
    const file = config(database);
    // Status works before skyq has added anything.
    const bare = await skyq(["queue", "status", file]);
    expect([bare.code, bare.stdout.includes("Schema skyq is missing")]).toEqual([0, true]);
    expect((await skyq(["queue", "create", file, "q"])).code).toBe(0);
    await skyq(["consumer", "register", file, "q", "noting"]);
    const install = await skyq(["queue", "install", file]);
    expect(install.stderr).toContain("pgq is installed (extension, left as it is)");
    expect((await skyq(["queue", "config", file, "q", "max_size=1GB"])).code).toBe(0);
    await database.sql(SETTINGS);
    await using ticker = spawnSkyq(["ticker", file]);
    if (hasPython) expect(await produceAndCheck(database, () => ticker.stderr)).toBeGreaterThan(3);
    expect(ticker.stderr).not.toMatch(/ERROR/);
    expect((await skyq(["queue", "status", file])).stdout).toMatch(/^q +3\/0\.5s/m);
  });

  it("is replicated from by skyq", async () => {
    const [source, target] = await lendDatabases(2);
    await source.sql(
      "create extension pgq; create table t (id int primary key, v text); insert into t values (1, 'a')",
    );
    await target.sql("create table t (id int primary key, v text)");
    await using job = new Job({ provider: source, subscriber: target });
    await job.install();
    await job.add("t");
    job.startReplay();
    await job.allOk();
    await source.sql("insert into t values (2, 'b'); update t set v = 'c' where id = 1");
    await job.caughtUp();
    expect(await job.differences("t")).toEqual([]);
  });
});
