// Where a table is cut into chunks, and whether it may be.
//
// Chunks are read at different moments, with no snapshot around them. That is right because the copy's consumer is
// registered before the first one is read: a row that no transaction has touched since is the same in whatever chunk and
// moment it is read, and of a row that was touched the queue has an event, which is applied to the loaded rows afterwards
// as "whatever is there of this key gives way" (`Path.upsert`). What must hold is that each untouched row is read, and
// read once:
//
//   by key     conditions on the key, which part all possible keys. A row changes its chunk only with its key, and that is
//              logged as the delete of one and the insert of the other. No key is loaded twice.
//   by place   conditions on `ctid`. Every update moves a row, so it may be met twice, at its old place and at its new one,
//              or not at all; in both cases an event of it is on its way, and of the two rows one is thrown away before the
//              key is built. What moves rows without events is a table's rewriting (VACUUM FULL, CLUSTER, ALTER TABLE):
//              it gives the table another file, and the copy begins again.
//
// By key is the better way as long as neighbours in the key are neighbours in the table; where they are not (random ids),
// each chunk would jump through the whole table, and by place it is read from front to end.

import { SkyqError } from "../../base/errors.ts";
import { quoteFullName, quoteIdent, splitName } from "../../db/quote.ts";
import type { WireConnection } from "../../db/wire/connection.ts";

export interface ChunkPlan {
  /** Conditions on the provider's rows, as SQL; each row fulfils at most one, and every row of before just one. */
  readonly conditions: readonly string[];
  readonly key: readonly string[];
  /** The file that the places belong to; null for chunks by key, which do not depend on it. */
  readonly sourceFile: bigint | null;
}

/** A table that is copied in one piece, with one snapshot; `reason` is null for one that is too small for more. */
export interface OnePiece {
  readonly reason: string | null;
}

/** Reading by place needs TID range scans: before 14 each chunk would read the whole table. */
const TID_RANGE_SCAN_VERSION = 140_000;
/** So many chunks at least, or a table is copied in one piece. */
const CHUNKS_MIN = 3;
/** Places looked at to learn how keys lie in a table, beside those that bound chunks. */
const SAMPLES_MIN = 64;
const SAMPLES_PER_CHUNK = 4;
const SAMPLES_MAX = 4096;

interface SourceTable {
  bytes: bigint;
  blocks: bigint;
  block_size: number;
  file: bigint | null;
}

interface KeyColumn {
  name: string;
  /** For a literal, schema-qualified and without a modifier: that would cut values off. */
  type: string;
  /** Its comparison is the server's own, whatever the search path finds. */
  is_builtin: boolean;
  /** The key's index has a plain order and is checked at once. */
  is_plain: boolean;
}

/**
 * Looks at the provider's table. Call it when the copy's consumer is registered: what lies behind the table's end as it
 * is now comes through the queue.
 * @param chunkBytes what a chunk should have on the provider's disk, about
 */
