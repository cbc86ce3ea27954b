/** Whether two databases hold the same: by SQL of our own, with none of the product's code. */

/** Anything that runs SQL and gives what `psql -At` prints. */
export interface SqlPrinter {
  sql(text: string): Promise<string>;
}

export interface TableContents {
  readonly rowCount: number;
  /** Over all rows' texts, whatever order they lie in. */
  readonly md5: string;
}

/** Whatever the two databases have set: the same value has one text. */
const SHOW_ALIKE = `set timezone = 'UTC'; set datestyle = 'ISO, MDY'; set intervalstyle = 'postgres';
  set extra_float_digits = 3; set bytea_output = 'hex'; set lc_monetary = 'C'; set xmlbinary = 'base64';`;

/**
 * Row count and checksum of one table as the server itself prints its rows.
 * @param table as SQL wants it, quoted where needed
 * @param columns default: the whole row; named ones where the two sides have them in different order
 */
export async function contentsOf(
  db: SqlPrinter,
  table: string,
  columns?: readonly string[],
): Promise<TableContents> {
  const row = columns === undefined ? "t::text" : `row(${columns.map((column) => `t.${column}`).join(", ")})::text`;
  const text = await db.sql(
    `${SHOW_ALIKE}
     select count(*), md5(coalesce(string_agg(r.hash, '' order by r.hash collate "C"), ''))
       from (select md5(${row}) as hash from ${table} t) r`,
  );
  const [rowCount = "", md5 = ""] = text.trim().split("|");
  return { rowCount: Number(rowCount), md5 };
}

/** A table whose contents differ, with what each side holds. */
export interface Difference {
  readonly table: string;
  readonly provider: TableContents;
  readonly subscriber: TableContents;
}

/** Compares tables by name. @returns those that differ, empty when both sides are equal */
export async function differences(
  { provider, subscriber }: { provider: SqlPrinter; subscriber: SqlPrinter },
  tables: readonly string[],
): Promise<Difference[]> {
  const different: Difference[] = [];
  for (const table of tables) {
    const [here, there] = await Promise.all([contentsOf(provider, table), contentsOf(subscriber, table)]);
    if (here.rowCount !== there.rowCount || here.md5 !== there.md5) {
      different.push({ table, provider: here, subscriber: there });
    }
  }
  return different;
}
