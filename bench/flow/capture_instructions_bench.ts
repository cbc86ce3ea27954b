/**
 * usage: deno bench -A bench/flow/capture_instructions_bench.ts
 *    or: deno run -A bench/flow/capture_instructions_bench.ts [--only row|statement|C]… [--sql FILE] [--functions N]
 *
 * What capture_bench.ts measures in time, in instructions of the backend: those of one more row in a large statement,
 * and of a statement of one row, over the same without a trigger. They repeat to half a percent on any machine, however
 * busy. A server that runs alone (`postgres --single`) is counted by valgrind's callgrind, without which this does
 * nothing. `--sql` runs a file in the tables' databases first, to try another body of a function; `--functions` shows in
 * which functions of the server the row's instructions are, each without what it calls.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { WireConnection } from "../../src/db/wire/connection.ts";
import { parseTarget } from "../../src/db/target.ts";
import { Cluster } from "../../tests/harness/cluster.ts";
import { serverUser } from "../../tests/harness/programs.ts";
import { type Op, OPS, SCHEMA } from "../data/t8.ts";
import { hasExtension, installCapture, type Mode, statements } from "./capture_modes.ts";
import { benchOnce } from "./once.ts";
import { table } from "./report.ts";

const CAPTURES = ["row", "statement", "C"] as const;
/** Statements of one row that are counted; the first of them are not, as plans settle. */
const SINGLE_COUNT = { full: 100, smoke: 3 };
const WARM_UP = 10;
/** Rows of the two large statements of an op: what the second takes more, its more rows take. */
const ROWS = { full: [500, 1_500], smoke: [10, 20] } as const;

interface Size {
  readonly singleCount: number;
  readonly rows: readonly [few: number, many: number];
}

interface Options {
  readonly captures: readonly Mode[];
  /** Statements for each database with a trigger. */
  readonly sql?: string;
  readonly functionCount?: number;
}

/** Instructions by function of the server, and in all. */
class Profile {
  readonly byFunction = new Map<string, number>();
  total = 0;

  add(name: string, count: number): void {
    this.byFunction.set(name, (this.byFunction.get(name) ?? 0) + count);
    this.total += count;
  }

  /** Adds another's counts, `factor` times. */
  merge(other: Profile, factor: number): this {
    for (const [name, count] of other.byFunction) this.add(name, count * factor);
    return this;
  }

  /** Reads what callgrind wrote; the format is the manual's, "Callgrind Format Specification". */
  static parse(text: string): Profile {
    const profile = new Profile();
    const names = new Map<string, string>();
    let current = "";
    let isCall = false;
    for (const line of text.split("\n")) {
      const name = /^(c?fn)=(\(\d+\))(?: (.*))?$/.exec(line);
      if (name !== null) {
        if (name[3] !== undefined) names.set(name[2]!, name[3]);
        if (name[1] === "fn") current = names.get(name[2]!) ?? name[2]!;
      } else if (line.startsWith("calls=")) {
        isCall = true; // the next line is what the called function cost
      } else if (/^[-+*\d]/.test(line)) {
        if (!isCall) profile.add(current, Number(line.split(" ")[1]));
        isCall = false;
      }
    }
    return profile;
  }
}

