/**
 * Throw-away PostgreSQL clusters on loopback for tests, demo and benches.
 *
 * ```
 * this process ──stdin pipe──▶ sh (supervisor) ──▶ postgres
 * ```
 * The supervisor reads a pipe that only this process holds. However this process ends, kill -9 included, the pipe
 * closes, and the supervisor stops the server and removes its directory. What is left when even the supervisor was
 * killed is cleaned up by the next process that starts a cluster: the directory's name says who made it.
 */
import { join } from "node:path";
import { findPrograms, type Programs, type ServerUser, serverUser } from "./programs.ts";
import { childrenOf, commandLine, isAlive, processStart, signal } from "./proc.ts";
import { simpleQuery, SimpleSession } from "./simple_query.ts";

export interface ClusterOptions {
  /** Shown in messages and as `cluster_name`. */
  name?: string;
  /** Major version; default `SKYQ_PG_MAJOR`, else the machine's own programs, else npm's newest. */
  major?: number;
  /** Lines of postgresql.conf, over the defaults. */
  settings?: Record<string, string>;
  /** Whether commits reach the disk: off for tests, on for benches and crash tests of the machine. */
  fsync?: boolean;
  /** Lines of pg_hba.conf instead of "trust everybody"; the superuser's way in by socket is always kept. */
  pgHba?: readonly string[];
  /** PEM texts; with them the server takes TLS connections. */
  ssl?: { cert: string; key: string; ca?: string };
}

/** Where a running cluster is: all that another process needs to use it. */
export interface ClusterAddress {
  readonly name: string;
  readonly port: number;
  readonly socketDir: string;
  readonly dataDir: string;
  readonly logFile: string;
  readonly binDir: string;
  readonly major: number;
}

export type StopMode = "fast" | "immediate";

// /tmp also where TMPDIR says otherwise: every user can reach it, and a socket's path may have 107 bytes at most.
const TEMP_DIR = "/tmp";
const PREFIX = "skyq-pg-";
const START_LIMIT_MS = 60_000;
const STOP_LIMIT_MS = 60_000;

/**
 * $1 postgres, $2 the cluster's directory, $3 whether to keep the directory. Descriptor 3 is the pipe: a background
 * job's stdin is /dev/null. The file "orphaned" tells the two ways to end apart.
 */
const SUPERVISOR = `
exec 3<&0
"$1" -D "$2/data" >>"$2/log" 2>&1 3<&- &
server=$!
( while read -r _ <&3; do :; done; : >"$2/orphaned"; kill -QUIT $server ) &
watcher=$!
wait $server
status=$?
if [ -e "$2/orphaned" ]; then [ -n "$3" ] || rm -rf "$2"; else kill $watcher; fi
exit $status
`;

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function randomPort(): number {
  // Below the range of outgoing connections: one of those could take the port while a server restarts.
  for (;;) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    try {
      Deno.listen({ hostname: "127.0.0.1", port }).close();
      return port;
    } catch (error) {
      if (!(error instanceof Deno.errors.AddrInUse)) throw error;
    }
  }
}

/** Quotes a value of a libpq keyword string where it must be. */
function dsnValue(value: string): string {
  return /^[\w.:/-]+$/.test(value) ? value : `'${value.replaceAll(/[\\']/g, (c) => `\\${c}`)}'`;
}