export async function planChunks(provider: WireConnection, source: {
  queue: string;
  table: string;
  chunkBytes: number;
}): Promise<ChunkPlan | OnePiece> {
  const { table, chunkBytes } = source;
  const sql = quoteFullName(table);
  const found = await provider.query<SourceTable>(
    `select pg_catalog.pg_table_size(c.oid) as bytes, pg_catalog.pg_relation_size(c.oid) / b.size as blocks,
            b.size::int4 as block_size, pg_catalog.pg_relation_filenode(c.oid)::int8 as file
       from pg_catalog.pg_class c
       cross join (select pg_catalog.current_setting('block_size')::int8) b (size)
      where c.oid = pg_catalog.to_regclass($1) and c.relkind = 'r'`,
    [sql],
  );
  // Whoever loads says what is wrong with a table that is not there.
  if (found[0] === undefined) return { reason: null };
  const { bytes, blocks, block_size: blockSize, file } = found[0];
  const count = Number((bytes + BigInt(chunkBytes) - 1n) / BigInt(chunkBytes));
  if (count < CHUNKS_MIN || blocks < 2n) return { reason: null };

  const key = await readKey(provider, table);
  if (key.length === 0) return { reason: "it has no primary key" };
  // Two rows may swap values of a key that is checked later: the last event of a key is not always its last row.
  if (!key.every((column) => column.is_plain)) return { reason: "its primary key is deferrable or has no order" };
  // Columns left out of the events, updates that write none, other keys: only events of every change keep chunks right.
  if (!await logsEveryChange(provider, source)) return { reason: "its trigger has arguments of its own" };

  const byPlace = (): ChunkPlan => ({
    conditions: placeConditions(blocks, count),
    key: key.map(({ name }) => name),
    sourceFile: file,
  });
  const canByPlace = provider.serverVersion >= TID_RANGE_SCAN_VERSION && file !== null;
  if (!key.every((column) => column.is_builtin)) {
    return canByPlace ? byPlace() : { reason: "its key is of a type that an extension brought" };
  }
  const samples = await sampleKeys(provider, { sql, key, blocks, blockSize, count });
  if (!isInKeyOrder(samples.map(({ rank }) => Number(rank)))) {
    return canByPlace ? byPlace() : { reason: "its rows do not lie in the order of its key" };
  }
  const bounds = chooseBounds(samples.toSorted((a, b) => Number(a.rank - b.rank)).map(({ bound }) => bound), count);
  return {
    conditions: keyConditions(key.map(({ name }) => name), bounds),
    key: key.map(({ name }) => name),
    sourceFile: null,
  };
}

function readKey(provider: WireConnection, table: string): Promise<KeyColumn[]> {
  const { schema, name } = splitName(table);
  return provider.query<KeyColumn>(
    `select a.attname as name, pg_catalog.quote_ident(tn.nspname) || '.' || pg_catalog.quote_ident(t.typname) as type,
            tn.nspname = 'pg_catalog' and t.typtype = 'b' as is_builtin,
            i.indimmediate and i.indisvalid and am.amname = 'btree' as is_plain
       from pg_catalog.pg_class c
       join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       join pg_catalog.pg_index i on i.indrelid = c.oid and i.indisprimary
       join pg_catalog.pg_class ic on ic.oid = i.indexrelid
       join pg_catalog.pg_am am on am.oid = ic.relam
      cross join unnest(i.indkey::int2[]) with ordinality k (attnum, nr)
       join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum = k.attnum
       join pg_catalog.pg_type t on t.oid = a.atttypid
       join pg_catalog.pg_namespace tn on tn.oid = t.typnamespace
      where n.nspname = $1 and c.relname = $2 and k.nr <= i.indnkeyatts
      order by k.nr`,
    [schema, name],
  );
}

async function logsEveryChange(
  provider: WireConnection,
  { queue, table }: { queue: string; table: string },
): Promise<boolean> {
  try {
    const rows = await provider.query<{ plain: boolean }>(
      `select pg_catalog.cardinality(c.trigger_args) = 0 as plain
         from skyq.capture c where c.queue_name = $1 and c.table_oid = pg_catalog.to_regclass($2)`,
      [queue, quoteFullName(table)],
    );
    return rows[0]?.plain ?? false;
  } catch (error) {
    if (error instanceof SkyqError && error.sqlstate !== undefined) return false; // another installation's queue
    throw error;
  }
}

interface Sample {
  /** The key's values as literals with their types, in the key's order. */
  bound: string;
  /** Its place among all samples, by the key. */
  rank: bigint;
}

