import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SkyqError } from "../../../../src/base/errors.ts";
import type { KeyOrder } from "../../../../src/codec/merge_codec.ts";
import { parseSortMemory, SORT_MEMORY_MIN, sortRows } from "../../../../src/engine/repair/external_sort.ts";
import { seeded } from "../../../harness/seed.ts";
import { compareLines, framesOf, randomCell } from "../../codec/merge_reference.ts";
import { openSides, type Sides } from "./_sides.ts";

describe("sortRows()", () => {
  const random = seeded("sortRows()");
  let directory: string;
  beforeAll(() => {
    directory = Deno.makeTempDirSync();
  });
  afterAll(() => Deno.removeSync(directory, { recursive: true }));

  async function* chunksOf(bytes: Uint8Array, sizeMax: number): AsyncGenerator<Uint8Array, void, void> {
    for (let at = 0; at < bytes.length;) {
      const size = random.int(1, sizeMax);
      // Lent: it is something else as soon as the next one is asked for.
      const lent = bytes.slice(at, at + size);
      yield lent;
      lent.fill(0x64);
      at += size;
    }
  }

  function linesOf(frames: Uint8Array): string[] {
    const lines: string[] = [];
    const view = new DataView(frames.buffer, frames.byteOffset);
    for (let at = 0; at < frames.length; at += 1 + view.getUint32(at + 1)) {
      lines.push(new TextDecoder().decode(frames.subarray(at + 5, at + view.getUint32(at + 1))));
    }
    return lines;
  }

  async function sorted(
    lines: readonly string[],
    keyOrders: readonly KeyOrder[],
    options: { memoryBytes?: number; directory?: string; bytes?: Uint8Array; onPiece?(): void } = {},
  ): Promise<string[]> {
    const pieces: Uint8Array[] = [];
    const chunks = chunksOf(options.bytes ?? framesOf(lines), 100_000);
    const all = {
      directory,
      memoryBytes: SORT_MEMORY_MIN,
      table: "public.t",
      side: "source" as const,
      keyOrders,
      ...options,
    };
    for await (const piece of sortRows(chunks, all)) {
      options.onPiece?.();
      pieces.push(piece.slice());
    }
    const bytes = new Uint8Array(pieces.reduce((size, piece) => size + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      bytes.set(piece, at);
      at += piece.length;
    }
    return linesOf(bytes);
  }

  async function failure(work: Promise<unknown>): Promise<SkyqError> {
    const error = await work.then(() => null, (error) => error);
    expect(error).toBeInstanceOf(SkyqError);
    return error;
  }

  const names = () => [...Deno.readDirSync(directory)].map((entry) => entry.name);

  it("gives what came, in order, from nothing to more than a merge takes at once", async () => {
    const orders: KeyOrder[] = ["integer", "bytes"];
    // 150,000 rows in the least memory are some 75 runs.
    for (const count of [0, 1, 2, 9, 3000, 20_000, 150_000]) {
      const lines = Array.from(
        { length: count },
        (_, i) =>
          count > 20_000
            ? `${random.int(0, 1e9)}\t${i}`
            : orders.map((order) => randomCell(random, order)).join("\t") + `\t${i}`,
      );
      const found = await sorted(lines, orders);
      expect(found.length).toBe(count);
      for (let i = 1; i < count; i++) {
        if (compareLines(orders, found[i - 1]!, found[i]!) > 0) {
          throw new Error(`row ${i}: ${found[i - 1]}, ${found[i]}`);
        }
      }
      expect(found.toSorted().join("\n")).toBe(lines.toSorted().join("\n"));
    }
    expect(names()).toEqual([]);
  });

  it("sorts every order as the merge has it", async () => {
    for (const order of ["integer", "decimal", "time", "bytes", "padded"] as const) {
      const lines = Array.from({ length: 12_000 }, (_, i) => `${randomCell(random, order, true)}\t${i}`);
      const found = await sorted(lines, [order]);
      expect(found.length).toBe(lines.length);
      for (let i = 1; i < found.length; i++) {
        if (compareLines([order], found[i - 1]!, found[i]!) > 0) throw new Error(`${found[i - 1]}, ${found[i]}`);
      }
    }
  });

  it("takes rows larger than its memory, and than a piece", async () => {
    const lines = Array.from({ length: 60 }, (_, i) => {
      const size = i % 20 === 7 ? 1_500_000 : i % 5 === 0 ? 300_000 : random.int(0, 2000);
      return `${random.int(0, 1e6)}\t${"x".repeat(size)}`;
    });
    const found = await sorted(lines, ["integer"]);
    expect(found.map((line) => line.length)).toEqual(
      lines.toSorted((a, b) => compareLines(["integer"], a, b)).map((line) => line.length),
    );
  });

  it("has no file that anybody could leave behind, at no time", async () => {
    const lines = Array.from({ length: 50_000 }, (_, i) => `${50_000 - i}\tsome text`);
    let pieces = 0;
    await sorted(lines, ["integer"], {
      onPiece() {
        pieces++;
        expect(names()).toEqual([]);
      },
    });
    expect(pieces).toBeGreaterThan(2);
    // Left in the middle.
    for await (
      const _ of sortRows(chunksOf(framesOf(lines), 9000), {
        directory,
        memoryBytes: 1,
        table: "t",
        side: "target",
        keyOrders: ["integer"],
      })
    ) break;
    expect(names()).toEqual([]);
  });

  it("takes no broken stream for a whole one", async () => {
    const whole = framesOf(["1\ta", "2\tb"]);
    for (const bytes of [whole.subarray(0, whole.length - 1), whole.subarray(0, 12), whole.slice().fill(0x45, 0, 1)]) {
      const error = await failure(sorted([], ["integer"], { bytes }));
      expect(error.fault).toBe("protocol");
    }
  });

  it("says so when the directory is not there or full", async () => {
    const lines = Array.from({ length: 20_000 }, (_, i) => `${i}\tsome text`);
    const missing = await failure(sorted(lines, ["integer"], { directory: `${directory}/none` }));
    expect(missing.message).toMatch(
      /^Cannot sort the source's rows of table "public.t" in ".*\/none": .*[Nn]o such file/,
    );
    expect(missing.fault).toBe("config");
  });

  it.skipIf(Deno.uid() !== 0)("says so when the disk is full", async () => {
    const small = `${directory}/small`;
    Deno.mkdirSync(small);
    const mount = (...args: string[]) => new Deno.Command("mount", { args, stderr: "null" }).outputSync().success;
    if (!mount("-t", "tmpfs", "-o", "size=1m", "none", small)) return; // not in this container
    try {
      const lines = Array.from({ length: 100_000 }, (_, i) => `${i}\tsome text`);
      const full = await failure(sorted(lines, ["integer"], { directory: small }));
      expect(full.message).toBe(`Cannot sort the source's rows of table "public.t" in "${small}": no space left there`);
      // The room is free again.
      expect((await sorted(lines.slice(0, 15_000), ["integer"], { directory: small })).length).toBe(15_000);
    } finally {
      new Deno.Command("umount", { args: [small] }).outputSync();
    }
  });
});

describe("parseSortMemory()", () => {
  it("reads sizes, and refuses what is none, too little or too much", () => {
    expect(["128k", "1 MB", "1.5GiB", "300000"].map(parseSortMemory)).toEqual([131072, 1048576, 1610612736, 300000]);
    for (const text of ["", "30%", "-1", "1kB", "100k", "5GB", "x"]) {
      expect(() => parseSortMemory(text)).toThrow("no size");
    }
  });
});

describe("walkTables() with a local sort", () => {
  let sides: Sides;
  let directory: string;
  beforeAll(async () => {
    directory = Deno.makeTempDirSync();
    sides = await openSides();
  });
  afterAll(() => Deno.removeSync(directory, { recursive: true }));

  it("finds the same as the servers' sort, and asks them only for what an index has", async () => {
    await sides.both(`create table t (k text collate "und-x-icu" primary key, v int);
      insert into t select md5(i::text) || chr(200 + i % 50), i from generate_series(1, 20000) as i`);
    await sides.target.exec(
      "delete from t where v % 1000 = 1; update t set v = -v where v % 1000 = 2; insert into t values ('', 0)",
    );
    const wanted = (await sides.walk()).shown;
    expect(wanted.length).toBe(41);
    for (const isAlways of [false, true]) {
      const localSort = { directory, memoryBytes: 2 * SORT_MEMORY_MIN, isAlways };
      expect((await sides.walk({ localSort })).shown).toEqual(wanted);
    }
    const nowhere = { directory: `${directory}/none`, memoryBytes: 2 * SORT_MEMORY_MIN };
    await expect(sides.walk({ localSort: nowhere })).rejects.toThrow("Cannot sort the source's rows");
    await sides.both('alter table t alter k type text collate "C"');
    expect((await sides.walk({ localSort: nowhere })).shown).toEqual(wanted);
    expect([...Deno.readDirSync(directory)]).toEqual([]);
  });
});
