/** A history: some tables, and what sessions do to them. Everything comes out of one `Draw`. */
import { ident } from "../../harness/cluster.ts";
import { chance, type ColumnType, type Draw, int, literal, pick, TYPES } from "./types.ts";

interface Column {
  /** Quoted. */
  readonly name: string;
  readonly type: ColumnType;
  readonly isNullable: boolean;
  /** Written by nobody: computed by the server, from other columns or a sequence. */
  readonly isComputed: boolean;
  readonly ddl: string;
}

export type CaptureMode = "row" | "statement";

/** One table of a history. */
export interface Table {
  /** `schema.table` as the command line wants it. */
  readonly argument: string;
  /** The same, quoted for SQL. */
  readonly name: string;
  readonly columns: readonly Column[];
  readonly key: readonly Column[];
  /** A bigint with a unique constraint. */
  readonly unique: Column | null;
  readonly capture: CaptureMode;
  readonly providerDdl: string;
  /** The same columns, perhaps in another order. */
  readonly subscriberDdl: string;
  /** What it holds before it is replicated. */
  readonly firstRows: string | null;
}

const NAMES = [
  ...["plain", "Upper Case", "with,comma", 'quo"te', "it's", "größe_日本", "a&b=c%25+d", "select", "back\\slash", "$1"],
  ..."tab\there|new\nline|per%cent| lead|semi;colon|(paren)|Ünïcödé".split("|"),
];

