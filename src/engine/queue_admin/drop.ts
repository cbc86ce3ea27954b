import type { SqlConnection } from "../../db/sql.ts";
import { dropQueue } from "../../queue/pgq.ts";
import { dropQueuePolicy, hasSkyq } from "../../queue/skyq.ts";

/** Drops a queue with its limits. @param force ends its consumers as well, else their presence is an error */
export async function dropQueueAndLimits(db: SqlConnection, queue: string, force: boolean): Promise<void> {
  await db.transaction(async (tx) => {
    await dropQueue(tx, queue, force);
    if (await hasSkyq(tx)) await dropQueuePolicy(tx, queue);
  });
}
