/**
 * What of the target's table keeps two rows from holding the same values, beyond the key that rows are told apart by:
 * unique indexes and exclusion constraints. Values that rotate among rows, or move from a row that goes to one that
 * comes, need statements in an order, and rows that exchange them a value for the time between.
 */
import { createHash } from "node:crypto";
import { type Queryable } from "../../db/queryable.ts";
import { quoteIdent, splitName } from "../../db/quote.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { copiedRows, keyConditions, keyLiterals, sameCell, valueLiteral } from "./keyed.ts";
import { castForEquality, type Layout, type LayoutColumn } from "./layout.ts";
import { type Cell, cellExpression, fromClause } from "./order.ts";
import type { Difference } from "./walk.ts";

/** A value that a column of a rule may have for a moment, and that no other row has. */
export type Aside =
  | { readonly kind: "null" }
  /** A range that overlaps nothing. */
  | { readonly kind: "empty"; readonly text: string }
  /** A random text, of so many characters at most. */
  | { readonly kind: "text"; readonly lengthMax: number }
  | { readonly kind: "uuid" }
  | { readonly kind: "bytes" }
  /** Numbers from here on are free on both sides. */
  | { readonly kind: "number"; readonly from: bigint };

export interface UniqueRule {
  /** Of the index, which is that of the constraint. */
  readonly name: string;
  /** Columns that it reads, as indexes into `layout.columns`. */
  readonly columns: readonly number[];
  /** Quoted names of columns that it reads and that are not compared. */
  readonly others: readonly string[];
  /** Per column of the index: SQL over the table's columns, the operator that says "the same", and `collate …`. */
  readonly expressions: readonly string[];
  readonly operators: readonly string[];
  readonly collations: readonly string[];
  /** Only rows of which this holds fall under it. */
  readonly predicate: string | null;
  readonly nullsAreSame: boolean;
  /** Looked at when the transaction ends, if that is asked for. */
  readonly isDeferrable: boolean;
  /** Of one partition alone. */
  readonly isLocal: boolean;
  /** Rows clash if, and only if, the texts of their columns are the same. */
  readonly isExact: boolean;
  /** Foreign keys refer to it. */
  readonly isReferenced: boolean;
  /** How a row is set aside; null when its columns' types have no such value. */
  readonly aside: { readonly column: number; readonly how: Aside } | null;
}

interface RuleRow {
  name: string;
  columns: string[];
  plain: (string | null)[];
  expressions: string[];
  operators: (string | null)[];
  collations: (string | null)[];
  deterministic: boolean;
  predicate: string | null;
  nulls_same: boolean;
  exclusion: boolean;
  deferrable: boolean;
  local: boolean;
  referenced: boolean;
}

/** What of a target's column decides how it can be set aside. */
interface AsideRow {
  name: string;
  not_null: boolean;
  settable: boolean;
  builtin: string;
  /** `pg_type.typtype` */
  kind: string;
  length: number;
}

/**
 * Reads the rules of the target's table. Opens and ends a transaction.
 * @param source for numbers that are free on both sides
 */
export async function readUniqueRules(
  source: Queryable,
  target: WireConnection,
  layout: Layout,
): Promise<UniqueRule[]> {
  // Names are shown in full then, whatever the search path of whoever uses them.
  await target.exec("begin read only; set local search_path = ''");
  let rows: RuleRow[];
  let columns: AsideRow[];
  try {
    rows = await target.query<RuleRow>(RULES_SQL, [layout.target.quotedTable]);
    columns = rows.length === 0 ? [] : await target.query<AsideRow>(ASIDE_SQL, [layout.target.quotedTable]);
  } finally {
    if (!target.isClosed) await target.exec("rollback");
  }
  const rules: UniqueRule[] = [];
  for (const row of rows) {
    const keyNames = layout.key.map(({ name }) => name);
    // Rows with different keys never clash in what holds the key.
    if (!row.exclusion && keyNames.every((name) => row.plain.includes(name))) continue;
    rules.push(await ruleOf(row, columns, { source, target, layout }));
  }
  return rules;
}

