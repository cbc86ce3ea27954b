import { describe, expect, it } from "vitest";
import { parseSetting, settingText } from "../../../../src/engine/queue_admin/config.ts";

describe("parseSetting()", () => {
  const good: [string, string, string | null][] = [
    ["ticker_max_lag=3", "ticker_max_lag", "3 seconds"],
    ["queue_ticker_max_lag = 0.02", "ticker_max_lag", "0.02 seconds"],
    ["rotation_period=2 hours", "rotation_period", "2 hours"],
    ["TICKER_PAUSED=yes", "ticker_paused", "true"],
    ["ticker_max_count=500", "ticker_max_count", "500"],
    ["per_tx_limit=", "per_tx_limit", null],
    ["max_size=20GB", "max_size", "20GB"],
    ["max_lag=", "max_lag", null],
    ["on_full=drop-consumer", "on_full", "drop-consumer"],
  ];
  for (const [text, name, value] of good) {
    it(`reads "${text}"`, () => expect(parseSetting(text)).toEqual({ name, value }));
  }

  const bad: [string, RegExp][] = [
    ["ticker_max_lag", /not NAME=VALUE/],
    ["ticker_maxlag=3", /no such setting/],
    ["ticker_max_count=many", /"many" is not a whole number/],
    ["ticker_max_lag=soon", /"soon" is not a time/],
    ["ticker_max_lag=", /value is missing/],
    ["disable_insert=", /value is missing/],
    ["max_size=large", /is not a size/],
    ["on_full=explode", /one of warn/],
  ];
  for (const [text, message] of bad) it(`refuses "${text}"`, () => expect(() => parseSetting(text)).toThrow(message));
});

describe("settingText()", () => {
  it("has units, and a dash for no limit", () => {
    expect(settingText("rotation_period", 7200)).toBe("2h");
    expect(settingText("max_size", 2n ** 30n)).toBe("1.0 GB");
    expect(settingText("max_lag", null)).toBe("-");
  });
});
