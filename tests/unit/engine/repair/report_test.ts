import { describe, expect, it } from "vitest";
import { formatted } from "../../../../src/engine/repair/count.ts";
import { htmlReport } from "../../../../src/engine/repair/html.ts";
import {
  EMPTY_REPORT,
  exitOf,
  type Outcome,
  reportRow,
  type TableReport,
} from "../../../../src/engine/repair/report.ts";

const report = (outcome: Outcome, exit = 0): TableReport => ({
  ...EMPTY_REPORT,
  table: `public.${outcome}`,
  outcome,
  exit,
});

describe("exitOf()", () => {
  it("puts what was not read before what differs, and that before what is not in sync", () => {
    expect(exitOf([])).toBe(0);
    expect(exitOf([report("equal"), report("repaired")])).toBe(0);
    expect(exitOf([report("equal"), report("different")])).toBe(3);
    expect(exitOf([report("equal"), report("skipped")])).toBe(4);
    expect(exitOf([report("equal"), report("unsettled")])).toBe(4);
    expect(exitOf([report("different"), report("skipped")])).toBe(3);
    expect(exitOf([report("different"), report("failed", 1)])).toBe(1);
    expect(exitOf([report("different"), report("failed", 5)])).toBe(5);
    expect(exitOf([report("failed", 5), report("failed", 1)])).toBe(1);
  });
});

describe("reportRow()", () => {
  it("shows no counts of a table that was not read", () => {
    expect(reportRow({ ...report("failed", 1), reason: "why", inserts: 3 })).toMatchObject({
      missing: null,
      note: "why",
    });
    expect(reportRow({ ...report("different"), inserts: 3, refused: 1 })).toMatchObject({
      missing: 3,
      note: "1 refused by the server",
    });
  });
});

describe("formatted()", () => {
  it("takes Python's format, or all columns", () => {
    expect(formatted({ cnt: 12n, sum: null }, "%(cnt)d rows, %(sum)s %%")).toBe("12 rows, null %");
    expect(formatted({ res: 12n }, null)).toBe("res = 12");
    expect(formatted({ a: 1 }, "%(b)s")).toBe("%(b)s");
  });
});

describe("htmlReport()", () => {
  const head = { command: "compare", source: "a <b>", target: "c", startedAt: new Date(0), seconds: 1 };

  it("says what is proven, and no more", () => {
    expect(htmlReport(head, [report("equal")])).toContain("<h1>The table is equal</h1>");
    expect(htmlReport(head, [report("equal"), report("repaired")])).toContain("<h1>All 2 tables are equal now</h1>");
    expect(htmlReport(head, [report("equal"), report("failed", 1)])).toContain(
      "<h1>1 of 2 tables is not proven equal</h1>",
    );
  });

  it("shows differing columns and the key side by side, escaped, NULL and empty apart", () => {
    const page = htmlReport(head, [{
      ...report("different"),
      updates: 2,
      columns: ["id", "same", "v", "w"],
      keySize: 1,
      samples: [{
        kind: "update",
        key: ["<1>"],
        source: ["<1>", "s", null, "\u202Ex"],
        target: ["<1>", "s", "", "y".repeat(500)],
      }],
    }]);
    expect(page).toContain("a &#60;b&#62;");
    expect(page).toContain("1 of 2 differences");
    expect(page).toContain(
      '<tr><th>v</th><td class="source"><i>NULL</i></td><td class="target"><i>empty</i></td></tr>',
    );
    expect(page).toContain("U+202E");
    expect(page).toContain("500 characters");
    expect(page).not.toContain("<th>same</th>");
    expect(page).not.toContain("<1>");
  });
});
