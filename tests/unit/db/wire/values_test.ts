import { describe, expect, it } from "vitest";
import { decodeArray, decodeValue, encodeArray, encodeParam, OID } from "../../../../src/db/wire/values.ts";

describe("encodeParam()", () => {
  it("writes each kind as the server reads it", () => {
    expect(encodeParam(null)).toBeNull();
    expect(encodeParam(true)).toBe("t");
    expect(encodeParam(12345678901234567890n)).toBe("12345678901234567890");
    expect(encodeParam(1.5)).toBe("1.5");
    expect(encodeParam("")).toBe("");
    expect(encodeParam(["a", null, 1, 2n])).toBe('{"a",NULL,1,2}');
  });
});

describe("decodeArray()", () => {
  it("reads back what encodeArray() wrote", () => {
    const values = ["", "NULL", "null", 'a"b', "a\\b", "{}", "a,b", " x ", "ü", null, "\n"];
    expect(decodeArray(encodeArray(values))).toEqual(values);
  });

  it("reads bare elements, NULL and bounds", () => {
    expect(decodeArray("{}")).toEqual([]);
    expect(decodeArray("{a,NULL,b}")).toEqual(["a", null, "b"]);
    expect(decodeArray("[0:1]={a,b}")).toEqual(["a", "b"]);
  });

  it("ends on text that is cut off", () => {
    expect(decodeArray('{a,"b')).toEqual(["a", "b"]);
    expect(decodeArray("{a,b")).toEqual(["a", "b"]);
  });
});

describe("decodeValue()", () => {
  it("decodes by type, all else stays text", () => {
    expect(decodeValue(OID.bool, "t")).toBe(true);
    expect(decodeValue(OID.int8, "9007199254740993")).toBe(9007199254740993n);
    expect(decodeValue(OID.int4, "-5")).toBe(-5);
    expect(decodeValue(OID.oid, "4294967295")).toBe(4294967295);
    expect(decodeValue(OID.float8, "-Infinity")).toBe(-Infinity);
    expect(decodeValue(OID.textArray, "{a}")).toEqual(["a"]);
    expect(decodeValue(1700, "1.50")).toBe("1.50");
    expect(decodeValue(1184, "2020-01-01 00:00:00+00")).toBe("2020-01-01 00:00:00+00");
  });
});