/** Quotes an SQL identifier. */
export function ident(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

function removeDir(dir: string): void {
  try {
    Deno.removeSync(dir, { recursive: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

function postmasterPid(dataDir: string): number | null {
  try {
    return Number(Deno.readTextFileSync(join(dataDir, "postmaster.pid")).split("\n")[0]) || null;
  } catch {
    return null;
  }
}

/** Stops servers and removes directories whose maker is dead and whose supervisor did not do it. */
async function cleanStale(): Promise<void> {
  for (const entry of Deno.readDirSync(TEMP_DIR)) {
    const match = new RegExp(`^${PREFIX}(\\d+)-(\\d+)-`).exec(entry.name);
    if (match === null || processStart(Number(match[1])) === match[2]) continue;
    const dir = join(TEMP_DIR, entry.name);
    try {
      const pid = postmasterPid(join(dir, "data"));
      // The number may be another process's by now: a postmaster still has its directory in its command line.
      if (pid !== null && commandLine(pid).includes(dir)) {
        signal(pid, "SIGQUIT");
        for (let waitsLeft = 100; waitsLeft > 0 && isAlive(pid); waitsLeft--) await sleep(50);
      }
      removeDir(dir);
    } catch {
      // Another user's, or its supervisor is at work right now.
    }
  }
}

let cleaning: Promise<void> | null = null;

export class Cluster implements AsyncDisposable {
  readonly host = "127.0.0.1";
  readonly superuser = "postgres";
  readonly #dir: string | null;
  readonly #user: ServerUser | null;
  #address: ClusterAddress;
  #supervisor: Deno.ChildProcess | null = null;

  private constructor(address: ClusterAddress, dir: string | null, user: ServerUser | null) {
    this.#address = address;
    this.#dir = dir;
    this.#user = user;
  }

  get name(): string {
    return this.#address.name;
  }
  get port(): number {
    return this.#address.port;
  }
  get socketDir(): string {
    return this.#address.socketDir;
  }
  get dataDir(): string {
    return this.#address.dataDir;
  }
  get logFile(): string {
    return this.#address.logFile;
  }
  /** Directory of `postgres`, `initdb`, and, unless it came from npm, `psql` and `pg_dump`. */
  get binDir(): string {
    return this.#address.binDir;
  }
  get major(): number {
    return this.#address.major;
  }
  /** For {@link Cluster.attach} in another process. */
  get address(): ClusterAddress {
    return this.#address;
  }

  /**
   * Makes a cluster and starts it, in about 1.5 s.
   * @throws {Error} with the end of the server's log; nothing is left of it, unless `SKYQ_KEEP` is set
   */
  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    await (cleaning ??= cleanStale());
    const user = serverUser();
    const programs = await findPrograms(options.major, user);
    const dir = Deno.makeTempDirSync({
      dir: TEMP_DIR,
      prefix: `${PREFIX}${Deno.pid}-${processStart(Deno.pid) ?? 0}-`,
    });
    const address: ClusterAddress = {
      name: options.name ?? "test",
      port: randomPort(),
      socketDir: dir,
      dataDir: join(dir, "data"),
      logFile: join(dir, "log"),
      binDir: programs.binDir,
      major: programs.major,
    };
    if (user !== null) Deno.chownSync(dir, user.uid, user.gid);
    const cluster = new Cluster(address, dir, user);
    try {
      await cluster.#initialise(programs, options);
      for (let triesLeft = 5;; triesLeft--) {
        try {
          await cluster.#launch();
          return cluster;
        } catch (error) {
          if (triesLeft === 0 || !/could not bind|Address already in use/.test(cluster.logTail())) throw error;
          Deno.removeSync(cluster.logFile);
          cluster.#usePort(randomPort());
        }
      }
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** A cluster that another process started: it can be used, not stopped. */
  static attach(address: ClusterAddress): Cluster {
    return new Cluster(address, null, null);
  }

  async #initialise(programs: Programs, options: ClusterOptions): Promise<void> {
    const { success, stderr, stdout } = await this.#command(join(programs.binDir, "initdb"), [
      "--no-sync",
      ...["-D", this.dataDir, "-U", this.superuser, "-A", "trust", "-E", "UTF8", "--locale=C"],
    ]).output();
    if (!success) {
      const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
      throw new Error(`Cannot make cluster "${this.name}": initdb failed\n${text}`);
    }
    const fsync = options.fsync ?? false;
    const settings: Record<string, string> = {
      cluster_name: this.name,
      listen_addresses: this.host,
      unix_socket_directories: this.socketDir,
      max_connections: "300",
      shared_buffers: "128MB",
      wal_level: "logical",
      timezone: "UTC",
      log_timezone: "UTC",
      log_line_prefix: "%m [%p] %u@%d ",
      fsync: fsync ? "on" : "off",
      full_page_writes: fsync ? "on" : "off",
      ...this.#writeSsl(options.ssl),
      ...options.settings,
    };
    const lines = Object.entries(settings).map(([key, value]) => `${key} = '${value.replaceAll("'", "''")}'`);
    this.#configure(lines);
    this.#usePort(this.port);
    if (options.pgHba !== undefined) {
      const hba = [`local all ${this.superuser} trust`, ...options.pgHba];
      Deno.writeTextFileSync(join(this.dataDir, "pg_hba.conf"), `${hba.join("\n")}\n`);
    }
  }

  /** Adds lines to postgresql.conf, where the last one for a key counts. */
  #configure(lines: readonly string[]): void {
    Deno.writeTextFileSync(join(this.dataDir, "postgresql.conf"), `\n${lines.join("\n")}\n`, { append: true });
  }

  #usePort(port: number): void {
    this.#address = { ...this.#address, port };
    this.#configure([`port = ${port}`]);
  }

  #writeSsl(ssl: ClusterOptions["ssl"]): Record<string, string> {
    if (ssl === undefined) return {};
    const settings: Record<string, string> = { ssl: "on" };
    for (const [kind, text] of Object.entries(ssl)) {
      const path = join(this.dataDir, `${kind}.pem`);
      Deno.writeTextFileSync(path, text, { mode: 0o600 });
      if (this.#user !== null) Deno.chownSync(path, this.#user.uid, this.#user.gid);
      settings[`ssl_${kind}_file`] = path;
    }
    return settings;
  }

  #command(program: string, args: string[], options: Deno.CommandOptions = {}): Deno.Command {
    return new Deno.Command(program, {
      args,
      cwd: this.#dir ?? undefined,
      // None of our own PG* variables; a server takes its time zone and its messages' language from here.
      clearEnv: true,
      env: { PATH: Deno.env.get("PATH") ?? "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" },
      uid: this.#user?.uid,
      gid: this.#user?.gid,
      stdin: "null",
      ...options,
    });
  }

  #owned(act: string): string {
    if (this.#dir === null) throw new Error(`Cannot ${act} cluster "${this.name}": another process started it`);
    return this.#dir;
  }

  async #launch(): Promise<void> {
    const dir = this.#owned("start");
    const supervisor = this.#command("sh", [
      ...["-c", SUPERVISOR, "supervisor"],
      ...[join(this.binDir, "postgres"), dir, Deno.env.get("SKYQ_KEEP") ?? ""],
    ], {
      stdin: "piped",
      stdout: "null",
      stderr: "null",
      // In its own session: ctrl-C reaches us alone, and the pipe tells the rest.
      detached: true,
    }).spawn();
    supervisor.unref();
    this.#supervisor = supervisor;
    let isOver = false;
    supervisor.status.then(() => {
      isOver = true;
      if (this.#supervisor === supervisor) this.#supervisor = null;
    });
    const deadline = performance.now() + START_LIMIT_MS;
    while (!this.#isReady()) {
      if (isOver || performance.now() > deadline) {
        if (!isOver) await this.kill9();
        const keep = `SKYQ_KEEP=1 keeps "${this.logFile}"`;
        throw new Error(`Cannot start cluster "${this.name}": its log (${keep}) ends\n${this.logTail()}`);
      }
      await sleep(10);
    }
  }

  /** The eighth line of postmaster.pid is the server's state. */
  #isReady(): boolean {
    try {
      const lines = Deno.readTextFileSync(join(this.dataDir, "postmaster.pid")).split("\n");
      return lines[7]?.trim() === "ready" && isAlive(Number(lines[0]));
    } catch {
      return false;
    }
  }

  get isRunning(): boolean {
    return this.#dir === null ? this.#isReady() : this.#supervisor !== null;
  }

  /** The last lines of the server's log. */
  logTail(lineCount = 20): string {
    try {
      return Deno.readTextFileSync(this.logFile).trimEnd().split("\n").slice(-lineCount).join("\n");
    } catch {
      return "(no log)";
    }
  }

  /** A libpq keyword string over TCP. */
  dsn(database: string, user: string = this.superuser): string {
    return `host=${this.host} port=${this.port} dbname=${dsnValue(database)} user=${dsnValue(user)}`;
  }

  /**
   * Runs statements as the superuser, in one transaction unless they say otherwise, with none of the product's code.
   * @returns what `psql -At` prints: columns joined by `|`, rows by line feeds, NULL as nothing
   * @throws {ServerError} the server's first error
   */
  sql(database: string, text: string): Promise<string> {
    return simpleQuery(this.#target(database), text);
  }

  /** A session of the superuser's, for who has many statements: one each is most of what `sql` costs. */
  session(database: string): Promise<SimpleSession> {
    return SimpleSession.open(this.#target(database));
  }

  #target(database: string) {
    return { socket: join(this.socketDir, `.s.PGSQL.${this.port}`), user: this.superuser, database };
  }

  /** @param options.encoding with the C locale, which goes with any */
  async createDatabase(
    name: string,
    options: { template?: string; owner?: string; encoding?: string } = {},
  ): Promise<void> {
    const template = options.encoding !== undefined
      ? ` template template0 encoding '${options.encoding}' lc_collate 'C' lc_ctype 'C'`
      : options.template === undefined
      ? ""
      : ` template ${ident(options.template)}`;
    const owner = options.owner === undefined ? "" : ` owner ${ident(options.owner)}`;
    await this.sql("postgres", `create database ${ident(name)}${template}${owner}`);
  }

  /** Drops a database with everybody who is connected to it; nothing happens when there is none. */
  async dropDatabase(name: string): Promise<void> {
    await this.sql("postgres", `drop database if exists ${ident(name)} with (force)`);
  }

  /** Stops the server; nothing happens when it is down. @param mode `immediate` skips the checkpoint, as a crash would */
  async stop(mode: StopMode = "fast"): Promise<void> {
    this.#owned("stop");
    const supervisor = this.#supervisor;
    if (supervisor === null) return;
    const pid = postmasterPid(this.dataDir);
    if (pid !== null) signal(pid, mode === "fast" ? "SIGINT" : "SIGQUIT");
    const limit = setTimeout(() => {
      console.error(`Cluster "${this.name}" did not stop within ${STOP_LIMIT_MS} ms and is killed\n${this.logTail()}`);
      this.kill9();
    }, STOP_LIMIT_MS);
    await supervisor.status;
    clearTimeout(limit);
  }

  /** Stops the server if it runs, and starts it on the same port. */
  async restart(mode: StopMode = "fast"): Promise<void> {
    await this.stop(mode);
    await this.#launch();
  }

  /** Kills the postmaster and all its processes at once, as a power cut would. */
  async kill9(): Promise<void> {
    this.#owned("kill");
    const supervisor = this.#supervisor;
    const pid = postmasterPid(this.dataDir);
    if (supervisor === null) return;
    if (pid !== null && signal(pid, "SIGSTOP")) { // Stopped, so that it starts nothing more between list and kill.
      const killed = [...childrenOf(pid), pid];
      for (const each of killed) signal(each, "SIGKILL");
      while (killed.some(isAlive)) await sleep(1);
    } else {
      signal(supervisor.pid, "SIGKILL");
    }
    await supervisor.status;
  }

  /** Stops the server and removes everything it wrote, unless `SKYQ_KEEP` is set. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#dir === null) return;
    await this.stop("immediate");
    if (!Deno.env.get("SKYQ_KEEP")) removeDir(this.#dir);
  }
}

/** The variable by which `scripts/test.ts` tells test files where its clusters are: JSON of two addresses. */
export const PAIR_VARIABLE = "SKYQ_TEST_PAIR";

/** Starts a provider's and a subscriber's cluster at the same time. */
export function startPair(options: ClusterOptions = {}): Promise<[Cluster, Cluster]> {
  return Promise.all([
    Cluster.start({ ...options, name: "provider" }),
    Cluster.start({ ...options, name: "subscriber" }),
  ]);
}
