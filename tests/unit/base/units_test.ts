import { describe, expect, it } from "vitest";
import { formatBytes, formatSeconds } from "../../../src/base/units.ts";

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
