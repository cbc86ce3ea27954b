/**
 * usage: deno bench -A bench/flow/latency_bench.ts
 *    or: deno run -A bench/flow/latency_bench.ts [--count N]
 *
 * How long a single-row transaction takes from its commit on the provider (the client has the answer) until it is
 * visible on the subscriber (a trigger that always fires sends a notification, which leaves with the commit), at about
 * ten transactions a second: with skyq's defaults, with short periods, and by PostgreSQL's own logical replication.
 */
import { parseArgs } from "node:util";
import { Random } from "../../tests/harness/seed.ts";
import { waitFor } from "../../tests/harness/wait_for.ts";
import { type BenchPair, benchPair, machine, Sides } from "./clusters.ts";
import { benchOnce } from "./once.ts";
import { NativePeer, type Peer, SkyqPeer } from "./peers.ts";
import { quantile, table } from "./report.ts";

interface Size {
  /** Transactions that are timed. */
  readonly count: number;
  readonly fsync: boolean;
}

const FULL: Size = { count: 300, fsync: true };
const SMOKE: Size = { count: 5, fsync: false };
/** Pauses between two transactions, in ms: spread, so that they do not fall in step with a period. */
const PAUSE_MS = { min: 50, max: 150 } as const;
/** The first transactions wake everybody up and are not counted. */
const WARM_UP = 3;
const LIMIT_MS = 60_000;

interface Case {
  readonly name: string;
  readonly settings: string;
  open(sides: Sides): Peer;
  /** After the tables are registered. */
  tune(peer: Peer): Promise<void>;
}

function skyqCase(name: string, settings: Record<string, string>, maxLag: string): Case {
  return {
    name,
    settings: Object.entries({ ...settings, ticker_max_lag: maxLag }).map(([key, value]) => `${key} ${value}`).join(
      ", ",
    ),
    open: (sides) => new SkyqPeer(sides, settings),
    tune: (peer) => (peer as SkyqPeer).setMaxLag(maxLag),
  };
}

const CASES: readonly Case[] = [
  skyqCase("skyq, defaults", { ticker_period: "1", loop_delay: "1" }, "3 seconds"),
  skyqCase("skyq, short periods", { ticker_period: "0.1", loop_delay: "0.05" }, "0.1 seconds"),
  {
    name: "native logical replication",
    settings: "",
    open: (sides) => new NativePeer(sides),
    tune: () => Promise.resolve(),
  },
];

/** @returns ms from commit to visibility, one for each transaction that counts */
async function latencies(size: Size, clusters: BenchPair, name: string, { open, tune }: Case): Promise<number[]> {
  await using sides = await Sides.create(clusters, name);
  const { provider, subscriber } = sides;
  await subscriber.sql.unsafe(`
    create function tell() returns trigger language plpgsql
      as $$ begin perform pg_notify('visible', new.id::text); return null; end $$;
    create trigger tell after insert on bench_mark for each row execute function tell();
    alter table bench_mark enable always trigger tell`);
  await using peer = open(sides);
  await peer.prepare();
  await tune(peer);
  await peer.start();

  const committedMs = new Map<number, number>();
  const visibleMs = new Map<number, number>();
  const { unlisten } = await subscriber.sql.listen("visible", (id) => visibleMs.set(Number(id), performance.now()));
  const random = new Random(42);
  const total = WARM_UP + size.count;
  for (let id = 1; id <= total; id++) {
    await provider.sql`insert into bench_mark values (${id})`;
    committedMs.set(id, performance.now());
    if (id === WARM_UP) await seen(visibleMs, id);
    await new Promise((resolve) => setTimeout(resolve, random.int(PAUSE_MS.min, PAUSE_MS.max)));
  }
  await seen(visibleMs, total);
  await unlisten();
  await peer.stop();
  // The subscriber's notification may overtake the provider's answer.
  return Array.from({ length: size.count }, (_, i) => {
    const id = WARM_UP + 1 + i;
    return Math.max(0, visibleMs.get(id)! - committedMs.get(id)!);
  });
}

function seen(visibleMs: ReadonlyMap<number, number>, id: number): Promise<unknown> {
  return waitFor(() => visibleMs.has(id), { what: `row ${id} on the subscriber`, timeoutMs: LIMIT_MS });
}

async function run(size: Size): Promise<void> {
  await using clusters = await benchPair({ fsync: size.fsync });
  const rows: string[][] = [];
  for (const [index, each] of CASES.entries()) {
    const ms = await latencies(size, clusters, `latency_${index}`, each);
    rows.push([each.name, each.settings, ...[0.5, 0.99, 1].map((share) => quantile(ms, share).toFixed(1))]);
  }
  const heads = ["commit to visible", "settings (seconds)", "p50 ms", "p99 ms", "max ms"];
  console.log(
    `\n${table(heads, rows)}\n\n${await machine(clusters)}; ${size.count} transactions each, about ten a second.`,
  );
}

/** A few transactions of each kind. */
export function smoke(): Promise<void> {
  return run(SMOKE);
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { count: { type: "string", default: String(FULL.count) } } });
  await run({ ...FULL, count: Number(values.count) });
}

benchOnce("latency", () => run(FULL));
