/** Tickers: of one database, of a cluster, and who gives way to whom. */
import { afterEach, beforeAll, describe, expect, it } from "vitest";
import { SkyqError } from "../../../src/base/errors.ts";
import { type Logger, silentLog } from "../../../src/base/log.ts";
import { installSchemas } from "../../../src/db/install.ts";
import { openSql } from "../../../src/db/sql.ts";
import { parseTarget } from "../../../src/db/target.ts";
import { TICKER_CHANNEL, tickerLockHolder } from "../../../src/engine/ticker/lock.ts";
import {
  type ClusterOptions,
  runClusterTicker,
  runTicker,
  type TickerOptions,
} from "../../../src/engine/ticker/ticker.ts";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";

const PERIODS = {
  tickPeriodMs: 20,
  maintPeriodMs: 100,
  retryPeriodMs: 100,
  checkPeriodMs: 100,
  statsPeriodMs: 60_000,
  errorPauseMaxMs: 1_000,
  lockTimeoutMs: 1_000,
  connectionLifetimeMs: 60_000,
  reloadCount: 0,
};

/** A ticker that runs beside the test. */
class Running {
  readonly #end = new AbortController();
  readonly log: string[] = [];
  readonly done: Promise<void>;
  isReady = false;
  error: unknown = null;

