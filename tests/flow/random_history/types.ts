/**
 * Every built-in type that a column can have, and how to draw a value of it as an SQL expression. fast-check draws: its
 * texts, numbers and dates are those that nobody thinks of, and a seed gives them again.
 */
import fc from "fast-check";

/** Draws values, reproducibly: all of a history comes out of one of these. */
export type Draw = fc.GeneratorValue;

export interface ColumnType {
  readonly name: string;
  value(draw: Draw): string;
  /** It has an order of its own, so that a key can consist of it. */
  readonly isKey?: boolean;
  readonly minMajor?: number;
}

/** Types that both databases need before any table. */
export const TYPE_SETUP = `
  create type public.mood as enum ('sad', 'it''s, "fine"', 'über');
  create domain public.small_text as text check (length(value) < 1000);
  create type public.pair as (left_side text, "Right, Side" numeric);
  create type public.float_range as range (subtype = float8);`;

export function int(draw: Draw, min: number, max: number): number {
  return draw(fc.integer, { min, max });
}

export function pick<T>(draw: Draw, values: readonly T[]): T {
  return values[draw(fc.nat, { max: values.length - 1 })]!;
}

/** True in `percent` of a hundred cases. */
export function chance(draw: Draw, percent: number): boolean {
  return draw(fc.nat, { max: 99 }) < percent;
}

export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

const SPECIAL = [
  ..."\t\n\r\b\f\v\\'\",;:&=%+|{}()[]<>$ ",
  ..."aZ09é日🐘",
  ...["\\N", "\\.", "%41", "NULL", "null", "\\x00", "''", "a=b&c", "\u0301", "\u200b", "\u00a0"],
];

/** Text that escapes badly, of any length up to a few kilobytes. */
function text(draw: Draw, maxLength = 12): string {
  if (chance(draw, 60)) {
    return Array.from({ length: int(draw, 0, maxLength) }, () => pick(draw, SPECIAL)).join("").slice(0, maxLength);
  }
  if (maxLength > 100 || chance(draw, 3)) return "long & large ".repeat(int(draw, 1, 200)).slice(0, maxLength * 200);
  return draw(fc.string, { unit: "grapheme", maxLength }).replaceAll("\0", "");
}

/** A text of at most so many characters, as the server counts them. */
function short(draw: Draw, maxLength: number): string {
  return [...text(draw, maxLength)].slice(0, maxLength).join("").toWellFormed();
}

function wellFormed(draw: Draw): string {
  return text(draw).toWellFormed();
}

function integer(draw: Draw, bits: bigint): string {
  const [min, max] = [-(2n ** (bits - 1n)), 2n ** (bits - 1n) - 1n];
  if (chance(draw, 70)) return String(int(draw, -9, 99));
  return literal(String(draw(fc.bigInt, { min, max })));
}

function numeric(draw: Draw): string {
  if (chance(draw, 10)) return "'NaN'";
  const digits = draw(fc.bigInt, { min: -(10n ** 30n), max: 10n ** 30n });
  const short = chance(draw, 70) ? int(draw, -20, 20) : digits;
  return literal(`${short}${pick(draw, ["", ".0", ".00", ".5", ".000000000000000001"])}`);
}

function float(draw: Draw, isReal: boolean): string {
  const number = isReal ? draw(fc.float) : draw(fc.double);
  return literal(Object.is(number, -0) ? "-0" : String(number));
}

function timestamp(draw: Draw, zone: string): string {
  if (chance(draw, 10)) return pick(draw, ["'infinity'", "'-infinity'", "'0044-03-15 12:00:00.5 BC'"]);
  const micros = String(int(draw, 0, 999_999)).padStart(6, "0");
  const day = draw(fc.date, {
    min: new Date("1600-01-01"),
    max: new Date("2900-01-01"),
    noInvalidDate: true,
  }).toISOString();
  return literal(`${day.slice(0, 19)}.${micros}${zone}`);
}

function time(draw: Draw): string {
  return `${int(draw, 0, 23)}:${int(draw, 0, 59)}:${int(draw, 0, 59)}.${int(draw, 0, 999_999)}`;
}

function json(draw: Draw): string {
  return JSON.stringify(draw(fc.jsonValue, { maxDepth: 2 })).replaceAll("\\u0000", "0");
}

function hex(draw: Draw, size: number): string {
  return Array.from({ length: size }, () => int(draw, 0, 255).toString(16).padStart(2, "0")).join("");
}

