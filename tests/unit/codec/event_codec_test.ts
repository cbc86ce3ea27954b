import { beforeEach, describe, expect, it } from "vitest";
import { SkyqError } from "../../../src/base/errors.ts";
import {
  EventCodec,
  type EventPart,
  type NetOp,
  type ScanResult,
  type TableState,
} from "../../../src/codec/event_codec.ts";
import { decodeElements, decodeUrl } from "../../../src/codec/urlencode.ts";
import logutrigaCases from "../../vectors/logutriga.json" with { type: "json" };
import { debugBytes } from "../../wasm/debug_kernels.ts";
import { type EventFields, eventFrame, eventFrames, frameOf } from "./event_frames.ts";
import { readArrayRows, readBinds, readCopyRows, readText, type Value } from "./reference.ts";

const STATEMENTS = { insert: "ins", update: "upd", delete: "del" };
const TAKE_ALL: TableState = { take: "all", mode: "net" };

/** Takes bytes as UTF-8 that the references keep as Latin-1. */
const utf8 = (value: Value): Value =>
  value === null ? null : new TextDecoder("utf-8", { fatal: true }).decode(
    Uint8Array.from(value, (char) => char.charCodeAt(0)),
  );

function makeCodec(options: Parameters<typeof EventCodec.create>[0] = {}): Promise<EventCodec> {
  return EventCodec.create({ module: debugBytes, arenaBytes: 1 << 20, eventsMax: 1024, ...options });
}

/** Registers `id` (key), `v` and `w` of `public.t`. */
function addTable(codec: EventCodec, state: TableState = TAKE_ALL, name = "public.t"): number {
  const id = codec.addTable(name, state);
  codec.addShape(id, {
    keyList: "id",
    columns: ["id", "v", "w"].map((column) => ({ name: column, key: column === "id", skip: false })),
    statements: STATEMENTS,
  });
  return id;
}

function pushEvents(part: EventPart, ...events: EventFields[]): void {
  const bytes = eventFrames(events);
  expect(part.push(bytes)).toBe(bytes.length);
}

/** Reads each piece while it is lent. */
function readPieces<Piece, Item>(pieces: Iterable<Piece>, read: (piece: Piece) => Item[]): Item[] {
  const items: Item[] = [];
  for (const piece of pieces) items.push(...read(piece));
  return items;
}

function copyRows(part: EventPart, table: number, op: NetOp = "insert"): Value[][] {
  return readPieces(part.emitCopyRows(table, op), (piece) => {
    expect(new DataView(piece.frame.buffer, piece.frame.byteOffset).getUint32(1)).toBe(piece.bytes.length + 4);
    expect(piece.frame.length).toBe(piece.bytes.length + 5);
    const rows = readCopyRows(piece.bytes);
    expect(rows.length).toBe(piece.rows);
    return rows;
  });
}

function arrayRows(part: EventPart, table: number, op: NetOp, rowsMax?: number): Value[][] {
  return readPieces(part.emitArrays(table, op, { statement: "some statement", rowsMax }), (piece) => {
    const [bind, ...more] = readBinds(piece.bytes);
    expect(more).toEqual([]);
    expect(bind!.statement).toBe("some statement");
    const rows = readArrayRows(bind!);
    expect(rows.length).toBe(piece.rows);
    return rows;
  });
}

function ordered(part: EventPart, tables?: number[]): [statement: string, ...Value[]][] {
  return readPieces(part.emitOrdered(tables), (piece) => {
    const binds = readBinds(piece.bytes);
    expect(binds.length).toBe(piece.rows);
    return binds.map(({ statement, params }): [string, ...Value[]] => [statement, ...params.map(readText)]);
  });
}

function faultOf(act: () => unknown): SkyqError {
  try {
    act();
  } catch (error) {
    if (error instanceof SkyqError) return error;
    throw error;
  }
  throw new Error("Nothing was thrown");
}

