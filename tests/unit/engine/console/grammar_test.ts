import { describe, expect, it } from "vitest";
import { completions } from "../../../../src/engine/console/completion.ts";
import { matchPattern, parsePattern } from "../../../../src/engine/console/grammar.ts";
import { lex } from "../../../../src/engine/console/lexer.ts";
import { FIXED_NAMES, NAME_QUERIES, STATEMENTS } from "../../../../src/engine/console/statements.ts";
import type { SqlConnection } from "../../../../src/db/sql.ts";

const match = (pattern: string, text: string) => matchPattern(parsePattern(pattern), lex(text).tokens);

describe("matchPattern()", () => {
  it("reads names, and what is optional in its order", () => {
    const pattern = "register consumer <consumer> [on <queue>] [at <tick>] [copy <other:consumer>]";
    const all = match(pattern, "REGISTER consumer C on 'My Queue' at 17 copy d")!;
    expect(["consumer", "queue", "tick", "other"].map((name) => all.get(name))).toEqual(["c", "My Queue", "17", "d"]);
    const some = match(pattern, "register consumer c copy d")!;
    expect(["queue", "tick", "other"].map((name) => some.get(name))).toEqual([null, null, "d"]);
    expect(match(pattern, "register consumer c copy d on q")).toBeNull();
    expect(match(pattern, "register consumer")).toBeNull();
  });

  it("reads lists and settings", () => {
    const pattern = "londiste add table <tables:table,> [with <options:tableoption=>]";
    const values = match(pattern, "londiste add table a.b, c with expect_sync, tgflags='BI' when='x = 1'")!;
    expect(values.list("tables")).toEqual(["a.b", "c"]);
    expect([...values.settings("options")]).toEqual([["expect_sync", null], ["tgflags", "BI"], ["when", "x = 1"]]);
    expect(match(pattern, "londiste add table a b")).toBeNull();
    expect(match(pattern, "londiste add table a,")).toBeNull();
    expect(match(pattern, "londiste add table a with")).toBeNull();
  });

  it("leaves SQL that begins alike to the server", () => {
    const ours = (text: string) => STATEMENTS.some(({ pattern }) => matchPattern(pattern, lex(text).tokens) !== null);
    expect(ours("create queue q")).toBe(true);
    for (
      const sql of [
        "create table queue (q text)",
        "show all",
        "drop table queue",
        "show queue.x y",
        "alter table q add c int",
      ]
    ) {
      expect([sql, ours(sql)]).toEqual([sql, false]);
    }
  });
});

describe("completions()", () => {
  const db = {
    query: (text: string) => Promise.resolve(text === NAME_QUERIES.queue ? [{ n: "mail" }, { n: "orders" }] : []),
  } as unknown as SqlConnection;
  const complete = async (typed: string) =>
    (await completions({ db, queue: null }, typed))[0].map((text) => text.trim());

  it("offers the statements' first words", async () => {
    const words = await complete("");
    expect(words).toContain("londiste");
    expect(words).toContain("unregister");
    expect(await complete("con")).toEqual(["connect"]);
  });

  it("offers what may follow, words and names", async () => {
    expect(await complete("show q")).toEqual(["queue"]);
    expect(await complete("show queue ")).toEqual(["mail", "orders"]);
    expect(await complete("SHOW queue o")).toEqual(["orders"]);
    expect(await complete("register consumer c ")).toEqual(["at", "copy", "on"]);
    expect(await complete("register consumer c on mail at ")).toEqual([...FIXED_NAMES.tick!]);
    expect(await complete("alter queue mail set idle_period='1 s', max_c")).toEqual(["max_count"]);
    expect(await complete("select 1; exi")).toEqual(["exit"]);
  });

  it("offers nothing inside SQL", async () => {
    expect(await complete("select ")).toEqual([]);
  });

  it("knows where the names of every kind come from", () => {
    const kinds = STATEMENTS.flatMap(({ pattern }) => JSON.stringify(pattern).match(/"kind":"\w+"/g) ?? []);
    const unknown = new Set(
      kinds.map((text) => text.slice(8, -1)).filter((kind) => !(kind in NAME_QUERIES) && !(kind in FIXED_NAMES)),
    );
    expect([...unknown]).toEqual(["subconsumer"]);
  });
});
