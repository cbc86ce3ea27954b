import { describe, expect, it } from "vitest";
import { messageWithDetail, SkyqError } from "../../../src/base/errors.ts";

const DETAIL = "Key (id)=(1) already exists.";

describe("messageWithDetail()", () => {
  it("says what the server says of the row, once", () => {
    const inner = new SkyqError("sql", "Cannot run it: duplicate key", { facts: { detail: DETAIL } });
    expect(messageWithDetail(inner)).toBe(`Cannot run it: duplicate key (${DETAIL})`);
    const outer = new SkyqError("apply-conflict", messageWithDetail(inner), { facts: inner.facts, cause: inner });
    expect(messageWithDetail(outer)).toBe(`Cannot run it: duplicate key (${DETAIL})`);
  });

  it("is the message where there is no more to say", () => {
    expect(messageWithDetail(new SkyqError("sql", "Cannot run it: no"))).toBe("Cannot run it: no");
    expect(messageWithDetail(new Error("a bug"))).toBe("a bug");
    expect(messageWithDetail("text")).toBe("text");
  });
});
