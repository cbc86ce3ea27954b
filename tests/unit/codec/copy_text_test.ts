import { describe, expect, it } from "vitest";
import { decodeCopyLine, encodeCopyField } from "../../../src/codec/copy_text.ts";

const encoder = new TextEncoder();
const lineOf = (text: string) => decodeCopyLine(encoder.encode(text));

describe("COPY text", () => {
  it("decodeCopyLine() tells NULL, empty and the text \\N apart", () => {
    expect(lineOf("\\N\t\t\\\\N\tx")).toEqual([null, "", "\\N", "x"]);
    expect(lineOf("")).toEqual([""]);
    expect(lineOf("a\t")).toEqual(["a", ""]);
  });

  it("decodeCopyLine() undoes every form of escape", () => {
    expect(lineOf("\\b\\f\\n\\r\\t\\v\\\\")).toEqual(["\b\f\n\r\t\v\\"]);
    expect(lineOf("\\101\\1012\\60\\x41\\x4a\\x9Z\\q\\xg")).toEqual(["AA20AJ\tZqxg"]);
    expect(lineOf("a\\")).toEqual(["a\\"]);
    expect(lineOf("\\õ\\303\\265")).toEqual(["õõ"]);
  });

  it("decodeCopyLine() reads what encodeCopyField() writes", () => {
    let text = "";
    for (let code = 1; code < 0x120; code++) text += String.fromCharCode(code);
    expect(decodeCopyLine(encodeCopyField(text))).toEqual([text]);
    expect(decodeCopyLine(encodeCopyField("\\N"))).toEqual(["\\N"]);
  });

  it("decodeCopyLine() refuses what is not UTF-8", () => {
    expect(() => decodeCopyLine(Uint8Array.of(0x61, 0xff))).toThrow("not UTF-8");
  });
});