async function ruleOf(
  row: RuleRow,
  columns: readonly AsideRow[],
  { source, target, layout }: { source: Queryable; target: Queryable; layout: Layout },
): Promise<UniqueRule> {
  const indexes = row.columns.map((name) => layout.columns.findIndex((column) => column.name === name));
  const known = indexes.filter((index) => index >= 0);
  const asideOf = async (): Promise<UniqueRule["aside"]> => {
    const settable = known.filter((index) => !layout.columns[index]!.isKey)
      .map((index) => ({ index, column: columns.find(({ name }) => name === layout.columns[index]!.name)! }))
      .filter(({ column }) => column.settable)
      .map((one) => ({ ...one, nth: row.plain.indexOf(one.column.name) }));
    // What an expression makes of a value nobody can promise: the server will say.
    const [plain, hidden] = [settable.filter(({ nth }) => nth >= 0), settable.filter(({ nth }) => nth < 0)];
    const nullable = (some: typeof settable) => {
      const found = row.nulls_same ? undefined : some.find(({ column }) => !column.not_null);
      return found && { column: found.index, how: { kind: "null" } as const };
    };
    const whole = nullable(plain);
    if (whole !== undefined) return whole;
    for (const { index, column, nth } of plain) {
      const how = emptyAside(column, row.operators[nth] ?? "") ?? constantAside(column) ??
        await numberAside(column, layout.columns[index]!, { source, target, layout });
      if (how !== null) return { column: index, how };
    }
    const part = nullable(hidden);
    if (part !== undefined) return part;
    for (const { index, column } of hidden) {
      const how = constantAside(column);
      if (how !== null) return { column: index, how };
    }
    return null;
  };
  return {
    name: row.name,
    columns: known,
    others: row.columns.filter((_, n) => indexes[n]! < 0).map(quoteIdent),
    expressions: row.expressions.map((expression, n) => {
      const column = layout.columns.find(({ name }) => name === row.plain[n]);
      return column === undefined ? expression : `${expression}${castForEquality(column.target)}`;
    }),
    operators: row.operators.map((operator) => operator ?? "="),
    collations: row.collations.map((collation) => collation === null ? "" : ` collate ${collation}`),
    predicate: row.predicate,
    nullsAreSame: row.nulls_same,
    isDeferrable: row.deferrable,
    isLocal: row.local,
    isExact: !row.exclusion && row.deterministic && known.length === row.plain.length &&
      known.length === row.columns.length && row.plain.every((name) => name !== null) &&
      known.every((index) => hasOneText(layout.columns[index]!)),
    isReferenced: row.referenced,
    aside: row.deferrable ? null : await asideOf(),
  };
}

/** Types of which two values are the same if their texts are. */
const ONE_TEXT = new Set(
  [
    "int2",
    "int4",
    "int8",
    "oid",
    "uuid",
    "bool",
    "text",
    "varchar",
    "name",
    "bytea",
    "date",
    "timestamp",
    "timestamptz",
  ],
);
const INTEGERS = ["int2", "int4", "int8"];

function hasOneText({ source, target }: LayoutColumn): boolean {
  const [a, b] = [source.builtin, target.builtin];
  return ONE_TEXT.has(b) && target.isDeterministic && (a === b || (INTEGERS.includes(a) && INTEGERS.includes(b)));
}

function emptyAside({ kind }: AsideRow, operator: string): Aside | null {
  if (operator !== "operator(pg_catalog.&&)") return null;
  return kind === "r" ? { kind: "empty", text: "empty" } : kind === "m" ? { kind: "empty", text: "{}" } : null;
}

/** Fewer characters are not random enough. */
const TEXT_LENGTH_MIN = 8;

function constantAside({ builtin, length }: AsideRow): Aside | null {
  if (builtin === "uuid") return { kind: "uuid" };
  if (builtin === "bytea") return { kind: "bytes" };
  if (!["text", "varchar", "bpchar"].includes(builtin)) return null;
  const lengthMax = length < 0 ? 32 : Math.min(length, 32);
  return lengthMax < TEXT_LENGTH_MIN ? null : { kind: "text", lengthMax };
}

const NUMBER_MAX: Readonly<Record<string, bigint>> = {
  int2: (1n << 15n) - 1n,
  int4: (1n << 31n) - 1n,
  int8: (1n << 63n) - 1n,
};
/** Rows that come meanwhile get the next numbers; those that are set aside stay away from them. */
const NUMBER_GAP = 1_000_000n;

async function numberAside(
  { builtin }: AsideRow,
  column: LayoutColumn,
  { source, target, layout }: { source: Queryable; target: Queryable; layout: Layout },
): Promise<Aside | null> {
  const max = NUMBER_MAX[builtin];
  if (max === undefined || !INTEGERS.includes(column.source.builtin)) return null;
  const largest = async (db: Queryable, side: "source" | "target") => {
    const [row] = await db.query<{ max: string | null }>(
      `select max(${quoteIdent(column.name)})::text as max from ${fromClause(layout, side)}`,
    );
    return BigInt(row!.max ?? 0);
  };
  const [a, b] = [await largest(source, "source"), await largest(target, "target")];
  const used = a > b ? a : b;
  const room = max - used;
  return room < 2n ? null : { kind: "number", from: used + 1n + (room / 2n < NUMBER_GAP ? room / 2n : NUMBER_GAP) };
}

