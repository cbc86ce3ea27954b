import { messageOf, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { withLocks } from "../../db/locks.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { lockForTriggers } from "../nodes/captures.ts";

interface CaptureJob {
  readonly queue: string;
  readonly lockTimeoutMs: number;
  readonly log: Logger;
}

interface Capture {
  table_name: string;
  local_name: string | null;
  mode: string;
  problem: string;
  args: string[];
}

/** What was said already, and when, so that it is not said every half minute. */
const toldAtMs = new Map<string, number>();
const TELL_AGAIN_MS = 600_000;

function tell(key: string, say: () => void): void {
  if (performance.now() - (toldAtMs.get(key) ?? -Infinity) < TELL_AGAIN_MS) return;
  toldAtMs.set(key, performance.now());
  say();
}

/**
 * Looks over the provider's capture triggers: writes those anew whose table was altered, and goes back to capture by row
 * where capture by statement has ceased to be safe. Whatever cannot be mended from here is logged, once.
 * @param job `lockTimeoutMs` limits the lock on a table whose triggers are replaced
 */
export async function mendCaptures(provider: WireConnection, job: CaptureJob): Promise<void> {
  // A table may have more than one problem, and shows one at a time.
  for (let rounds = 0; rounds < 3; rounds++) {
    if (!await mendOnce(provider, job)) return;
  }
}

/** @returns whether something was mended */
async function mendOnce(provider: WireConnection, job: CaptureJob): Promise<boolean> {
  const { queue, log } = job;
  let isMended = false;
  const captures = await readProblems(provider, queue);
  for (const capture of captures) {
    const { table_name: table, problem } = capture;
    const isStale = problem === "columns or key have changed";
    if (problem.startsWith("trigger is")) {
      tell(table + problem, () => {
        log.error(`Capture of ${table}: ${problem} on the provider: changes since then are NOT replicated`);
        log.info(
          `hint: \`skyq provider add ${table}\` makes it again, \`skyq subscriber resync ${table}\` mends the rows`,
        );
      });
      continue;
    }
    if (capture.local_name === null || !isStale && capture.mode !== "statement") {
      tell(table + problem, () => log.warning(`Capture of ${table}: ${problem}`));
      continue;
    }
    const local = capture.local_name;
    try {
      await withLocks({ act: `Cannot capture ${table}`, log, limitMs: job.lockTimeoutMs }, async (lock) => {
        await provider.exec(`begin; set local lock_timeout = ${job.lockTimeoutMs}`);
        try {
          if (isStale) await provider.query("select skyq.refresh_capture($1, $2)", [queue, local]);
          else {
            await lockForTriggers(provider, lock, local);
            await provider.query("select skyq.create_capture($1, $2, $3::text[], 'row')", [queue, local, capture.args]);
          }
          await provider.exec("commit");
        } catch (error) {
          if (!provider.isClosed) await provider.exec("rollback");
          throw error;
        }
      });
      isMended = true;
      log.info(
        isStale ? `Capture of ${table} follows its columns` : `${table} is captured by row from now on: ${problem}`,
      );
    } catch (error) {
      if (provider.isClosed) throw error;
      tell(
        table + problem,
        () => log.warning(`Cannot mend the capture of ${table} (${problem}): ${messageOf(error)}`),
      );
    }
  }
  return isMended;
}

async function readProblems(provider: WireConnection, queue: string): Promise<Capture[]> {
  try {
    return await provider.query<Capture>(
      `select c.table_name, c.local_name, c.mode, c.problem, k.trigger_args as args
         from skyq.check_capture($1) c join skyq.capture k on k.queue_name = $1 and k.table_name = c.table_name
        where c.problem is not null`,
      [queue],
    );
  } catch (error) {
    // A role that may read the queue and nothing else leaves the captures to who may.
    if (error instanceof SkyqError && error.fault === "privilege") return [];
    throw error;
  }
}
