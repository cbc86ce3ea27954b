import { describe, expect, it } from "vitest";
import { counted, formatBytes, formatSeconds, oneLine } from "../../../src/base/units.ts";

describe("formatSeconds()", () => {
  const cases: [number, string][] = [
    [0, "0s"],
    [0.254, "0.25s"],
    [59.999, "60s"],
    [60, "1m"],
    [3725, "1h2m"],
    [7200, "2h"],
    [86_400 * 3 + 60, "3d"],
    [-90, "-1m30s"],
  ];
  for (const [seconds, text] of cases) it(`says ${text}`, () => expect(formatSeconds(seconds)).toBe(text));
});

describe("formatBytes()", () => {
  const cases: [number | bigint, string][] = [
    [0, "0 B"],
    [1023, "1023 B"],
    [1536n, "1.5 kB"],
    [20 * 2 ** 30, "20 GB"],
    [5 * 2 ** 40, "5.0 TB"],
  ];
  for (const [bytes, text] of cases) it(`says ${text}`, () => expect(formatBytes(bytes)).toBe(text));
});

describe("oneLine()", () => {
  it("escapes what breaks a line or commands a terminal, and nothing else", () => {
    expect(oneLine("a\nb\r\t\x1b[0m\x7f\u009b\u2028é\\n ж")).toBe("a\\nb\\r\\t\\x1b[0m\\x7f\\x9b\\u2028é\\n ж");
  });
});

describe("counted()", () => {
  it("has a plural", () => expect([0, 1, 2].map((n) => counted(n, "row"))).toEqual(["0 rows", "1 row", "2 rows"]));
});
