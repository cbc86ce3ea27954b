import { describe, expect, it } from "vitest";
import { SkyqError } from "../../../src/base/errors.ts";
import { EventCodec, type EventPart } from "../../../src/codec/event_codec.ts";
import { decodeElements } from "../../../src/codec/urlencode.ts";
import { seeded } from "../../harness/seed.ts";
import { debugBytes } from "../../wasm/debug_kernels.ts";
import { eventFrames } from "./event_frames.ts";
import { readBinds, readCopyRows } from "./reference.ts";

/** Registers whatever the events ask for. @returns the kind of result that scan came to at last */
function scanAll(codec: EventCodec, part: EventPart): string {
  for (;;) {
    const result = part.scan();
    if (result.kind === "unknown-table") {
      codec.addTable(result.event.extra1!, { take: { snapshot: "3:9:4" }, mode: "net" });
    } else if (result.kind === "new-shape") {
      if (part.rowCount(result.tableId) > 0) part.forgetRows();
      const names = decodeElements(result.event.data!).map(([name]) => name);
      codec.addShape(result.tableId, {
        keyList: result.event.type!.slice(2),
        columns: names.map((name, index) => ({ name, key: index === 0, skip: index === 2 })),
        statements: { insert: "I", update: "U", delete: "D" },
      });
    } else if (result.kind === "barrier") {
      part.skipBarrier();
    } else {
      return result.kind;
    }
  }
}

/** Emits what was taken and reads it, in every form. */
function emitAll(part: EventPart): void {
  for (const piece of part.emitOrdered()) readBinds(piece.bytes);
  for (const table of part.tables()) {
    if (part.net(table).needsOrdered) continue;
    for (const op of ["insert", "update", "delete"] as const) {
      for (const piece of part.emitArrays(table, op, { statement: "s", rowsMax: 3 })) readBinds(piece.bytes);
    }
    for (const piece of part.emitCopyRows(table, "insert")) expect(readCopyRows(piece.bytes).length).toBe(piece.rows);
  }
}

describe("EventCodec with hostile bytes", () => {
  const random = seeded("EventCodec with hostile bytes");

  it("comes to a result or to a SkyqError, and what it takes leaves in good form", async () => {
    const codec = await EventCodec.create({ module: debugBytes, arenaBytes: 16 << 10, eventsMax: 64 });
    const [part] = codec.parts;
    const clean = eventFrames(
      Array.from({ length: 12 }, (_, i) => ({
        id: i,
        txid: i,
        type: `${"IUD"[i % 3]}:id`,
        table: i % 4 === 0 ? "public.u" : "public.t",
        data: `id=${i % 5}&v=%41+${"x".repeat(i * 3)}&w${i % 2 ? "=\\" : ""}`,
      })),
    );
    const outcomes = new Map<string, number>();
    for (let round = 0; round < 2000; round++) {
      const bytes = clean.slice();
      for (let n = random.int(0, 4); n > 0; n--) {
        const at = random.int(0, bytes.length - 1);
        bytes[at] = random.chance(0.7) ? random.pick([..."\t\n\\&=%+N0dI:"]).charCodeAt(0) : random.int(0, 255);
      }
      for (const each of codec.parts) each.reset();
      if (round % 50 === 0) codec.resetRegistry();
      part.push(bytes);
      let outcome: string;
      try {
        outcome = scanAll(codec, part);
      } catch (error) {
        if (!(error instanceof SkyqError)) throw error;
        outcome = error.fault;
      }
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      emitAll(part);
    }
    for (const outcome of ["need-input", "row-too-large", "bad-event", "protocol"]) {
      expect([outcome, (outcomes.get(outcome) ?? 0) > 0]).toEqual([outcome, true]);
    }
  });
});
