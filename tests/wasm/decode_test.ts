import { beforeAll, describe, expect, it } from "vitest";
import { seeded } from "../harness/seed.ts";
import { type DebugModule, debugModule } from "./debug_kernels.ts";

const encoder = new TextEncoder();
const latin1 = (bytes: Uint8Array) => String.fromCharCode(...bytes);
const hex = (byte: number) => byte.toString(16).padStart(2, "0");

describe("kernels that decode", () => {
  let m: DebugModule;
  const random = seeded("kernels that decode");
  beforeAll(async () => {
    m = await debugModule();
  });

  function run(kernel: "decodeValue" | "copyValue", text: string, alignment = 0): string {
    const at = m.base + alignment;
    const out = m.base + 8192 + random.int(0, 15);
    const { written } = encoder.encodeInto(text, m.bytes.subarray(at));
    m.bytes[at + written] = 0x25; // a mark behind the end must not be looked at
    const end = m.k[kernel](at, at + written, out);
    return latin1(m.bytes.slice(out, end));
  }

  it("decodeValue() undoes both encodings of every byte", () => {
    for (let byte = 1; byte < 256; byte++) {
      for (const digits of [hex(byte), hex(byte).toUpperCase()]) {
        expect(run("decodeValue", `ab%${digits}cd`)).toBe(`ab${String.fromCharCode(byte)}cd`);
      }
    }
    expect(run("decodeValue", "a+b~c=d")).toBe("a b~c=d");
    expect(run("decodeValue", "\\\\ \\b\\f\\n\\r\\t\\v")).toBe("\\ \b\f\n\r\t\v");
    expect(run("decodeValue", "")).toBe("");
  });

  it("decodeValue() ends at the first &", () => {
    expect(run("decodeValue", "abc&def")).toBe("abc");
    expect(run("decodeValue", "a%26c&def")).toBe("a&c");
    expect(run("decodeValue", "&")).toBe("");
  });

  it("copyValue() writes what COPY FROM reads back as the same bytes", () => {
    const letters: Record<string, string> = {
      "\\": "\\\\",
      "\b": "\\b",
      "\f": "\\f",
      "\n": "\\n",
      "\r": "\\r",
      "\t": "\\t",
      "\v": "\\v",
    };
    for (let byte = 1; byte < 256; byte++) {
      const char = String.fromCharCode(byte);
      expect(run("copyValue", `x%${hex(byte)}y`)).toBe(`x${letters[char] ?? char}y`);
    }
    expect(run("copyValue", "\\\\N+\\t")).toBe("\\\\N \\t");
  });

  it("decodeValue() and copyValue() agree with a plain decoder on random texts at all alignments", () => {
    for (let alignment = 0; alignment < 16; alignment++) {
      for (let i = 0; i < 60; i++) {
        let encoded = "";
        let plain = "";
        let copied = "";
        for (let n = random.int(0, 60); n > 0; n--) {
          const [text, byte, copy] = random.pick([
            ["a", "a", "a"],
            ["longer", "longer", "longer"],
            ["+", " ", " "],
            ["%0a", "\n", "\\n"],
            ["%5C", "\\", "\\\\"],
            ["\\\\", "\\", "\\\\"],
            ["%2b", "+", "+"],
            ["%ff", "\xff", "\xff"],
          ]) as [string, string, string];
          encoded += text;
          plain += byte;
          copied += copy;
        }
        expect(run("decodeValue", encoded, alignment)).toBe(plain);
        expect(run("copyValue", encoded, alignment)).toBe(copied);
      }
    }
  });

  it("sameDecoded() compares what texts stand for", () => {
    const same = (a: string, b: string) => {
      const aSize = encoder.encodeInto(a, m.bytes.subarray(m.base)).written;
      const bSize = encoder.encodeInto(b, m.bytes.subarray(m.base + 1024)).written;
      return m.k.sameDecoded(m.base, m.base + aSize, m.base + 1024, m.base + 1024 + bSize) === 1;
    };
    expect(same("a%2fb", "a%2Fb")).toBe(true);
    expect(same("~", "%7e")).toBe(true);
    expect(same("\\\\", "%5c")).toBe(true);
    expect(same("+", "%20")).toBe(true);
    expect(same("", "")).toBe(true);
    expect(same("a", "ab")).toBe(false);
    expect(same("a", "")).toBe(false);
    expect(same("%2b", "+")).toBe(false);
  });

  it("isVisible() is the snapshot rule", () => {
    const view = new DataView(m.bytes.buffer);
    const running = [12n, 15n, 2n ** 40n, 2n ** 40n + 3n];
    view.setBigUint64(m.base, 12n, true);
    view.setBigUint64(m.base + 8, 2n ** 40n + 10n, true);
    view.setUint32(m.base + 16, running.length, true);
    running.forEach((txid, i) => view.setBigUint64(m.base + 24 + 8 * i, txid, true));
    const txids = [1n, 11n, 12n, 13n, 14n, 15n, 16n, ...running, 2n ** 40n + 9n, 2n ** 40n + 10n, 2n ** 63n];
    for (const txid of txids) {
      const expected = txid < 12n || (txid < 2n ** 40n + 10n && !running.includes(txid));
      expect([txid, m.k.isVisible(m.base, txid)]).toEqual([txid, Number(expected)]);
    }
  });
});
