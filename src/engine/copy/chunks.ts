// A table's rows in several transactions over several connections. Each chunk's rows commit together with its mark in
// skyq.copy_chunk, so whatever dies, only the chunks in flight are loaded again.

import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { AtMostEvery } from "../../base/time.ts";
import { during } from "../../db/errors.ts";
import type { Queryable } from "../../db/queryable.ts";
import { quoteFullName } from "../../db/quote.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { hasChunks } from "../../queue/skyq.ts";
import { beginRead, columnList, commonColumns, pump } from "./load.ts";

/** Which copy: one table of one queue. */
export interface CopyId {
  readonly queue: string;
  readonly table: string;
}

/** Forgets the chunks of a copy that begins anew, or has ended. Whoever loads one at this moment finds it gone. */
export async function forgetChunks(db: Queryable, { queue, table }: CopyId): Promise<void> {
  if (!await hasChunks(db)) return;
  await db.query("delete from skyq.copy_chunk c where c.queue_name = $1 and c.table_name = $2", [queue, table]);
  await db.query(
    `update skyq.copy_state s set chunk_count = null, source_file = null, settled_by = null
      where s.queue_name = $1 and s.table_name = $2
        and (s.chunk_count is not null or s.source_file is not null or s.settled_by is not null)`,
    [queue, table],
  );
}

/** Stores the chunks to be loaded. Caller's transaction, the one that empties the subscriber's table. */
export async function storeChunks(
  db: Queryable,
  { queue, table }: CopyId,
  plan: { conditions: readonly string[]; sourceFile: bigint | null },
): Promise<void> {
  await db.query(
    `insert into skyq.copy_chunk (queue_name, table_name, condition)
     select $1, $2, c.text from unnest($3::text[]) with ordinality c (text, nr) order by c.nr`,
    [queue, table, plan.conditions],
  );
  await db.query(
    `update skyq.copy_state s set chunk_count = $3, source_file = $4, settled_by = null
      where s.queue_name = $1 and s.table_name = $2`,
    [queue, table, plan.conditions.length, plan.sourceFile],
  );
}

export interface ChunkCounts {
  readonly all: number;
  readonly loaded: number;
  readonly rows: bigint;
  readonly bytes: bigint;
}

/** Until events have passed which snapshot the rows of a copy are of several moments; null when they are of one. */
export async function settledBy(db: Queryable, { queue, table }: CopyId): Promise<string | null> {
  if (!await hasChunks(db)) return null;
  const rows = await db.query<{ settled_by: string | null }>(
    "select s.settled_by from skyq.copy_state s where s.queue_name = $1 and s.table_name = $2",
    [queue, table],
  );
  return rows[0]?.settled_by ?? null;
}

/** How far a copy in chunks is; `all` is 0 when none is under way. */
export async function countChunks(db: Queryable, { queue, table }: CopyId): Promise<ChunkCounts> {
  if (!await hasChunks(db)) return { all: 0, loaded: 0, rows: 0n, bytes: 0n };
  const rows = await db.query<ChunkCounts>(
    `select count(*)::int4 as all, count(c.loaded_at)::int4 as loaded, coalesce(sum(c.rows_copied), 0)::int8 as rows,
            coalesce(sum(c.bytes_copied), 0)::int8 as bytes
       from skyq.copy_chunk c where c.queue_name = $1 and c.table_name = $2`,
    [queue, table],
  );
  return rows[0]!;
}

interface Chunk {
  chunk_id: bigint;
  condition: string;
}

/** A connection to each side. */
export interface Connections {
  readonly provider: WireConnection;
  readonly subscriber: WireConnection;
}

/** How often the log tells how far a copy is. */
const PROGRESS_PERIOD_MS = 30_000;

export interface ChunkLoad extends CopyId {
  readonly dest: string;
  readonly lockTimeoutMs: number;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** How many chunks at once, ≥ 1. */
  readonly connections: number;
  /** Opens a further pair of connections; whoever calls it closes them. */
  connect(): Promise<Connections>;
}

/**
 * Loads all chunks that are not loaded yet, several at once. After an error those in flight are finished first: what is
 * loaded stays loaded.
 * @param first connections that are there already
 * @throws {SkyqError} what one of the chunks met first
 */
