/** Runs skyq as an operator would: as a process. From sources, or the compiled binary that `SKYQ_BIN` names. */
import { fileURLToPath } from "node:url";
import { residentMb, signal } from "./proc.ts";
import { waitFor } from "./wait_for.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));

export interface SkyqOptions {
  cwd?: string;
  /** Added to our own environment. */
  env?: Record<string, string>;
  stdin?: string;
  /** It is killed then, and the call fails; default one minute. {@link spawnSkyq} has no limit of its own. */
  timeoutMs?: number;
}

export interface SkyqResult {
  /** Exit status; 128 + n after signal n. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Program and first arguments that start skyq. */
export function skyqCommand(): string[] {
  const binary = Deno.env.get("SKYQ_BIN");
  // A test may run skyq elsewhere, so a path is meant from the project's root.
  if (binary) return [binary.startsWith("/") ? binary : `${ROOT}${binary}`];
  return [Deno.execPath(), "run", "-A", "--quiet", "--config", `${ROOT}deno.json`, `${ROOT}src/main.ts`];
}

/**
 * Kills process `pid` when this process ends in whatever way.
 * @returns to be called when `pid` has ended by itself, so that no later process with its number is killed
 */
export function guard(pid: number): () => void {
  const watcher = new Deno.Command("sh", {
    args: ["-c", 'read -r _ || kill -9 "$1" 2>/dev/null', "guard", String(pid)],
    stdin: "piped",
    stdout: "null",
    stderr: "null",
    detached: true, // Not reached by ctrl-C.
  }).spawn();
  watcher.unref();
  return () => void signal(watcher.pid, "SIGKILL");
}

/** A skyq that runs beside the test. */
export class SkyqProcess implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #end: Promise<SkyqResult>;
  #text = { stdout: "", stderr: "" };
  #hasEnded = false;

  constructor(readonly args: readonly string[], options: SkyqOptions) {
    const [program = "", ...first] = skyqCommand();
    this.#child = new Deno.Command(program, {
      args: [...first, ...args],
      cwd: options.cwd,
      env: options.env,
      stdin: options.stdin === undefined ? "null" : "piped",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    this.#end = this.#follow(guard(this.#child.pid), options.stdin);
  }

  async #follow(release: () => void, stdin: string | undefined): Promise<SkyqResult> {
    const collect = async (kind: "stdout" | "stderr") => {
      for await (const text of this.#child[kind].pipeThrough(new TextDecoderStream())) this.#text[kind] += text;
    };
    const feed = async () => {
      if (stdin === undefined) return;
      try {
        await new Blob([stdin]).stream().pipeTo(this.#child.stdin);
      } catch {
        // It may end without having read everything.
      }
    };
    const [status] = await Promise.all([this.#child.status, collect("stdout"), collect("stderr"), feed()]);
    this.#hasEnded = true;
    release();
    return { code: status.code, ...this.#text };
  }

  get pid(): number {
    return this.#child.pid;
  }
  /** What it wrote so far. */
  get stdout(): string {
    return this.#text.stdout;
  }
  get stderr(): string {
    return this.#text.stderr;
  }
  get hasEnded(): boolean {
    return this.#hasEnded;
  }
  /** Resident memory in MB (2^20 bytes), 0 once it has ended. */
  get residentMb(): number {
    return this.#hasEnded ? 0 : residentMb(this.pid);
  }

  /** Waits for the end. @throws {Error} when it does not come in time; the process is killed then */
  async wait(timeoutMs?: number): Promise<SkyqResult> {
    if (timeoutMs === undefined) return await this.#end;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<"late">((resolve) => timer = setTimeout(() => resolve("late"), timeoutMs));
    const first = await Promise.race([this.#end, late]);
    clearTimeout(timer);
    if (first !== "late") return first;
    const { stdout, stderr } = await this.kill("SIGKILL");
    throw new Error(`skyq ${this.args.join(" ")} did not end within ${timeoutMs} ms\n${stdout}\n${stderr}`);
  }

  /** Waits until stdout or stderr matches. @throws {Error} with all output, in time or when skyq ends before */
  async waitForOutput(pattern: RegExp, timeoutMs = 60_000): Promise<void> {
    await waitFor(() => pattern.test(this.stdout) || pattern.test(this.stderr) || this.#hasEnded, {
      what: `${pattern} from skyq ${this.args.join(" ")}`,
      timeoutMs,
    }).catch((error) => {
      throw new Error(`${error.message}\n${this.stdout}\n${this.stderr}`);
    });
    if (!pattern.test(this.stdout) && !pattern.test(this.stderr)) {
      throw new Error(`skyq ${this.args.join(" ")} ended without ${pattern}\n${this.stdout}\n${this.stderr}`);
    }
  }

  /** Sends a signal without waiting. */
  signal(name: Deno.Signal): void {
    if (!this.#hasEnded) signal(this.pid, name);
  }

  /** Sends a signal and waits for the end, at most a minute. */
  async kill(name: Deno.Signal = "SIGTERM"): Promise<SkyqResult> {
    this.signal(name);
    return name === "SIGKILL" ? await this.#end : await this.wait(120_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill("SIGKILL");
  }
}

/** Starts skyq and leaves it running: `await using worker = spawnSkyq(["replay", ini])`. */
export function spawnSkyq(args: readonly string[], options: SkyqOptions = {}): SkyqProcess {
  return new SkyqProcess(args, options);
}

/** Runs skyq to its end. @throws {Error} when it does not end in time; any exit status is a result */
export function skyq(args: readonly string[], options: SkyqOptions = {}): Promise<SkyqResult> {
  return new SkyqProcess(args, options).wait(options.timeoutMs ?? 120_000);
}