function names(draw: Draw, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${pick(draw, NAMES)}${index === 0 ? "" : index}`);
}

/** Draws a table. @param schema unquoted */
export function drawTable(draw: Draw, schema: string, index: number, major: number): Table {
  const types = TYPES.filter(({ minMajor = 0 }) => minMajor <= major);
  const keyTypes = types.filter(({ isKey }) => isKey);
  const table = `${pick(draw, NAMES).replaceAll(".", "_")}${index}`;
  const keyCount = pick(draw, [1, 1, 1, 2, 3]);
  const plainCount = int(draw, 0, 7);
  const spare = names(draw, keyCount + plainCount + 3);
  const make = (type: ColumnType, rule: { isNullable: boolean; more?: string; isComputed?: boolean }): Column => {
    const name = ident(spare.shift()!);
    const ddl = `${name} ${type.name}${rule.isNullable ? "" : " not null"}${rule.more ?? ""}`;
    return { name, type, isNullable: rule.isNullable, isComputed: rule.isComputed ?? false, ddl };
  };
  const bigint = TYPES.find(({ name }) => name === "bigint")!;
  const key: Column[] = [];
  for (let i = 0; i < keyCount; i++) {
    const isIdentity = i === 0 && chance(draw, 15);
    key.push(
      isIdentity
        ? make(bigint, {
          isNullable: false,
          isComputed: true,
          more: ` generated ${pick(draw, IDENTITIES)} as identity`,
        })
        // Half of all keys begin with a plain number, as most keys of the world.
        : make(i === 0 && chance(draw, 50) ? pick(draw, types.slice(1, 4)) : pick(draw, keyTypes), {
          isNullable: false,
        }),
    );
  }
  const plain: Column[] = [];
  for (let i = 0; i < plainCount; i++) {
    const type = pick(draw, types);
    const isNullable = chance(draw, 70);
    plain.push(make(type, { isNullable, more: chance(draw, 20) ? ` default ${type.value(draw)}` : "" }));
  }
  const unique = chance(draw, 35)
    ? make(bigint, { isNullable: true, more: ` unique${pick(draw, ["", " deferrable initially immediate"])}` })
    : null;
  const computed: Column[] = [];
  if (chance(draw, 20) && !key.some(({ isComputed }) => isComputed)) {
    computed.push(
      make(bigint, { isNullable: false, isComputed: true, more: ` generated ${pick(draw, IDENTITIES)} as identity` }),
    );
  }
  const base = [...key, ...plain].find(({ type }) => ["integer", "smallint"].includes(type.name));
  if (base !== undefined && chance(draw, 40)) {
    computed.push(
      make(bigint, {
        isNullable: true,
        isComputed: true,
        more: ` generated always as (${base.name}::bigint * 3) stored`,
      }),
    );
  }
  // A key need not come first.
  const all = [...key, ...plain, ...(unique === null ? [] : [unique]), ...computed];
  const columns = chance(draw, 50) ? all : shuffled(draw, all);
  const name = `${ident(schema)}.${ident(table)}`;
  const ddl = (order: readonly Column[]) =>
    `create table ${name} (${order.map((column) => column.ddl).join(", ")},\n  primary key (${
      key.map((column) => column.name).join(", ")
    }))`;
  const drawn = {
    argument: `${schema}.${table}`,
    name,
    columns,
    key,
    unique,
    capture: pick(draw, key.some(({ type }) => HAS_NO_EQUALITY.test(type.name)) ? MODES.slice(0, 1) : MODES),
    providerDdl: ddl(columns),
    subscriberDdl: ddl(chance(draw, 25) ? shuffled(draw, columns) : columns),
    firstRows: null,
  };
  return { ...drawn, firstRows: chance(draw, 60) ? insert(draw, drawn, int(draw, 1, 20)) : null };
}

const MODES = ["row", "statement"] as const;
/** Keys of which the text is compared, as the originals do it: such a table is not captured by statement. */
const HAS_NO_EQUALITY = /\[\]$|pair|multirange|cidr/;
const IDENTITIES = ["always", "by default"] as const;

function shuffled<T>(draw: Draw, values: readonly T[]): T[] {
  const mixed = [...values];
  for (let i = mixed.length - 1; i > 0; i--) {
    const j = int(draw, 0, i);
    [mixed[i], mixed[j]] = [mixed[j]!, mixed[i]!];
  }
  return mixed;
}

function value(draw: Draw, column: Column): string {
  if (column.isNullable && chance(draw, 25)) return "null";
  return column.type.value(draw);
}

function written(table: Pick<Table, "columns">): Column[] {
  return table.columns.filter(({ isComputed }) => !isComputed);
}

function keyOf(table: Pick<Table, "key">): string {
  return table.key.map(({ name }) => name).join(", ");
}

function insert(draw: Draw, table: Pick<Table, "name" | "columns" | "key">, rowCount: number): string {
  const columns = written(table);
  if (columns.length === 0) return `insert into ${table.name} default values`;
  const rows = Array.from({ length: rowCount }, () => `(${columns.map((column) => value(draw, column)).join(", ")})`);
  return `insert into ${table.name} (${columns.map(({ name }) => name).join(", ")}) values ${
    rows.join(", ")
  } on conflict (${keyOf(table)}) do nothing`;
}

/** A condition that holds for up to `count` rows, wherever they lie in the order of the key. */
function some(draw: Draw, table: Table, count: number): string {
  const key = keyOf(table);
  const where = `(select ${key} from ${table.name} order by ${key} offset ${int(draw, 0, 12)} limit ${count})`;
  return `(${key}) in ${where}`;
}

/** `set …` of some columns, null when there is none that can be set. */
function assignments(draw: Draw, columns: readonly Column[]): string | null {
  const chosen = shuffled(draw, columns).slice(0, int(draw, 1, 3));
  if (chosen.length === 0) return null;
  return chosen.map((column) => {
    const what = pick(draw, ["value", "value", "value", "same", "default"] as const);
    const isDefault = what === "default" && (column.isNullable || column.ddl.includes(" default "));
    return `${column.name} = ${what === "same" ? column.name : isDefault ? "default" : value(draw, column)}`;
  }).join(", ");
}

/** Draws a statement that changes a table. It may well fail: a key that is there, a lock that somebody has. */
export function drawChange(draw: Draw, table: Table): string {
  const isKey = (column: Column) => table.key.includes(column);
  const columns = written(table);
  const keys = columns.filter(isKey);
  const others = columns.filter((column) => !isKey(column));
  const kind = pick(draw, [
    ...["insert", "insert", "insert", "insert", "upsert", "upsert", "update", "update", "update", "update", "delete"],
    ...["delete", "key", "key", "shift", "swap", "swap", "again", "all", "subtransaction", "clear", "truncate"],
  ]);
  switch (kind) {
    case "upsert": {
      const set = others.map(({ name }) => `${name} = excluded.${name}`).join(", ");
      if (set === "" || keys.length < table.key.length) break;
      // One row, as a statement may not touch a row twice.
      return insert(draw, table, 1).replace(/do nothing$/, `do update set ${set}`);
    }
    case "update": {
      const set = assignments(draw, others);
      if (set === null) break;
      return `update ${table.name} set ${set} where ${some(draw, table, int(draw, 1, 9))}`;
    }
    case "all": {
      const set = assignments(draw, others.filter((column) => column !== table.unique));
      if (set === null) break;
      return `update ${table.name} set ${set}`;
    }
    case "key": {
      if (keys.length === 0) break;
      const column = pick(draw, keys);
      return `update ${table.name} set ${column.name} = ${column.type.value(draw)} where ${some(draw, table, 1)}`;
    }
    case "shift": {
      const column = keys.find(({ type }) => ["smallint", "integer", "bigint"].includes(type.name));
      if (column === undefined) break;
      // Keys move onto one another's places; it is refused where the server meets a place before it is free.
      return `update ${table.name} set ${column.name} = ${column.name} + ${pick(draw, [1, -1, 7, 1000])} where ${
        some(draw, table, int(draw, 1, 9))
      }`;
    }
    case "swap": {
      if (table.unique === null) break;
      const [u, key] = [table.unique.name, keyOf(table)];
      const take = (row: string, offset: number) =>
        `select ${key}, ${u} into ${row} from ${table.name} order by ${key} offset ${offset} limit 1;
        if not found then return; end if;`;
      const same = (row: string) => `(${key}) = (${table.key.map(({ name }) => `${row}.${name}`).join(", ")})`;
      return block(`declare a record; b record; begin
        ${take("a", int(draw, 0, 5))}
        ${take("b", int(draw, 6, 12))}
        update ${table.name} set ${u} = null where ${same("a")};
        update ${table.name} set ${u} = a.${u} where ${same("b")};
        update ${table.name} set ${u} = b.${u} where ${same("a")}; end`);
    }
    case "again": {
      // The same row is gone and back, in one transaction.
      const list = columns.map(({ name }) => name).join(", ");
      if (keys.length < table.key.length) break;
      return block(`declare r ${table.name}%rowtype; begin
        delete from ${table.name} where ${some(draw, table, 1)} returning * into r; if not found then return; end if;
        insert into ${table.name} (${list}) values (${columns.map(({ name }) => `r.${name}`).join(", ")}); end`);
    }
    case "subtransaction":
      return block(`begin begin ${insert(draw, table, 2)}; delete from ${table.name} where ${some(draw, table, 2)};
        raise exception 'taken back'; exception when others then null; end;
        ${insert(draw, table, 1)}; end`);
    case "delete":
      return `delete from ${table.name} where ${some(draw, table, int(draw, 1, 6))}`;
    case "clear":
      return chance(draw, 30)
        ? `delete from ${table.name}`
        : `delete from ${table.name} where ${some(draw, table, 15)}`;
    case "truncate":
      return `truncate ${table.name}${pick(draw, ["", " restart identity"])}`;
  }
  return insert(draw, table, int(draw, 1, 8));
}

function block(body: string): string {
  return `do ${literal(body)}`;
}