/** $1 the table as SQL names it. Needs no column that PostgreSQL 13 does not have. */
const RULES_SQL = `
  select c.relname as name,
         array(select a.attname::text from pg_catalog.pg_attribute a
                where a.attrelid = i.indrelid and a.attnum > 0
                  and (a.attnum = any ((i.indkey::int2[])[0:i.indnkeyatts - 1]) or exists (
                    select 1 from pg_catalog.pg_depend d
                     where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = i.indexrelid
                       and d.refclassid = 'pg_catalog.pg_class'::regclass and d.refobjid = i.indrelid
                       and d.refobjsubid = a.attnum))
                order by a.attnum) as columns,
         array(select a.attname::text from pg_catalog.generate_series(0, i.indnkeyatts - 1) k(n)
                 left join pg_catalog.pg_attribute a
                   on a.attrelid = i.indrelid and a.attnum = i.indkey[k.n] and i.indkey[k.n] > 0
                order by k.n) as plain,
         array(select pg_catalog.pg_get_indexdef(i.indexrelid, k.n::int4, false)
                 from pg_catalog.generate_series(1, i.indnkeyatts::int4) k(n) order by k.n) as expressions,
         array(select (select 'operator(' || pg_catalog.quote_ident(n.nspname) || '.' || o.oprname || ')'
                         from pg_catalog.pg_operator o join pg_catalog.pg_namespace n on n.oid = o.oprnamespace
                        where o.oid = coalesce(con.conexclop[k.n + 1], (
                          select m.amopopr from pg_catalog.pg_opclass p
                            join pg_catalog.pg_amop m on m.amopfamily = p.opcfamily
                             and m.amoplefttype = p.opcintype and m.amoprighttype = p.opcintype and m.amopstrategy = 3
                           where p.oid = i.indclass[k.n])))
                 from pg_catalog.generate_series(0, i.indnkeyatts - 1) k(n) order by k.n) as operators,
         array(select (select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(l.collname)
                         from pg_catalog.pg_collation l join pg_catalog.pg_namespace n on n.oid = l.collnamespace
                        where l.oid = i.indcollation[k.n])
                 from pg_catalog.generate_series(0, i.indnkeyatts - 1) k(n) order by k.n) as collations,
         not exists (select 1 from pg_catalog.pg_collation l
                      where l.oid = any (i.indcollation) and not l.collisdeterministic) as deterministic,
         pg_catalog.pg_get_expr(i.indpred, i.indrelid) as predicate,
         coalesce(pg_catalog.to_jsonb(i) ->> 'indnullsnotdistinct' = 'true', false) as nulls_same,
         con.conexclop is not null as exclusion,
         not i.indimmediate as deferrable,
         i.indrelid <> $1::pg_catalog.regclass as local,
         exists (select 1 from pg_catalog.pg_constraint f
                  where f.contype = 'f' and f.conindid = i.indexrelid) as referenced
    from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    left join pg_catalog.pg_constraint con on con.conindid = i.indexrelid and con.contype in ('p', 'u', 'x')
   where (i.indisunique or i.indisexclusion) and i.indisready
     and (i.indrelid = $1::pg_catalog.regclass or i.indrelid in (
            select p.relid from pg_catalog.pg_partition_tree($1::pg_catalog.regclass) p)
            and not exists (select 1 from pg_catalog.pg_inherits h where h.inhrelid = i.indexrelid))
   order by c.relname`;

const ASIDE_SQL = `
  with recursive base (attnum, oid, typmod, not_null) as (
    select a.attnum, a.atttypid, a.atttypmod, a.attnotnull from pg_catalog.pg_attribute a
     where a.attrelid = $1::pg_catalog.regclass and a.attnum > 0 and not a.attisdropped
    union all
    select b.attnum, t.typbasetype, t.typtypmod, b.not_null or t.typnotnull
      from base b join pg_catalog.pg_type t on t.oid = b.oid where t.typtype = 'd'
  )
  select a.attname as name, b.not_null, a.attgenerated = '' and a.attidentity <> 'a' as settable,
         case when t.typnamespace = 'pg_catalog'::regnamespace then t.typname else '' end as builtin,
         t.typtype::text as kind,
         case when t.typname in ('varchar', 'bpchar') then b.typmod - 4 else -1 end::int4 as length
    from base b
    join pg_catalog.pg_attribute a on a.attrelid = $1::pg_catalog.regclass and a.attnum = b.attnum
    join pg_catalog.pg_type t on t.oid = b.oid and t.typtype <> 'd'
   order by a.attnum`;

