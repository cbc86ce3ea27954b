// What has to be there before anything can be done to it.

import { SkyqError } from "../../base/errors.ts";
import { didYouMean } from "../../base/nearest.ts";
import { oneLine } from "../../base/units.ts";
import { incompletePgq, isPgq2, MISSING_OF_PGQ } from "../../db/old_schemas.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import { type ConsumerState, consumerStates, queueInfo } from "../../queue/pgq.ts";
import { hasSkyq } from "../../queue/skyq.ts";

/**
 * @param act what cannot be done otherwise
 * @throws {SkyqError} `not-installed` when the database has no queues at all, not all that belongs to them, or those of 2.1
 */
export async function requirePgq(db: Queryable, act = "Cannot look at queues"): Promise<void> {
  const { there, missing } = await one<{ there: boolean; missing: string[] }>(
    db,
    `select to_regclass('pgq.queue') is not null as there, ${MISSING_OF_PGQ} as missing`,
  );
  if (await isPgq2(db)) {
    throw new SkyqError("not-installed", `${act}: schema pgq is that of PgQ 2.1`, {
      hint: "`skyq queue upgrade CONFIG` brings it to 3.5; its queues, consumers and events stay.",
    });
  }
  if (there && missing.length === 0) return;
  if (there) throw incompletePgq(act, missing);
  throw new SkyqError("not-installed", `${act}: the database has no schema pgq`, {
    hint: "Run `skyq queue install` first, or name another database.",
  });
}

/** What is to be upgraded may be of any age. @throws {SkyqError} `not-installed` when there is nothing */
export async function requireAnyPgq(db: Queryable): Promise<void> {
  if (!await isPgq2(db)) await requirePgq(db, "Cannot upgrade schemas");
}

/** @throws {SkyqError} `not-installed` where limits and dead letters are needed and schema skyq is missing or old */
export async function requireSkyq(db: Queryable): Promise<void> {
  if (await hasSkyq(db)) return;
  throw new SkyqError(
    "not-installed",
    "Cannot use limits and dead letters: schema skyq is missing, older or closed to this role",
    {
      hint: "Run `skyq queue upgrade`, which leaves the queues as they are; the role has to be a member of pgq_admin.",
    },
  );
}

/** @throws {SkyqError} `not-found` with the nearest name */
export async function requireQueue(db: Queryable, queue: string): Promise<void> {
  const names = (await queueInfo(db, null)).map((row) => row.queue_name);
  if (names.includes(queue)) return;
  const hint = didYouMean(queue, names) ?? (names.length === 0 ? "There are no queues." : thereAre(names));
  throw new SkyqError("not-found", `Cannot find queue "${queue}": no such queue`, { hint });
}

/** @throws {SkyqError} `not-found` with the nearest name */
export async function requireConsumer(db: Queryable, queue: string, consumer: string): Promise<ConsumerState> {
  await requireQueue(db, queue);
  const all = await consumerStates(db, queue);
  const found = all.find((row) => row.consumer_name === consumer);
  if (found !== undefined) return found;
  const names = all.map((row) => row.consumer_name);
  throw new SkyqError("not-found", `Cannot find consumer "${consumer}" of queue "${queue}": it is not registered`, {
    hint: didYouMean(consumer, names) ??
      (names.length === 0 ? "The queue has no consumers." : thereAre(names)),
  });
}

/** Names that a hint lists. */
const LISTED_COUNT = 20;

function thereAre(names: readonly string[]): string {
  const listed = names.slice(0, LISTED_COUNT).map(oneLine).join(", ");
  const more = names.length - LISTED_COUNT;
  return `There are: ${listed}${more > 0 ? ` and ${more} more` : ""}.`;
}

/**
 * A name for something new. pgq takes any text; one that is empty or has control characters is a mistake of a shell.
 * @param act what is to be done: `create queue`
 * @throws {SkyqError} `usage`
 */
export function checkedName(act: string, name: string): string {
  if (name.trim() === "") throw new SkyqError("usage", `Cannot ${act}: its name is empty`);
  if (oneLine(name) === name) return name;
  throw new SkyqError("usage", `Cannot ${act} "${oneLine(name)}": its name has control characters`);
}

/** What lets this role administer queues, as a hint: the role pgq_admin, or where there is none the schema's owner. */
export async function queueGrant(db: Queryable): Promise<string> {
  const { owner, granted, role } = await one<{ owner: string; granted: string; role: string }>(
    db,
    `select quote_ident(pg_get_userbyid(n.nspowner)::text) as owner, quote_ident(current_user) as role,
            coalesce((select 'pgq_admin' from pg_roles r where r.rolname = 'pgq_admin'),
                     quote_ident(pg_get_userbyid(n.nspowner)::text)) as granted
       from pg_namespace n where n.nspname = 'pgq'`,
  );
  return `Let ${owner}, or whoever may grant it, run: GRANT ${granted} TO ${role};`;
}

/** The node of a cascade that a queue belongs to here. @returns null when there is none, or this role may not look */
export async function nodeOf(db: Queryable, queue: string): Promise<string | null> {
  if (!await mayRead(db, "pgq_node.node_info")) return null;
  const [row] = await db.query<{ name: string }>(
    "select n.node_name as name from pgq_node.node_info n where n.queue_name = $1",
    [queue],
  );
  return row?.name ?? null;
}

/** Of those who would unregister one of {@link requireNoNode}'s. */
export const UNREGISTER_HINT =
  "`skyq subscriber unregister CONFIG` retires the node, with --gone where its database is gone.";

/**
 * A consumer by which a node of a cascade reads, or which holds a watermark, is moved and ended by what knows of nodes.
 * @param act what is to be done: `move`
 * @throws {SkyqError} `refused` with the hint
 */
export async function requireNoNode(
  db: Queryable,
  { queue, consumer, act, hint }: { queue: string; consumer: string; act: string; hint: string },
): Promise<void> {
  if (!await mayRead(db, "pgq_node.subscriber_info")) return;
  const [row] = await db.query<{ why: string }>(
    `select pg_catalog.format('node "%s" reads queue "%s" by it', s.subscriber_node, s.queue_name) as why
       from pgq_node.subscriber_info s
      where s.queue_name = $1 and $2 in (s.worker_name, s.watermark_name)
     union all
     select pg_catalog.format('node "%s" keeps queue "%s" for all its subscribers by it', n.node_name, n.queue_name)
       from pgq_node.node_info n
      where n.queue_name = $1 and $2 = '.global_watermark'`,
    [queue, consumer],
  );
  if (row === undefined) return;
  throw new SkyqError("refused", `Cannot ${act} consumer "${consumer}": ${row.why}`, { hint });
}

async function mayRead(db: Queryable, table: string): Promise<boolean> {
  return (await one<{ may: boolean }>(
    db,
    "select coalesce(has_table_privilege(to_regclass($1), 'select'), false) as may",
    [table],
  )).may;
}
