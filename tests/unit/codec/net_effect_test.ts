import { describe, expect, it } from "vitest";
import { EventCodec, type EventPart } from "../../../src/codec/event_codec.ts";
import { type Random, seeded } from "../../harness/seed.ts";
import { debugBytes } from "../../wasm/debug_kernels.ts";
import { frameOf } from "./event_frames.ts";
import { readArrayRows, readBinds, readCopyRows, readText, type Value } from "./reference.ts";

/**
 * Columns of the table in the events' order, and one that events do not have: a new row gets its default, an update
 * leaves it. Values are Latin-1 strings, one character per byte.
 */
interface Row {
  values: Value[];
  hidden: number;
}
type Rows = Map<string, Row>;

const COLUMNS = ["a", "k1", "b", "c", "k 2", "d"];
const KEYS = [1, 4];
const latin1 = (text: string) => Uint8Array.from(text, (char) => char.charCodeAt(0));
const keyOf = (values: readonly Value[]) => JSON.stringify(KEYS.map((index) => values[index]));

/** Every byte but NUL, NULL and '' often, and the texts that encodings trip over. */
function randomValue(random: Random): Value {
  if (random.chance(0.15)) return null;
  if (random.chance(0.1)) return "";
  if (random.chance(0.1)) return random.pick(["\\N", "\\.", "\\", "%", "+", "&=", "{}", 'a"b', "\xc3\xb5", "\t\n\r"]);
  return String.fromCharCode(...Array.from({ length: random.int(0, 40) }, () => random.int(1, 255)));
}

/** Encodes as some encoder may: what must be escaped, and at random what need not be, in either case of hex. */
function encode(random: Random, text: string): string {
  return text.replace(/[^]/g, (char) => {
    if (char === " ") return random.pick(["+", "%20"]);
    const mustEscape = "%&+=".includes(char);
    if (!mustEscape && random.chance(/[0-9A-Za-z_.-]/.test(char) ? 0.98 : 0.3)) return char;
    const hex = char.charCodeAt(0).toString(16).padStart(2, "0");
    return "%" + (random.chance(0.5) ? hex : hex.toUpperCase());
  });
}

/** As COPY TO writes a field. */
function copyEscape(text: string): string {
  const letters: Record<string, string> = { "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r" };
  return text.replace(/[\\\b\f\n\r]/g, (char) => letters[char]!).replaceAll("\t", "\\t").replaceAll("\v", "\\v");
}

function encodeRow(random: Random, values: readonly Value[]): string {
  return COLUMNS.map((name, index) => {
    const value = values[index]!;
    const gap = random.chance(0.02) ? "&" : "";
    return gap + encode(random, name) + (value === null ? "" : "=" + encode(random, value));
  }).join("&");
}

/** What a server does with one event. */
function applyEvent(rows: Rows, op: string, values: readonly Value[]): void {
  const key = keyOf(values);
  if (op === "D") rows.delete(key);
  else if (op === "I") rows.set(key, { values: [...values], hidden: 0 });
  else rows.get(key)!.values = [...values];
}

/** Makes a history of events that can happen to `rows`, which it changes. @returns their CopyData messages */
function history(random: Random, rows: Rows, count: number): Uint8Array<ArrayBuffer>[] {
  const keys = Array.from({ length: random.int(1, 30) }, () => [randomValue(random) ?? "", randomValue(random) ?? "x"]);
  return Array.from({ length: count }, (_, i) => {
    const values = COLUMNS.map(() => randomValue(random));
    const [k1, k2] = random.pick(keys);
    values[KEYS[0]!] = k1!;
    values[KEYS[1]!] = k2!;
    const op = !rows.has(keyOf(values)) ? "I" : random.chance(0.3) ? "D" : "U";
    applyEvent(rows, op, values);
    const line = `${i}\t5\t${op}:k1,k 2\tpublic.t\t${copyEscape(encodeRow(random, values))}\t\\N\t\\N\t\\N`;
    return frameOf(latin1(line));
  });
}

