import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { withLocks } from "../../db/locks.ts";
import type { Queryable } from "../../db/queryable.ts";
import { quoteIdent, quoteLiteral } from "../../db/quote.ts";
import type { SqlConnection } from "../../db/sql.ts";
import { consumerStates, dropQueue } from "../../queue/pgq.ts";
import { dropQueuePolicy, hasSkyq } from "../../queue/skyq.ts";
import { nodeOf } from "./names.ts";

/**
 * A queue that something writes into by triggers, or that a node of a cascade lives by, is not dropped: those statements
 * of an application would fail, and the node's other parts would stay behind.
 * @throws {SkyqError} `refused` with what to do first
 */
async function requireDroppable(db: Queryable, queue: string): Promise<void> {
  const tables = await db.query<{ name: string; trigger: string }>(
    `select t.tgrelid::pg_catalog.regclass::text as name, t.tgname::text as trigger
       from pg_catalog.pg_trigger t
       join pg_catalog.pg_proc p on p.oid = t.tgfoid
       join pg_catalog.pg_namespace n on n.oid = p.pronamespace
      where not t.tgisinternal
        and (n.nspname = 'pgq' and p.proname in ('logutriga', 'sqltriga', 'jsontriga', 'logtriga')
             or n.nspname = 'skyq' and p.proname ~ '^capture_[0-9]+$')
        and pg_catalog.substr(t.tgargs, 1, pg_catalog."position"(t.tgargs, '\\x00'::bytea))
            = pg_catalog.convert_to($1, pg_catalog.getdatabaseencoding()) || '\\x00'::bytea
      order by 1, 2`,
    [queue],
  );
  const node = await nodeOf(db, queue);
  if (node !== null) {
    const first = tables.length > 0 ? "`skyq provider remove CONFIG --all` takes its tables out, then " : "";
    throw new SkyqError("refused", `Cannot drop queue "${queue}": node "${node}" lives by it`, {
      hint: `${first}"select * from pgq_node.drop_node(${quoteLiteral(queue)}, ${
        quoteLiteral(node)
      })" drops node and queue.`,
    });
  }
  if (tables.length === 0) return;
  const names = [...new Set(tables.map(({ name }) => name))];
  const more = names.length > LISTED_COUNT ? ` and ${names.length - LISTED_COUNT} more` : "";
  throw new SkyqError(
    "refused",
    `Cannot drop queue "${queue}": triggers write into it: of ${names.slice(0, LISTED_COUNT).join(", ")}${more}`,
    {
      hint: "Without the queue every write to these tables would fail. Drop the triggers first: " +
        `drop trigger ${quoteIdent(tables[0]!.trigger)} on ${tables[0]!.name}`,
    },
  );
}

const LISTED_COUNT = 10;

/**
 * Drops a queue with its limits.
 * @param force ends its consumers as well, else their presence is an error
 * @throws {SkyqError} `refused`
 */
export async function dropQueueAndLimits(db: SqlConnection, queue: string, force: boolean, log: Logger): Promise<void> {
  await requireDroppable(db, queue);
  const consumers = (await consumerStates(db, queue)).map((row) => row.consumer_name);
  if (consumers.length > 0 && !force) {
    throw new SkyqError("refused", `Cannot drop queue "${queue}": it has consumers: ${consumers.join(", ")}`, {
      hint: "Unregister them first, or use --force.",
    });
  }
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
