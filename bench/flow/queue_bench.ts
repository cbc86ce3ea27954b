/**
 * usage: deno bench -A bench/flow/queue_bench.ts
 *    or: deno run -A bench/flow/queue_bench.ts [--events N] [--count N]
 *
 * The queue by itself, one database: how many events a second one client writes, each in a transaction of its own and
 * in statements of a thousand, and how many one consumer takes; then how long an event takes from its commit (the client
 * has the answer) until a consumer that asks every 2 ms has it, at tick periods of 1 s, 100 ms and 20 ms, each without
 * and with a transaction open that holds a snapshot; and what that held snapshot leaves behind.
 */
import { parseArgs } from "node:util";
import { join } from "node:path";
import postgres from "postgres";
import { Cluster } from "../../tests/harness/cluster.ts";
import { LentDatabase } from "../../tests/harness/pair.ts";
import { skyq, spawnSkyq } from "../../tests/harness/process.ts";
import { Random } from "../../tests/harness/seed.ts";
import { waitFor } from "../../tests/harness/wait_for.ts";
import type { Sql } from "./clusters.ts";
import { benchOnce } from "./once.ts";
import { quantile, table } from "./report.ts";

interface Size {
  /** Events of the throughput part. */
  readonly eventCount: number;
  /** Events whose latency is taken, for each case. */
  readonly latencyCount: number;
  /** Batches that are opened and finished while a snapshot is held. */
  readonly batchCount: number;
  readonly fsync: boolean;
}

const FULL: Size = { eventCount: 200_000, latencyCount: 300, batchCount: 3_600, fsync: true };
const SMOKE: Size = { eventCount: 2_000, latencyCount: 5, batchCount: 20, fsync: false };
const STATEMENT_EVENTS = 1_000;
/** Share of the events that are written one by one. */
const SINGLE_SHARE = 0.05;
/** Pauses between two events, in ms: spread, so that they do not fall in step with a period. */
const PAUSE_MS = { min: 20, max: 80 } as const;
const POLL_MS = 2;
/** The first events wake everybody up and are not counted. */
const WARM_UP = 3;
const PERIODS_S = [1, 0.1, 0.02];

/** A database with a queue `q` and a consumer `c`. */
class Bench implements AsyncDisposable {
  readonly #dir = Deno.makeTempDirSync({ prefix: "skyq-queue-bench-" });
  readonly #connections: Sql[] = [];

  private constructor(readonly database: LentDatabase) {}

  static async create(cluster: Cluster, name: string): Promise<Bench> {
    await cluster.createDatabase(name);
    const bench = new Bench(new LentDatabase(cluster, name));
    const { code, stderr } = await skyq(["queue", "install", bench.config(1)]);
    if (code !== 0) throw new Error(stderr);
    await bench.database.sql(`select pgq.create_queue('q'); select pgq.register_consumer('q', 'c');
      select pgq.set_queue_config('q', 'ticker_max_lag', '0'), pgq.set_queue_config('q', 'ticker_max_count', '1')`);
    return bench;
  }

