/** What the merge means, written for reading: keys as values, rows as strings. */
import type { KeyOrder } from "../../../src/codec/merge_codec.ts";
import type { Random } from "../../harness/seed.ts";

const LETTERS: Readonly<Record<string, string>> = { b: "\b", f: "\f", n: "\n", r: "\r", t: "\t", v: "\v", "\\": "\\" };

export function unescapeCell(cell: string): string | null {
  return cell === "\\N" ? null : cell.replace(/\\(.)/g, (_, letter: string) => LETTERS[letter]!);
}

export function escapeCell(text: string | null): string {
  if (text === null) return "\\N";
  const letters = Object.fromEntries(Object.entries(LETTERS).map(([letter, char]) => [char, letter]));
  return text.replace(/[\\\b\f\n\r\t\v]/g, (char) => `\\${letters[char]}`);
}

function compareText(a: string, b: string): number {
  const [x, y] = [a, b].map((text) => new TextEncoder().encode(text)) as [Uint8Array, Uint8Array];
  for (let i = 0; i < Math.min(x.length, y.length); i++) if (x[i] !== y[i]) return x[i]! - y[i]!;
  return x.length - y.length;
}

/** Class (-2 -Infinity, 0 finite, 2 Infinity, 3 NaN), and the value times 10^400. */
function decimal(text: string): [number, bigint] {
  if (text === "NaN") return [3, 0n];
  if (text.endsWith("Infinity")) return [text.startsWith("-") ? -2 : 2, 0n];
  const [, sign, whole, fraction = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(text)!;
  const digits = BigInt(whole! + fraction) * 10n ** BigInt(400 + Number(exponent) - fraction.length);
  return [0, sign ? -digits : digits];
}

/** Era, year (falling BC), and the rest, which sorts as text. */
function time(text: string): [number, number, string] {
  if (text.endsWith("infinity")) return [text.startsWith("-") ? -9 : 9, 0, ""];
  const [, year, rest, bc] = /^(\d+)(-.*?)( BC)?$/.exec(text)!;
  return bc ? [-1, -Number(year), rest!] : [0, Number(year), rest!];
}

/** Below 0, 0 or above 0; cells as COPY writes them. */
export function compareCells(order: KeyOrder, a: string, b: string): number {
  const [x, y] = [unescapeCell(a), unescapeCell(b)];
  if (x === null || y === null) return Number(x === null) - Number(y === null);
  const sign = (unlike: bigint) => unlike < 0n ? -1 : unlike > 0n ? 1 : 0;
  switch (order) {
    case "integer":
      return sign(BigInt(x) - BigInt(y));
    case "decimal": {
      const [left, right] = [decimal(x), decimal(y)];
      return left[0] - right[0] || sign(left[1] - right[1]);
    }
    case "time": {
      const [left, right] = [time(x), time(y)];
      return left[0] - right[0] || left[1] - right[1] || compareText(left[2], right[2]);
    }
    case "padded":
      return compareText(x.replace(/ +$/, ""), y.replace(/ +$/, ""));
    case "bytes":
      return compareText(x, y);
  }
}

export function compareLines(orders: readonly KeyOrder[], a: string, b: string): number {
  const [x, y] = [a.split("\t"), b.split("\t")];
  for (const [index, order] of orders.entries()) {
    const unlike = compareCells(order, x[index] ?? "", y[index] ?? "");
    if (unlike !== 0) return unlike;
  }
  return 0;
}

const LETTER_PICKS = [
  "a",
  "b",
  "B",
  " ",
  "  ",
  "\\",
  "\t",
  "\n",
  "\r",
  "\v",
  "\b",
  "\f",
  "é",
  "\u{1f600}",
  "\u0001",
  "N",
  "~",
];

/** A cell as COPY could write it in a column of that order, hostile ones often. */
export function randomCell(random: Random, order: KeyOrder, isNullable = false): string {
  if (isNullable && random.chance(0.1)) return "\\N";
  const digits = (max: number) => Array.from({ length: random.int(1, max) }, () => random.int(0, 9)).join("");
  const number = () => String(BigInt(digits(random.pick([1, 2, 19]))));
  const minus = (text: string) => random.chance(0.3) && !/^[0.]*$/.test(text) ? `-${text}` : text;
  switch (order) {
    case "integer":
      return minus(number());
    case "decimal": {
      if (random.chance(0.1)) return random.pick(["NaN", "Infinity", "-Infinity", "0", "-0", "0.00"]);
      if (random.chance(0.2)) {
        return minus(
          `${random.int(1, 9)}${random.pick(["", ".5", ".55"])}e${random.pick(["-300", "-05", "+20", "+21"])}`,
        );
      }
      return minus(random.pick([number(), `${number()}.${digits(3)}`, `0.000${digits(3)}`]));
    }
    case "time": {
      if (random.chance(0.1)) return random.pick(["infinity", "-infinity"]);
      const year = String(random.pick([1, 44, 45, 1999, 2000, 9999, 10000, 294276])).padStart(4, "0");
      const day = `${year}-0${random.int(1, 2)}-1${random.int(0, 1)}`;
      return `${day} 0${random.int(0, 1)}:00:00${random.pick(["", ".5", ".55"])}+00${random.chance(0.2) ? " BC" : ""}`;
    }
    default: {
      const prefix = random.pick(["", "", "the same beginning of some length", "a\\\\b"]);
      const text = Array.from({ length: random.int(0, 5) }, () => random.pick(LETTER_PICKS)).join("");
      const padding = order === "padded" ? " ".repeat(random.int(0, 3)) : "";
      return prefix + escapeCell(text + padding);
    }
  }
}

const encoder = new TextEncoder();

/** CopyData messages with one line each. */
export function framesOf(lines: readonly string[]): Uint8Array {
  const encoded = lines.map((line) => encoder.encode(`${line}\n`));
  const bytes = new Uint8Array(encoded.reduce((size, line) => size + 5 + line.length, 0));
  const view = new DataView(bytes.buffer);
  let at = 0;
  for (const line of encoded) {
    bytes[at] = 0x64;
    view.setUint32(at + 1, 4 + line.length);
    bytes.set(line, at + 5);
    at += 5 + line.length;
  }
  return bytes;
}

/** `+line`, `-line` or `~source line → target line`. */
export function mergeLines(
  orders: readonly KeyOrder[],
  source: readonly string[],
  target: readonly string[],
): string[] {
  const found: string[] = [];
  let [s, t] = [0, 0];
  while (s < source.length || t < target.length) {
    const order = s === source.length ? 1 : t === target.length ? -1 : compareLines(orders, source[s]!, target[t]!);
    if (order < 0) found.push(`+${source[s]}`);
    else if (order > 0) found.push(`-${target[t]}`);
    else if (source[s] !== target[t]) found.push(`~${source[s]} → ${target[t]}`);
    if (order <= 0) s++;
    if (order >= 0) t++;
  }
  return found;
}
