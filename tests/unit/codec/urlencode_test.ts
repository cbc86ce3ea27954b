import { describe, expect, it } from "vitest";
import { SkyqError } from "../../../src/base/errors.ts";
import { decodeElements, decodeUrl, encodeUrl } from "../../../src/codec/urlencode.ts";

describe("urlencode", () => {
  it("encodeUrl() writes what the triggers write", () => {
    expect(encodeUrl({ id: "1", txt: "a b~+\n", num: null, e: "", "õ": "õ" })).toBe(
      "id=1&txt=a+b%7e%2b%0a&num&e=&%c3%b5=%c3%b5",
    );
    expect(encodeUrl({ a: undefined, b: "_.-Zz09" })).toBe("b=_.-Zz09");
    expect(encodeUrl(new Map([["a", "1"]]))).toBe("a=1");
    expect(encodeUrl({})).toBe("");
  });

  it("decodeUrl() reads what other encoders write", () => {
    expect([...decodeUrl("a=1&&b&c=&")]).toEqual([["a", "1"], ["b", null], ["c", ""]]);
    expect(decodeUrl("a=x=y").get("a")).toBe("x=y");
    expect(decodeUrl("a=~%7E%7e+").get("a")).toBe("~~~ ");
    expect([...decodeUrl("a=1&b=2&a")]).toEqual([["a", null], ["b", "2"]]);
    expect(decodeUrl("=x").get("")).toBe("x");
    expect(decodeUrl("").size).toBe(0);
    expect(decodeUrl(new TextEncoder().encode("%c3%b5=õ")).get("õ")).toBe("õ");
    expect(decodeUrl("a=%ef%bb%bfx").get("a")).toBe("\ufeffx");
  });

  it("decodeElements() keeps repeated names", () => {
    expect(decodeElements("a=1&a=2")).toEqual([["a", "1"], ["a", "2"]]);
  });

  it("decodeUrl() gives back what encodeUrl() was given, for every character", () => {
    let text = "";
    for (let code = 1; code < 0x300; code++) text += String.fromCodePoint(code);
    text += "\u{1f600}\uffff";
    expect([...decodeUrl(encodeUrl({ [text]: text }))]).toEqual([[text, text]]);
  });

  it.each(["a=%", "a=%1", "a=%g0", "a=%0g", "%=1", "a=%%20", "a=%c3"])("decodeUrl() refuses %s", (text) => {
    let error: unknown;
    try {
      decodeUrl(text);
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(SkyqError);
    expect((error as SkyqError).fault).toBe("bad-event");
  });
});