// ---- what a difference has to do with the rules

/** Rules in which the target's row is about to take other values than it has. */
export function rulesTaken(rules: readonly UniqueRule[], { kind, source, target }: Difference): UniqueRule[] {
  if (kind === "delete") return [];
  if (kind === "insert") return [...rules];
  return rules.filter(({ columns }) => columns.some((index) => !sameCell(source![index]!, target![index]!)));
}

/**
 * What stands for the values that a row has under a rule: rows with the same one clash. Null when it clashes with none.
 * Only of rules that are exact.
 */
export function holdingOf(rules: readonly UniqueRule[], rule: UniqueRule, row: readonly Cell[]): string | null {
  const cells = rule.columns.map((index): Cell => row[index]!);
  if (!rule.nullsAreSame && cells.includes(null)) return null;
  const hash = createHash("md5").update(String(rules.indexOf(rule)));
  for (const cell of cells) hash.update(cell === null ? "-" : `${cell.length}:`).update(cell ?? "");
  return hash.digest("base64").slice(0, 16);
}

/** Values for rows that are set aside, each another one. */
export class Asides {
  #taken = 0n;

  /**
   * The row with the columns of these rules set aside.
   * @returns null when one of them cannot be
   */
  setAside(rules: readonly UniqueRule[], row: readonly Cell[]): Cell[] | null {
    const cells = [...row];
    for (const { aside } of rules) {
      if (aside === null) return null;
      cells[aside.column] = this.#value(aside.how);
    }
    return cells;
  }