  constructor(start: (common: typeof PERIODS & Pick<TickerOptions, "log" | "signal" | "ready">) => Promise<void>) {
    const note = (message: string) => void this.log.push(message);
    const log: Logger = { ...silentLog, info: note, warning: note, error: note };
    this.done = start({ ...PERIODS, log, signal: this.#end.signal, ready: () => void (this.isReady = true) })
      .catch((error) => void (this.error = error));
    running.push(this);
  }

  static one(
    database: LentDatabase,
    whenTaken: TickerOptions["whenTaken"],
    own: Partial<TickerOptions> = {},
  ): Running {
    return new Running((common) => runTicker({ ...common, target: parseTarget(database.dsn()), whenTaken, ...own }));
  }

  async ready(): Promise<this> {
    await waitFor(() => this.isReady || this.error !== null, { what: "the ticker to be ready", timeoutMs: 120_000 });
    if (this.error !== null) throw this.error;
    return this;
  }

  async stop(): Promise<void> {
    this.#end.abort();
    await this.done;
  }
}

const running: Running[] = [];
afterEach(async () => void await Promise.all(running.splice(0).map((each) => each.stop())));

async function install(database: LentDatabase): Promise<void> {
  await using db = await openSql(parseTarget(database.dsn()));
  await installSchemas(db, { log: silentLog });
}

async function ticks(database: LentDatabase, queue: string): Promise<number> {
  return Number(
    await database.sql(
      `select count(*) from pgq.tick t join pgq.queue q on q.queue_id = t.tick_queue where q.queue_name = '${queue}'`,
    ),
  );
}

async function createQueue(database: LentDatabase, queue: string): Promise<void> {
  await database.sql(`select pgq.create_queue('${queue}');
    select pgq.set_queue_config('${queue}', 'ticker_max_lag', '0.01 seconds')`);
}

/** Writes an event, and waits for its tick. */
async function ticked(database: LentDatabase, queue: string): Promise<void> {
  const before = await ticks(database, queue);
  await database.sql(`select pgq.insert_event('${queue}', 't', 'd')`);
  await waitFor(async () => await ticks(database, queue) > before, { what: `a tick of ${queue}`, pollMs: 5 });
}

describe("the ticker of one database", () => {
  let database: LentDatabase;

  beforeAll(async () => {
    [database] = await lendDatabases(1);
    await install(database);
    await createQueue(database, "q");
  });

  it("ticks while events come", async () => {
    const ticker = await Running.one(database, "fail").ready();
    for (let i = 0; i < 5; i++) await ticked(database, "q");
    expect(ticker.log).toEqual([]);
  });

  it("looks at once when it is told to, however long its period", async () => {
    await Running.one(database, "fail", { tickPeriodMs: 600_000 }).ready();
    const told = setInterval(() => void database.sql(`notify ${TICKER_CHANNEL}`), 100);
    try {
      await ticked(database, "q");
    } finally {
      clearInterval(told);
    }
  });

  it("looks again when it was told to while it ticked", async () => {
    await createQueue(database, "late");
    await Running.one(database, "fail", { tickPeriodMs: 600_000 }).ready();
    // It has looked at all queues, and is at the tick of q, which waits for this lock.
    const holder = await database.cluster.session(database.name);
    await holder.query("begin; lock table pgq.tick in share mode");
    await database.sql(`select pgq.insert_event('q', 't', 'd'), pgq.insert_event('q', 't', 'd')`);
    await waitFor(async () => {
      await database.sql(`notify ${TICKER_CHANNEL}`);
      return await database.sql(
            "select 1 from pg_locks where not granted and relation = 'pgq.tick'::regclass",
          ) !== "" || null;
    }, { what: "the tick to wait", pollMs: 50 });
    const before = await ticks(database, "late");
    await database.sql(`select pgq.insert_event('late', 't', 'd'), pgq.insert_event('late', 't', 'd')`);
    await database.sql(`notify ${TICKER_CHANNEL}`);
    await holder.query("commit");
    await holder[Symbol.asyncDispose]();
    await waitFor(async () => await ticks(database, "late") > before, { what: "the tick of what came later" });
    await database.sql("select pgq.drop_queue('late')");
  });

  it("ticks the first event of a queue that has been idle for long", async () => {
    await database.sql(`select pgq.create_queue('new');
      select pgq.set_queue_config('new', 'ticker_max_lag', '0.01 seconds'), pgq.ticker('new');
      update pgq.tick t set tick_time = tick_time - interval '1 hour' * (3 - tick_id)
        from pgq.queue q where q.queue_id = t.tick_queue and q.queue_name = 'new';
      select pgq.set_queue_config('new', 'ticker_idle_period', '10 hours')`);
    await Running.one(database, "fail").ready();
    await ticked(database, "new");
    await database.sql("select pgq.drop_queue('new')");
  });

  it("ticks on when the server's clock was set back", async () => {
    await Running.one(database, "fail").ready();
    await ticked(database, "q");
    await database.sql(`
      select pgq.ticker('q');
      update pgq.tick set tick_time = tick_time + interval '1 hour'`);
    await ticked(database, "q");
  });

  it("is the only one: a second one is refused", async () => {
    await Running.one(database, "fail").ready();
    const second = Running.one(database, "fail");
    await second.done;
    expect(second.error).toBeInstanceOf(SkyqError);
    expect((second.error as SkyqError).fault).toBe("already-running");
    expect((second.error as SkyqError).message).toMatch(/another ticker works on this database \(server process \d+/);
  });

  it("takes over from one that stands by, which goes on when it ends", async () => {
    const beside = await Running.one(database, "stand-by").ready();
    const dedicated = await Running.one(database, "fail").ready();
    expect(beside.log.join("\n")).toContain("A dedicated ticker takes over");
    await ticked(database, "q");
    await dedicated.stop();
    await using db = await openSql(parseTarget(database.dsn()));
    await waitFor(async () => await tickerLockHolder(db) !== null, { what: "the other to go on", timeoutMs: 120_000 });
    await ticked(database, "q");
  });

  it("does not keep others from ticking when it may not tick itself", async () => {
    const role = `idler_${database.name}`;
    await database.sql(`create role ${role} login`);
    try {
      const target = parseTarget(database.dsn(role));
      const alone = Running.one(database, "fail", { target });
      await waitFor(() => alone.error !== null, { what: "the ticker to end" });
      const { fault, message, hint } = alone.error as SkyqError;
      expect([fault, message.includes("may not call pgq.maint_operations()"), hint]).toEqual([
        "privilege",
        true,
        expect.stringContaining(`GRANT pgq_admin TO ${role};`),
      ]);
      // Beside a replay, or in a cluster, it waits, says so once, and lets others have the lock.
      const beside = Running.one(database, "stand-by", { target });
      await waitFor(() => beside.log.length > 0, { what: "the log to tell" });
      await Running.one(database, "fail").ready();
      await ticked(database, "q");
      expect(beside.log).toEqual([expect.stringMatching(/may not call[^]*GRANT pgq_admin/)]);
      await running.pop()!.stop();
      await database.sql(`grant pgq_admin to ${role}`);
      await beside.ready();
    } finally {
      await Promise.all(running.splice(0).map((each) => each.stop()));
      await database.sql(`drop owned by ${role}; drop role ${role}`);
    }
  });

  it("comes back after its connection was cut", async () => {
    const ticker = await Running.one(database, "fail").ready();
    await database.sql(
      "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'skyq ticker' and datname = current_database()",
    );
    await waitFor(() => ticker.log.some((line) => line.startsWith("Ticker failed")), { what: "the log to tell" });
    await ticked(database, "q");
  });

  it("does not let a queue or an operation that fails stop the others", async () => {
    await createQueue(database, "bad");
    await createQueue(database, "z");
    await database.sql(`
      create table public.worked (q text);
      create function public.works(q text) returns integer language sql as
        $$ insert into public.worked values (q) returning 0 $$;
      update pgq.queue set queue_extra_maint = '{no.such_function,public.works}' where queue_name = 'q';
      update pgq.tick set tick_snapshot = '9000000000:9000000000:', tick_time = now() - interval '1 hour'
       where tick_queue = (select queue_id from pgq.queue where queue_name = 'bad')`);
    const ticker = await Running.one(database, "fail").ready();
    await waitFor(() => ticker.log.some((line) => line.startsWith('Cannot tick queue "bad"')), {
      what: "the bad queue to be told",
    });
    await waitFor(async () => Number(await database.sql("select count(*) from public.worked")) > 1, {
      what: "the second operation",
      timeoutMs: 120_000,
    });
    expect(ticker.log.join("\n")).toContain("Maintenance no.such_function(q) failed");
    await ticked(database, "z");
    await database.sql("select pgq.drop_queue('bad'); select pgq.drop_queue('z')");
  });

  it("lets no operation that is never done, or that lasts, keep the others or its own end waiting", async () => {
    await database.sql(`
      create table public.turns (q text);
      create function public.turn(q text) returns integer language sql as
        $$ insert into public.turns values (q) returning 0 $$;
      create function public.busy(q text) returns integer language sql as 'select 1';
      create function public.lasts(q text) returns integer language sql as 'select 0 from pg_sleep(60)';
      update pgq.queue set queue_extra_maint = '{public.busy,public.turn}' where queue_name = 'q'`);
    const ticker = await Running.one(database, "fail").ready();
    await waitFor(async () => Number(await database.sql("select count(*) from public.turns")) > 1, {
      what: "the second operation's second turn",
      timeoutMs: 120_000,
    });
    expect(ticker.log.join("\n")).toContain("Maintenance public.busy(q) had work left after 100 calls");
    await database.sql("update pgq.queue set queue_extra_maint = '{public.lasts}' where queue_name = 'q'");
    const sleepers = "select count(*) from pg_stat_activity where query like '%lasts%' and wait_event = 'PgSleep'";
    await waitFor(async () => (await database.sql(sleepers)).trim() === "1", { what: "maintenance to sleep" });
    await ticker.stop();
    await waitFor(async () => (await database.sql(sleepers)).trim() === "0", { what: "the server to be rid of it" });
  });

  it("shrinks a queue that is over its size without waiting for its periods, and lets it take events again", async () => {
    await database.sql(`
      update pgq.queue set queue_extra_maint = null where queue_name = 'q';
      select pgq.create_queue('full'), pgq.register_consumer('full', 'reader');
      select skyq.set_queue_policy('full', 'max_size', '200kB'), skyq.set_queue_policy('full', 'on_full', 'pause');
      select pgq.insert_event('full', 't', repeat('x', 100)) from generate_series(1, 3000)`);
    // Rounds of maintenance are an hour apart, rotations two, ticks of an idle queue a minute.
    await Running.one(database, "fail", { maintPeriodMs: 3_600_000 }).ready();
    const isRefusing = async () =>
      (await database.sql("select queue_disable_insert from pgq.queue where queue_name = 'full'")).trim() === "t";
    await waitFor(isRefusing, { what: "the queue to refuse events" });
    await waitFor(async () => {
      await database.sql(`select pgq.finish_batch(b) from pgq.next_batch('full', 'reader') b where b is not null`);
      return !await isRefusing();
    }, { what: "the queue to take events again", timeoutMs: 120_000, pollMs: 100 });
    await database.sql("select pgq.drop_queue('full', true)");
  });

  it("puts events that were to be retried back into their queue", async () => {
    await database.sql("update pgq.queue set queue_extra_maint = null where queue_name = 'q'");
    await Running.one(database, "fail").ready();
    await database.sql("select pgq.register_consumer('q', 'c')");
    await ticked(database, "q");
    // The event's batch need not be the first: ticks come without events too.
    await database.sql(`
      do $$ declare v_batch bigint; begin
        loop
          v_batch := pgq.next_batch('q', 'c');
          exit when v_batch is null;
          perform pgq.batch_retry(v_batch, 0), pgq.finish_batch(v_batch);
        end loop;
      end $$`);
    await waitFor(
      async () => (await database.sql("select count(*) from pgq.event_template where ev_retry = 1")).trim() === "1",
      {
        what: "the event to come again",
      },
    );
  });
});

describe("the ticker of a cluster", () => {
  const cluster = (databases: readonly string[], first: LentDatabase) =>
    new Running((common) => {
      const options: ClusterOptions = {
        ...common,
        whenTaken: "wait",
        databases,
        initialTarget: parseTarget(first.cluster.dsn("template1")),
        targetOf: (name) => parseTarget(first.cluster.dsn(name)),
      };
      return runClusterTicker(options);
    });

  it("serves databases and queues as they come and go, whatever is wrong with others", async () => {
    const [one, , two] = await lendDatabases(3);
    await install(one);
    await createQueue(one, "q");
    const names = [one.name, two.name, "no_such_database"];
    const ticker = await cluster(names, one).ready();
    await ticked(one, "q");
    expect(ticker.log.join("\n")).toContain("no_such_database: Ticker failed");
    await install(two);
    await createQueue(two, "late");
    await ticked(two, "late");
    await createQueue(two, "later");
    await ticked(two, "later");
    names.splice(1);
    await waitFor(() => ticker.log.some((line) => line.includes("no longer served")), { what: "the second to go" });
    await two.drop();
    await ticked(one, "q");
  });

  it("finds all databases by itself", async () => {
    const [one] = await lendDatabases(1);
    await install(one);
    await createQueue(one, "q");
    const ticker = await cluster([], one).ready();
    await ticked(one, "q");
    expect(ticker.log.join("\n")).toContain(`${one.name}: Ticking`);
  });

  it("is refused when another one has everything", async () => {
    const [one] = await lendDatabases(1);
    await install(one);
    await Running.one(one, "fail").ready();
    const second = cluster([one.name], one);
    await second.done;
    expect((second.error as SkyqError).fault).toBe("already-running");
  });
});
