import type { Logger } from "../../base/log.ts";
import { withLocks } from "../../db/locks.ts";
import type { SqlConnection } from "../../db/sql.ts";
import { dropQueue } from "../../queue/pgq.ts";
import { dropQueuePolicy, hasSkyq } from "../../queue/skyq.ts";

/** Drops a queue with its limits. @param force ends its consumers as well, else their presence is an error */
export async function dropQueueAndLimits(db: SqlConnection, queue: string, force: boolean, log: Logger): Promise<void> {
  await withLocks({ act: `Cannot drop queue "${queue}"`, log }, (lock) =>
    db.transaction(async (tx) => {
      // A transaction may write into two of its event tables, in either order.
      const rows = await tx.query<{ name: string }>(
        `select t.name
           from pgq.queue q
          cross join lateral (select pgq.quote_fqname(q.queue_data_pfx)
                              union all
                              select pgq.quote_fqname(q.queue_data_pfx || '_' || n.nr)
                                from generate_series(0, q.queue_ntables - 1) n (nr)) t (name)
          where q.queue_name = $1 and to_regclass(t.name) is not null`,
        [queue],
      );
      await lock(tx, rows.map((row) => row.name), "access exclusive");
      await dropQueue(tx, queue, force);
      if (await hasSkyq(tx)) await dropQueuePolicy(tx, queue);
    }));
}