  /** Writes a ticker's config. @returns its path */
  config(periodS: number): string {
    const path = join(this.#dir, "ticker.ini");
    Deno.writeTextFileSync(path, `[skyq]\ndb = ${this.database.dsn()}\nticker_period = ${periodS}\n`);
    return path;
  }

  connect(): Sql {
    const { cluster, name } = this.database;
    const sql = postgres({
      host: cluster.host,
      port: cluster.port,
      user: cluster.superuser,
      database: name,
      max: 1,
      onnotice: () => {},
    });
    this.#connections.push(sql);
    return sql;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#connections.map((sql) => sql.end({ timeout: 1 })));
    await this.database.drop();
    Deno.removeSync(this.#dir, { recursive: true });
  }
}

interface TakenEvent {
  readonly ev_id: bigint;
  readonly ev_data: string;
}

/** Opens, reads and finishes the next batch. @returns null when none is ready */
async function takeBatch(sql: Sql): Promise<TakenEvent[] | null> {
  const [next] = await sql`select batch_id from pgq.next_batch_info('q', 'c')`;
  if (next!.batch_id === null) return null;
  const events = await sql<TakenEvent[]>`select ev_id, ev_data from pgq.get_batch_events(${next!.batch_id})`;
  await sql`select pgq.finish_batch(${next!.batch_id})`;
  return [...events];
}

/** Events per second. @returns lines of a table: what, how many, per second */
async function throughput(size: Size, cluster: Cluster): Promise<string[][]> {
  await using bench = await Bench.create(cluster, "queue_throughput");
  const sql = bench.connect();
  const timed = async (what: string, count: number, work: () => Promise<void>) => {
    const startMs = performance.now();
    await work();
    const seconds = (performance.now() - startMs) / 1000;
    return [what, "one client", count.toLocaleString("en-US"), Math.round(count / seconds).toLocaleString("en-US")];
  };
  const singleCount = Math.round(size.eventCount * SINGLE_SHARE);
  const data = "id=1&name=some+name&amount=12.50&note=the+usual+hundred+bytes+of+a+row+that+somebody+changed";
  const rows: string[][] = [];
  rows.push(
    await timed("written, a transaction each", singleCount, async () => {
      for (let i = 0; i < singleCount; i++) await sql`select pgq.insert_event('q', 'U:id', ${data})`;
    }),
  );
  rows.push(
    await timed(`written, ${STATEMENT_EVENTS.toLocaleString("en-US")} a statement`, size.eventCount, async () => {
      for (let left = size.eventCount; left > 0; left -= STATEMENT_EVENTS) {
        await sql`select count(pgq.insert_event('q', 'U:id', ${data})) from generate_series(1, ${STATEMENT_EVENTS})`;
      }
    }),
  );
  await sql`select pgq.ticker('q')`;
  let taken = 0;
  let last = 0n;
  rows.push(
    await timed("consumed, one batch", singleCount + size.eventCount, async () => {
      for (let batch = await takeBatch(sql); batch !== null; batch = await takeBatch(sql)) {
        for (const { ev_id } of batch) {
          if (BigInt(ev_id) <= last) throw new Error(`Event ${ev_id} came after ${last}`);
          last = BigInt(ev_id);
          taken++;
        }
      }
    }),
  );
  const written = singleCount + Math.ceil(size.eventCount / STATEMENT_EVENTS) * STATEMENT_EVENTS;
  if (taken !== written) throw new Error(`${written} events were written, ${taken} were consumed`);
  return rows;
}

/** A transaction that has written and holds its snapshot, until it is ended. */
async function holdSnapshot(bench: Bench): Promise<() => Promise<void>> {
  const sql = bench.connect();
  await sql.unsafe("begin isolation level repeatable read; create temp table held ()");
  return async () => void await sql.unsafe("rollback");
}

/** @returns ms from commit to consumer, one for each event that counts */
async function latencies(
  size: Size,
  cluster: Cluster,
  { periodS, isHeld }: { periodS: number; isHeld: boolean },
): Promise<number[]> {
  await using bench = await Bench.create(cluster, `queue_latency_${periodS * 1000}_${isHeld ? "held" : "free"}`);
  const [producer, consumer] = [bench.connect(), bench.connect()];
  const release = isHeld ? await holdSnapshot(bench) : () => Promise.resolve();
  await using ticker = spawnSkyq(["ticker", bench.config(periodS)]);
  await waitFor(async () =>
    (await producer`select 1 from pg_stat_activity where application_name = 'skyq ticker'
                     and datname = current_database()`).length > 0, { what: "the ticker" });

  const committedMs = new Map<number, number>();
  const takenMs = new Map<number, number>();
  const total = WARM_UP + size.latencyCount;
  let isOver = false;
  const consuming = (async () => {
    while (!isOver) {
      const batch = await takeBatch(consumer);
      for (const { ev_data } of batch ?? []) takenMs.set(Number(ev_data), performance.now());
      if (batch === null) await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  })();
  const random = new Random(42);
  for (let id = 1; id <= total; id++) {
    await producer`select pgq.insert_event('q', 't', ${id})`;
    committedMs.set(id, performance.now());
    if (id <= WARM_UP) await waitFor(() => takenMs.has(id), { what: `event ${id}`, timeoutMs: 60_000 });
    await new Promise((resolve) => setTimeout(resolve, random.int(PAUSE_MS.min, PAUSE_MS.max)));
  }
  await waitFor(() => takenMs.size === total, { what: "all events", timeoutMs: 60_000 });
  isOver = true;
  await consuming;
  await release();
  await ticker.kill("SIGINT");
  return Array.from({ length: size.latencyCount }, (_, i) => {
    const id = WARM_UP + 1 + i;
    return Math.max(0, takenMs.get(id)! - committedMs.get(id)!);
  });
}

/** What a held snapshot costs: a consumer's calls and the size of the bookkeeping tables, before and after many batches. */
async function held(size: Size, cluster: Cluster): Promise<string[][]> {
  await using bench = await Bench.create(cluster, "queue_held");
  const sql = bench.connect();
  const release = await holdSnapshot(bench);
  const round = async (count: number) => {
    const [nextMs, readMs, finishMs]: number[][] = [[], [], []];
    const timed = async (ms: number[], call: postgres.PendingQuery<postgres.Row[]>) => {
      const startMs = performance.now();
      const [row] = await call;
      ms.push(performance.now() - startMs);
      return row!;
    };
    for (let i = 0; i < count; i++) {
      await sql`select pgq.insert_event('q', 't', 'd')`;
      await sql`select pgq.ticker('q')`;
      const { batch_id } = await timed(nextMs!, sql`select batch_id from pgq.next_batch_info('q', 'c')`);
      await timed(readMs!, sql`select count(*) from pgq.get_batch_events(${batch_id})`);
      await timed(finishMs!, sql`select pgq.finish_batch(${batch_id})`);
    }
    return [nextMs, readMs, finishMs].map((ms) => quantile(ms!, 0.5).toFixed(2));
  };
  const line = async (what: string, ms: string[]) => {
    const [sizes] = await sql`
      select pg_total_relation_size('pgq.subscription') / 1024 as subscription,
             pg_total_relation_size('pgq.tick') / 1024 as tick, pg_total_relation_size('pgq.queue') / 1024 as queue`;
    return [what, ...ms, ...Object.values(sizes!).map((kb) => `${kb} kB`)];
  };
  const sample = Math.max(5, Math.round(size.batchCount / 20));
  const lines = [await line("snapshot held, first batches", await round(sample))];
  await round(size.batchCount - 2 * sample);
  lines.push(await line(`after ${size.batchCount.toLocaleString("en-US")} batches`, await round(sample)));
  await release();
  await sql`vacuum pgq.subscription`;
  lines.push(await line("snapshot gone, vacuumed", await round(sample)));
  return lines;
}

async function run(size: Size): Promise<void> {
  // Rows stay where the measurement put them.
  await using cluster = await Cluster.start({ name: "queue", fsync: size.fsync, settings: { autovacuum: "off" } });
  console.log(`\n${table(["events", "by", "count", "per second"], await throughput(size, cluster))}`);
  const rows: string[][] = [];
  for (const periodS of PERIODS_S) {
    for (const isHeld of [false, true]) {
      const ms = await latencies(size, cluster, { periodS, isHeld });
      rows.push([
        `ticker_period ${periodS} s`,
        isHeld ? "snapshot held" : "",
        ...[0.5, 0.99, 1].map((share) => quantile(ms, share).toFixed(1)),
      ]);
    }
  }
  console.log(`\n${table(["commit to consumer", "", "p50 ms", "p99 ms", "max ms"], rows)}`);
  const calls = ["next_batch", "get_batch_events", "finish_batch"].map((name) => `${name}, p50 ms`);
  console.log(`\n${table(["bookkeeping", ...calls, "subscription", "tick", "queue"], await held(size, cluster))}`);
  console.log(
    `\n${size.latencyCount} events each, about twenty a second; ${navigator.hardwareConcurrency} cores, ` +
      `PostgreSQL ${(await cluster.sql("postgres", "show server_version")).trim()}, Deno ${Deno.version.deno}.`,
  );
}

/** A few events of each kind. */
export function smoke(): Promise<void> {
  return run(SMOKE);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      events: { type: "string", default: String(FULL.eventCount) },
      count: { type: "string", default: String(FULL.latencyCount) },
    },
  });
  await run({ ...FULL, eventCount: Number(values.events), latencyCount: Number(values.count) });
}

benchOnce("queue", () => run(FULL));
