import { SkyqError } from "../../base/errors.ts";
import { quoteIdent } from "../../db/quote.ts";
import type { Queryable } from "../../db/queryable.ts";
import { encodeUrl } from "../../codec/urlencode.ts";
import { fingerprints, readTargetTable, type TargetColumn, type TargetTable } from "./target_table.ts";

/** A column of an event's data, in the event's order. */
export interface ShapeColumn {
  readonly name: string;
  readonly key: boolean;
  /** Read over, not written: the subscriber computes it, or has no such column. */
  readonly skip: boolean;
}

/** A prepared statement: its name on the connection, and its text. */
export interface Statement {
  readonly name: string;
  readonly sql: string;
}

/** How events of one table and one column sequence become statements on the subscriber. */
export interface ApplyPlan {
  /** The table's name in the events. */
  readonly table: string;
  readonly target: TargetTable;
  readonly columns: readonly ShapeColumn[];
  /** In the key list's order. */
  readonly keyNames: readonly string[];
  /** Rows in COPY's text format. */
  readonly copySql: string;
  /** Set-based, parameters are one text[] a column: written columns and keys, or the keys alone for a delete. */
  readonly updateMany: Statement | null;
  readonly deleteMany: Statement;
  /** One event each, parameters are text, in event order: as for the set-based ones; insert takes all written columns. */
  readonly insertOne: Statement;
  readonly updateOne: Statement;
  readonly deleteOne: Statement;
  /** Bytes of the key tell keys apart. */
  readonly hasCanonicalKey: boolean;
  /** Key bytes do not stand for the key, or a cast is not the input function: only event by event is right. */
  readonly mustBeOrdered: boolean;
}

export type RowOp = "insert" | "update" | "delete";

/** What the plan's statement for one event is given, from the event's row. */
export function rowParams(plan: ApplyPlan, op: RowOp, row: ReadonlyMap<string, string | null>): (string | null)[] {
  return plan.columns
    .filter(({ key, skip }) => op === "delete" ? key : op === "update" ? key || !skip : !skip)
    .map(({ name }) => row.get(name) ?? null);
}

/** The key of an event's row, urlencoded in the key list's order. */
export function keyOf(plan: ApplyPlan, row: ReadonlyMap<string, string | null>): string {
  return encodeUrl(new Map(plan.keyNames.map((name) => [name, row.get(name) ?? null])));
}

/**
 * The subscriber's tables are not those that the plans were made for. The batch is to be done again, with new plans; it
 * is no failure until that has been tried.
 */
export class StalePlans extends SkyqError {
  constructor(tables: readonly string[]) {
    super("structure", `Cannot apply events of ${tables.join(", ")}: altered on the subscriber again and again`, {
      hint: "The batch is tried again.",
    });
  }
}

/** Plans of one subscriber connection, made when events of a table and column sequence are first met. */
export class Plans {
  readonly #subscriber: Queryable;
  readonly #upsert: boolean;
  readonly #plans = new Map<string, ApplyPlan>();
  /** Those of the batch in hand. */
  readonly #used = new Set<ApplyPlan>();

  /** @param upsert as of `makePlan` */
  constructor(subscriber: Queryable, upsert = false) {
    this.#subscriber = subscriber;
    this.#upsert = upsert;
  }

  /** Forgets all: the subscriber's tables were altered. */
  clear(): void {
    this.#plans.clear();
    this.#used.clear();
  }

  /** A batch begins: what is used from now on is what `verify` looks at. */
  begin(): void {
    this.#used.clear();
  }

