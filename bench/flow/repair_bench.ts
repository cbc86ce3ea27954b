/**
 * usage: deno bench -A bench/flow/repair_bench.ts
 *    or: SKYQ_BIN=dist/skyq deno run -A bench/flow/repair_bench.ts [--rows N] [--rounds N] [--no-londiste]
 *
 * Two million rows on both sides, a third of a thousand each changed, missing and extra on the subscriber. How long
 * compare and repair take, beside the time of just reading both sides in key order at once (two COPY … ORDER BY whose
 * bytes nobody looks at), and beside Londiste 3 where its programs are installed, on the same rows and servers. All take
 * turns; times are of whole processes, with their start, the lock and the tick: once with short pauses of ticker and
 * replay for both, once with what each has when nobody sets anything. Prints a Markdown table.
 */
import { parseArgs } from "node:util";
import { join } from "node:path";
import { parseTarget } from "../../src/db/target.ts";
import { WireConnection } from "../../src/db/wire/connection.ts";
import { Job } from "../../tests/flow/job.ts";
import { guard, spawnSkyq } from "../../tests/harness/process.ts";
import { SlowLink } from "../../tests/harness/slow_link.ts";
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
  readonly pauses: readonly Pauses[];
}

const FULL: Size = { rowCount: 2_000_000, rounds: 3, fsync: true, pauses: ["short", "default"] };
const SMOKE: Size = { rowCount: 3_000, rounds: 1, fsync: false, pauses: ["short"] };
/** Differences of each kind. */
const EACH = 333;
const LIMIT_MS = 600_000;

/** Pauses of ticker, replay and queue: a tenth of a second, or what comes with the program. */
type Pauses = "short" | "default";
/** Stands behind what was run with the program's own. */
const AS_INSTALLED = ", own pauses";

interface Measured {
  readonly what: string;
  readonly seconds: number;
  /** Of the client and its children. */
  readonly cpuS: number;
  /** Of both servers, whoever they worked for meanwhile. */
  readonly serverCpuS: number;
  readonly peakMb: number | null;
  readonly foreignCores: number;
}

function serverSeconds(clusters: BenchPair): number {
  return clusters.serverPids().reduce((sum, pid) => sum + cpuSecondsOfTree(pid), 0);
}

