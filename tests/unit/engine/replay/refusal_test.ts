import { describe, expect, it } from "vitest";
import { SkyqError } from "../../../../src/base/errors.ts";
import { blameOf, conflict, reasonOf, showKey } from "../../../../src/engine/replay/refusal.ts";

const refusal = (sqlstate: string | undefined, facts = {}) =>
  new SkyqError("sql", "the server's words", { ...(sqlstate === undefined ? {} : { sqlstate }), facts });

describe("blameOf()", () => {
  const CODES = {
    row: ["22P02", "22003", "22001", "23505", "23503", "23502", "23514", "23P01", "44000", "54000", "P0001", "21000"],
    table: ["42P01", "42703", "42501", "42804", "428C9", "3F000", "0A000"],
    batch: ["40001", "40P01", "55P03", "57014", "57P01", "53100", "53200", "25006", "08006", "58030", "XX000", "25P02"],
  };
  for (const [blame, codes] of Object.entries(CODES)) {
    it(`${blame}: ${codes.join(" ")}`, () => {
      expect(codes.map((code) => blameOf(refusal(code)))).toEqual(codes.map(() => blame));
    });
  }

  it("never takes what no server said for a row's fault", () => {
    for (const error of [refusal(undefined), new Error("x"), new TypeError("x"), null]) {
      expect(blameOf(error)).toBe("batch");
    }
  });
});

describe("an event that is refused", () => {
  const event = {
    evId: 5n,
    txid: 812n,
    type: "I:id",
    extra1: "public.t",
    data: "id=3&v=x",
    extra2: null,
    extra3: null,
    extra4: null,
  };

  it("is named with table, key, id, transaction, tick and the server's reason", () => {
    const error = conflict(event, "id=3", 42n, refusal("23505", { detail: "Key (id)=(3) already exists." }), "do this");
    expect(error.message).toBe(
      '[ev_id=5,ev_txid=812] Cannot apply event "I:id" of table "public.t", key (id)=(3), of the batch that ends with ' +
        "tick 42: the server's words (Key (id)=(3) already exists.)",
    );
    expect([error.fault, error.sqlstate, error.hint, error.facts.table]).toEqual([
      "apply-conflict",
      "23505",
      "do this",
      "public.t",
    ]);
  });

  it("is named without a key that it does not tell", () => {
    expect(conflict(event, null, 42n, refusal("23505"), "").message).toMatch(/table "public\.t", of the batch/);
  });

  it("shows its key decoded, and NULL as such", () => {
    expect(showKey("K%2c1=1&k%3d2=a%26b%3dc+d&n")).toBe("(K,1, k=2, n)=(1, a&b=c d, NULL)");
    expect(reasonOf(new Error("x"))).toBe("x");
  });
});