function range(draw: Draw, type: string, bound: () => string): string {
  if (chance(draw, 10)) return `'empty'::${type}`;
  const [a, b] = [chance(draw, 15) ? "null" : bound(), chance(draw, 15) ? "null" : bound()];
  const bounds = pick(draw, ["[]", "[)", "(]", "()"]);
  // The lower bound must not be above the upper one.
  return a === "null" || b === "null"
    ? `${type}(${a}, ${b}, '${bounds}')`
    : `${type}(least(${a}, ${b}), greatest(${a}, ${b}), '${bounds}')`;
}

function array(draw: Draw, type: string, element: () => string): string {
  const count = int(draw, 0, 4);
  const elements = Array.from({ length: count }, () => chance(draw, 20) ? "null" : element());
  if (count > 0 && chance(draw, 20)) return `array[array[${elements}], array[${elements}]]::${type}[]`;
  return `array[${elements}]::${type}[]`;
}

function point(draw: Draw): string {
  return `(${int(draw, -9, 9)}.5,${int(draw, -9, 9)})`;
}

const bit = (draw: Draw, size: number) => Array.from({ length: size }, () => int(draw, 0, 1)).join("");
const moodOf = (draw: Draw) => pick(draw, ["'sad'", `'it''s, "fine"'`, "'über'"]);
const pairOf = (draw: Draw) =>
  `row(${chance(draw, 20) ? "null" : literal(wellFormed(draw))}, ${
    chance(draw, 20) ? "null" : numeric(draw)
  })::public.pair`;
const dateOf = (draw: Draw) => `date '2000-01-01' + ${int(draw, -3000, 3000)}`;