  /**
   * Whether the tables of the batch still are what their plans were made for. Asked at the end of a transaction it holds
   * for all of it: whoever alters a table waits for us from our first row on.
   * @throws {StalePlans} when they are not
   */
  async verify(): Promise<void> {
    const used = [...this.#used];
    if (used.length === 0) return;
    const targets = new Map(used.map(({ target }) => [target.name, target.fingerprint]));
    const now = await fingerprints(this.#subscriber, [...targets.keys()]);
    const stale = used.filter(({ target }) => now.get(target.name) !== target.fingerprint);
    if (stale.length > 0) throw new StalePlans(stale.map(({ table }) => table));
  }

  /**
   * @param dest the subscriber's table, `schema.name`
   * @throws {SkyqError} `structure` with the fact `table`: see `makePlan`
   */
  async get(
    table: string,
    dest: string,
    columnNames: readonly string[],
    keyNames: readonly string[],
    leftOut: ReadonlySet<string> = new Set(),
  ): Promise<ApplyPlan> {
    const id = JSON.stringify([table, dest, columnNames, keyNames, [...leftOut]]);
    let plan = this.#plans.get(id);
    if (plan === undefined) {
      try {
        const target = await readTargetTable(this.#subscriber, dest);
        plan = makePlan(table, target, columnNames, keyNames, { upsert: this.#upsert, leftOut });
      } catch (error) {
        if (error instanceof SkyqError && error.fault === "structure") error.facts.table = table;
        throw error;
      }
      this.#plans.set(id, plan);
    }
    this.#used.add(plan);
    return plan;
  }
}

let planCount = 0;

/**
 * Plans the statements for events of `table` whose data has the columns `columnNames` and whose key is `keyNames`.
 * @param upsert single events are inserts that replace the row of their key, whether it is there or not: the table must
 *   have a unique index on the key, and a key that is no generated column
 * @param leftOut columns that the subscriber's table need not have
 * @throws {SkyqError} `structure` when the subscriber's table lacks a column, or the key is not in the data
 */
export function makePlan(
  table: string,
  target: TargetTable,
  columnNames: readonly string[],
  keyNames: readonly string[],
  { upsert = false, leftOut = new Set<string>() as ReadonlySet<string> } = {},
): ApplyPlan {
  const isAbsent = (name: string) => !target.columns.has(name) && leftOut.has(name) && !keyNames.includes(name);
  const missing = columnNames.filter((name) => !target.columns.has(name) && !isAbsent(name));
  if (missing.length > 0) {
    throw new SkyqError(
      "structure",
      `Cannot apply events of table "${table}": subscriber's table "${target.name}" has no column ${
        missing.map((name) => `"${name}"`).join(", ")
      }`,
      { hint: "Add the column on the subscriber; replay goes on by itself.", facts: { table, missing } },
    );
  }
  const absent = keyNames.filter((name) => !columnNames.includes(name));
  if (keyNames.length === 0 || absent.length > 0) {
    throw new SkyqError(
      "structure",
      `Cannot apply events of table "${table}": ${
        keyNames.length === 0
          ? "they name no key column"
          : `key column ${absent.map((name) => `"${name}"`).join(", ")} is not in their data`
      }`,
      { hint: "Give the table a primary key, or a trigger argument pkey=…, and add it again." },
    );
  }
  const columns = columnNames.map((name): ShapeColumn => {
    const key = keyNames.includes(name);
    return { name, key, skip: isAbsent(name) || target.columns.get(name)!.isGenerated };
  });
  // What each kind of statement is given, in event order; the codec follows the same rule.
  const inserted = columns.filter((column) => !column.skip);
  const updated = columns.filter((column) => !column.skip || column.key);
  const keys = columns.filter((column) => column.key);
  const values = inserted.filter((column) => !column.key);
  const of = (column: ShapeColumn): TargetColumn => target.columns.get(column.name)!;
  // A key may become another value that is equal to it: 1.0 to 1.00.
  const changed = inserted.filter((column) => !of(column).isFixed && (!column.key || !of(column).isCanonicalText));
  // No update may set these; a row of which one did change (`set id = default`) goes and comes back.
  const fixed = values.filter((column) => of(column).isFixed);
  const list = (some: readonly ShapeColumn[], text: (column: ShapeColumn, index: number) => string, glue = ", ") =>
    some.map(text).join(glue);
  const ident = (column: ShapeColumn) => quoteIdent(column.name);
  const nth = (some: readonly ShapeColumn[], column: ShapeColumn) => some.indexOf(column) + 1;

  const onConflict = changed.length === 0
    ? "nothing"
    : `update set ${list(changed, (column) => `${ident(column)} = excluded.${ident(column)}`)}`;
  /** One row, with the parameters of a statement that is given the columns `some`. */
  const insertOf = (some: readonly ShapeColumn[]) =>
    `insert into ${target.sql} (${list(inserted, ident)}) overriding system value values (${
      list(inserted, (column) => `$${nth(some, column)}`)
    })${!upsert ? "" : ` on conflict (${list(keys, ident)}) do ${onConflict}`}`;

  // The cast tells the parameter's type where the operator does not: rows are compared as records.
  const keyIs = (some: readonly ShapeColumn[]) =>
    list(keys, (column) => `t.${ident(column)} = $${nth(some, column)}::${of(column).castType}`, " and ");
  const sameFixed = list(
    fixed,
    (column) => `t.${ident(column)} is not distinct from $${nth(updated, column)}`,
    " and ",
  );
  /** Takes the row away when its fixed columns become others; `back` brings it again, with what events do not tell. */
  const gone = () =>
    `with gone as (delete from ${target.onlySql} as t where ${keyIs(updated)} and not (${sameFixed}) returning t.*)`;
  const back = () => {
    const rest = [...target.columns.values()]
      .filter(({ name, isGenerated }) => !isGenerated && !inserted.some((column) => column.name === name))
      .map(({ name }) => quoteIdent(name));
    const columnList = [...inserted.map(ident), ...rest].join(", ");
    const valueList = [
      ...inserted.map((column) => `$${nth(updated, column)}::${of(column).castType}`),
      ...rest.map((name) => `gone.${name}`),
    ].join(", ");
    return `back as (insert into ${target.sql} (${columnList}) overriding system value select ${valueList} from gone)`;
  };
  // Where nothing is to be changed, a column that stays as it is tells whether there is such a row.
  const idle = [...keys.map(of), ...target.columns.values()].find(({ isGenerated, isFixed }) =>
    !isGenerated && !isFixed
  );
  const setOne = changed.length > 0
    ? list(changed, (column) => `${ident(column)} = $${nth(updated, column)}`)
    : idle === undefined
    ? null
    : `${quoteIdent(idle.name)} = t.${quoteIdent(idle.name)}`;
  const updateRow = setOne === null
    // A table of nothing but an identity: its rows cannot be updated at all.
    ? `delete from ${target.onlySql} as t where ${keyIs(updated)} and false`
    : fixed.length === 0
    ? `update ${target.onlySql} as t set ${setOne} where ${keyIs(updated)}`
    : `${gone()}, ${back()} update ${target.onlySql} as t set ${setOne} where ${keyIs(updated)} and ${sameFixed}`;

  const prefix = `skyq_${++planCount}`;
  const unnest = (some: readonly ShapeColumn[]) =>
    `unnest(${list(some, (_, i) => `$${i + 1}::pg_catalog.text[]`)}) as s(${list(some, (_, i) => `c${i + 1}`)})`;
  const keyMatch = (some: readonly ShapeColumn[]) =>
    list(keys, (column) => `t.${ident(column)} = s.c${nth(some, column)}::${of(column).castType}`, " and ");

  return {
    table,
    target,
    columns,
    keyNames,
    copySql: `copy ${target.sql} (${list(inserted, ident)}) from stdin`,
    updateMany: values.length === 0 || fixed.length > 0 ? null : {
      name: `${prefix}_um`,
      sql: `update ${target.onlySql} as t set ${
        list(values, (column) => `${ident(column)} = s.c${nth(updated, column)}::${of(column).castType}`)
      } from ${unnest(updated)} where ${keyMatch(updated)}`,
    },
    deleteMany: {
      name: `${prefix}_dm`,
      sql: `delete from ${target.onlySql} as t using ${unnest(keys)} where ${keyMatch(keys)}`,
    },
    insertOne: {
      name: `${prefix}_i`,
      sql: insertOf(inserted),
    },
    updateOne: {
      name: `${prefix}_u`,
      // Every parameter must appear, so that its type is known: keys stand in the condition, values in the list.
      sql: upsert ? insertOf(updated) : updateRow,
    },
    deleteOne: {
      name: `${prefix}_d`,
      sql: `delete from ${target.onlySql} as t where ${keyIs(keys)}`,
    },
    hasCanonicalKey: keys.every((column) => of(column).isCanonicalText),
    mustBeOrdered: fixed.length > 0 || keys.some((column) => !of(column).isCanonicalText) ||
      updated.some((column) => of(column).hasOwnTextCast),
  };
}