function isThere(program: string): boolean {
  try {
    return new Deno.Command(program, { args: ["--version"], stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/**
 * Runs statements, each a transaction, on a server of their own.
 * @returns what each took
 * @throws {Error} a statement failed
 */
async function count(cluster: Cluster, database: string, texts: readonly string[]): Promise<Profile[]> {
  const user = serverUser();
  const out = join(cluster.socketDir, `counts.${database}`);
  const command = new Deno.Command("valgrind", {
    args: [
      // Called when a statement is over.
      ...["--tool=callgrind", `--callgrind-out-file=${out}`, "--dump-before=ReadyForQuery"],
      ...[join(cluster.binDir, "postgres"), "--single", "-j", "-D", cluster.dataDir],
      ...["-c", "jit=off", "-c", "synchronous_commit=off", "-c", "max_parallel_workers_per_gather=0", database],
    ],
    cwd: cluster.socketDir,
    uid: user?.uid,
    gid: user?.gid,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = command.stdin.getWriter();
  await writer.write(new TextEncoder().encode([...texts, "select 1"].map((text) => `${text};\n\n`).join("")));
  await writer.close();
  const { stdout, stderr } = await command.output();
  const said = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
  const error = /(?:ERROR|FATAL|PANIC):.*/.exec(said);
  if (error !== null) throw new Error(`Cannot count in database "${database}": ${error[0]}`);
  // File 1 is what was done before the first statement.
  return texts.map((_, i) => Profile.parse(Deno.readTextFileSync(`${out}.${i + 2}`)));
}

type Counts = Record<Op, { single: number; row: Profile }>;

/** Counts for one way of capture. */
async function countMode(cluster: Cluster, mode: Mode, size: Size): Promise<Counts> {
  const [single, many] = [statements(true), statements(false)];
  const texts: string[] = [];
  const marks: { op: Op; single: number; few: number; many: number }[] = [];
  for (const op of OPS) {
    texts.push(`prepare ${op}_one (int8, int8) as ${single[op]}`, `prepare ${op}_many (int8, int8) as ${many[op]}`);
  }
  for (const op of OPS) {
    let next = 1;
    const execute = (kind: string, rowCount: number) => {
      texts.push(`execute ${op}_${kind} (${next}, ${next + rowCount - 1})`);
      next += rowCount;
      return texts.length - 1;
    };
    for (let i = 0; i < WARM_UP; i++) execute("one", 1);
    const singleAt = texts.length;
    for (let i = 0; i < size.singleCount; i++) execute("one", 1);
    for (let i = 0; i < WARM_UP; i++) execute("many", 2);
    marks.push({ op, single: singleAt, few: execute("many", size.rows[0]), many: execute("many", size.rows[1]) });
  }
  const profiles = await count(cluster, databaseOf(mode), texts);
  const rowsMore = size.rows[1] - size.rows[0];
  return Object.fromEntries(marks.map((mark) => [mark.op, {
    single: profiles.slice(mark.single, mark.single + size.singleCount).reduce((sum, { total }) => sum + total, 0) /
      size.singleCount,
    row: new Profile().merge(profiles[mark.many]!, 1 / rowsMore).merge(profiles[mark.few]!, -1 / rowsMore),
  }])) as Counts;
}

function databaseOf(mode: Mode): string {
  return `count_${mode.toLowerCase()}`;
}

async function prepare(cluster: Cluster, mode: Mode, sql: string | undefined): Promise<void> {
  await cluster.createDatabase(databaseOf(mode));
  const db = await WireConnection.connect(parseTarget(cluster.dsn(databaseOf(mode))), {});
  await db.exec(SCHEMA);
  if (mode !== "none") {
    await installCapture(db, mode);
    if (sql !== undefined) await db.exec(sql);
  }
  await db.close();
}

async function run(size: Size, { captures, sql, functionCount = 0 }: Options): Promise<void> {
  if (!isThere("valgrind")) {
    console.log("valgrind is not installed: nothing to count with.");
    return;
  }
  await using cluster = await Cluster.start({
    name: "instructions",
    settings: { autovacuum: "off", shared_buffers: "256MB" },
  });
  const hasC = await hasExtension(cluster);
  if (!hasC) console.log("The original extension is not installed: counted without it.");
  const modes = captures.filter((mode) => mode !== "C" || hasC);
  for (const mode of ["none", ...modes] as Mode[]) await prepare(cluster, mode, sql);
  await cluster.stop();

  const bare = await countMode(cluster, "none", size);
  const counts = new Map<Mode, Counts>();
  for (const mode of modes) counts.set(mode, await countMode(cluster, mode, size));

  const over = (mode: Mode, op: Op, value: (of: Counts[Op]) => number) =>
    value(counts.get(mode)![op]) - value(bare[op]);
  const report = (head: string, value: (of: Counts[Op]) => number) =>
    table(
      ["op", head, ...modes, ...(hasC && modes.includes("C") ? modes.map((mode) => `${mode} / C`) : [])],
      OPS.map((op) => [
        op,
        Math.round(value(bare[op])).toString(),
        ...modes.map((mode) => `+${Math.round(over(mode, op, value))}`),
        ...(modes.includes("C") ? modes.map((mode) => (over(mode, op, value) / over("C", op, value)).toFixed(3)) : []),
      ]),
    );
  console.log(`\n${report("one row, bare", ({ single }) => single)}`);
  console.log(`\n${report(`a row of ${size.rows[1]}, bare`, ({ row }) => row.total)}`);
  if (functionCount === 0) return;
  for (const mode of modes) {
    for (const op of OPS) {
      const rest = new Profile().merge(counts.get(mode)![op].row, 1).merge(bare[op].row, -1);
      const most = [...rest.byFunction].sort(([, a], [, b]) => b - a).slice(0, functionCount);
      console.log(`\n${mode}, ${op}: where a row's instructions are`);
      for (const [name, instructions] of most) {
        console.log(`${Math.round(instructions).toString().padStart(8)} ${name}`);
      }
    }
  }
}

/** A few rows. */
export function smoke(): Promise<void> {
  return run({ singleCount: SINGLE_COUNT.smoke, rows: ROWS.smoke }, { captures: CAPTURES });
}

const FULL: Size = { singleCount: SINGLE_COUNT.full, rows: ROWS.full };

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      only: { type: "string", multiple: true },
      sql: { type: "string" },
      functions: { type: "string", default: "0" },
    },
  });
  const only = values.only;
  await run(FULL, {
    captures: only === undefined ? CAPTURES : CAPTURES.filter((mode) => only.includes(mode)),
    sql: values.sql === undefined ? undefined : Deno.readTextFileSync(values.sql),
    functionCount: Number(values.functions),
  });
}

benchOnce("capture, instructions", () => run(FULL, { captures: CAPTURES }));