/** Applies the parts of `frames` one after the other, pushing bytes in pieces of random size. */
async function replay(
  random: Random,
  mode: "net" | "upsert",
  frames: readonly Uint8Array[],
  apply: (part: EventPart, table: number) => void,
): Promise<void> {
  const codec = await EventCodec.create({
    module: debugBytes,
    arenaBytes: random.pick([16 << 10, 64 << 10]),
    eventsMax: random.pick([8, 64, 1024]),
  });
  const table = codec.addTable("public.t", { take: "all", mode });
  codec.addShape(table, {
    keyList: "k1,k 2",
    columns: COLUMNS.map((name, index) => ({ name, key: KEYS.includes(index), skip: false })),
    statements: { insert: "I", update: "U", delete: "D" },
  });
  let [part, other] = codec.parts;
  const input = frames.flatMap((frame) => [...frame]);
  let at = 0;
  for (;;) {
    const size = random.int(1, 2000);
    at += part.push(Uint8Array.from(input.slice(at, at + size)));
    const { kind } = part.scan();
    if (kind === "need-input" && at < input.length) continue;
    apply(part, table);
    if (kind === "need-input") return;
    expect(kind).toBe("full");
    part.moveRestTo(other);
    part.reset();
    [part, other] = [other, part];
  }
}

function copied(rows: Rows): Rows {
  return new Map([...rows].map(([key, row]) => [key, { ...row, values: [...row.values] }]));
}

function deleteRows(part: EventPart, table: number, rows: Rows): void {
  for (const piece of part.emitArrays(table, "delete", { statement: "D", rowsMax: 5 })) {
    for (const [k1, k2] of readArrayRows(readBinds(piece.bytes)[0]!)) {
      rows.delete(JSON.stringify([k1, k2]));
    }
  }
}

describe("net effect", () => {
  const random = seeded("net effect");
  const ROUNDS = 25;

  it("net: deletes, updates and inserts come to the same as the events in order", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const expected: Rows = new Map();
      history(random, expected, 30); // some rows to begin with
      for (const row of expected.values()) row.hidden = 7;
      const byNet = copied(expected);
      const byOrder = copied(expected);
      const frames = history(random, expected, random.int(0, 400));

      await replay(random, "net", frames, (part, table) => {
        for (const piece of part.emitOrdered()) {
          for (const { statement, params } of readBinds(piece.bytes)) {
            const values = params.map(readText);
            if (statement === "D") byOrder.delete(JSON.stringify(values));
            else applyEvent(byOrder, statement, values);
          }
        }
        const net = part.net(table);
        expect(net.needsOrdered).toBe(false);
        const sizeBefore = byNet.size;
        deleteRows(part, table, byNet);
        expect(byNet.size).toBe(sizeBefore - net.deletes);
        let updates = 0;
        for (const piece of part.emitArrays(table, "update", { statement: "U", rowsMax: 5 })) {
          updates += piece.rows;
          for (const values of readArrayRows(readBinds(piece.bytes)[0]!)) applyEvent(byNet, "U", values);
        }
        expect(updates).toBe(net.updates);
        const sizeThen = byNet.size;
        for (const piece of part.emitCopyRows(table, "insert")) {
          for (const values of readCopyRows(piece.bytes)) {
            expect(byNet.has(keyOf(values))).toBe(false); // a unique index would say so
            applyEvent(byNet, "I", values);
          }
        }
        expect(byNet.size).toBe(sizeThen + net.inserts);
      });
      expect(byOrder).toEqual(expected);
      expect(byNet).toEqual(expected);
    }
  });

  it("upsert: the last event of each key counts, whatever of its rows was there", async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const expected: Rows = new Map();
      const frames = history(random, expected, random.int(0, 400));
      // A copy may have taken any of the rows at any moment.
      const rows: Rows = new Map();
      history(random, rows, 20);
      const untouched = copied(rows);
      const touched = new Set<string>();
      const stale = copied(expected);
      for (const [key, row] of stale) if (random.chance(0.5)) rows.set(key, { ...row, values: [...row.values] });

      await replay(random, "upsert", frames, (part, table) => {
        const net = part.net(table);
        expect([net.updates, net.needsOrdered]).toEqual([0, false]);
        deleteRows(part, table, rows);
        for (const piece of part.emitCopyRows(table, "insert")) {
          for (const values of readCopyRows(piece.bytes)) {
            expect(rows.has(keyOf(values))).toBe(false); // a unique index would say so
            rows.set(keyOf(values), { values, hidden: 0 });
            touched.add(keyOf(values));
          }
        }
      });
      for (const [key, row] of expected) expect(rows.get(key)).toEqual(row);
      for (const [key, row] of rows) {
        if (!expected.has(key)) expect([touched.has(key), untouched.get(key)]).toEqual([false, row]);
      }
    }
  });
});