describe("EventCodec", () => {
  let codec: EventCodec;
  let part: EventPart;
  beforeEach(async () => {
    codec = await makeCodec();
    part = codec.parts[0];
  });

  it("takes at most 64 MiB unless told, and its memory never grows", async () => {
    const big = await EventCodec.create();
    const { memoryBytes } = big;
    expect(memoryBytes).toBeLessThanOrEqual(64 << 20);
    const table = addTable(big);
    for (let i = 0; i < 200_000; i += 1000) {
      const events = Array.from({ length: 1000 }, (_, k) => ({ id: i + k, type: "I:id", data: `id=${i + k}&v=1&w` }));
      big.parts[0].push(eventFrames(events));
      if (big.parts[0].scan().kind === "full") break;
    }
    expect(big.parts[0].rowCount(table)).toBe(128 << 10);
    expect([...big.parts[0].emitCopyRows(table, "insert")].reduce((sum, piece) => sum + piece.rows, 0)).toBe(128 << 10);
    expect(big.memoryBytes).toBe(memoryBytes);
  });

  describe("scan()", () => {
    it("asks for tables and shapes, and goes on at the same event", () => {
      pushEvents(part, { id: 7, txid: 8, type: "I:id", data: "id=1&v=a%20b&w", table: "my \\ schema\t.täble" });
      const unknown = part.scan() as ScanResult & { kind: "unknown-table" };
      expect(unknown.kind).toBe("unknown-table");
      expect(unknown.event).toEqual({
        evId: 7n,
        txid: 8n,
        type: "I:id",
        extra1: "my \\ schema\t.täble",
        data: "id=1&v=a%20b&w",
        extra2: null,
        extra3: null,
        extra4: null,
      });
      const id = codec.addTable(unknown.event.extra1!, TAKE_ALL);
      expect(codec.tableId("my \\ schema\t.täble")).toBe(id);
      expect(part.scan()).toEqual({ kind: "new-shape", tableId: id, event: unknown.event });
      codec.addShape(id, {
        keyList: "id",
        columns: [...decodeUrl("id&v&w").keys()].map((name) => ({ name, key: name === "id", skip: false })),
      });
      expect(part.scan()).toEqual({ kind: "need-input" });
      expect(part.tables()).toEqual([id]);
      expect(copyRows(part, id)).toEqual([["1", "a b", null]]);
    });

    it("reports another key list, another column list, and rows under the old shape", () => {
      const id = addTable(codec);
      pushEvents(part, { id: 1, type: "I:id", data: "id=1&v=a&w=b" });
      for (
        const [type, data] of [
          ["I:id,v", "id=1&v=a&w=b"],
          ["I:", "id=1&v=a&w=b"],
          ["I:id", "id=1&v=a"],
          ["I:id", "id=1&v=a&w=b&x=c"],
          ["I:id", "id=1&w=b&v=a"],
          ["I:id", "id=1&v=a&v=a&w=b"],
          ["I:id", "id=1&v=a&ww=b"],
          ["I:id", "id=1&va&w=b"],
          ["I:id", ""],
        ] as const
      ) {
        part.reset();
        pushEvents(part, { id: 1, type: "I:id", data: "id=1&v=a&w=b" }, { id: 2, type, data });
        expect([type, data, part.scan().kind]).toEqual([type, data, "new-shape"]);
        expect(part.rowCount(id)).toBe(1);
        expect(() => codec.addShape(id, { keyList: "id", columns: [] })).toThrow("a part holds its rows");
        expect(() => codec.setTable(id, { take: "none", mode: "net" })).toThrow("a part holds its rows");
      }
      part.forgetRows();
      codec.addShape(id, { keyList: "id", columns: [] });
      expect(part.scan().kind).toBe("need-input");
    });

    it("does not ask for ever for a shape that does not fit", () => {
      const id = codec.addTable("public.t", TAKE_ALL);
      pushEvents(part, { id: 5, type: "I:id", data: "id=1&id=2" });
      expect(part.scan().kind).toBe("new-shape");
      expect(part.scan().kind).toBe("new-shape");
      codec.addShape(id, { keyList: "id", columns: [{ name: "id", key: true, skip: false }] });
      expect(faultOf(() => part.scan()).fault).toBe("bad-event");
    });

    it("knows the columns however their names are written, and skips empty elements", () => {
      const id = codec.addTable("public.t", TAKE_ALL);
      codec.addShape(id, {
        keyList: "ä b",
        columns: [{ name: "ä b", key: true, skip: false }, { name: "v~", key: false, skip: false }],
      });
      const datas = ["%c3%a4+b=1&v%7e=x", "%C3%A4%20b=2&v~=y", "&ä+b=3&&v~&", "%c3%a4+b=4&v%7E=z&&"];
      pushEvents(part, ...datas.map((data, i) => ({ id: i, type: "I:ä b", data })));
      expect(part.scan().kind).toBe("need-input");
      expect(copyRows(part, id)).toEqual([["1", "x"], ["2", "y"], ["3", null], ["4", "z"]]);
    });

    it("takes the last of a repeated name", () => {
      const id = codec.addTable("public.t", TAKE_ALL);
      const names = decodeElements("id=1&v=a&id=2&v=b").map(([name]) => name);
      codec.addShape(id, {
        keyList: "id",
        columns: names.map((name) => ({ name, key: name === "id", skip: false })),
      });
      pushEvents(part, { id: 1, type: "I:id", data: "id=1&v=a&id=2&v=b" }, {
        id: 2,
        type: "D:id",
        data: "id=8&v&id=2&v",
      });
      expect(part.scan().kind).toBe("need-input");
      expect(part.net(id)).toMatchObject({ inserts: 0, deletes: 0, needsOrdered: false });
      pushEvents(part, { id: 3, type: "I:id", data: "id=1&v=a&id=3&v=b" });
      expect(part.scan().kind).toBe("need-input");
      expect(copyRows(part, id)).toEqual([["3", "b"]]);
    });

    it("stops before everything that is no row event", () => {
      addTable(codec);
      const barriers: EventFields[] = [
        ...["R", "EXECUTE", "londiste.add-table", "pgq.tick-id", "I", "U", "D", "", "X:id", "i:id", '{"op":"INSERT"}']
          .map((type, i) => ({ id: i, type, data: "select\t1;\n\\" })),
        { id: 90, type: null, data: null },
        { id: 91, type: "I:id", table: null, data: "id=1&v=2&w=3", extra2: "" },
      ];
      for (const barrier of barriers) {
        pushEvents(part, { id: 1, type: "I:id", data: "id=1&v=a&w=b" }, barrier, {
          id: 2,
          type: "D:id",
          data: "id=1&v&w",
        });
        for (let i = 0; i < 2; i++) {
          expect(part.scan()).toMatchObject({
            kind: "barrier",
            event: {
              evId: BigInt(barrier.id),
              type: barrier.type,
              data: barrier.data,
              extra1: barrier.table === null ? null : "public.t",
              extra2: barrier.extra2 ?? null,
            },
          });
        }
        expect(part.stats).toMatchObject({ events: 1, taken: 1 });
        part.skipBarrier();
        expect(part.scan()).toEqual({ kind: "need-input" });
        expect(part.stats).toMatchObject({ events: 3, taken: 2, ignored: 0, firstEventId: 1n, lastEventId: 2n });
        part.reset();
      }
      expect(() => part.skipBarrier()).toThrow("none is there");
    });

    it("ignores tables that are not taken without a look at their data", () => {
      codec.addTable("public.none", { take: "none", mode: "net" });
      const id = addTable(codec);
      pushEvents(
        part,
        { id: 1, type: "I:id", table: "public.none", data: "%%%" },
        { id: 2, type: "D:other", table: "public.none", data: null },
        { id: 3, type: "I:id", data: "id=1&v&w" },
      );
      expect(part.scan()).toEqual({ kind: "need-input" });
      expect(part.stats).toEqual({
        events: 3,
        taken: 1,
        ignored: 2,
        irregular: false,
        firstEventId: 1n,
        lastEventId: 3n,
      });
      expect(part.tables()).toEqual([id]);
    });

    it("ignores transactions that the table's snapshot sees", () => {
      const id = addTable(codec, { take: { snapshot: "1000:4294967400:1000,4294967399,1002" }, mode: "net" });
      const txids = [
        1n,
        999n,
        1000n,
        1001n,
        1002n,
        1003n,
        4294967398n,
        4294967399n,
        4294967400n,
        18446744073709551615n,
      ];
      pushEvents(part, ...txids.map((txid, i) => ({ id: i, txid, type: "I:id", data: `id=${txid}&v&w` })));
      expect(part.scan().kind).toBe("need-input");
      expect(copyRows(part, id).map(([txid]) => txid)).toEqual(
        ["1000", "1002", "4294967399", "4294967400", "18446744073709551615"],
      );
      expect(part.stats).toMatchObject({ taken: 5, ignored: 5 });
      part.reset();
      codec.setTable(id, { take: { snapshot: "5:5:" }, mode: "net" });
      pushEvents(part, { id: 1, txid: 4, type: "I:id", data: "id=1&v&w" }, {
        id: 2,
        txid: 5,
        type: "I:id",
        data: "id=2&v&w",
      });
      part.scan();
      expect(copyRows(part, id).map(([key]) => key)).toEqual(["2"]);
      part.reset();
      expect(faultOf(() => codec.setTable(id, { take: { snapshot: "5:x" }, mode: "net" })).fault).toBe("structure");
    });

    it.each([
      ["id=1&v=%&w", "without two hex digits"],
      ["id=1&v=%2&w", "without two hex digits"],
      ["id=1&v=1%g0&w", "without two hex digits"],
      ["id=1&v=x&w=%a", "without two hex digits"],
      ["id=%zz&v=x&w", "without two hex digits"],
      ["id=1&v=x%00y&w", "%00"],
    ])("refuses ev_data %s", (data, message) => {
      addTable(codec);
      pushEvents(part, { id: 1, type: "I:id", data: "id=1&v&w" }, { id: 77, type: "U:id", data });
      const error = faultOf(() => part.scan());
      expect(error.fault).toBe("bad-event");
      expect(error.message).toContain("event 77");
      expect(error.message).toContain(message);
      expect(error.facts).toMatchObject({ evId: 77n, table: "public.t" });
      expect(part.stats.taken).toBe(1);
    });

    it("refuses events without data, rows without eight fields and what is no COPY", () => {
      addTable(codec);
      const lines: [string | Uint8Array, string, string][] = [
        [eventFrame({ id: 1, type: "I:id", data: null }), "bad-event", "its ev_data is NULL"],
        [frameOf("1\t2\tI:id\tpublic.t\tid=1&v=\\x41&w\t\\N\t\\N\t\\N"), "bad-event", "COPY TO never writes"],
        [frameOf("1\t2\tI:id\tpublic.t\tid=1&v&w\t\\N\t\\N"), "bad-event", "7 fields"],
        [frameOf("1\t2\tI:id\tpublic.t\tid=1&v=a\tb&w\t\\N\t\\N\t\\N"), "bad-event", "9 fields"],
        [frameOf("1\t2\tI:id\tpublic.t\tid=1&v\t=b&w\t\\N\t\\N\t\\N"), "bad-event", "9 fields"],
        [frameOf("1\t2\tI:id\tpublic.t\tid=1&v&w\tx\t\\N\t\\N\t\\N"), "bad-event", "9 fields"],
        [frameOf("1\t2\tI:id\tpublic.t\tid=1&v=a\nb&w\t\\N\t\\N\t\\N"), "bad-event", "as COPY TO writes"],
        [frameOf("1\t2\tI:id\tpublic.t\tid=1&v=a\0b&w\t\\N\t\\N\t\\N"), "bad-event", "a zero byte"],
        [frameOf("1\t2\tI:id\tpublic.\\x74\tid=1&v&w\t\\N\t\\N\t\\N"), "bad-event", "COPY TO never writes"],
        [frameOf("1\t2\tI:id\tpublic.t"), "bad-event", "4 fields"],
        [frameOf("1"), "bad-event", "1 fields"],
        [frameOf(""), "bad-event", "1 fields"],
        [Uint8Array.of(0x63, 0, 0, 0, 4), "protocol", "CopyData"],
        [Uint8Array.of(0x64, 0, 0, 0, 4), "protocol", "CopyData"],
        [Uint8Array.of(0x64, 0, 0, 0, 5, 0x41), "protocol", "CopyData"],
      ];
      for (const [bytes, fault, message] of lines) {
        part.reset();
        part.push(bytes as Uint8Array);
        const error = faultOf(() => part.scan());
        expect(error.fault).toBe(fault);
        expect(error.message).toContain(message);
      }
    });

    it("takes events with an old row in ev_extra2", () => {
      const id = addTable(codec);
      pushEvents(part, { id: 1, type: "U:id", data: "id=1&v=new&w", extra2: "id=1&v=old&w" });
      expect(part.scan().kind).toBe("need-input");
      expect(arrayRows(part, id, "update")).toEqual([["1", "new", null]]);
    });

    it("reads frames cut at every position", () => {
      const id = addTable(codec);
      const events = ["a", "b%0a", "c\\d"].map((v, i) => ({ id: i, type: "I:id", data: `id=${i}&v=${v}&w=` }));
      const bytes = eventFrames([...events, { id: 9, type: "R", data: "" }]);
      for (let cut = 0; cut <= bytes.length; cut++) {
        part.reset();
        part.push(bytes.subarray(0, cut));
        const first = part.scan();
        expect(first.kind).toBe(cut === bytes.length ? "barrier" : "need-input");
        part.push(bytes.subarray(cut));
        expect(part.scan().kind).toBe("barrier");
        expect(copyRows(part, id)).toEqual([["0", "a", ""], ["1", "b\n", ""], ["2", "c\\d", ""]]);
      }
      part.reset();
      for (const byte of bytes) {
        part.push(Uint8Array.of(byte));
        part.scan();
      }
      expect(part.rowCount(id)).toBe(3);
    });
  });

  describe("parts", () => {
    it("fill up by bytes and by events, and hand over the rest", async () => {
      for (const [arenaBytes, eventsMax] of [[4096, 1024], [1 << 20, 16]] as const) {
        codec = await makeCodec({ arenaBytes, eventsMax });
        const id = addTable(codec);
        const bytes = eventFrames(
          Array.from({ length: 500 }, (_, i) => ({ id: i, type: "I:id", data: `id=${i}&v=${"x".repeat(i % 90)}&w` })),
        );
        const rows: Value[][] = [];
        let [now, next] = codec.parts;
        let fullCount = 0;
        for (let at = 0; at < bytes.length;) {
          at += now.push(bytes.subarray(at, at + 700));
          const { kind } = now.scan();
          if (kind === "need-input") continue;
          expect(kind).toBe("full");
          fullCount++;
          now.moveRestTo(next);
          expect(now.restBytes).toBe(0);
          rows.push(...copyRows(now, id)); // the other part is in use meanwhile
          now.reset();
          [now, next] = [next, now];
        }
        while (now.scan().kind === "full") {
          now.moveRestTo(next);
          rows.push(...copyRows(now, id));
          now.reset();
          [now, next] = [next, now];
        }
        rows.push(...copyRows(now, id));
        expect(fullCount).toBeGreaterThan(5);
        expect(rows.map(([key, v]) => `${key}:${v!.length}`)).toEqual(
          Array.from({ length: 500 }, (_, i) => `${i}:${i % 90}`),
        );
      }
    });

    it("are independent of each other", () => {
      const id = addTable(codec);
      const other = codec.parts[1];
      pushEvents(part, { id: 1, type: "I:id", data: "id=1&v=a&w" });
      pushEvents(other, { id: 2, type: "U:id", data: "id=1&v=b&w" });
      part.scan();
      other.scan();
      expect(copyRows(part, id)).toEqual([["1", "a", null]]);
      part.reset();
      expect(part.stats).toMatchObject({ events: 0, taken: 0, firstEventId: null, lastEventId: null });
      expect(part.tables()).toEqual([]);
      expect(arrayRows(other, id, "update")).toEqual([["1", "b", null]]);
      expect(() => part.moveRestTo(other)).toThrow("in use");
    });

    it("keep the bytes behind a barrier when their rows are forgotten", () => {
      const id = addTable(codec);
      pushEvents(
        part,
        { id: 1, type: "I:id", data: "id=1&v=a&w" },
        { id: 2, type: "R", data: "" },
        { id: 3, type: "I:id", data: "id=1&v=b&w" },
      );
      expect(part.scan().kind).toBe("barrier");
      part.forgetRows();
      part.skipBarrier();
      expect(part.scan().kind).toBe("need-input");
      expect(copyRows(part, id)).toEqual([["1", "b", null]]);
    });

    it("hand a row that is too large to a codec made for it, and take the rest back", async () => {
      codec = await makeCodec({ arenaBytes: 64 << 10 });
      part = codec.parts[0];
      addTable(codec);
      const wide = "é\\x".repeat(200_000);
      const data = `id=2&v=${encodeURIComponent(wide)}&w`;
      const bytes = eventFrames([
        { id: 1, type: "I:id", data: "id=1&v=a&w" },
        { id: 2, type: "I:id", data },
        { id: 3, type: "I:id", data: "id=3&v=c&w" },
      ]);
      let at = part.push(bytes);
      const result = part.scan();
      const size = eventFrame({ id: 2, type: "I:id", data }).length;
      expect(result).toEqual({ kind: "row-too-large", bytes: size });
      expect(part.stats.taken).toBe(1);

      const large = await EventCodec.createForRow(size, { arenaBytes: 64 << 10, module: debugBytes });
      const id = addTable(large);
      part.moveRestTo(large.parts[0]);
      at += large.parts[0].push(bytes.subarray(at));
      expect(at).toBe(bytes.length);
      expect(large.parts[0].scan().kind).toBe("need-input");
      const rows = copyRows(large.parts[0], id);
      expect(rows.map(([key]) => key)).toEqual(["2", "3"]);
      expect(utf8(rows[0]![1]!)).toBe(wide);
      expect(ordered(large.parts[0])[0]!.slice(0, 2)).toEqual(["ins", "2"]);
      large.parts[0].moveRestTo(codec.parts[1]);
      expect(codec.parts[1].restBytes).toBe(0);
    });

    it("a row of the largest size leaves in every form", async () => {
      codec = await makeCodec({ arenaBytes: 64 << 10, rowBytesMax: 64 << 10 });
      part = codec.parts[0];
      const columns = Array.from({ length: 1600 }, (_, i) => ({ name: `c${i}`, key: i === 0, skip: false }));
      const id = codec.addTable("public.t", TAKE_ALL);
      codec.addShape(id, { keyList: "c0", columns, statements: STATEMENTS });
      const names = columns.map(({ name }) => name).join("&").replace("c0", "c0=1");
      const room = (64 << 10) - eventFrame({ id: 1, type: "U:c0", data: names }).length;
      // Backslashes double on the way in and out.
      pushEvents(part, { id: 1, type: "U:c0", data: `${names}=${"\\".repeat((room - 1) >> 1)}` });
      expect(part.restBytes).toBeGreaterThan((64 << 10) - 3);
      expect(part.scan().kind).toBe("full");
      expect(part.stats.taken).toBe(1);
      const expected = ["1", ...Array(1598).fill(null), "\\".repeat((room - 1) >> 1)];
      expect(arrayRows(part, id, "update")).toEqual([expected]);
      expect(copyRows(part, id, "update")).toEqual([expected]);
      expect(ordered(part)).toEqual([["upd", ...expected]]);
    });
  });

  describe("registry", () => {
    it("reports that it is full and goes on after a reset", async () => {
      codec = await makeCodec({ arenaBytes: 8 << 20, rowBytesMax: 1 << 20, eventsMax: 1 << 14 });
      part = codec.parts[0];
      let registered = 0;
      let resets = 0;
      for (let i = 0; i < 6000; i++) {
        pushEvents(part, { id: i, type: "I:id", table: `public.t${i}`, data: `id=${i}&v&w` });
        for (let result = part.scan(); result.kind !== "need-input"; result = part.scan()) {
          if (result.kind === "registry-full") {
            expect(() => codec.resetRegistry()).toThrow("a part holds rows");
            part.forgetRows();
            codec.resetRegistry();
            expect(codec.tableId("public.t0")).toBe(undefined);
            resets++;
          } else {
            expect(result.kind).toBe("unknown-table");
            addTable(codec, TAKE_ALL, `public.t${i}`);
            registered++;
          }
        }
      }
      expect(registered).toBe(6000);
      expect(resets).toBe(1);
      expect(part.tables().length).toBe(6000 - 4096);
      expect(copyRows(part, part.tables()[3]!)).toEqual([["4099", null, null]]);
    });

    it("reports that a shape may have no room", () => {
      const id = codec.addTable("public.t", TAKE_ALL);
      const shape = (name: string) => ({ keyList: "k", columns: [{ name, key: true, skip: false }] });
      for (let i = 0; i < 36; i++) codec.addShape(id, shape("n".repeat(100_000)));
      pushEvents(part, { id: 1, type: "I:id", data: "id=1" });
      expect(part.scan()).toEqual({ kind: "registry-full" });
      expect(faultOf(() => codec.addShape(id, shape("n".repeat(1_000_000)))).fault).toBe("bad-event");
      codec.resetRegistry();
      expect(part.scan().kind).toBe("unknown-table");
    });

    it("refuses a table twice, a table that is not there and more columns than tables have", () => {
      const id = addTable(codec);
      expect(() => codec.addTable("public.t", TAKE_ALL)).toThrow("it is registered");
      expect(() => codec.setTable(9, TAKE_ALL)).toThrow("not registered");
      const columns = Array.from({ length: 3000 }, (_, i) => ({ name: `c${i}`, key: false, skip: false }));
      expect(faultOf(() => codec.addShape(id, { keyList: "", columns })).fault).toBe("bad-event");
    });
  });

  describe("emissions", () => {
    /** Scans events of `public.t (id, v, w)`; `[type letter, id, v]` each. */
    function scanned(mode: TableState["mode"], ...events: [op: string, id: string, v: string][]): number {
      part.reset();
      const id = codec.tableId("public.t") ?? addTable(codec);
      codec.setTable(id, { take: "all", mode });
      pushEvents(part, ...events.map(([op, key, v], i) => ({ id: i, type: `${op}:id`, data: `id=${key}&v=${v}&w` })));
      expect(part.scan().kind).toBe("need-input");
      return id;
    }

    it.each([
      [["I"], { insert: 1 }],
      [["I", "U"], { insert: 2 }],
      [["I", "U", "D"], {}],
      [["I", "D"], {}],
      [["I", "D", "I"], { insert: 3 }],
      [["I", "D", "I", "D"], {}],
      [["U"], { update: 1 }],
      [["U", "U", "U"], { update: 3 }],
      [["U", "D"], { delete: 2 }],
      [["D"], { delete: 1 }],
      [["D", "I"], { delete: 2, insert: 2 }],
      [["D", "I", "U"], { delete: 3, insert: 3 }],
      [["U", "D", "I"], { delete: 3, insert: 3 }],
      [["D", "I", "D"], { delete: 3 }],
      [["D", "I", "D", "I"], { delete: 4, insert: 4 }],
    ] as [string[], Partial<Record<NetOp, number>>][])("net: %j comes to %j", (ops, expected) => {
      const id = scanned("net", ...ops.map((op, i): [string, string, string] => [op, "5", `v${i + 1}`]));
      const net = part.net(id);
      expect(net).toEqual({
        inserts: expected.insert === undefined ? 0 : 1,
        updates: expected.update === undefined ? 0 : 1,
        deletes: expected.delete === undefined ? 0 : 1,
        needsOrdered: false,
      });
      expect(copyRows(part, id)).toEqual(expected.insert === undefined ? [] : [["5", `v${expected.insert}`, null]]);
      expect(arrayRows(part, id, "insert")).toEqual(copyRows(part, id));
      expect(arrayRows(part, id, "update")).toEqual(
        expected.update === undefined ? [] : [["5", `v${expected.update}`, null]],
      );
      expect(arrayRows(part, id, "delete")).toEqual(expected.delete === undefined ? [] : [["5"]]);
      expect(part.stats.irregular).toBe(false);
    });

    it.each([[["I", "D"], false], [["D", "U"], true], [["I", "I"], true], [["D"], false], [["U"], true]] as [
      string[],
      boolean,
    ][])("upsert: %j comes to one row deleted, and one inserted: %j", (ops, isInserted) => {
      const id = scanned("upsert", ...ops.map((op, i): [string, string, string] => [op, "5", `v${i + 1}`]));
      expect(part.net(id)).toEqual({ inserts: isInserted ? 1 : 0, updates: 0, deletes: 1, needsOrdered: false });
      expect(copyRows(part, id)).toEqual(isInserted ? [["5", `v${ops.length}`, null]] : []);
      expect(arrayRows(part, id, "delete")).toEqual([["5"]]);
      expect(part.stats.irregular).toBe(false);
    });

    it.each([[["I", "I"]], [["D", "U"]], [["D", "D"]], [["U", "I"]], [["I", "D", "U"]], [["I", "D", "D"]]])(
      "net: %j can only be applied in order",
      (ops) => {
        const id = scanned("net", ...ops.map((op, i): [string, string, string] => [op, "5", `v${i + 1}`]));
        expect(part.stats.irregular).toBe(true);
        expect(part.net(id).needsOrdered).toBe(true);
        expect(() => copyRows(part, id)).toThrow("in order");
        expect(() => arrayRows(part, id, "delete")).toThrow("in order");
        expect(ordered(part).map(([statement]) => statement)).toEqual(
          ops.map((op) => ({ I: "ins", U: "upd", D: "del" })[op]!),
        );
      },
    );

    it("a table without a key, with a NULL in it, or in ordered mode needs its events in order", () => {
      const id = scanned("ordered", ["I", "1", "a"], ["U", "1", "b"], ["D", "1", ""]);
      expect(part.net(id)).toEqual({ inserts: 0, updates: 0, deletes: 0, needsOrdered: true });
      expect(part.stats.irregular).toBe(false);
      expect(ordered(part)).toEqual([["ins", "1", "a", null], ["upd", "1", "b", null], ["del", "1"]]);
      part.reset();

      codec.setTable(id, TAKE_ALL);
      pushEvents(part, { id: 1, type: "I:id", data: "id=1&v&w" }, { id: 2, type: "I:id", data: "id&v&w" });
      part.scan();
      expect(part.net(id).needsOrdered).toBe(true);
      part.reset();
      expect(part.net(id).needsOrdered).toBe(false);

      codec.addShape(id, { keyList: "", columns: [{ name: "v", key: false, skip: false }], statements: STATEMENTS });
      pushEvents(part, { id: 1, type: "I:", data: "v=1" });
      part.scan();
      expect(part.net(id).needsOrdered).toBe(true);
      expect(ordered(part)).toEqual([["ins", "1"]]);
    });

    it("one key is one key, however it is encoded and wherever it stands", () => {
      const id = codec.addTable("public.t", TAKE_ALL);
      codec.addShape(id, {
        keyList: "k1,k2",
        columns: ["k2", "v", "k1"].map((name) => ({ name, key: name !== "v", skip: false })),
      });
      pushEvents(
        part,
        { id: 1, type: "I:k1,k2", data: "k2=%2f~\\&v=1&k1=a+b" },
        { id: 2, type: "U:k1,k2", data: "k2=/%7E%5c&&v&k1=%61%20b" },
        { id: 3, type: "I:k1,k2", data: "k2=/%7E%5c&v&k1=a" },
        { id: 4, type: "I:k1,k2", data: "k2=/%7E%5ca&v&k1=" },
        { id: 5, type: "I:k1,k2", data: "k2=&v=5&k1=/%7E%5ca" },
      );
      expect(part.scan().kind).toBe("need-input");
      expect(copyRows(part, id)).toEqual([
        ["/~\\", null, "a b"],
        ["/~\\", null, "a"],
        ["/~\\a", null, ""],
        ["", "5", "/~\\a"],
      ]);
      expect(part.stats.irregular).toBe(false);
    });

    it("keys beyond any index are told apart", () => {
      const long = "k".repeat(20_000);
      const id = scanned("net", ["I", long + "1", "a"], ["I", long + "2", "b"], ["U", `%6b${long.slice(1)}1`, "c"]);
      expect(part.stats.irregular).toBe(false);
      expect(copyRows(part, id).map(([key, v]) => key!.slice(-1) + v)).toEqual(["1c", "2b"]);
    });

    it("columns to skip are left out, keys among them only where rows are looked up", () => {
      const id = codec.addTable("public.t", TAKE_ALL);
      codec.addShape(id, {
        keyList: "g,id",
        columns: [
          { name: "g", key: true, skip: true },
          { name: "h", key: false, skip: true },
          { name: "id", key: true, skip: false },
          { name: "v", key: false, skip: false },
        ],
        statements: STATEMENTS,
      });
      const events = ["I", "U", "D"].map((op, i) => ({ id: i, type: `${op}:g,id`, data: `g=g${i}&h&id=${i}&v=x` }));
      pushEvents(part, ...events);
      expect(part.scan().kind).toBe("need-input");
      expect(copyRows(part, id)).toEqual([["0", "x"]]);
      expect(arrayRows(part, id, "insert")).toEqual([["0", "x"]]);
      expect(arrayRows(part, id, "update")).toEqual([["g1", "1", "x"]]);
      expect(arrayRows(part, id, "delete")).toEqual([["g2", "2"]]);
      expect(ordered(part)).toEqual([["ins", "0", "x"], ["upd", "g1", "1", "x"], ["del", "g2", "2"]]);
    });

    it("emitArrays() cuts at rowsMax, and what is lent stays inside the output", () => {
      const rows = Array.from({ length: 100 }, (_, i): [string, string, string] => ["U", String(i), `v%25${i}`]);
      const id = scanned("net", ...rows);
      const sizes = [...part.emitArrays(id, "update", { statement: "s", rowsMax: 33 })].map((piece) => {
        expect(piece.bytes.length - piece.params.length).toBe(5 + 1 + 2 + 6 + 12);
        return piece.rows;
      });
      expect(sizes).toEqual([33, 33, 33, 1]);
      expect(arrayRows(part, id, "update", 7)).toEqual(rows.map(([, key, v]) => [key, v.replace("%25", "%"), null]));
      expect(() => [...part.emitArrays(id, "update", { statement: "x".repeat(300) })]).toThrow("statement");
    });

    it("emitOrdered() keeps the order over all tables, or over some, and eventAt() finds the nth", () => {
      const first = addTable(codec, TAKE_ALL, "public.a");
      const second = addTable(codec, TAKE_ALL, "public.b");
      const third = addTable(codec, TAKE_ALL, "public.c");
      const tables = ["a", "b", "a", "c", "b"];
      pushEvents(
        part,
        ...tables.map((table, i) => ({ id: i, type: "I:id", table: `public.${table}`, data: `id=${i}&v&w` })),
      );
      part.scan();
      expect(part.tables()).toEqual([first, second, third]);
      expect(part.eventAt(3).extra1).toBe("public.c");
      expect(ordered(part).map(([, key]) => key)).toEqual(["0", "1", "2", "3", "4"]);
      expect(part.eventAt(1)).toMatchObject({ evId: 1n, extra1: "public.b", data: "id=1&v&w" });
      expect(ordered(part, [second, third]).map(([, key]) => key)).toEqual(["1", "3", "4"]);
      expect(part.eventAt(1).evId).toBe(3n);
      expect(() => part.eventAt(3)).toThrow("not as many");
      expect(ordered(part, [first]).map(([, key]) => key)).toEqual(["0", "2"]);
      expect(part.eventAt(1).evId).toBe(2n);
    });

    it("large emissions come in pieces, none larger than it must be", async () => {
      codec = await makeCodec({ arenaBytes: 8 << 20, rowBytesMax: 1 << 20 });
      part = codec.parts[0];
      const id = addTable(codec);
      const events = Array.from(
        { length: 900 },
        (_, i) => ({ id: i, type: "I:id", data: `id=${i}&v=${"x".repeat(6000)}&w` }),
      );
      pushEvents(part, ...events, { id: 901, type: "I:id", data: `id=901&v=${"%5c".repeat(340_000)}&w` });
      expect(part.scan().kind).toBe("need-input");
      const expected = [...events.map((_, i) => [String(i), 6000]), ["901", 340_000]];
      for (const rows of [copyRows(part, id), arrayRows(part, id, "insert"), ordered(part).map(([, ...row]) => row)]) {
        expect(rows.map(([key, v]) => [key, v!.length])).toEqual(expected);
      }
      for (const pieces of [part.emitCopyRows(id, "insert"), part.emitOrdered()]) {
        const sizes = Array.from(pieces, ({ bytes }) => bytes.length);
        expect(sizes.length).toBeGreaterThan(2);
        expect(Math.max(...sizes)).toBeLessThanOrEqual(1 << 20);
      }
      const rowCounts = Array.from(part.emitArrays(id, "insert", { statement: "s" }), ({ rows }) => rows);
      expect(rowCounts.length).toBeGreaterThan(2); // the output has 2 MiB
    });
  });

  it("reads the events of logutriga as a plain decoder does", () => {
    let checked = 0;
    const cases = logutrigaCases.filter((one) => one.function === "pgq.logutriga");
    for (const { name, events } of cases) {
      part.reset();
      codec.resetRegistry();
      for (const [index, event] of events.entries()) {
        if (event.ev_extra1 === null || !/^[IUD]:/.test(event.ev_type ?? "")) continue;
        part.reset();
        const elements = decodeElements(event.ev_data!);
        const id = codec.tableId(event.ev_extra1) ?? codec.addTable(event.ev_extra1, { take: "all", mode: "ordered" });
        const type = event.ev_type!;
        const keys = type.slice(2);
        codec.addShape(id, {
          keyList: keys,
          columns: elements.map(([column]) => ({ name: column, key: keys.split(",").includes(column), skip: false })),
          statements: STATEMENTS,
        });
        pushEvents(part, {
          id: index,
          type,
          table: event.ev_extra1,
          data: event.ev_data,
          extra2: event.ev_extra2,
        });
        expect([name, part.scan().kind]).toEqual([name, "need-input"]);
        const isDelete = type.startsWith("D");
        const expected = elements.filter(([column]) => !isDelete || keys.split(",").includes(column));
        expect([name, ordered(part)[0]!.slice(1).map(utf8)]).toEqual([name, expected.map(([, value]) => value)]);
        checked++;
      }
    }
    expect(checked).toBeGreaterThan(200);
  });
});
