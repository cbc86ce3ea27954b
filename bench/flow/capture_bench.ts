/**
 * usage: deno bench -A bench/flow/capture_bench.ts
 *    or: deno run -A bench/flow/capture_bench.ts [--rounds N] [--million N] [--only none|row|statement|generic|C]…
 *
 * What it costs a statement that its rows are captured, over the same statement without a trigger: by row and by
 * statement, by our generic pgq.logutriga, and, where its files are installed, by the C trigger of the original
 * extension, in turn. Statements are prepared, each is a transaction. What is measured is the time that the backends
 * were on a CPU, which other jobs of the machine disturb least; for single rows also transactions per second. Prints
 * Markdown tables; all ways of capture must log the same events, and these must be the changed rows.
 */
import { parseArgs } from "node:util";
import { type Op, OPS } from "../data/t8.ts";
import { checkEvents, lastEvent, Sample } from "./capture_events.ts";
import { CapturedTable, hasExtension, type Load, type Mode, MODES } from "./capture_modes.ts";
import { type BenchPair, benchPair, machine } from "./clusters.ts";
import { cpuSeconds, ForeignLoad } from "./cpu.ts";
import { benchOnce } from "./once.ts";
import { median, spread, table } from "./report.ts";

interface Size {
  readonly loads: readonly Load[];
  readonly rounds: number;
  /** Rows of the one large statement, measured once. */
  readonly largeRows: number;
  readonly fsync: boolean;
}

function loads(counts: readonly (readonly [rowsPerStatement: number, statementCount: number])[]): Load[] {
  return [1, 4].flatMap((clientCount) =>
    counts.map(([rowsPerStatement, statementCount]) => ({ rowsPerStatement, statementCount, clientCount }))
  );
}

const FULL: Size = {
  loads: loads([[1, 12_000], [10, 3_000], [1_000, 60]]),
  rounds: 3,
  largeRows: 1_000_000,
  fsync: true,
};
const SMOKE: Size = { loads: loads([[1, 40], [10, 8], [1_000, 4]]), rounds: 1, largeRows: 5_000, fsync: false };
const CLIENTS_MAX = 4;
/** The generic trigger takes 0.1 ms a row: minutes for a million. */
const GENERIC_ROWS_MAX = 10_000;

interface Result {
  readonly mode: Mode;
  readonly op: Op;
  readonly load: Load;
  readonly round: number;
  /** CPU time of the backends for one row. */
  readonly rowUs: number;
  readonly perSecond: number;
}

/** CPU seconds of a process; in nanoseconds' resolution where the kernel tells, else in that of {@link cpuSeconds}. */
function preciseCpuSeconds(pid: number): number {
  try {
    return Number(Deno.readTextFileSync(`/proc/${pid}/schedstat`).split(" ")[0]) / 1e9;
  } catch {
    return cpuSeconds(pid);
  }
}

/** Inserts, updates and deletes the rows of a load, and adds the events' checksums to those that others had to log. */
async function measure(
  captured: CapturedTable,
  load: Load,
  round: number,
  checksums: Map<string, string>,
): Promise<Result[]> {
  const rowCount = load.rowsPerStatement * load.statementCount;
  const pids = captured.backendPids(load.clientCount);
  const cpu = () => pids.reduce((sum, pid) => sum + preciseCpuSeconds(pid), 0);
  const results: Result[] = [];
  await captured.clear();
  for (const op of OPS) {
    await captured.settle(op, load);
    const after = await lastEvent(captured);
    const before = await Sample.read(captured, rowCount);

    const startCpu = cpu();
    const startMs = performance.now();
    await captured.run(op, load);
    const seconds = (performance.now() - startMs) / 1000;
    const rowUs = (cpu() - startCpu) * 1e6 / rowCount;
    results.push({ mode: captured.mode, op, load, round, rowUs, perSecond: load.statementCount / seconds });

    const sample = op === "delete" ? before : await Sample.read(captured, rowCount);
    const checksum = await checkEvents(captured, { op, after, rowCount, sample });
    const key = `${op} ${rowCount}`;
    if (checksum !== null && (checksums.get(key) ?? checksum) !== checksum) {
      throw new Error(`Events of ${key} captured by "${captured.mode}" differ: ${checksum}, ${checksums.get(key)}`);
    }
    if (checksum !== null) checksums.set(key, checksum);
  }
  return results;
}

