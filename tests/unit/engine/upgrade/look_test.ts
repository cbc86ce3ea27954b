import { describe, expect, it } from "vitest";
import { silentLog } from "../../../../src/base/log.ts";
import { choosePlan, type Side, type UpgradeJob } from "../../../../src/engine/upgrade/look.ts";
import type { NodeInfo } from "../../../../src/queue/pgq_node.ts";

const job: UpgradeJob = {
  queue: "q",
  worker: "job",
  jobName: "job",
  providerNode: "q_root",
  locations: { provider: "", subscriber: "" },
  lockTimeoutMs: 0,
  ticks: false,
  log: silentLog,
  signal: new AbortController().signal,
};

function side(name: "provider" | "subscriber", what: Partial<Side> = {}): Side {
  return { name, node: null, londiste2: null, isOwn: false, queues: [], identity: name, record: null, ...what };
}

function node(type: "root" | "leaf"): NodeInfo {
  return { node_type: type, node_name: type, worker_name: "job" } as NodeInfo;
}

const record = (version: "2.1" | "3") => ({
  worker_name: "job",
  from_version: version,
  old_schema: null,
  upgraded_at: "2026-01-01 00:00:00",
});

describe("choosePlan()", () => {
  it("tells pairs of Londiste from each other and from skyq's own", () => {
    const v2 = { londiste2: "londiste" };
    expect(choosePlan(side("provider", v2), side("subscriber", v2), job)).toBe("londiste-2.1");
    const root = side("provider", { node: node("root") });
    expect(choosePlan(root, side("subscriber", { node: node("leaf") }), job)).toBe("londiste-3");
    expect(choosePlan(root, side("subscriber", { node: node("leaf"), isOwn: true }), job)).toBe("own");
  });

  it("finishes what was done half", () => {
    const done = side("subscriber", { node: node("leaf"), isOwn: true, record: record("2.1") });
    expect(choosePlan(side("provider", { londiste2: "londiste" }), done, job)).toBe("londiste-2.1");
    expect(choosePlan(side("provider", { node: node("root") }), { ...done, record: record("3") }, job)).toBe("done");
  });

  it("takes a second subscriber of a provider that was upgraded for the first", () => {
    const provider = side("provider", { node: node("root"), londiste2: "londiste_v2", isOwn: true });
    expect(choosePlan(provider, side("subscriber", { londiste2: "londiste" }), job)).toBe("londiste-2.1");
  });

  it("says what is missing on which side", () => {
    const none = { provider: side("provider", { queues: ["a", "b"] }), subscriber: side("subscriber") };
    expect(() => choosePlan(none.provider, none.subscriber, job)).toThrow(/Nothing to upgrade: neither database/);
    expect(() => choosePlan(none.provider, side("subscriber", { identity: "provider" }), job)).toThrow(/same database/);
    expect(() => choosePlan(side("provider", { londiste2: "londiste" }), none.subscriber, job)).toThrow(
      /the subscriber has no schema of Londiste 2.1/,
    );
    expect(() => choosePlan(side("provider", { node: node("root") }), none.subscriber, job)).toThrow(
      /the provider is root "root" of queue "q", but the subscriber has no node of it/,
    );
  });
});