export const TYPES: readonly ColumnType[] = [
  { name: "boolean", isKey: true, value: (draw) => pick(draw, ["true", "false"]) },
  { name: "smallint", isKey: true, value: (draw) => integer(draw, 16n) },
  { name: "integer", isKey: true, value: (draw) => integer(draw, 32n) },
  { name: "bigint", isKey: true, value: (draw) => integer(draw, 64n) },
  { name: "numeric", isKey: true, value: numeric },
  { name: "numeric(9,2)", isKey: true, value: (draw) => `${int(draw, -9999, 9999)}.${int(draw, 0, 999)}` },
  { name: "real", isKey: true, value: (draw) => float(draw, true) },
  { name: "double precision", isKey: true, value: (draw) => float(draw, false) },
  { name: "money", isKey: true, value: (draw) => literal(`${int(draw, -99999, 99999)}.25`) },
  { name: "text", isKey: true, value: (draw) => literal(wellFormed(draw)) },
  { name: "varchar(10)", isKey: true, value: (draw) => literal(short(draw, 10)) },
  { name: "char(5)", isKey: true, value: (draw) => literal(short(draw, 5)) },
  { name: '"char"', isKey: true, value: (draw) => pick(draw, ["'x'", "''", "'\\'", "'&'"]) },
  { name: "name", isKey: true, value: (draw) => literal(short(draw, 9)) },
  { name: "bytea", isKey: true, value: (draw) => literal(`\\x${hex(draw, int(draw, 0, 40))}`) },
  { name: "date", isKey: true, value: (draw) => chance(draw, 10) ? "'4713-01-01 BC'" : dateOf(draw) },
  { name: "time", isKey: true, value: (draw) => literal(time(draw)) },
  { name: "timetz", isKey: true, value: (draw) => literal(`${time(draw)}+0${int(draw, 0, 9)}:30`) },
  { name: "timestamp", isKey: true, value: (draw) => timestamp(draw, "") },
  { name: "timestamptz", isKey: true, value: (draw) => timestamp(draw, pick(draw, ["+00", "-05", "+05:45"])) },
  {
    name: "interval",
    isKey: true,
    // A month is as long as thirty days: equal with unequal text.
    value: (draw) =>
      literal(`${int(draw, -2, 2)} mons ${pick(draw, [0, 30, -30, 7])} days ${pick(draw, ["", "-"])}${time(draw)}`),
  },
  { name: "uuid", isKey: true, value: (draw) => literal(draw(fc.uuid)) },
  { name: "json", value: (draw) => literal(json(draw)) },
  { name: "jsonb", isKey: true, value: (draw) => literal(json(draw)) },
  { name: "jsonpath", value: (draw) => literal(`$.a[*] ? (@ > ${int(draw, 0, 9)})`) },
  { name: "bit(5)", isKey: true, value: (draw) => `B'${bit(draw, 5)}'` },
  { name: "bit varying", isKey: true, value: (draw) => `B'${bit(draw, int(draw, 0, 20))}'` },
  { name: "inet", isKey: true, value: (draw) => literal(`10.0.${int(draw, 0, 255)}.1/${int(draw, 8, 32)}`) },
  { name: "cidr", isKey: true, value: (draw) => literal(`10.${int(draw, 0, 255)}.0.0/16`) },
  { name: "macaddr", isKey: true, value: (draw) => literal(hex(draw, 6)) },
  { name: "macaddr8", isKey: true, value: (draw) => literal(hex(draw, 8)) },
  { name: "point", value: (draw) => literal(point(draw)) },
  { name: "line", value: (draw) => literal(`{${int(draw, 1, 9)},${int(draw, -9, 9)},3.5}`) },
  { name: "lseg", value: (draw) => literal(`[${point(draw)},${point(draw)}]`) },
  { name: "box", value: (draw) => literal(`${point(draw)},${point(draw)}`) },
  {
    name: "path",
    value: (draw) =>
      literal(`${pick(draw, ["[", "("])}${point(draw)},${point(draw)}`).replace(
        /^'(.)(.*)'$/s,
        (_, open, rest) => `'${open}${rest}${open === "[" ? "]" : ")"}'`,
      ),
  },
  { name: "polygon", value: (draw) => literal(`(${point(draw)},${point(draw)},${point(draw)})`) },
  { name: "circle", value: (draw) => literal(`<${point(draw)},${int(draw, 0, 9)}>`) },
  { name: "tsvector", isKey: true, value: (draw) => `array_to_tsvector(array[${literal(`w${short(draw, 8)}`)}, 'b'])` },
  { name: "tsquery", isKey: true, value: (draw) => `plainto_tsquery('simple', ${literal(wellFormed(draw))})` },
  { name: "pg_lsn", isKey: true, value: (draw) => literal(`${int(draw, 0, 99)}/${hex(draw, 3).toUpperCase()}`) },
  { name: "oid", isKey: true, value: (draw) => String(draw(fc.nat)) },
  { name: "int4range", isKey: true, value: (draw) => range(draw, "int4range", () => String(int(draw, -99, 99))) },
  { name: "numrange", isKey: true, value: (draw) => range(draw, "numrange", () => `${int(draw, -9, 9)}.50::numeric`) },
  { name: "daterange", isKey: true, value: (draw) => range(draw, "daterange", () => `(${dateOf(draw)})`) },
  {
    name: "tstzrange",
    isKey: true,
    value: (draw) => range(draw, "tstzrange", () => `timestamptz 'epoch' + interval '${int(draw, -99, 99)} hours'`),
  },
  {
    name: "int4multirange",
    isKey: true,
    minMajor: 14,
    value: (draw) => `int4multirange(${range(draw, "int4range", () => String(int(draw, -99, 99)))})`,
  },
  {
    name: "public.float_range",
    isKey: true,
    value: (draw) => range(draw, "public.float_range", () => `${int(draw, -9, 9)}.5::float8`),
  },
  { name: "public.mood", isKey: true, value: moodOf },
  { name: "public.small_text", isKey: true, value: (draw) => literal(short(draw, 9)) },
  { name: "public.pair", isKey: true, value: pairOf },
  { name: "integer[]", isKey: true, value: (draw) => array(draw, "integer", () => integer(draw, 32n)) },
  { name: "text[]", isKey: true, value: (draw) => array(draw, "text", () => literal(wellFormed(draw))) },
  { name: "numeric[]", isKey: true, value: (draw) => array(draw, "numeric", () => numeric(draw)) },
  { name: "jsonb[]", value: (draw) => array(draw, "jsonb", () => literal(json(draw))) },
  {
    name: "bytea[]",
    value: (draw) => array(draw, "bytea", () => literal(`\\x${hex(draw, int(draw, 0, 4))}`)),
  },
  { name: "public.mood[]", isKey: true, value: (draw) => array(draw, "public.mood", () => moodOf(draw)) },
  { name: "public.pair[]", value: (draw) => array(draw, "public.pair", () => pairOf(draw)) },
];