/** All rounds; the ways take turns, and who begins changes. */
async function measureAll(size: Size, clusters: BenchPair, modes: readonly Mode[]): Promise<Result[]> {
  await using stack = new AsyncDisposableStack();
  const tables: CapturedTable[] = [];
  for (const mode of modes) {
    tables.push(stack.use(await CapturedTable.create(clusters.provider, mode, CLIENTS_MAX)));
  }
  const results: Result[] = [];
  const checksums = new Map<string, string>();
  const add = async (captured: CapturedTable, load: Load, round: number) => {
    const measured = await measure(captured, load, round, checksums);
    results.push(...measured);
    const { rowsPerStatement, clientCount } = load;
    console.log(
      `round ${round + 1}, ${rowsPerStatement} × ${clientCount}, ${captured.mode}: ` +
        measured.map(({ op, rowUs }) => `${op} ${rowUs.toFixed(1)} µs`).join(", "),
    );
  };
  for (let round = 0; round < size.rounds; round++) {
    for (const load of size.loads) {
      for (const captured of round % 2 === 0 ? tables : tables.toReversed()) await add(captured, load, round);
    }
  }
  for (const captured of tables) {
    if (captured.mode === "generic" && size.largeRows > GENERIC_ROWS_MAX) continue;
    await add(captured, { rowsPerStatement: size.largeRows, statementCount: 1, clientCount: 1 }, 0);
    await captured.clear();
  }
  console.log(`${checksums.size} kinds of load logged the same events everywhere, and those were the changed rows.`);
  return results;
}

/** Results of one op and load, by round. */
class Group {
  constructor(readonly op: Op, readonly load: Load, readonly results: readonly Result[]) {}

  static all(results: readonly Result[]): Group[] {
    const loads = [...new Set(results.map(({ load }) => `${load.rowsPerStatement} ${load.clientCount}`))];
    return loads.flatMap((key) => {
      const same = results.filter(({ load }) => `${load.rowsPerStatement} ${load.clientCount}` === key);
      return OPS.map((op) => new Group(op, same[0]!.load, same.filter((result) => result.op === op)));
    });
  }

  /** A value of one way compared with the same round's of another, round by round. */
  compare(mode: Mode, other: Mode, value: (mine: Result, theirs: Result) => number): number[] {
    return this.results.filter((result) => result.mode === mode).flatMap((mine) => {
      const theirs = this.results.find(({ mode, round }) => mode === other && round === mine.round);
      return theirs === undefined ? [] : [value(mine, theirs)];
    });
  }

  /** CPU µs a row over the table without a trigger. */
  overheads(mode: Mode): number[] {
    return this.compare(mode, "none", (mine, bare) => mine.rowUs - bare.rowUs);
  }

  get heads(): [string, string] {
    return [this.op, `${this.load.rowsPerStatement.toLocaleString("en-US")} × ${this.load.clientCount}`];
  }
}

function cell(values: readonly number[], digits: number): string {
  return values.length === 0 ? "–" : spread(values, digits);
}

/** Overheads, and for single rows the share of the bare table's transactions. */
function report(results: readonly Result[], modes: readonly Mode[]): string {
  const captures = modes.filter((mode) => mode !== "none");
  const groups = Group.all(results);
  const ratio = (group: Group, mode: Mode) => {
    const [ours, theirs] = [group.overheads(mode), group.overheads("C")];
    return ours.length === 0 || theirs.length === 0 ? "–" : (median(ours) / median(theirs)).toFixed(2);
  };
  const overheads = table(
    ["op", "rows × clients", "bare, µs/row", ...captures.map((mode) => `${mode}, +µs`), "row / C", "statement / C"],
    groups.map((group) => [
      ...group.heads,
      cell(group.compare("none", "none", ({ rowUs }) => rowUs), 1),
      ...captures.map((mode) => cell(group.overheads(mode), 1)),
      ratio(group, "row"),
      ratio(group, "statement"),
    ]),
  );
  const rates = table(
    ["op", "rows × clients", "bare, tps", ...captures.map((mode) => `${mode}, share`)],
    groups.filter(({ load }) => load.rowsPerStatement === 1).map((group) => [
      ...group.heads,
      cell(group.compare("none", "none", ({ perSecond }) => perSecond), 0),
      ...captures.map((mode) => cell(group.compare(mode, "none", (mine, bare) => mine.perSecond / bare.perSecond), 2)),
    ]),
  );
  return `${overheads}\n\n${rates}`;
}

async function run(size: Size, wanted: readonly Mode[] = MODES): Promise<void> {
  // The second server stays idle.
  await using clusters = await benchPair({ fsync: size.fsync });
  const isThere = await hasExtension(clusters.provider);
  if (!isThere) console.log("The original extension is not installed: measured without it.");
  const modes = wanted.filter((mode) => mode !== "C" || isThere);
  const foreign = new ForeignLoad(clusters.serverPids());
  const results = await measureAll(size, clusters, modes);
  console.log(
    `\n${report(results, modes)}\n\n${await machine(clusters)}; median [min–max] of ${size.rounds} rounds, the large ` +
      `statement once; others took ${foreign.cores().toFixed(2)} cores.`,
  );
}

/** One round with few rows. */
export function smoke(): Promise<void> {
  return run(SMOKE);
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rounds: { type: "string", default: String(FULL.rounds) },
      million: { type: "string", default: String(FULL.largeRows) },
      only: { type: "string", multiple: true },
    },
  });
  const only = values.only;
  await run(
    { ...FULL, rounds: Number(values.rounds), largeRows: Number(values.million) },
    only === undefined ? undefined : MODES.filter((mode) => only.includes(mode)),
  );
}

benchOnce("capture", () => run(FULL));
