import { beforeAll, describe, expect, it } from "vitest";
import { seeded } from "../harness/seed.ts";
import { type DebugModule, debugModule } from "./debug_kernels.ts";

const ALIGNMENTS = Array.from({ length: 16 }, (_, i) => i);
const LENGTHS = [0, 1, 2, 7, 8, 15, 16, 17, 31, 32, 33, 47, 48, 64, 100];
/** Marks of every kernel, their neighbours, and bytes with the high bit. */
const BYTES = [
  0x00,
  0x01,
  0x0d,
  0x0e,
  0x08,
  0x09,
  0x0a,
  0x24,
  0x25,
  0x26,
  0x27,
  0x2a,
  0x2b,
  0x2c,
  0x5b,
  0x5c,
  0x5d,
  0x61,
  0x80,
  0xa5,
  0xff,
];

describe("kernels over bytes", () => {
  let m: DebugModule;
  const random = seeded("kernels over bytes");
  beforeAll(async () => {
    m = await debugModule();
  });

  /** Calls `check` with texts of plain letters and a few marks at every alignment; marks also stand behind the end. */
  function atAllAlignments(check: (at: number, end: number, text: Uint8Array) => void): void {
    for (const alignment of ALIGNMENTS) {
      for (const length of LENGTHS) {
        for (let marks = 0; marks < 4; marks++) {
          const at = m.base + 64 + alignment;
          m.bytes.fill(0x26, at - 32, at + length + 64);
          const text = new Uint8Array(length).fill(0x61);
          for (let i = 0; i < marks && length > 0; i++) text[random.int(0, length - 1)] = random.pick(BYTES);
          m.bytes.set(text, at);
          check(at, at + length, text);
        }
      }
    }
  }

  it("findByte() and its twin find the first byte and nothing behind the end", () => {
    for (const find of [m.k.findByte, m.k.findByteScalar]) {
      atAllAlignments((at, end, text) => {
        for (const byte of [0x09, 0x26]) {
          const index = text.indexOf(byte);
          expect(find(at, end, byte)).toBe(index < 0 ? end : at + index);
        }
      });
    }
  });

  it("findMark() and its twin find the first of & % \\ and bytes below 0x0e", () => {
    for (const find of [m.k.findMark, m.k.findMarkScalar]) {
      atAllAlignments((at, end, text) => {
        const index = text.findIndex((byte) => [0x26, 0x25, 0x5c].includes(byte) || byte < 0x0e);
        expect(find(at, end)).toBe(index < 0 ? end : at + index);
      });
    }
  });

  it("copyPlain() and its twin copy up to the first of & % + \\", () => {
    const out = m.base + 4096;
    for (const copy of [m.k.copyPlain, m.k.copyPlainScalar]) {
      atAllAlignments((at, end, text) => {
        const index = text.findIndex((byte) => [0x26, 0x25, 0x2b, 0x5c].includes(byte));
        const size = index < 0 ? text.length : index;
        for (const outAt of [out, out + 1, out + 15]) {
          m.bytes.fill(0, outAt - 1, outAt + 256);
          expect(copy(at, end, outAt)).toBe(at + size);
          expect(m.bytes.slice(outAt, outAt + size)).toEqual(text.slice(0, size));
          expect(m.bytes[outAt - 1]).toBe(0);
          expect(m.bytes.slice(outAt + size + 16, outAt + 256).every((byte) => byte === 0)).toBe(true);
        }
      });
    }
  });

  it("sameBytes() and its twin see one unlike byte anywhere and none behind the end", () => {
    for (const same of [m.k.sameBytes, m.k.sameBytesScalar]) {
      for (const alignment of ALIGNMENTS) {
        for (const length of LENGTHS) {
          const a = m.base + 64 + alignment;
          const b = m.base + 1024 + random.int(0, 15);
          m.bytes.fill(0x61, a, a + length).fill(0x61, b, b + length);
          m.bytes[a + length] = 1;
          m.bytes[b + length] = 2;
          expect(same(a, b, length)).toBe(1);
          for (let i = 0; i < length; i++) {
            m.bytes[b + i] = 0x62;
            expect(same(a, b, length)).toBe(0);
            m.bytes[b + i] = 0x61;
          }
        }
      }
    }
  });

  it("hashBytes() depends on every byte, on the length, and on nothing else", () => {
    const seen = new Set<bigint>();
    for (const length of LENGTHS) {
      const first = m.base + 64;
      m.bytes.fill(0x61, first, first + length);
      const hash = m.k.hashBytes(first, length, 0n);
      seen.add(hash);
      for (const alignment of ALIGNMENTS) {
        const at = m.base + 1024 + alignment;
        m.bytes.fill(random.int(0, 255), at - 8, at + length + 16);
        m.bytes.fill(0x61, at, at + length);
        expect(m.k.hashBytes(at, length, 0n)).toBe(hash);
      }
      for (let i = 0; i < length; i++) {
        m.bytes[first + i] = 0x60;
        expect(m.k.hashBytes(first, length, 0n)).not.toBe(hash);
        m.bytes[first + i] = 0x61;
      }
    }
    expect(seen.size).toBe(LENGTHS.length);
  });

  it("hashBytes() spreads decimal numbers over the low bits", () => {
    const encoder = new TextEncoder();
    const slots = new Uint8Array(1 << 14);
    for (let id = 0; id < 1 << 13; id++) {
      const { written } = encoder.encodeInto(String(1_000_000 + id), m.bytes.subarray(m.base));
      slots[Number(m.k.hashBytes(m.base, written, 0n) & 0x3fffn)]!++;
    }
    // Half as many numbers as slots: of a random function hardly a slot gets more than seven.
    expect(Math.max(...slots)).toBeLessThan(10);
  });
});