/** What a process took, looked at while it runs. */
async function watched(
  what: string,
  clusters: BenchPair,
  start: () => { pid: number; end: Promise<number> },
  exits: number[],
): Promise<Measured> {
  const foreign = new ForeignLoad(clusters.serverPids());
  const startServerS = serverSeconds(clusters);
  const startMs = performance.now();
  const { pid, end } = start();
  let peakMb = 0;
  let cpuS = 0;
  let isOver = false;
  const watching = (async () => {
    while (!isOver) {
      peakMb = Math.max(peakMb, peakResidentMb(pid));
      cpuS = Math.max(cpuS, cpuSecondsOfTree(pid));
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  })();
  const code = await end;
  isOver = true;
  const seconds = (performance.now() - startMs) / 1000;
  await watching;
  if (!exits.includes(code)) throw new Error(`${what} ended with ${code}`);
  return {
    what,
    seconds,
    cpuS,
    serverCpuS: serverSeconds(clusters) - startServerS,
    peakMb,
    foreignCores: foreign.cores(),
  };
}

function skyqRun(job: Job, clusters: BenchPair, what: string, exits: number[], ...args: string[]): Promise<Measured> {
  return watched(what, clusters, () => {
    const process = spawnSkyq(args, { cwd: job.dir });
    return {
      pid: process.pid,
      end: process.wait(LIMIT_MS).then(({ code, stderr }) => {
        if (!exits.includes(code)) console.error(stderr);
        return code;
      }),
    };
  }, exits);
}

/** Both sides in key order, to nowhere. */
async function readBoth(sides: Sides, clusters: BenchPair): Promise<Measured> {
  const connections = await Promise.all(
    sides.both.map(({ database }) => WireConnection.connect(parseTarget(database.dsn()), { settings: { jit: "off" } })),
  );
  const foreign = new ForeignLoad(clusters.serverPids());
  const [startServerS, startOwnS] = [serverSeconds(clusters), cpuSeconds(Deno.pid)];
  const startMs = performance.now();
  await Promise.all(connections.map(async (connection) => {
    for await (const _ of connection.copyOut("copy (select * from only t8 order by id) to stdout")) { /* nowhere */ }
  }));
  const seconds = (performance.now() - startMs) / 1000;
  const foreignCores = foreign.cores();
  const cpuS = cpuSeconds(Deno.pid) - startOwnS;
  await Promise.all(connections.map((connection) => connection.close()));
  return {
    what: READ_BOTH,
    seconds,
    cpuS,
    serverCpuS: serverSeconds(clusters) - startServerS,
    peakMb: null,
    foreignCores,
  };
}

const READ_BOTH = "two COPY … ORDER BY id at once, to nowhere";

/** Fills both sides with the same rows. */
async function fill(sides: Sides, rowCount: number): Promise<void> {
  await Promise.all(sides.both.map(({ sql }) => sql.unsafe(statementOf("insert", rowCount))));
}

/** Rows of the subscriber that differ, as nobody's replication would have left them. */
async function diverge(sides: Sides, rowCount: number): Promise<void> {
  const step = Math.floor(rowCount / EACH);
  await sides.subscriber.database.sql(
    `set session_replication_role = replica;
     update t8 set note = 'other' where id % ${step} = 1 and id <= ${EACH * step};
     delete from t8 where id % ${step} = 2 and id <= ${EACH * step};
     insert into t8 select ${rowCount} + i, 1, 'new', now(), 1, 'extra', null, now() from generate_series(1, ${EACH}) i`,
  );
  await sides.settle();
}

async function expectEqual(sides: Sides, who: string): Promise<void> {
  const [here, there] = await Promise.all(
    sides.both.map(async ({ sql }) => String((await sql.unsafe(CHECKSUM).values())[0]?.[0])),
  );
  if (here !== there) throw new Error(`After ${who} the sides differ: ${here}, ${there}`);
}

/** skyq's part. */
async function ofSkyq(size: Size, clusters: BenchPair, round: number, pauses: Pauses): Promise<Measured[]> {
  await using sides = await Sides.create(clusters, `repair_skyq_${round}_${pauses}`);
  await fill(sides, size.rowCount);
  await using job = new Job({
    provider: sides.provider.database,
    subscriber: sides.subscriber.database,
    settings: pauses === "short" ? {} : { loop_delay: "1" },
  });
  await job.install();
  if (pauses === "default") await sides.provider.sql`select pgq.set_queue_config('q', 'ticker_max_lag', '3 seconds')`;
  await job.run("provider", "add", "conf.ini", "t8");
  await job.run("subscriber", "add", "conf.ini", "t8", "--expect-sync");
  job.startReplay();
  await job.caughtUp();
  await sides.settle();
  const results: Measured[] = [];
  const run = async (what: string, exits: number[], ...args: string[]) =>
    void results.push(await skyqRun(job, clusters, what, exits, ...args));
  results.push(await readBoth(sides, clusters));
  if (pauses === "short") {
    await run("skyq compare, equal", [0], "compare", "conf.ini", "t8", "--method=stream");
    await run("skyq compare, equal, hashes", [0], "compare", "conf.ini", "t8", "--method=hash");
  }
  await diverge(sides, size.rowCount);
  results.push(await readBoth(sides, clusters));
  const how = pauses === "short" ? "" : AS_INSTALLED;
  await run(`skyq compare${how}`, [3], "compare", "conf.ini", "t8");
  await run(`skyq repair (fix file)${how}`, [3], "repair", "conf.ini", "t8");
  await run(`skyq repair --apply${how}`, [0], "repair", "conf.ini", "t8", "--apply");
  results.push(await readBoth(sides, clusters));
  await expectEqual(sides, "skyq repair --apply");
  if (round === 0 && pauses === "short") await overSlowPath(sides);
  return results;
}

/** Bytes for equal tables on a path of 20 Mbit/s. */
async function overSlowPath(sides: Sides): Promise<void> {
  const links = sides.both.map(({ database: { cluster } }) =>
    SlowLink.open({ host: cluster.host, port: cluster.port, bytesPerSecond: 2.5e6 })
  );
  try {
    const [source, target] = sides.both.map(({ database }, n) =>
      database.dsn().replace(/port=\d+/, `port=${links[n]!.port}`)
    );
    const startMs = performance.now();
    await using process = spawnSkyq(["compare", `--source=${source}`, `--target=${target}`, "t8"]);
    const { code } = await process.wait(LIMIT_MS);
    const seconds = (performance.now() - startMs) / 1000;
    if (code !== 0) throw new Error(`compare over a slow path ended with ${code}`);
    const [row] = await sides.provider.sql`select pg_table_size('t8')::float8 as size`;
    const bytes = Math.max(...links.map((link) => link.bytes));
    console.log(
      `over 20 Mbit/s, equal tables: ${seconds.toFixed(1)} s, ${(bytes / 1e6).toFixed(2)} MB a side of a table of ` +
        `${(row!.size / 1e6).toFixed(0)} MB (${((bytes / row!.size) * 100).toFixed(2)} %)`,
    );
  } finally {
    await Promise.all(links.map((link) => link[Symbol.asyncDispose]()));
  }
}

/** Londiste's part. */
async function ofLondiste(size: Size, clusters: BenchPair, round: number, pauses: Pauses): Promise<Measured[]> {
  await using sides = await Sides.create(clusters, `repair_londiste_${round}_${pauses}`);
  await fill(sides, size.rowCount);
  await using londiste = await Londiste.start(sides, pauses);
  await sides.settle();
  await diverge(sides, size.rowCount);
  const run = (what: string, exits: number[], ...args: string[]) =>
    watched(what, clusters, () => londiste.spawn("sub.ini", ...args), exits);
  const how = pauses === "short" ? "" : AS_INSTALLED;
  return [
    await run(`londiste compare${how}`, [0, 1], "compare", "t8"),
    await run(`londiste repair (fix file)${how}`, [0], "repair", "t8"),
    await run(`londiste repair --apply${how}`, [0], "repair", "t8", "--apply"),
  ];
}

/** A root and a leaf of Londiste 3, their workers and a ticker. */
class Londiste implements AsyncDisposable {
  readonly #dir: string;
  readonly #daemons: { pid: number; end: Promise<number>; kill(): void }[] = [];

  private constructor(dir: string) {
    this.#dir = dir;
  }

  static isInstalled(): boolean {
    return ["londiste", "pgqd"].every((name) =>
      (Deno.env.get("PATH") ?? "").split(":").some((dir) => {
        try {
          return Deno.statSync(join(dir, name)).isFile;
        } catch {
          return false;
        }
      })
    );
  }

  static async start(sides: Sides, pauses: Pauses): Promise<Londiste> {
    const dir = Deno.makeTempDirSync({ prefix: "skyq-bench-" });
    const londiste = new Londiste(dir);
    const { provider, subscriber } = sides;
    const short = (line: string) => pauses === "short" ? line : "";
    const config = (name: string, job: string, dsn: string) =>
      Deno.writeTextFileSync(
        join(dir, name),
        `[londiste]\njob_name = ${job}\ndb = ${dsn}\nqueue_name = q\n${
          short("loop_delay = 0.1\n")
        }logfile = ${dir}/${job}.log\npidfile = ${dir}/${job}.pid\n`,
      );
    config("root.ini", "root", provider.database.dsn());
    config("sub.ini", "sub", subscriber.database.dsn());
    const { host, port, superuser } = provider.database.cluster;
    Deno.writeTextFileSync(
      join(dir, "pgqd.ini"),
      `[pgqd]\nbase_connstr = host=${host} port=${port} user=${superuser}\ndatabase_list = ${provider.database.name}\n${
        short("ticker_period = 0.1\n")
      }pidfile = ${dir}/pgqd.pid\n`,
    );
    try {
      await londiste.run("root.ini", "create-root", "root", provider.database.dsn());
      await londiste.run(
        "sub.ini",
        "create-leaf",
        "sub",
        subscriber.database.dsn(),
        `--provider=${provider.database.dsn()}`,
      );
      if (pauses === "short") {
        await provider.sql`select pgq.set_queue_config('q', 'ticker_max_lag', '200 milliseconds')`;
      }
      londiste.#daemons.push(londiste.#start("pgqd", "pgqd.ini"));
      for (const name of ["root.ini", "sub.ini"]) londiste.#daemons.push(londiste.spawn(name, "worker"));
      await londiste.run("root.ini", "add-table", "t8");
      await waitFor(
        async () => (await subscriber.sql`select 1 from londiste.table_info where table_name = 'public.t8'`).length > 0,
        {
          what: "the leaf to know the table",
          timeoutMs: 60_000,
        },
      );
      await londiste.run("sub.ini", "add-table", "t8", "--expect-sync");
    } catch (error) {
      await londiste[Symbol.asyncDispose]();
      throw error;
    }
    return londiste;
  }

  spawn(config: string, ...args: string[]) {
    return this.#start("londiste", config, ...args);
  }

  #start(program: string, ...args: string[]) {
    const child = new Deno.Command(program, { args, cwd: this.#dir, stdin: "null", stdout: "null", stderr: "piped" })
      .spawn();
    const release = guard(child.pid);
    const text = new Response(child.stderr).text();
    const end = child.status.then(async ({ code }) => {
      release();
      if (code > 1 && code < 128) console.error(await text);
      return code;
    });
    return { pid: child.pid, end, kill: () => child.kill("SIGKILL") };
  }

  async run(config: string, ...args: string[]): Promise<void> {
    const code = await this.spawn(config, ...args).end;
    if (code !== 0) throw new Error(`londiste ${config} ${args.join(" ")} ended with ${code}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const daemon of this.#daemons) {
      daemon.kill();
      await daemon.end;
    }
    Deno.removeSync(this.#dir, { recursive: true });
  }
}

function report(results: readonly Measured[], rowCount: number): string {
  const floor = median(results.filter(({ what }) => what === READ_BOTH).map(({ seconds }) => seconds));
  const londiste = (what: string) => {
    const same = results.filter((each) => each.what === what.replace(/^skyq/, "londiste")).map(({ seconds }) =>
      seconds
    );
    return /^skyq/.test(what) && same.length > 0 ? median(same) : null;
  };
  const rows = [...new Set(results.map(({ what }) => what))].map((what) => {
    const mine = results.filter((each) => each.what === what);
    const seconds = mine.map((each) => each.seconds);
    const theirs = londiste(what);
    const peak = mine.flatMap(({ peakMb }) => peakMb ?? []);
    return [
      what,
      spread(seconds, 1),
      `${(rowCount / median(seconds) / 1e6).toFixed(2)}M`,
      (median(seconds) / floor).toFixed(2),
      theirs === null ? "" : (median(seconds) / theirs).toFixed(2),
      median(mine.map(({ cpuS }) => cpuS)).toFixed(1),
      median(mine.map(({ serverCpuS }) => serverCpuS)).toFixed(1),
      peak.length === 0 ? "" : Math.max(...peak).toFixed(0),
      median(mine.map(({ foreignCores }) => foreignCores)).toFixed(2),
    ];
  });
  return table(
    [
      "what",
      "seconds",
      "rows/s",
      "× reading",
      "× londiste",
      "client CPU s",
      "servers' CPU s",
      "client peak MB",
      "others' cores",
    ],
    rows,
  );
}

async function run(size: Size, { withLondiste }: { withLondiste: boolean }): Promise<void> {
  await using clusters = await benchPair({ fsync: size.fsync });
  const results: Measured[] = [];
  for (let round = 0; round < size.rounds; round++) {
    const parts = [ofSkyq, ...(withLondiste && Londiste.isInstalled() ? [ofLondiste] : [])];
    const turns = parts.flatMap((part) => size.pauses.map((pauses) => [part, pauses] as const));
    for (const [part, pauses] of round % 2 === 0 ? turns : turns.toReversed()) {
      const measured = await part(size, clusters, round, pauses);
      results.push(...measured);
      for (const { what, seconds, cpuS, serverCpuS, peakMb, foreignCores } of measured) {
        console.log(
          `round ${round + 1}: ${what}: ${seconds.toFixed(2)} s${
            peakMb === null ? "" : `, ${peakMb.toFixed(0)} MB`
          }, ` +
            `CPU ${cpuS.toFixed(1)} + ${serverCpuS.toFixed(1)} s, ` +
            `others took ${foreignCores.toFixed(2)} cores`,
        );
      }
    }
  }
  console.log(
    `\n${report(results, size.rowCount)}\n\n${await machine(clusters)}; median [min–max] of ${size.rounds} rounds.`,
  );
}

/** One round with few rows; without Londiste, whose handshakes take seconds. */
export function smoke(): Promise<void> {
  return run(SMOKE, { withLondiste: false });
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      rows: { type: "string", default: String(FULL.rowCount) },
      rounds: { type: "string", default: String(FULL.rounds) },
      "no-londiste": { type: "boolean", default: false },
    },
  });
  await run(
    { ...FULL, rowCount: Number(values.rows), rounds: Number(values.rounds) },
    { withLondiste: !values["no-londiste"] },
  );
}

benchOnce("repair", () => run(FULL, { withLondiste: true }));
