/**
 * usage: deno bench -A bench/flow/copy_bench.ts
 *    or: deno run -A bench/flow/copy_bench.ts [--rows N] [--rounds N] [--only NAME]…
 *
 * The first copy of one table of 8 columns with a primary key and another index: in one piece, and in chunks over 1, 2 and
 * 4 connections, by key and (with the rows in random order) by place. Beside it, on the same servers and rows, what an
 * operator would do by hand: `psql -c 'copy … to stdout' | psql -c 'copy … from stdin'`, with the indexes there, and with
 * the indexes made afterwards. Nobody writes meanwhile. Prints a Markdown table; the sides' checksums must be equal.
 */
import { parseArgs } from "node:util";
import { Job } from "../../tests/flow/job.ts";
import { waitFor } from "../../tests/harness/wait_for.ts";
import { CHECKSUM, statementOf } from "../data/t8.ts";
import { type BenchPair, benchPair, machine, Sides } from "./clusters.ts";
import { cpuSeconds, cpuSecondsOfTree, ForeignLoad, peakResidentMb } from "./cpu.ts";
import { benchOnce } from "./once.ts";
import { median, spread, table } from "./report.ts";

interface Size {
  readonly rowCount: number;
  readonly rounds: number;
  readonly fsync: boolean;
  /** Of the copies in chunks. */
  readonly chunkMb: number;
}

const FULL: Size = { rowCount: 1_000_000, rounds: 3, fsync: true, chunkMb: 32 };
const SMOKE: Size = { rowCount: 2_000, rounds: 1, fsync: false, chunkMb: 0.05 };
const LIMIT_MS = 300_000;

/** How the rows lie in the provider's table. */
type Order = "key" | "random";

type Way =
  /** `connections` 0: in one piece. */
  | { readonly name: string; readonly order: Order; readonly connections: number }
  | { readonly name: string; readonly order: Order; readonly pipe: "with indexes" | "indexes after" };

const WAYS: readonly Way[] = [
  { name: "psql | psql", order: "key", pipe: "with indexes" },
  { name: "psql | psql, then indexes", order: "key", pipe: "indexes after" },
  { name: "skyq, one piece", order: "key", connections: 0 },
  { name: "skyq, chunks × 1", order: "key", connections: 1 },
  { name: "skyq, chunks × 2", order: "key", connections: 2 },
  { name: "skyq, chunks × 4", order: "key", connections: 4 },
  { name: "psql | psql, then indexes", order: "random", pipe: "indexes after" },
  { name: "skyq, one piece", order: "random", connections: 0 },
  { name: "skyq, chunks × 2", order: "random", connections: 2 },
];

interface Copy {
  readonly way: Way;
  /** From the start until the rows and the key's index are there. */
  readonly loadS: number;
  /** From the start until the table is handed over, or all indexes are there. */
  readonly readyS: number;
  readonly clientCpuS: number;
  readonly providerCpuS: number;
  readonly subscriberCpuS: number;
  readonly clientPeakMb: number;
  readonly foreignCores: number;
}

const INDEXES = ["alter table t8 add primary key (id)", "create index t8_customer on t8 (customer_id)"];

async function fill({ provider, subscriber }: Sides, order: Order, rowCount: number): Promise<void> {
  await provider.sql.unsafe(
    order === "key" ? statementOf("insert", rowCount) : `begin; create temp table ordered (like t8) on commit drop;
         ${statementOf("insert", rowCount).replace("insert into t8", "insert into ordered")};
         insert into t8 select * from ordered order by hashint8(id); commit`,
  );
  for (const { sql } of [provider, subscriber]) await sql.unsafe(INDEXES[1]!);
}

async function measure(way: Way, size: Size, clusters: BenchPair, sides: Sides): Promise<Copy> {
  await fill(sides, way.order, size.rowCount);
  await sides.settle();
  const [providerPid, subscriberPid] = clusters.serverPids() as [number, number];
  const cpuOf = () => [cpuSecondsOfTree(providerPid), cpuSecondsOfTree(subscriberPid)] as const;
  await using copied = "pipe" in way ? new Pipe(way.pipe, sides) : await Replay.start(way.connections, size, sides);
  const before = cpuOf();
  const foreign = new ForeignLoad(clusters.serverPids());
  const result = await copied.run();
  const foreignCores = foreign.cores();
  const after = cpuOf();
  const [here, there] = await Promise.all(sides.both.map(async ({ sql }) => {
    const [row] = await sql.unsafe(CHECKSUM).values();
    return String(row?.[0]);
  }));
  if (here !== there) throw new Error(`After ${way.name} the sides differ: ${here}, ${there}`);
  return { way, ...result, providerCpuS: after[0] - before[0], subscriberCpuS: after[1] - before[1], foreignCores };
}

type Result = Pick<Copy, "loadS" | "readyS" | "clientCpuS" | "clientPeakMb">;

/** Two psql and a pipe between them, as a shell does it. */
class Pipe implements AsyncDisposable {
  constructor(readonly indexes: "with indexes" | "indexes after", readonly sides: Sides) {}

