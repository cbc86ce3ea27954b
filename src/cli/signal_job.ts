import { EXIT, SkyqError } from "../base/errors.ts";
import type { Logger } from "../base/log.ts";
import { pidfileHolder } from "../base/pidfile.ts";
import { sleep } from "../base/time.ts";

const POLL_MS = 50;

/**
 * Sends `signal` to the job that holds `pidfile`.
 * @param waitMs how long to wait until the job is gone; `null`: do not wait
 * @param strict whether "no job runs" is a failure
 * @returns the exit status
 * @throws {SkyqError} `timeout` when the job is still there after `waitMs`, `privilege`
 */
export async function signalJob(
  { pidfile, signal, waitMs, strict, log }: {
    pidfile: string | null;
    signal: "SIGHUP" | "SIGINT" | "SIGTERM";
    waitMs: number | null;
    strict: boolean;
    log: Logger;
  },
): Promise<number> {
  const nothingDone = (message: string) => {
    log.warning(message);
    return strict ? EXIT.failed : EXIT.ok;
  };
  if (pidfile === null) return nothingDone("No pidfile in config, nothing todo");
  const holder = pidfileHolder(pidfile);
  if (holder === "absent") return nothingDone("No pidfile, process not running");
  if (holder === "dead") return nothingDone("pidfile exist, but process not running");
  try {
    Deno.kill(holder, signal);
  } catch (cause) {
    // It ended between the look and the signal.
    if (pidfileHolder(pidfile) !== holder) return nothingDone("pidfile exist, but process not running");
    throw new SkyqError("privilege", `Cannot send ${signal} to process ${holder}: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (waitMs === null) return EXIT.ok;
  const deadlineMs = performance.now() + waitMs;
  while (pidfileHolder(pidfile) === holder) {
    if (performance.now() > deadlineMs) {
      throw new SkyqError("timeout", `Cannot stop process ${holder}: still running after ${waitMs / 1000} s`, {
        hint: "It may be in the middle of a large batch; -k makes it leave at once, which is safe.",
      });
    }
    await sleep(POLL_MS);
  }
  return EXIT.ok;
}
