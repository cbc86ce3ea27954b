import { describe, expect, it } from "vitest";
import { decodeAttributes, encodeAttributes, readAttributes } from "../../../../src/engine/replay/script.ts";

describe("readAttributes()", () => {
  it("reads the lines above the first statement, whatever the case of their keys", () => {
    const sql = "\n-- a comment\n--*-- Local-Table: a, b\n\n--*-- NEED-function: f(2)\nselect 1;\n--*-- Need-View: v";
    expect([...readAttributes(sql)]).toEqual([["local-table", ["a", "b"]], ["need-function", ["f(2)"]]]);
  });

  it("goes on in the next line behind a comma, and joins what is said twice", () => {
    const sql = "--*-- Need-Table: a,\n--*-- b , c\r\n--*-- Need-Table: d\nselect 1";
    expect(readAttributes(sql).get("need-table")).toEqual(["a", "b", "c", "d"]);
  });

  it("refuses a key that nobody knows, and a line without one", () => {
    expect(() => readAttributes("select 1")).not.toThrow();
    expect(() => readAttributes("--*-- Need-Tables: a")).toThrow("line 1");
    expect(() => readAttributes("-- x\n--*-- a, b")).toThrow("no known key");
  });
});

describe("attributes as they travel", () => {
  it("are those of the originals", () => {
    const attributes = new Map([["local-table", ["v05"]], ["need-table", ["S p.a&b", "c"]]]);
    expect(encodeAttributes(attributes)).toBe("local-table=v05&need-table=S+p.a%26b%2cc");
    expect([...decodeAttributes(encodeAttributes(attributes))]).toEqual([...attributes]);
    expect([...decodeAttributes("")]).toEqual([]);
  });

  it("are refused when this version does not know one", () => {
    expect(() => decodeAttributes("need-index=x")).toThrow('"need-index" is not known');
  });
});
