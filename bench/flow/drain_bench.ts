/**
 * usage: deno bench -A bench/flow/drain_bench.ts
 *    or: deno run -A bench/flow/drain_bench.ts [--rows N] [--rounds N] [--only native|row|statement] [--set KEY=VALUE]…
 *
 * One statement inserts a million rows, one updates 300,000, one deletes 300,000. What it costs the statement to be
 * captured, and how long it takes until all of it is visible on the subscriber, counted from the start of the replayer's
 * process; beside it, on the same servers and with the same rows, PostgreSQL's own logical replication, counted from
 * ALTER SUBSCRIPTION ENABLE. Prints a Markdown table; both sides' checksums must be equal after each drain.
 */
import { parseArgs } from "node:util";
import { waitFor } from "../../tests/harness/wait_for.ts";
import { CHECKSUM, type Op, OPS, rowsOf, statementOf } from "../data/t8.ts";
import { type BenchPair, benchPair, machine, Sides } from "./clusters.ts";
import { ForeignLoad } from "./cpu.ts";
import { benchOnce } from "./once.ts";
import { type Capture, NativePeer, type Peer, SkyqPeer, type Usage } from "./peers.ts";
import { median, spread, table } from "./report.ts";

interface Size {
  /** Rows of the full table, a multiple of ten. */
  readonly rowCount: number;
  readonly rounds: number;
  readonly fsync: boolean;
}

const FULL: Size = { rowCount: 1_000_000, rounds: 3, fsync: true };
const SMOKE: Size = { rowCount: 2_000, rounds: 1, fsync: false };
const DRAIN_LIMIT_MS = 300_000;

interface Drain extends Usage {
  readonly peer: string;
  readonly op: Op;
  readonly rows: number;
  readonly statementS: number;
  readonly drainS: number;
  /** Cores that others used meanwhile. */
  readonly foreignCores: number;
  /** Of both sides, afterwards. */
  readonly checksum: string;
}

/** One statement and its drain. */
async function measure(op: Op, rowCount: number, { clusters, sides, peer }: {
  clusters: BenchPair;
  sides: Sides;
  peer: Peer;
}): Promise<Drain> {
  const { provider, subscriber } = sides;
  const mark = OPS.indexOf(op);
  await sides.settle();

  const statementMs = performance.now();
  await provider.sql.unsafe(statementOf(op, rowCount));
  const statementS = (performance.now() - statementMs) / 1000;
  await provider.sql`insert into bench_mark values (${mark})`;
  await peer.cut();

  const foreign = new ForeignLoad(clusters.serverPids());
  const startMs = performance.now();
  await peer.start();
  await waitFor(async () => (await subscriber.sql`select 1 from bench_mark where id = ${mark}`).length === 1, {
    what: `${peer.name} to drain ${op}`,
    timeoutMs: DRAIN_LIMIT_MS,
    pollMs: 10,
  });
  const drainS = (performance.now() - startMs) / 1000;
  const foreignCores = foreign.cores();
  const usage = await peer.usage();
  await peer.stop();

  const [here, there] = await Promise.all(sides.both.map(async ({ sql }) => {
    const [row] = await sql.unsafe(CHECKSUM).values();
    return String(row?.[0]);
  }));
  if (here !== there) throw new Error(`After ${peer.name}'s ${op} the sides differ: ${here}, ${there}`);
  return {
    peer: peer.name,
    op,
    rows: rowsOf(op, rowCount),
    statementS,
    drainS,
    foreignCores,
    checksum: here!,
    ...usage,
  };
}

/** PostgreSQL's own, or skyq by how changes are captured. */
type PeerKind = "native" | Capture;

const PEERS: readonly PeerKind[] = ["native", "row", "statement"];

function openPeer(kind: PeerKind, sides: Sides, settings: Record<string, string>): Peer {
  // The bench itself says when to tick.
  return kind === "native" ? new NativePeer(sides) : new SkyqPeer(sides, { ticker: "off", ...settings }, kind);
}

