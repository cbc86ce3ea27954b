import { describe, expect, it } from "vitest";
import { silentLog } from "../../../../src/base/log.ts";
import { Pace, parseRate, progressText } from "../../../../src/engine/repair/pace.ts";

describe("parseRate()", () => {
  it("reads bytes and rows", () => {
    expect(parseRate("20MB")).toEqual({ unit: "bytes", perSecond: 20_000_000 });
    expect(parseRate("512KiB/s")).toEqual({ unit: "bytes", perSecond: 524_288 });
    expect(parseRate("1.5k rows")).toEqual({ unit: "rows", perSecond: 1500 });
    expect(parseRate("1000")).toEqual({ unit: "bytes", perSecond: 1000 });
  });

  it("refuses what is none", () => {
    for (const text of ["", "0", "fast", "-5MB", "5 parsecs"]) expect(() => parseRate(text)).toThrow("is no rate");
  });
});

describe("Pace", () => {
  const signal = new AbortController().signal;

  it("makes reading wait until what was read is allowed", async () => {
    const pace = new Pace({ rate: { unit: "rows", perSecond: 1000 }, lag: null, log: silentLog, signal, show: null });
    pace.begin("t", 0);
    const startMs = performance.now();
    for (let n = 1; n <= 4; n++) await pace.advance("t", n * 50, { bytes: 1e9, rows: 50 });
    expect(performance.now() - startMs).toBeGreaterThan(190);
  });

  it("pauses while the subscriber is too far behind, and says so once", async () => {
    const lags = [5, 5, 0];
    const said: string[] = [];
    const log = { ...silentLog, info: (text: string) => void said.push(text) };
    const pace = new Pace({
      rate: null,
      lag: { limitS: 1, lagS: () => Promise.resolve(lags.shift()!) },
      log,
      signal,
      show: null,
    });
    await pace.advance("t", 1, { bytes: 1, rows: 1 });
    expect(lags).toEqual([]);
    expect(said).toEqual(["Reading pauses: the subscriber is 5s behind, --max-lag is 1s", "Reading goes on"]);
  });

  it("shows each table's rows, speed and what is left, and nothing in the end", async () => {
    const lines: string[] = [];
    const pace = new Pace({ rate: null, lag: null, log: silentLog, signal, show: (line) => void lines.push(line) });
    pace.begin("a", 100);
    pace.begin("b", 0);
    await pace.advance("a", 50, { bytes: 1, rows: 1 });
    expect(lines[0]).toMatch(/^a {2}50% {2}50 rows {2}[\d,]+ rows\/s {2}\S+ left · b {2}0 rows/);
    pace.end("a");
    pace.end("b");
    expect(lines.at(-1)).toBe("");
    expect(progressText("t", { rows: 1000, total: 4000, startMs: 0 }, 2000)).toBe(
      "t  25%  1,000 rows  500 rows/s  6s left",
    );
    expect(progressText("t", { rows: 5000, total: 4000, startMs: 0 }, 2000)).toBe("t  99%  5,000 rows  2,500 rows/s");
  });
});
