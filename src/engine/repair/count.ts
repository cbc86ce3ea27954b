// The manual's compare: the same statement on both sides, and its results side by side.

import { SkyqError } from "../../base/errors.ts";
import { quoteIdent } from "../../db/quote.ts";
import type { Pair } from "./connections.ts";
import { type Layout, readLayout } from "./layout.ts";
import { checkCondition, pinSettings } from "./order.ts";
import type { Catalogs } from "./job.ts";
import { holdTable, interruptible, openSnapshots, syncTable } from "./sync.ts";
import type { TableNames, TableOptions } from "./table.ts";

export interface CountOptions extends TableOptions {
  /** With `_TABLE_`, `_COLS_`, `_WHERE_` in it. */
  readonly sql: string;
  /** Python's format of a result, null for all columns one after the other. */
  readonly format: string | null;
}

export const COUNT_SQL = "select count(1) as res from _TABLE_ where _WHERE_";

/** Runs the statement on both sides at once. @returns what each said, and for `COUNT_SQL` how many rows there are */
export async function countTable(
  pair: Pair,
  catalogs: Catalogs,
  names: TableNames,
  options: CountOptions,
): Promise<{ source: string; target: string; rows: { source: number; target: number } | null }> {
  const { log } = options;
  const layout = await readLayout(catalogs.source, catalogs.target, {
    sourceTable: names.source,
    targetTable: names.target,
    ignoreColumns: options.ignoreColumns,
  });
  const snapshots = pair.replication === null
    ? await openSnapshots(pair, options)
    : await syncTable({ ...pair, replication: pair.replication }, names.source, options);
  try {
    log.info(`Counting ${names.table}`);
    const count = async (side: "source" | "target") => {
      const connection = snapshots[side];
      await holdTable(connection, layout[side]);
      if (options.where !== null) await checkCondition(connection, layout, side, options.where);
      await pinSettings(connection, layout);
      const rows = await connection.query(statement(options.sql, layout, side, options.where));
      if (rows[0] === undefined) {
        throw new SkyqError("config", `Cannot compare ${names.table}: compare_sql gave no row`);
      }
      return { said: formatted(rows[0], options.format), count: Number(rows[0].res) };
    };
    const [source, target] = await interruptible(
      snapshots,
      options.signal,
      () => Promise.all([count("source"), count("target")]),
    );
    log.info(`srcdb: ${source.said}`);
    log.info(`dstdb: ${target.said}`);
    const rows = options.sql === COUNT_SQL ? { source: source.count, target: target.count } : null;
    return { source: source.said, target: target.said, rows };
  } finally {
    snapshots.source.destroy();
    snapshots.target.destroy();
  }
}

function statement(sql: string, layout: Layout, side: "source" | "target", where: string | null): string {
  const { isPartitioned, quotedTable } = layout[side];
  const columns = layout.columns.map(({ name }) => quoteIdent(name)).join(", ");
  return sql.replaceAll("_TABLE_", () => `${isPartitioned ? "" : "only "}${quotedTable}`)
    .replaceAll("_COLS_", () => columns)
    .replaceAll("_WHERE_", () => where === null ? "true" : `(${where}\n)`);
}

/** @example formatted({ cnt: 12n }, "%(cnt)d rows") === "12 rows" */
export function formatted(row: Readonly<Record<string, unknown>>, format: string | null): string {
  if (format === null) return Object.entries(row).map(([name, value]) => `${name} = ${value}`).join(", ");
  return format.replace(
    /%(?:%|\((\w+)\)[sd])/g,
    (all, name) => name === undefined ? "%" : name in row ? String(row[name]) : all,
  );
}
