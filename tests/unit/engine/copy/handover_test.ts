import { describe, expect, it } from "vitest";
import {
  decideCopy,
  decideReplay,
  formatState,
  type MergeState,
  parseState,
} from "../../../../src/engine/copy/handover.ts";

describe("parseState()", () => {
  it.each([null, "in-copy", "catching-up", "wanna-sync:12", "do-sync:9007199254740993", "ok"])(
    "reads what formatState() writes: %s",
    (text) => expect(formatState(parseState(text))).toBe(text),
  );

  it.each(["", "OK", "wanna-sync", "do-sync:", "do-sync:x", "?"])("refuses %j", (text) => {
    expect(() => parseState(text)).toThrow("is none");
  });
});

describe("decideReplay()", () => {
  const table = (name: string, state: string | null) => ({ table: name, state: parseState(state) });

  it("starts no more copies than may run at once, in order", () => {
    const decision = decideReplay([table("a", "catching-up"), table("b", null), table("c", null)], 5n, 2);
    expect(decision.changes.map((change) => change.table)).toEqual(["b"]);
    expect(decision.copies).toEqual(["a", "b"]);
    expect(decision.wait).toBe(false);
  });

  it("lets no failing copy keep others from theirs", () => {
    const tables = [table("bad", "in-copy"), table("b", null)];
    expect(decideReplay(tables, 5n, 1).changes).toEqual([]);
    const decision = decideReplay(tables, 5n, 1, new Set(["bad"]));
    expect(decision.changes.map((change) => change.table)).toEqual(["b"]);
    expect(decision.copies).toEqual(["bad", "b"]);
  });

  it("calls a waiting copy to its own batch, and waits", () => {
    const decision = decideReplay([table("a", "wanna-sync:7")], 7n, 1);
    expect(decision.changes[0]!.to).toEqual({ name: "do-sync", tick: 7n });
    expect(decision.wait).toBe(true);
  });

  it("goes on while it is behind the copy", () => {
    expect(decideReplay([table("a", "wanna-sync:7")], 6n, 1)).toEqual({ changes: [], copies: ["a"], wait: false });
  });

  it("makes no hand-over without a batch", () => {
    expect(decideReplay([table("a", "wanna-sync:7")], null, 1).changes).toEqual([]);
    expect(decideReplay([table("a", "do-sync:7")], null, 1).wait).toBe(false);
  });

  it("waits for a copy that was called before a restart", () => {
    expect(decideReplay([table("a", "do-sync:7"), table("b", "ok")], 7n, 1).wait).toBe(true);
  });
});

describe("decideCopy()", () => {
  it("stops before exactly the batch it was called to", () => {
    expect(decideCopy({ name: "do-sync", tick: 9n }, 8n, false)).toEqual({ act: "apply" });
    expect(decideCopy({ name: "do-sync", tick: 9n }, 9n, false)).toEqual({
      act: "change",
      to: { name: "ok" },
      done: true,
    });
    expect(() => decideCopy({ name: "do-sync", tick: 9n }, 10n, false)).toThrow("Invalid table state");
  });

  it("asks for a later batch than any it has applied", () => {
    const decision = decideCopy({ name: "catching-up" }, 8n, true);
    expect(decision).toEqual({ act: "change", to: { name: "wanna-sync", tick: 9n }, done: false });
  });
});

describe("the hand-over", () => {
  // Both sides over one queue of ticks, in any interleaving: each batch is applied once, by the one or by the other.
  it("applies every batch once, whoever runs first", () => {
    for (let seed = 1; seed <= 300; seed++) {
      let random = seed;
      const chance = () => (random = (random * 1103515245 + 12345) & 0x7fffffff) / 0x7fffffff;
      const queueEnd = 12n;
      let state: MergeState = { name: "catching-up" };
      let replayAt = 1n;
      let copyAt = 1n;
      const applied: bigint[] = [];
      for (let step = 0; step < 10_000 && replayAt < queueEnd; step++) {
        if (chance() < 0.5) {
          const cur = replayAt + 1n;
          const decision = decideReplay([{ table: "t", state }], cur, 1);
          for (const change of decision.changes) state = change.to;
          if (decision.wait) continue;
          if (state.name === "ok") applied.push(cur);
          replayAt = cur;
        } else if (state.name !== "ok") {
          const atEnd = copyAt === queueEnd || chance() < 0.2;
          const decision = decideCopy(state, atEnd ? copyAt : copyAt + 1n, atEnd);
          if (decision.act === "change") state = decision.to;
          if (decision.act === "apply") applied.push(++copyAt);
        }
      }
      // Whatever the copy ran ahead of the replay's end is applied as well; nothing is missing below, nothing twice.
      expect(applied).toEqual([...new Set(applied)]);
      const expected = Array.from({ length: applied.length }, (_, i) => BigInt(i) + 2n);
      expect(applied).toEqual(expected);
      expect(applied.length).toBeGreaterThan(0);
    }
  });
});