export async function loadChunks(first: Connections, load: ChunkLoad): Promise<void> {
  const { queue, table } = load;
  const chunks = await first.subscriber.query<Chunk>(
    `select c.chunk_id, c.condition from skyq.copy_chunk c
      where c.queue_name = $1 and c.table_name = $2 and c.loaded_at is null order by c.chunk_id`,
    [queue, table],
  );
  if (chunks.length === 0) return;
  const { source_file: sourceFile } = (await first.subscriber.query<{ source_file: bigint | null }>(
    "select s.source_file from skyq.copy_state s where s.queue_name = $1 and s.table_name = $2",
    [queue, table],
  ))[0]!;
  const list = columnList(
    await commonColumns(first.provider, first.subscriber, {
      queue,
      sourceTable: table,
      destTable: load.dest,
      log: load.log,
    }),
  );

  const progress = new AtMostEvery(PROGRESS_PERIOD_MS);
  progress.allows(load.dest); // not at once
  let failure: { error: unknown } | null = null;
  const loadSome = async (connections: Connections) => {
    for (;;) {
      if (failure !== null || load.signal.aborted) return;
      const chunk = chunks.shift();
      if (chunk === undefined) return;
      await loadChunk(connections, { ...load, progress }, { ...chunk, list, sourceFile });
    }
  };
  const work = async (nth: number) => {
    if (nth === 0) return await loadSome(first);
    const own = await load.connect();
    const cut = () => {
      own.provider.destroy();
      own.subscriber.destroy();
    };
    load.signal.addEventListener("abort", cut);
    try {
      await loadSome(own);
    } finally {
      load.signal.removeEventListener("abort", cut);
      cut();
    }
  };
  await Promise.all(Array.from({ length: Math.min(load.connections, chunks.length) }, async (_, nth) => {
    try {
      await work(nth);
    } catch (error) {
      failure ??= { error };
    }
  }));
  if (failure !== null) throw (failure as { error: unknown }).error;
}

/** One chunk, in one transaction on each side. */
async function loadChunk(
  { provider, subscriber }: Connections,
  load: ChunkLoad & { progress: AtMostEvery },
  chunk: Chunk & { list: string; sourceFile: bigint | null },
): Promise<void> {
  const { queue, table, dest, log } = load;
  // Each chunk sees what is committed when its own COPY begins, which is after the lock: a table that was being rewritten
  // until then is not read with a snapshot from before.
  await beginRead(provider, table, { isolation: "read committed", lockTimeoutMs: load.lockTimeoutMs });
  try {
    if (chunk.sourceFile !== null) await checkFile(provider, subscriber, load, chunk.sourceFile);
    // The planner is to go by the key's index, or by place, whatever it thinks of the table's size.
    await provider.exec("set local enable_seqscan = off; set local max_parallel_workers_per_gather = 0");
    await subscriber.exec("begin");
    const counted = await pump(provider, subscriber, {
      sourceSql: `copy (select ${chunk.list} from only ${quoteFullName(table)} where ${chunk.condition}) to stdout`,
      destSql: `copy ${quoteFullName(dest)} (${chunk.list}) from stdin`,
    });
    // Nobody waits for the provider's table while the subscriber commits.
    await provider.exec("rollback");
    const marked = await subscriber.query<{ chunk_id: bigint }>(
      `update skyq.copy_chunk c set loaded_at = pg_catalog.now(), rows_copied = $4, bytes_copied = $5
        where c.chunk_id = $3 and c.loaded_at is null
          and exists (select from londiste.table_info t
                       where t.queue_name = $1 and t.table_name = $2 and t.local and t.merge_state = 'in-copy')
      returning c.chunk_id`,
      [queue, table, chunk.chunk_id, counted.rows, counted.bytes],
    );
    if (marked.length === 0) throw givenUp(table);
    // What stopped an earlier try does so no more.
    await subscriber.query(
      `update skyq.copy_state s set error = null, error_time = null
        where s.queue_name = $1 and s.table_name = $2 and s.error is not null`,
      [queue, table],
    );
    await subscriber.exec("commit");
    log.debug(`${dest}: chunk ${chunk.chunk_id}: ${counted.bytes} bytes, ${counted.rows} rows`);
    if (load.progress.allows(dest)) {
      const { loaded, all, rows } = await countChunks(subscriber, load);
      log.info(`${dest}: ${loaded} of ${all} chunks, ${rows} rows`);
    }
  } catch (error) {
    if (!subscriber.isClosed) await subscriber.exec("rollback").catch(() => {});
    throw error;
  } finally {
    if (!provider.isClosed && provider.transactionStatus !== "I") await provider.exec("rollback").catch(() => {});
  }
}

/** The table left the copy's hands while it ran. */
export function givenUp(table: string): SkyqError {
  return new SkyqError("refused", `Copy of "${table}" given up: its state was changed meanwhile`);
}

/** Places of rows belong to the table's file; with another one the copy has to begin again. */
async function checkFile(provider: Queryable, subscriber: Queryable, load: ChunkLoad, file: bigint): Promise<void> {
  const rows = await during(
    `Cannot look at table "${load.table}" on the provider`,
    provider.query<{ file: bigint | null }>(
      "select pg_catalog.pg_relation_filenode(pg_catalog.to_regclass($1))::int8 as file",
      [quoteFullName(load.table)],
    ),
  );
  if (rows[0]!.file === file) return;
  await forgetChunks(subscriber, load);
  throw new SkyqError("refused", `Copy of "${load.table}" begins again: the provider's table was rewritten meanwhile`);
}
