import { describe, expect, it } from "vitest";
import { Pace } from "../../../../src/engine/ticker/pace.ts";
import type { QueueLook } from "../../../../src/queue/pgq.ts";

const look = (event_seq: bigint, is_waiting = false): QueueLook[] => [
  { queue_name: "quiet", event_seq: 1n, is_waiting: false, is_due: false },
  { queue_name: "q", event_seq, is_waiting, is_due: is_waiting },
];

/** Looks until `untilMs`, each time after the pause that was told. @returns the pauses */
function pauses(pace: Pace, periodMs: number, { fromMs, untilMs }: { fromMs: number; untilMs: number }): number[] {
  const all: number[] = [];
  for (let nowMs = fromMs; nowMs < untilMs;) {
    const pauseMs = pace.next(look(7n), { periodMs, nowMs });
    all.push(pauseMs);
    nowMs += pauseMs;
  }
  return all;
}

describe("Pace", () => {
  it("comes down to one look a second when nothing moves", () => {
    const all = pauses(new Pace(), 20, { fromMs: 0, untilMs: 60_000 });
    expect(all.slice(0, 8)).toEqual([20, 40, 80, 160, 320, 640, 1000, 1000]);
    expect(all.length).toBeLessThan(70);
  });

  it("keeps the period while a sequence moves, and for five seconds more", () => {
    const pace = new Pace();
    pauses(pace, 20, { fromMs: 0, untilMs: 10_000 });
    expect(pace.next(look(8n), { periodMs: 20, nowMs: 10_000 })).toBe(20);
    expect(pace.next(look(8n), { periodMs: 20, nowMs: 14_999 })).toBe(20);
    expect(pace.next(look(8n), { periodMs: 20, nowMs: 15_001 })).toBe(40);
  });

  it("keeps the period while events wait for their tick", () => {
    const pace = new Pace();
    for (let nowMs = 0; nowMs < 60_000; nowMs += 1000) {
      expect(pace.next(look(7n, true), { periodMs: 50, nowMs })).toBe(50);
    }
  });

  it("never looks more often than a long period says", () => {
    expect(new Set(pauses(new Pace(), 3000, { fromMs: 0, untilMs: 60_000 }))).toEqual(new Set([3000]));
  });
});
