/** Nodes of Londiste 3, run by its own programs. */
import { lendDatabases, type LentDatabase, pair } from "../../harness/pair.ts";
import { guard } from "../../harness/process.ts";
import { waitFor } from "../../harness/wait_for.ts";

function hasProgram(program: string, ...args: string[]): boolean {
  try {
    return new Deno.Command(program, { args, stdout: "null", stderr: "null" }).outputSync().success;
  } catch {
    return false;
  }
}

/** What is missing for tests beside Londiste 3, null when all is there. */
export async function whyNoLondiste3(): Promise<string | null> {
  if (!hasProgram("londiste", "--version")) return "londiste is not installed";
  if (!hasProgram("pgqd", "-V")) return "pgqd is not installed";
  for (const cluster of Object.values(await pair())) {
    const count = await cluster.sql(
      "postgres",
      "select count(*) from pg_available_extensions where name in ('pgq', 'pgq_node', 'londiste')",
    );
    if (count.trim() !== "3") return "its extensions are not installed";
  }
  return null;
}

/** One node with its config file and its worker. */
export class LondisteNode implements AsyncDisposable {
  #release: () => void = () => {};

  constructor(readonly dir: string, readonly name: string, readonly worker: string, readonly database: LentDatabase) {
    Deno.writeTextFileSync(
      this.#file("ini"),
      `[londiste]\njob_name = ${worker}\ndb = ${database.dsn()}\nqueue_name = q\nloop_delay = 0.1\nuse_skylog = 0\n` +
        `exception_sleep = 1\nparallel_copies = 8\nlogfile = ${this.#file("log")}\npidfile = ${this.#file("pid")}\n`,
    );
  }

  #file(kind: string): string {
    return `${this.dir}/${this.name}.${kind}`;
  }

  async run(...args: string[]): Promise<string> {
    const { success, stdout, stderr } = await new Deno.Command("londiste", {
      args: [this.#file("ini"), ...args],
      cwd: this.dir,
      stdin: "null",
    }).output();
    const text = new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
    if (!success) throw new Error(`londiste ${args.join(" ")} failed\n${text}`);
    return text;
  }

  /** Starts its daemon, which ends with this process however that ends. */
  async startWorker(): Promise<void> {
    await this.run("worker", "-d");
    const pid = await waitFor(() => Number(Deno.readTextFileSync(this.#file("pid"))) || null, { what: "its pidfile" });
    this.#release = guard(pid);
  }

  get log(): string {
    try {
      return Deno.readTextFileSync(this.#file("log"));
    } catch {
      return "";
    }
  }

  /** kill -9 of its worker and its copies. */
  async kill(): Promise<void> {
    this.#release();
    this.#release = () => {};
    for (const entry of Deno.readDirSync(this.dir)) {
      if (!entry.name.startsWith(`${this.name}.pid`)) continue;
      const path = `${this.dir}/${entry.name}`;
      const pid = Number(Deno.readTextFileSync(path));
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
      Deno.removeSync(path);
      await waitFor(() => !isAlive(pid), { what: `process ${pid} to end` });
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}

function isAlive(pid: number): boolean {
  try {
    // A daemon's parent may be slow to collect it: a zombie does nothing any more.
    return !/^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`));
  } catch {
    return false;
  }
}

/** Root n1, a leaf for skyq, a leaf that stays with Londiste, and pgqd. */
export class Cascade implements AsyncDisposable {
  readonly #pgqd: Deno.ChildProcess;

  private constructor(
    readonly dir: string,
    readonly root: LondisteNode,
    readonly leaf: LondisteNode,
    readonly other: LondisteNode,
  ) {
    const { database } = root;
    const { host, port, superuser } = database.cluster;
    Deno.writeTextFileSync(
      `${dir}/pgqd.ini`,
      `[pgqd]\nbase_connstr = host=${host} port=${port} user=${superuser}\ndatabase_list = ${database.name}\n` +
        `syslog = 0\nticker_period = 0.1\nmaint_period = 1\n`,
    );
    this.#pgqd = new Deno.Command("pgqd", {
      args: [`${dir}/pgqd.ini`],
      stdin: "null",
      stdout: "null",
      stderr: "null",
    }).spawn();
  }

  /** @param leaf name of the node, and of its worker, that skyq is to take over */
  static async make(leaf: string, schema: string): Promise<Cascade> {
    const [rootDb, leafDb, otherDb] = await lendDatabases(3);
    for (const database of [rootDb, leafDb, otherDb]) await database.sql(schema);
    const dir = Deno.makeTempDirSync({ prefix: "skyq-londiste3-" });
    const root = new LondisteNode(dir, "n1", "root_worker", rootDb);
    await root.run("create-root", "n1", rootDb.dsn());
    await rootDb.sql(
      "select pgq.set_queue_config('q', 'ticker_max_lag', '0.1'), pgq.set_queue_config('q', 'ticker_idle_period', '1 s')",
    );
    const cascade = new Cascade(
      dir,
      root,
      new LondisteNode(dir, leaf, leaf, leafDb),
      new LondisteNode(dir, "n3", "n3_worker", otherDb),
    );
    await waitFor(async () => Number(await rootDb.sql("select count(*) from pgq.tick")) > 1, { what: "pgqd to tick" });
    for (const node of [cascade.leaf, cascade.other]) {
      await node.run("create-leaf", node.name, node.database.dsn(), `--provider=${rootDb.dsn()}`);
    }
    await root.startWorker();
    await cascade.other.startWorker();
    return cascade;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const node of [this.root, this.leaf, this.other]) await node.kill();
    this.#pgqd.kill("SIGKILL");
    await this.#pgqd.status;
    if (!Deno.env.get("SKYQ_KEEP")) Deno.removeSync(this.dir, { recursive: true });
  }
}
