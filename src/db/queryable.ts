/** A value that may stand for `$n` in a statement. Arrays become one-dimensional PostgreSQL arrays. */
export type Param = string | number | bigint | boolean | null | readonly (string | number | bigint | null)[];

/**
 * Something that runs one parametrised statement. Both connections implement it, the library's (`sql.ts`, commands and
 * ticker) and our own (`wire/`, the data path), so that `src/queue/` has one function per SQL function and no more.
 *
 * Values come back by type: int2, int4, oid, float → number · int8 → bigint · bool → boolean · text[] and name[] →
 * string[] · NULL → null · all else → the server's text.
 *
 * @throws {SkyqError} `sql` (with `sqlstate`), `privilege`, `lock-timeout`, `connection-lost`, …: see `errors.ts`
 */
export interface Queryable {
  // deno-lint-ignore no-explicit-any
  query<Row = Record<string, any>>(text: string, params?: readonly Param[]): Promise<Row[]>;
}

/** The one row of a statement that returns one. */
export async function one<Row>(db: Queryable, text: string, params?: readonly Param[]): Promise<Row> {
  const rows = await db.query<Row>(text, params);
  const row = rows[0];
  if (row === undefined || rows.length > 1) throw new Error(`Expected one row, got ${rows.length}: ${text}`);
  return row;
}
