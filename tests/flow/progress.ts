/** How far a consumer is, asked of the database. */
import { waitFor } from "../harness/wait_for.ts";
import type { SqlPrinter } from "./contents.ts";

/**
 * Waits until `consumer` has finished all that was committed before this call. A tick whose transaction began after it
 * ends such a batch; an idle queue gets one by `pgq.force_tick()`.
 */
export async function finishedAll(
  provider: SqlPrinter,
  { queue, consumer, timeoutMs }: { queue: string; consumer: string; timeoutMs: number },
): Promise<void> {
  // As text that compares as the times do, whatever the database has set for dates.
  const text = (time: string) => `to_char(${time} at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')`;
  const since = (await provider.sql(`select ${text("clock_timestamp()")}`)).trim();
  await waitFor(async () => {
    const row = await provider.sql(
      `select c.last_tick, (select min(t.tick_id) from pgq.tick t join pgq.queue q on q.queue_id = t.tick_queue
                             where q.queue_name = '${queue}' and ${text("t.tick_time")} > '${since}')
         from pgq.get_consumer_info('${queue}', '${consumer}') c`,
    );
    const [last, wanted] = row.trim().split("|");
    if (!wanted) await provider.sql(`select pgq.force_tick('${queue}')`);
    return wanted !== undefined && wanted !== "" && Number(last) >= Number(wanted);
  }, { what: `consumer ${consumer} to finish queue ${queue}`, timeoutMs, pollMs: 50 });
}