/** All rounds; the peers take turns, and who begins changes. */
async function drains(
  size: Size,
  clusters: BenchPair,
  kinds: readonly PeerKind[],
  settings: Record<string, string>,
): Promise<Drain[]> {
  const results: Drain[] = [];
  for (let round = 0; round < size.rounds; round++) {
    for (const kind of round % 2 === 0 ? kinds : kinds.toReversed()) {
      await using sides = await Sides.create(clusters, `bench_${kind}_${round}`);
      await using peer = openPeer(kind, sides, settings);
      await peer.prepare();
      for (const op of OPS) {
        const drain = await measure(op, size.rowCount, { clusters, sides, peer });
        results.push(drain);
        console.log(
          `round ${round + 1}: ${peer.name} ${op}: statement ${drain.statementS.toFixed(2)} s, ` +
            `drain ${drain.drainS.toFixed(2)} s, others took ${drain.foreignCores.toFixed(2)} cores, ${drain.checksum}`,
        );
      }
    }
  }
  return results;
}

/** The Markdown table. */
function report(results: readonly Drain[]): string {
  const peers = [...new Set(results.map((drain) => drain.peer))].sort().reverse();
  const rows = OPS.flatMap((op) => {
    const all = results.filter((drain) => drain.op === op);
    const native = all.filter((drain) => drain.clientPeakMb === 0).map((drain) => drain.drainS);
    return peers.map((peer) => {
      const mine = all.filter((drain) => drain.peer === peer);
      const pick = (value: (drain: Drain) => number) => mine.map(value);
      const drainS = median(pick((drain) => drain.drainS));
      const isClient = mine[0]!.clientPeakMb > 0;
      return [
        `${op} ${mine[0]!.rows.toLocaleString("en-US")}`,
        peer,
        spread(pick((drain) => drain.statementS), 2),
        spread(pick((drain) => drain.drainS), 2),
        `${(mine[0]!.rows / drainS / 1000).toFixed(0)}k`,
        native.length === 0 ? "" : (drainS / median(native)).toFixed(2),
        isClient ? median(pick((drain) => drain.clientCpuS)).toFixed(1) : "",
        median(pick((drain) => drain.subscriberCpuS)).toFixed(1),
        median(pick((drain) => drain.providerCpuS)).toFixed(1),
        isClient ? Math.max(...pick((drain) => drain.clientPeakMb)).toFixed(0) : "",
        median(pick((drain) => drain.foreignCores)).toFixed(2),
      ];
    });
  });
  return table(
    [
      ...["rows", "by", "statement on the provider, s", "drain, s", "rows/s", "× native"],
      ...["CPU s: skyq", "subscriber", "provider", "skyq peak MB", "others' cores"],
    ],
    rows,
  );
}

async function run(
  size: Size,
  kinds: readonly PeerKind[] = PEERS,
  settings: Record<string, string> = {},
): Promise<void> {
  await using clusters = await benchPair({ fsync: size.fsync });
  const results = await drains(size, clusters, kinds, settings);
  console.log(`\n${report(results)}\n\n${await machine(clusters)}; median [min–max] of ${size.rounds} rounds.`);
}

/** One round with few rows. */
export function smoke(): Promise<void> {
  return run(SMOKE);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rows: { type: "string", default: String(FULL.rowCount) },
      rounds: { type: "string", default: String(FULL.rounds) },
      only: { type: "string" },
      set: { type: "string", multiple: true, default: [] },
    },
  });
  await run(
    { ...FULL, rowCount: Number(values.rows), rounds: Number(values.rounds) },
    values.only === undefined ? undefined : PEERS.filter((kind) => kind === values.only),
    Object.fromEntries(values.set.map((pair) => [pair.slice(0, pair.indexOf("=")), pair.slice(pair.indexOf("=") + 1)])),
  );
}

benchOnce("drain", () => run(FULL));
