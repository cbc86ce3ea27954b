import { describe, expect, it } from "vitest";
import { createOutput } from "../../../src/cli/output.ts";

function written(act: (out: ReturnType<typeof createOutput>) => void): string {
  let text = "";
  act(createOutput((part) => text += part));
  return text;
}

describe("createOutput()", () => {
  const rows = [{ name: "a", lag: 5, id: 12345678901234567890n }, { name: "longer", lag: null, id: 1n, other: "no" }];

  it("aligns a table: text left, numbers right, NULL as a dash", () => {
    expect(written((out) => out.table(["name", { key: "lag", title: "Lag (s)" }, "id"], rows))).toBe(
      "name    Lag (s)                    id\n" +
        "------  -------  --------------------\n" +
        "a             5  12345678901234567890\n" +
        "longer        -                     1\n",
    );
  });

  it("writes nothing for no rows", () => {
    expect(written((out) => out.table(["a"], []))).toBe("");
  });

  it("writes rows as one JSON object per line, columns only, absent ones as null", () => {
    expect(written((out) => out.table(["id", "lag"], rows, { json: true }))).toBe(
      '{"id":"12345678901234567890","lag":5}\n{"id":1,"lag":null}\n',
    );
  });

  it("writes a line and a value", () => {
    expect(written((out) => (out.line("x"), out.json({ a: [1n] })))).toBe('x\n{"a":[1]}\n');
  });
});