  async run(): Promise<Result> {
    const { provider, subscriber } = this.sides;
    const isAfter = this.indexes === "indexes after";
    const startMs = performance.now();
    if (isAfter) await subscriber.sql.unsafe("alter table t8 drop constraint t8_pkey; drop index t8_customer");
    const { code, stderr } = await new Deno.Command("sh", {
      args: [
        "-c",
        'psql -qX "$1" -c "copy t8 to stdout" | psql -qX "$2" -c "copy t8 from stdin"',
        "sh",
        provider.database.dsn(),
        subscriber.database.dsn(),
      ],
    }).output();
    if (code !== 0) throw new Error(`psql ended with ${code}\n${new TextDecoder().decode(stderr)}`);
    if (isAfter) await subscriber.sql.unsafe(INDEXES[0]!);
    const loadS = (performance.now() - startMs) / 1000;
    if (isAfter) await subscriber.sql.unsafe(INDEXES[1]!);
    await subscriber.sql.unsafe("analyze t8");
    return { loadS, readyS: (performance.now() - startMs) / 1000, clientCpuS: 0, clientPeakMb: 0 };
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}

/** A replay that runs already, and is told to copy the table. */
class Replay implements AsyncDisposable {
  private constructor(readonly job: Job, readonly isChunked: boolean, readonly size: Size) {}

  /** @param connections 0: in one piece */
  static async start(connections: number, size: Size, { provider, subscriber }: Sides): Promise<Replay> {
    const job = new Job({
      provider: provider.database,
      subscriber: subscriber.database,
      settings: {
        copy_chunk_mb: String(connections === 0 ? 1_000_000 : size.chunkMb),
        copy_connections: String(Math.max(1, connections)),
      },
    });
    await job.install();
    job.startReplay();
    await job.run("provider", "add", "conf.ini", "t8");
    await job.finished();
    return new Replay(job, connections > 0, size);
  }

  async run(): Promise<Result> {
    const { job } = this;
    const cpuS = cpuSeconds(job.replay.pid);
    await job.run("subscriber", "add", "conf.ini", "t8");
    const state = async () => (await job.states()).get("public.t8") ?? "";
    await waitFor(async () => await state() !== "", { what: "the copy to begin", timeoutMs: LIMIT_MS, pollMs: 5 });
    const startMs = performance.now();
    await waitFor(async () => await state() !== "in-copy", { what: "the load", timeoutMs: LIMIT_MS, pollMs: 20 });
    const loadS = (performance.now() - startMs) / 1000;
    await waitFor(async () => await state() === "ok", { what: "the hand-over", timeoutMs: LIMIT_MS, pollMs: 20 });
    const readyS = (performance.now() - startMs) / 1000;
    const row = (await job.run("subscriber", "tables", "conf.ini", "--json")).trim();
    if ((JSON.parse(row).chunks !== null) !== this.isChunked) throw new Error(`The copy went another way: ${row}`);
    const { pid } = job.replay;
    return { loadS, readyS, clientCpuS: cpuSeconds(pid) - cpuS, clientPeakMb: peakResidentMb(pid) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.job[Symbol.asyncDispose]();
  }
}

async function run(size: Size, ways: readonly Way[] = WAYS): Promise<void> {
  await using clusters = await benchPair({ fsync: size.fsync });
  const copies: Copy[] = [];
  for (let round = 0; round < size.rounds; round++) {
    for (const [nth, way] of (round % 2 === 0 ? ways : ways.toReversed()).entries()) {
      await using sides = await Sides.create(clusters, `copy_${round}_${nth}`);
      const copy = await measure(way, size, clusters, sides);
      copies.push(copy);
      console.log(
        `round ${round + 1}: ${way.name} (${way.order}): load ${copy.loadS.toFixed(2)} s, ready ${
          copy.readyS.toFixed(2)
        } s, ` +
          `others took ${copy.foreignCores.toFixed(2)} cores`,
      );
    }
  }
  const rows = ways.map((way) => {
    const mine = copies.filter((copy) => copy.way === way);
    const pick = (value: (copy: Copy) => number) => mine.map(value);
    const isClient = mine[0]!.clientPeakMb > 0;
    return [
      way.order,
      way.name,
      spread(pick((copy) => copy.loadS), 2),
      spread(pick((copy) => copy.readyS), 2),
      isClient ? median(pick((copy) => copy.clientCpuS)).toFixed(1) : "",
      spread(pick((copy) => copy.providerCpuS), 1),
      spread(pick((copy) => copy.subscriberCpuS), 1),
      isClient ? Math.max(...pick((copy) => copy.clientPeakMb)).toFixed(0) : "",
      median(pick((copy) => copy.foreignCores)).toFixed(2),
    ];
  });
  const heads = ["rows by", "way", "rows and key, s", "all ready, s", "CPU s: skyq", "provider", "subscriber"];
  console.log(`\n${table([...heads, "skyq peak MB", "others' cores"], rows)}\n`);
  console.log(
    `${size.rowCount.toLocaleString("en-US")} rows; ${await machine(
      clusters,
    )}; median [min–max] of ${size.rounds} rounds.`,
  );
}

/** One round with few rows. */
export function smoke(): Promise<void> {
  return run(SMOKE, WAYS.filter((way) => !("pipe" in way) && way.connections !== 1 && way.connections !== 4));
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rows: { type: "string", default: String(FULL.rowCount) },
      rounds: { type: "string", default: String(FULL.rounds) },
      only: { type: "string", multiple: true, default: [] },
    },
  });
  await run(
    { ...FULL, rowCount: Number(values.rows), rounds: Number(values.rounds) },
    values.only.length === 0 ? WAYS : WAYS.filter((way) => values.only.includes(way.name)),
  );
}

benchOnce("copy", () => run(FULL));