/** Reads the key of one row each of blocks at equal distances. @returns those found, from the table's front to its end */
async function sampleKeys(provider: WireConnection, table: {
  sql: string;
  key: readonly KeyColumn[];
  blocks: bigint;
  blockSize: number;
  count: number;
}): Promise<Sample[]> {
  const { sql, key, blocks, blockSize, count } = table;
  const wanted = Math.max(SAMPLES_MIN, count - 1, Math.min(count * SAMPLES_PER_CHUNK, SAMPLES_MAX));
  const samples = Math.min(wanted, Number(blocks) - 1);
  // More line pointers than this no page has: its header, and four bytes with the smallest row's head for each.
  const linesMax = Math.floor((blockSize - 24) / 28);
  const columns = key.map(({ name }) => quoteIdent(name)).join(", ");
  const literals = key.map(({ name, type }) =>
    `pg_catalog.quote_literal(${quoteIdent(name)}::pg_catalog.text) || '::${type.replaceAll("'", "''")}'`
  );
  return await provider.query<Sample>(
    `select s.bound, pg_catalog.row_number() over (order by ${key.map((_, i) => `s.k${i}`).join(", ")}) as rank
       from (select p.nr, r.*
               from pg_catalog.generate_series(1, $1::int8) p (nr)
              cross join lateral (
                    select ${key.map(({ name }, i) => `t.${quoteIdent(name)} as k${i}`).join(", ")},
                           ${literals.join(" || ', ' || ")} as bound
                      from only ${sql} t
                     where t.ctid = any (array(
                               select pg_catalog.format('(%s,%s)', p.nr * $2::int8 / ($1::int8 + 1), l)::pg_catalog.tid
                                 from pg_catalog.generate_series(1, $3::int4) l))
                     order by ${columns} limit 1) r) s
      order by s.nr`,
    [samples, blocks, linesMax],
  );
}

/**
 * Whether rows lie in the table as their keys follow each other, forwards or backwards: nearly always the next one is
 * behind (or before) the one before it. Random keys do that half of the time.
 * @param ranks of the samples' keys, from the table's front to its end
 */
export function isInKeyOrder(ranks: readonly number[]): boolean {
  const steps = ranks.length - 1;
  // So few blocks that reading them in any order is no matter.
  if (steps < 8) return true;
  let ascending = 0;
  for (let i = 1; i < ranks.length; i++) if (ranks[i]! > ranks[i - 1]!) ascending++;
  return Math.max(ascending, steps - ascending) >= 0.9 * steps;
}

/** Picks bounds for `count` chunks out of sorted ones, at equal distances, each once. */
export function chooseBounds(sorted: readonly string[], count: number): string[] {
  const bounds = new Set<string>();
  for (let i = 1; i < count; i++) {
    const bound = sorted[Math.round(i * (sorted.length + 1) / count) - 1];
    if (bound !== undefined) bounds.add(bound);
  }
  return [...bounds];
}

/**
 * Conditions that part all keys at `bounds`, which are ascending: the first and the last are open.
 * @example keyConditions(["id"], ["'5'::int4"]) // [`("id") < ('5'::int4)`, `("id") >= ('5'::int4)`]
 */
export function keyConditions(key: readonly string[], bounds: readonly string[]): string[] {
  const columns = `(${key.map(quoteIdent).join(", ")})`;
  const conditions: string[] = [];
  for (let i = 0; i <= bounds.length; i++) {
    const parts: string[] = [];
    if (i > 0) parts.push(`${columns} >= (${bounds[i - 1]})`);
    if (i < bounds.length) parts.push(`${columns} < (${bounds[i]})`);
    conditions.push(parts.join(" and ") || "true");
  }
  return conditions;
}

/** Conditions that part the blocks a table has now. What is written behind them is in the queue. */
export function placeConditions(blocks: bigint, count: number): string[] {
  const pieces = BigInt(count) < blocks ? BigInt(count) : blocks;
  const conditions: string[] = [];
  for (let i = 0n; i < pieces; i++) {
    conditions.push(
      `ctid >= '(${i * blocks / pieces},0)'::pg_catalog.tid and ctid < '(${
        (i + 1n) * blocks / pieces
      },0)'::pg_catalog.tid`,
    );
  }
  return conditions;
}
