import type { Logger } from "../../base/log.ts";
import { SkyqError } from "../../base/errors.ts";
import { during } from "../../db/errors.ts";
import type { Locker } from "../../db/locks.ts";
import { quoteFullName, quoteIdent, splitName } from "../../db/quote.ts";
import type { Queryable } from "../../db/queryable.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { hasChunks } from "../../queue/skyq.ts";
import { makeIndex, pendingIndexes, setAsideIndexes } from "./indexes.ts";
import { leftOut } from "../nodes/left_out.ts";

/** Tables below this size (bytes on the provider) are loaded with their indexes in place: building anew would not pay. */
const BUILD_INDEXES_AFTER_BYTES = 8 * 1024 * 1024;

export interface LoadResult {
  readonly rows: number;
  readonly bytes: number;
  /** What the provider's rows were seen with, `xmin:xmax:x1,x2`. */
  readonly snapshot: string;
}

interface Column {
  name: string;
  type: string;
  generated: boolean;
}

/**
 * Begins a transaction that reads one of the provider's tables. The table is locked, against nothing but changes of its
 * structure, before a snapshot is taken: a rewriting that ended just then would hide all rows from an older one.
 */
export async function beginRead(
  provider: WireConnection,
  table: string,
  options: { isolation: "read committed" | "repeatable read"; lockTimeoutMs: number },
): Promise<void> {
  await provider.exec(`begin transaction isolation level ${options.isolation} read only`);
  try {
    await provider.exec(`set local lock_timeout = ${options.lockTimeoutMs}`);
    await during(
      `Cannot read table "${table}" on the provider`,
      provider.exec(`lock table only ${quoteFullName(table)} in access share mode`),
    );
  } catch (error) {
    if (!provider.isClosed) await provider.exec("rollback").catch(() => {});
    throw error;
  }
}

/**
 * Copies all rows of one table, inside the subscriber transaction that the caller began and will commit together with
 * the table's new state. The provider's rows are read in one snapshot; its table is not locked.
 *
 * The subscriber's table is locked, and emptied only after the first rows have arrived.
 * @throws {SkyqError} `not-found`, `structure`, or what either server says
 */
export async function loadTable(from: WireConnection, to: WireConnection, copy: {
  sourceTable: string;
  destTable: string;
  queue: string;
  skipTruncate: boolean;
  lockTimeoutMs: number;
  /** Of `withLocks`, which the caller's transaction is under. */
  lock: Locker;
  log: Logger;
}): Promise<LoadResult> {
  const { queue, sourceTable, destTable, log } = copy;
  await copy.lock(to, [quoteFullName(destTable)], "access exclusive");
  const list = columnList(await commonColumns(from, to, copy));

  await beginRead(from, sourceTable, { isolation: "repeatable read", lockTimeoutMs: copy.lockTimeoutMs });
  try {
    const size = await from.query<{ snapshot: string; bytes: bigint }>(
      "select pg_catalog.txid_current_snapshot()::text as snapshot, pg_catalog.pg_table_size($1::pg_catalog.regclass) as bytes",
      [quoteFullName(sourceTable)],
    );
    const { snapshot, bytes: sourceBytes } = size[0]!;
    const id = { queue, table: sourceTable, dest: destTable };
    if (sourceBytes >= BigInt(BUILD_INDEXES_AFTER_BYTES) && await hasChunks(to)) await setAsideIndexes(to, id, [], log);
    log.info(`${destTable}: start copy`);
    const counted = await pump(from, to, {
      sourceSql: `copy ${quoteFullName(sourceTable)} (${list}) to stdout`,
      destSql: `copy ${quoteFullName(destTable)} (${list}) from stdin`,
      beforeFirstRow: async () => {
        if (copy.skipTruncate) {
          log.info(`${destTable}: skipping truncate`);
        } else {
          log.info(`${destTable}: truncating`);
          await during(
            `Cannot truncate table "${destTable}" on the subscriber`,
            to.exec(`truncate only ${quoteFullName(destTable)}`),
          );
        }
      },
    });
    log.info(`${destTable}: copy finished: ${counted.bytes} bytes, ${counted.rows} rows`);
    // Also those that an earlier copy, in chunks, had not come to make again.
    for (const index of await pendingIndexes(to, id)) await makeIndex(to, index, log);
    return { ...counted, snapshot };
  } finally {
    if (!from.isClosed) await from.exec("rollback");
  }
}

