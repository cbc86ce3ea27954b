/**
 * Going to the background. Deno cannot fork, so the program starts itself again, detached: own session, no terminal,
 * same working directory. The parent stays until the child has said "ready" or has ended, and takes over its first
 * error. They talk through a file in a temporary directory, since the child's stdin, stdout and stderr are the null
 * device; that the child was killed the parent learns from the child's exit status.
 */
import { SkyqError } from "./errors.ts";
import { sleep } from "./time.ts";

/** Tells the child where to report. Not `SKYQ_…`: those are config keys. */
const REPORT_VARIABLE = "_SKYQ_DAEMON_REPORT";
const POLL_MS = 20;

interface Report {
  readonly state: "ready" | "failed";
  /** The child's error lines, as they went to its log; of one that is ready its warning. */
  readonly text: string;
}

/** The child's end of the line to its parent. */
export interface DaemonChild {
  /** Lets the parent end with status 0, with a warning if there is one. Further calls do nothing. */
  ready(warning?: string): void;
  /** Hands the parent the text to print; the exit status follows by itself. Does nothing after `ready()`. */
  failed(text: string): void;
}

/** @returns the line to the parent when this process was started by `startDaemon()`, else `null`. Call it once, early. */
export function daemonChild(): DaemonChild | null {
  const path = Deno.env.get(REPORT_VARIABLE);
  if (path === undefined) return null;
  Deno.env.delete(REPORT_VARIABLE); // the daemon's own children are none
  let isReported = false;
  const report = (message: Report) => {
    if (isReported) return;
    isReported = true;
    try {
      Deno.writeTextFileSync(`${path}.tmp`, JSON.stringify(message));
      Deno.renameSync(`${path}.tmp`, path);
    } catch {
      // The parent gave up and took its directory along: nobody waits any more.
    }
  };
  return {
    ready: (warning = "") => report({ state: "ready", text: warning }),
    failed: (text) => report({ state: "failed", text }),
  };
}

/**
 * Starts this program again in the background with `args` and waits until it is ready.
 * @param timeoutMs after this the child is ended again
 * @returns the parent's exit status, and the child's error text (of one that is ready its warning, or "")
 * @throws {SkyqError} `timeout`, or `stopped` when `signal` aborts; the child is ended in both cases
 */
export async function startDaemon(
  { args, timeoutMs, signal }: { args: readonly string[]; timeoutMs: number; signal: AbortSignal },
): Promise<{ exit: number; text: string }> {
  const directory = Deno.makeTempDirSync({ prefix: "skyq-start-" });
  const path = `${directory}/report`;
  try {
    // node:child_process would put "run -A" in front of a compiled program's arguments.
    const child = new Deno.Command(Deno.execPath(), {
      args: Deno.build.standalone ? [...args] : ["run", "-A", Deno.mainModule, ...args],
      env: { [REPORT_VARIABLE]: path },
      stdin: "null",
      stdout: "null",
      stderr: "null",
      detached: true,
    }).spawn();
    let status: Deno.CommandStatus | null = null;
    child.status.then((ended) => status = ended);
    const deadlineMs = performance.now() + timeoutMs;
    for (;;) {
      // The status is looked at first: a child that reports and ends between the two looks has reported.
      const ended = status as Deno.CommandStatus | null;
      const report = readReport(path);
      if (report?.state === "ready") {
        try {
          child.unref();
        } catch (error) {
          // It was ready, and has ended since: there is nothing to let go of.
          if (!(error instanceof Deno.errors.BadResource)) throw error;
        }
        return { exit: 0, text: report.text };
      }
      if (ended !== null) return { exit: ended.code, text: report?.text ?? describeEnd(ended) };
      const isLate = performance.now() > deadlineMs;
      if (isLate || !await sleep(POLL_MS, signal)) {
        child.kill("SIGTERM");
        await child.status;
        if (!isLate) throw new SkyqError("stopped", "Cannot start the daemon: interrupted before it was ready");
        throw new SkyqError("timeout", `Cannot start the daemon: not ready after ${timeoutMs / 1000} s`, {
          hint: "Its log says what it waited for; --timeout gives it longer.",
        });
      }
    }
  } finally {
    Deno.removeSync(directory, { recursive: true });
  }
}

function readReport(path: string): Report | null {
  try {
    return JSON.parse(Deno.readTextFileSync(path)) as Report;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return null;
    throw error;
  }
}

function describeEnd({ code, signal }: Deno.CommandStatus): string {
  if (signal !== null) return `Cannot start the daemon: it was killed by ${signal} before it was ready`;
  return code === 0 ? "" : `Cannot start the daemon: it ended with status ${code} before it was ready`;
}
