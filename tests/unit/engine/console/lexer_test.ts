import { describe, expect, it } from "vitest";
import { lex, splitStatements } from "../../../../src/engine/console/lexer.ts";

const texts = (text: string) => splitStatements(text).statements.map((statement) => statement.text);

describe("splitStatements()", () => {
  const cases: [string, string, string[], string][] = [
    ["whole statements and a rest", "a; b ;c", ["a", "b"], "c"],
    ["no empty ones", ";; -- nothing;\n;", [], ""],
    ["strings with semicolons", `select 'a;''b;', "c;" ; x`, [`select 'a;''b;', "c;"`], " x"],
    ["escape strings", String.raw`select E'a\';', 'b\'; x`, [String.raw`select E'a\';', 'b\'`], " x"],
    ["dollar quotes", "do $x$ begin; $$ ; end $x$; y", ["do $x$ begin; $$ ; end $x$"], " y"],
    ["comments", "a /* ; /* ; */ ; */ b -- c;\n; d", ["a /* ; /* ; */ ; */ b -- c;"], " d"],
    ["no closed string", "a; select 'b; c", ["a"], " select 'b; c"],
  ];
  for (const [what, text, statements, rest] of cases) {
    it(`finds ${what}`, () => {
      expect(texts(text)).toEqual(statements);
      expect(splitStatements(text).rest).toBe(rest);
    });
  }
});

describe("lex()", () => {
  it("lowers words, and leaves strings as they are", () => {
    const { tokens } = lex(`Show QUEUE My-Queue.x 'It''s' "A" a=1,*`);
    expect(tokens.map(({ kind, value }) => [kind, value])).toEqual([
      ["word", "show"],
      ["word", "queue"],
      ["word", "my-queue.x"],
      ["string", "It's"],
      ["string", "A"],
      ["word", "a"],
      ["symbol", "="],
      ["word", "1"],
      ["symbol", ","],
      ["symbol", "*"],
    ]);
  });

  it("knows when something is open", () => {
    expect(["'a", '"a', "$$a", "/* a", "a"].map((text) => lex(text).isOpen)).toEqual([true, true, true, true, false]);
  });
});
