// Whether a daemon of Londiste is still at work for a consumer.

import { SkyqError } from "../../base/errors.ts";
import { sleep } from "../../base/time.ts";
import type { Queryable } from "../../db/queryable.ts";
import type { UpgradeJob } from "./look.ts";

/** A daemon of Londiste looks once a second by default, and answers in its next round. */
const WATCH_MS = 3_000;
const POLL_MS = 100;

/**
 * Asks the worker and the copies of Londiste 3 to say that they run, as its own tools do: whoever runs sets `uptodate`
 * again. One that sleeps after an error, or works on a long batch, does not answer: the fence is for those.
 * @returns names of the consumers that answered
 */
export async function askLondiste3(subscriber: Queryable, job: UpgradeJob): Promise<string[]> {
  const ours = "s.queue_name = $1 and (s.consumer_name = $2 or starts_with(s.consumer_name, $2 || '.copy.'))";
  await subscriber.query(
    `select pgq_node.set_consumer_uptodate(s.queue_name, s.consumer_name, false) from pgq_node.local_state s where ${ours}`,
    [job.queue, job.worker],
  );
  return await watch(job, async () => {
    const rows = await subscriber.query<{ name: string }>(
      `select s.consumer_name as name from pgq_node.local_state s where ${ours} and s.uptodate order by 1`,
      [job.queue, job.worker],
    );
    return rows.map((row) => row.name);
  });
}

/**
 * Watches the consumers of a job of Londiste 2.1: with a ticker that runs, one that is alive opens or finishes a batch.
 * @returns names of those that moved
 */
export async function watchLondiste2(provider: Queryable, job: UpgradeJob): Promise<string[]> {
  const positions = async () => {
    const rows = await provider.query<{ name: string; position: string }>(
      `select c.co_name as name,
              concat_ws(' ', s.sub_last_tick, coalesce(s.sub_batch::text, '-'), s.sub_active) as position
         from pgq.subscription s
         join pgq.queue q on q.queue_id = s.sub_queue
         join pgq.consumer c on c.co_id = s.sub_consumer
        where q.queue_name = $1 and c.co_name in ($2, $2 || '_copy')`,
      [job.queue, job.worker],
    );
    return new Map(rows.map((row) => [row.name, row.position]));
  };
  const before = await positions();
  if (before.size === 0) return [];
  await provider.query("select pgq.force_tick($1)", [job.queue]);
  return await watch(job, async () => {
    const now = await positions();
    return [...now].filter(([name, position]) => before.has(name) && before.get(name) !== position).map(([name]) =>
      name
    );
  });
}

async function watch(job: UpgradeJob, look: () => Promise<string[]>): Promise<string[]> {
  const untilMs = Date.now() + WATCH_MS;
  for (;;) {
    const seen = await look();
    if (seen.length > 0 || Date.now() > untilMs) return seen;
    if (!await sleep(POLL_MS, job.signal)) throw new SkyqError("stopped", "Stopped before anything was changed");
  }
}

/** @throws {SkyqError} `already-running` */
export function refuseRunning(consumers: readonly string[], job: UpgradeJob): void {
  if (consumers.length === 0) return;
  throw new SkyqError(
    "already-running",
    `Cannot upgrade queue "${job.queue}": Londiste still works on it (${consumers.join(", ")})`,
    { hint: "Stop its replay or worker (-s), and its copies; leave the ticker running. Nothing was changed." },
  );
}