  #value(how: Aside): Cell {
    switch (how.kind) {
      case "null":
        return null;
      case "empty":
        return encoder.encode(how.text);
      case "uuid":
        return encoder.encode(crypto.randomUUID());
      case "text":
        return encoder.encode(randomHex().slice(0, how.lengthMax));
      case "bytes":
        return encoder.encode(`\\x${randomHex()}`);
      case "number":
        return encoder.encode(String(how.from + this.#taken++));
    }
  }
}

const encoder = new TextEncoder();

function randomHex(): string {
  return crypto.randomUUID().replaceAll("-", "");
}

/** One row waits for another one to give its values away; both by their place in a list. */
export type Wait = readonly [wanter: number, holder: number];

/**
 * An order in which each row's values are free when its turn comes.
 * @param waits who wants what another one holds
 * @param canSetAside whether a row may be set aside before the first turn; asked for where there is a cycle
 * @returns rows to be set aside, and all rows in order; where a cycle cannot be resolved, in some order
 */
export function turnsOf(
  count: number,
  waits: readonly Wait[],
  canSetAside: (row: number) => boolean,
): { aside: number[]; order: number[] } {
  const holders: Set<number>[] = Array.from({ length: count }, () => new Set());
  const wanters: number[][] = Array.from({ length: count }, () => []);
  for (const [wanter, holder] of waits) {
    if (wanter === holder || holders[wanter]!.has(holder)) continue;
    holders[wanter]!.add(holder);
    wanters[holder]!.push(wanter);
  }
  const order: number[] = [];
  const aside: number[] = [];
  const isDone = new Uint8Array(count);
  const ready: number[] = [];
  for (let row = 0; row < count; row++) if (holders[row]!.size === 0) ready.push(row);
  const gaveAway = (holder: number) => {
    for (const wanter of wanters[holder]!) {
      if (holders[wanter]!.delete(holder) && holders[wanter]!.size === 0 && isDone[wanter] === 0) ready.push(wanter);
    }
  };
  let nextRow = 0;
  for (;;) {
    for (let at = 0; at < ready.length; at++) {
      const row = ready[at]!;
      isDone[row] = 1;
      order.push(row);
      gaveAway(row);
    }
    ready.length = 0;
    while (nextRow < count && isDone[nextRow] === 1) nextRow++;
    if (nextRow === count) return { aside, order };
    // Everybody left waits for somebody who is left: going from one to the next ends in a cycle.
    const seen = new Map<number, number>();
    const path: number[] = [];
    for (let row = nextRow; !seen.has(row); row = holders[row]!.values().next().value!) {
      seen.set(row, path.length);
      path.push(row);
    }
    const cycle = path.slice(seen.get(holders[path.at(-1)!]!.values().next().value!)!);
    const chosen = cycle.find(canSetAside);
    if (chosen === undefined) {
      ready.push(cycle[0]!); // the server will say what is in the way
      holders[cycle[0]!]!.clear();
    } else {
      aside.push(chosen);
      gaveAway(chosen);
    }
  }
}

// ---- who holds what, as the target's server sees it

/** A row of the target that has the values that another one is to get. */
export interface Held {
  /** By the place in the list of those that want. */
  readonly wanter: number;
  readonly rule: UniqueRule;
  readonly holder: readonly Cell[];
  /** The user's condition holds for it. */
  readonly isChosen: boolean;
}

/**
 * Asks the target which rows stand in the way of differences. The session has the layout's settings (`pinSettings`).
 * @param where the user's condition, null without one
 */
export async function readHolders(
  target: WireConnection,
  layout: Layout,
  rules: readonly UniqueRule[],
  differences: readonly Difference[],
  where: string | null,
): Promise<Held[]> {
  const held: Held[] = [];
  for (const rule of rules) {
    if (rule.isLocal) continue;
    const wanters = differences.map((difference, n) => ({ difference, n }))
      .filter(({ difference }) => rulesTaken([rule], difference).length > 0);
    if (wanters.length === 0) continue;
    for await (const [n, chosen, ...holder] of copiedRows(target, holderSql(layout, rule, wanters, where))) {
      const wanter = Number(decoder.decode(n!));
      held.push({ wanter, rule, holder, isChosen: decoder.decode(chosen!) === "t" });
    }
  }
  return held;
}

const decoder = new TextDecoder();

/** Names within the statement, none of which a column of a table has, more or less. */
const n = (name: string | number) => `"skyq ${name}"`;

function holderSql(
  layout: Layout,
  rule: UniqueRule,
  wanters: readonly { difference: Difference; n: number }[],
  where: string | null,
): string {
  const table = quoteIdent(splitName(layout.target.table).name);
  const keys = layout.key.map((_, i) => n(`k${i}`));
  const cells = rule.columns.map((index) => ({ index, column: layout.columns[index]! }));
  const lines = wanters.map(({ difference, n }) =>
    `(${
      [
        n,
        ...keyLiterals(layout, "target", difference.key),
        ...cells.map(({ index, column }) => valueLiteral(layout, column, "target", difference.source![index]!)),
      ].join(", ")
    })`
  );
  const values = [n("n"), ...keys, ...cells.map(({ index }) => n(`c${index}`))];
  // Columns that are not compared stay what they are.
  const own = rule.others.length === 0
    ? ""
    : ` left join ${fromClause(layout, "target")} as ${n("own")} on ${
      keyConditions(layout, "target", n("own"), keys.map((key) => `${n("new")}.${key}`)).join(" and ")
    }`;
  const wanted = [
    ...cells.map(({ index, column }) => `${n("new")}.${n(`c${index}`)} as ${quoteIdent(column.name)}`),
    ...rule.others.map((name) => `${n("own")}.${name}`),
  ];
  const expressions = rule.expressions.map((expression, i) => `(${expression}) as ${n(`x${i}`)}`);
  const matches = rule.expressions.map((expression, i) => {
    const [here, there] = [`((${expression})${rule.collations[i]})`, `${n("w")}.${n(`x${i}`)}`];
    const isSame = `${here} ${rule.operators[i]} ${there}`;
    return rule.nullsAreSame ? `(${isSame} or ${here} is null and ${there} is null)` : isSame;
  });
  if (rule.predicate !== null) matches.push(`(${rule.predicate})`);
  const isItself = keyConditions(layout, "target", table, keys.map((key) => `${n("w")}.${key}`)).join(" and ");
  const shown = layout.key.map((column) => cellExpression(layout, column, "target"));
  return `copy (select ${n("w")}.${n("n")}, ${where === null ? "true" : `(${where}\n) is true`}, ${shown.join(", ")}` +
    ` from (select ${n("new")}.${n("n")}, ${keys.map((key) => `${n("new")}.${key}`).join(", ")}, ` +
    `${rule.expressions.map((_, i) => `${n("row")}.${n(`x${i}`)}`).join(", ")}` +
    ` from (values ${lines.join(", ")}) ${n("new")}(${values.join(", ")})${own}` +
    ` cross join lateral (select ${expressions.join(", ")} from (select ${wanted.join(", ")}) as ${table}` +
    `${rule.predicate === null ? "" : ` where ${rule.predicate}`}) ${n("row")}) ${n("w")}` +
    ` join ${fromClause(layout, "target")} on ${matches.join(" and ")} where (${isItself}) is not true) to stdout`;
}
