import { describe, expect, it } from "vitest";
import { isVisible, parseSnapshot, seesAllOf } from "../../../../src/engine/replay/snapshot.ts";

describe("isVisible()", () => {
  const snapshot = parseSnapshot("10:20:10,14");
  it.each([[9n, true], [10n, false], [11n, true], [14n, false], [19n, true], [20n, false], [99n, false]])(
    "transaction %s: %s",
    (txid, seen) => expect(isVisible(snapshot, txid)).toBe(seen),
  );
});

describe("parseSnapshot()", () => {
  it("reads ids beyond 32 bits", () => {
    expect(parseSnapshot("4294967297:4294967300:4294967298").running.has(4294967298n)).toBe(true);
  });
  it.each(["", "1:2", "1:2:3,", "a:b:"])("refuses %j", (text) => {
    expect(() => parseSnapshot(text)).toThrow("Not a transaction snapshot");
  });
});

describe("seesAllOf()", () => {
  it("is true when every id the earlier one sees is seen by the later", () => {
    expect(seesAllOf(parseSnapshot("20:20:"), parseSnapshot("10:20:10,14"))).toBe(true);
    expect(seesAllOf(parseSnapshot("10:25:10,21"), parseSnapshot("10:20:10,14"))).toBe(true);
  });
  it("is false when the later one lacks an id that the earlier one saw", () => {
    expect(seesAllOf(parseSnapshot("11:25:11"), parseSnapshot("10:20:10,14"))).toBe(false);
    expect(seesAllOf(parseSnapshot("15:15:"), parseSnapshot("10:20:10,14"))).toBe(false);
  });
  it("agrees with trying every id", () => {
    let random = 7;
    const next = (max: number) => (random = (random * 1103515245 + 12345) & 0x7fffffff) % max;
    for (let i = 0; i < 500; i++) {
      const make = () => {
        const xmin = next(8);
        const xmax = xmin + next(8);
        const running = Array.from({ length: xmax - xmin }, (_, k) => xmin + k).filter(() => next(2) === 0);
        return parseSnapshot(`${xmin}:${xmax}:${running.join(",")}`);
      };
      const [later, earlier] = [make(), make()];
      const truth = Array.from({ length: 20 }, (_, id) => BigInt(id))
        .every((id) => !isVisible(earlier, id) || isVisible(later, id));
      // It may be careful (say no where trying says yes: ids that never ran), but never wrong the other way.
      if (seesAllOf(later, earlier)) expect(truth).toBe(true);
    }
  });
});