/** Names of columns as a list of SQL. */
export function columnList(columns: readonly { name: string }[]): string {
  return columns.map((column) => quoteIdent(column.name)).join(", ");
}

/** Another queue of the same subscriber may bring a table of the same name. */
async function leftOutOf(subscriber: Queryable, queue: string, table: string): Promise<ReadonlySet<string>> {
  const rows = await subscriber.query<{ table_attrs: string | null }>(
    "select t.table_attrs from londiste.table_info t where t.queue_name = $1 and t.table_name = $2 and t.local",
    [queue, table],
  );
  return new Set(rows.flatMap((row) => [...leftOut(row)]));
}

/** Columns both sides have, in the provider's order, without those that are computed on either side. */
export async function commonColumns(
  from: Queryable,
  to: Queryable,
  copy: { queue: string; sourceTable: string; destTable: string; log: Logger },
): Promise<Column[]> {
  const source = await readColumns(from, copy.sourceTable, "provider");
  const dest = await readColumns(to, copy.destTable, "subscriber");
  const destNames = new Map(dest.map((column) => [column.name, column]));
  const sourceNames = new Set(source.map((column) => column.name));
  const left = await leftOutOf(to, copy.queue, copy.sourceTable);
  const absent = source.filter((column) => !column.generated && !destNames.has(column.name) && !left.has(column.name));
  if (absent.length > 0) {
    const names = absent.map((column) => column.name).join(", ");
    throw new SkyqError(
      "structure",
      `Cannot copy table "${copy.destTable}": subscriber's table has no column ${names}`,
      {
        hint: "Add it there: `skyq subscriber check` lists all differences.",
      },
    );
  }
  for (const name of left) {
    if (sourceNames.has(name) && !destNames.has(name)) {
      copy.log.warning(`Table ${copy.destTable} column ${name} does not exist on subscriber`);
    }
  }
  for (const column of dest) {
    if (!sourceNames.has(column.name)) {
      copy.log.warning(`Table ${copy.destTable} column ${column.name} does not exist on provider`);
    }
  }
  const common = source.filter((column) => {
    const there = destNames.get(column.name);
    return there !== undefined && !there.generated && !column.generated;
  });
  if (common.length === 0) {
    throw new SkyqError("structure", `Cannot copy table "${copy.destTable}": the two sides have no column in common`);
  }
  return common;
}

async function readColumns(db: Queryable, table: string, side: string): Promise<Column[]> {
  const { schema, name } = splitName(table);
  const rows = await db.query<Column>(
    `select a.attname as name, pg_catalog.format_type(a.atttypid, a.atttypmod) as type, a.attgenerated <> '' as generated
       from pg_catalog.pg_class c
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
      where n.nspname = $1 and c.relname = $2 and c.relkind in ('r', 'p')
      order by a.attnum`,
    [schema, name],
  );
  if (rows.length === 0) {
    throw new SkyqError("not-found", `Cannot copy table "${table}": no such table on the ${side}`);
  }
  return rows;
}

/**
 * Passes the bytes of one COPY on to another, untouched. The target's COPY begins when the first bytes (or the end)
 * have come, so that a source that cannot be read leaves the target as it was.
 */
export async function pump(from: WireConnection, to: WireConnection, copy: {
  sourceSql: string;
  destSql: string;
  beforeFirstRow?(): Promise<void>;
}): Promise<{ rows: number; bytes: number }> {
  let sink: Awaited<ReturnType<WireConnection["copyIn"]>> | null = null;
  let bytes = 0;
  try {
    for await (const frames of from.copyOut(copy.sourceSql)) {
      if (sink === null) {
        await copy.beforeFirstRow?.();
        sink = await to.copyIn(copy.destSql);
      }
      await sink.writeFrames(frames);
      bytes += frames.length;
    }
    if (sink === null) {
      await copy.beforeFirstRow?.();
      sink = await to.copyIn(copy.destSql);
    }
  } catch (error) {
    await sink?.abort("the copy was given up").catch(() => {});
    throw error;
  }
  const rows = await sink.finish();
  // Each row came as one message with a header of 5 bytes.
  return { rows, bytes: bytes - 5 * rows };
}
