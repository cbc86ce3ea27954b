import { describe, expect, it } from "vitest";
import { interpolate, parseIni } from "../../../src/config/ini.ts";

/** The keys of section [s] of `body`. */
function section(body: string): Record<string, string> {
  return Object.fromEntries(parseIni(`[s]\n${body}`, "test.ini").sections.get("s")!);
}

describe("parseIni()", () => {
  const values: [string, string, string][] = [
    ["a plain value", "k = v", "v"],
    ["a colon for the equals sign", "k: v", "v"],
    ["no blanks", "k=v", "v"],
    ["an upper-case key", "K = V", "V"],
    ["more equals signs", "k = host=h dbname=d port=5432", "host=h dbname=d port=5432"],
    ["a password with comment signs", "k = password='a#b;c d' user=x ;y", "password='a#b;c d' user=x ;y"],
    [
      "a password with a backslash and quotes",
      String.raw`k = password='it\'s \\' "q"`,
      String.raw`password='it\'s \\' "q"`,
    ],
    ["a value in quotes, which stay", 'k = "v"', '"v"'],
    ["a URI", "k = postgres://u:p%40ss@h:5432/db?a=b#c", "postgres://u:p%40ss@h:5432/db?a=b#c"],
    ["brackets and dots in the value", "k = [a].b[c]", "[a].b[c]"],
    ["an empty value", "k =", ""],
    ["continued lines", "k = a\n  b\n\tc", "a\nb\nc"],
    ["a continuation after an empty first line", "k =\n  a,\n  b", "a,\nb"],
    ["a comment inside a continued value", "k = a\n  # no\n  ; no\n  b", "a\nb"],
    ["the last of two", "k = a\nk = b", "b"],
    ["Windows line ends", "k = v\r\nother = w\r\n", "v"],
    ["umlauts", "k = Größe", "Größe"],
  ];
  for (const [what, body, expected] of values) {
    it(`keeps ${what}`, () => expect(section(body).k).toBe(expected));
  }

  it("takes keys that are all indented alike as keys", () => {
    expect(section("  a = 1\n  b = 2\n    3")).toEqual({ a: "1", b: "2\n3" });
  });

  it("ignores comments, blank lines and a byte order mark", () => {
    const { sections } = parseIni("\ufeff# c\n\n[s]\n; c\na = 1\n#b = 2\n", "test.ini");
    expect(Object.fromEntries(sections.get("s")!)).toEqual({ a: "1" });
  });

  it("ends a continued value at the next section", () => {
    const { sections } = parseIni("[a]\nk = v\n  [b]\n[c]\nk = w", "test.ini");
    expect(sections.get("a")!.get("k")).toBe("v\n[b]");
    expect(sections.get("c")!.get("k")).toBe("w");
  });

  it("tells which keys stand twice", () => {
    expect(parseIni("[s]\na=1\nA=2\n[t]\na=3", "test.ini").duplicates).toEqual(["s/a"]);
  });

  const errors: [string, string, RegExp][] = [
    ["a line without equals sign", "[s]\na = 1\nsecret", /"test.ini": line 3 is neither/],
    ["a key before the first section", "a = 1", /line 1 stands before the first section/],
  ];
  for (const [what, text, message] of errors) {
    it(`refuses ${what} with its line number and not its text`, () => {
      expect(() => parseIni(text, "test.ini")).toThrow(message);
      expect(() => parseIni(text, "test.ini")).not.toThrow(/secret/);
    });
  }
});

describe("interpolate()", () => {
  const lookup = (name: string) => ({ a: "1", "s:b": "2" })[name] ?? null;

  it("replaces references of format 1", () => {
    expect(interpolate("x%(a)s-%(A)s %% 100% p%40ss ${a}", 1, lookup)).toBe("x1-1 % 100% p%40ss ${a}");
  });

  it("replaces references of format 2", () => {
    expect(interpolate("x${a}-${s:b} $$ $1 %(a)s %%", 2, lookup)).toBe("x1-2 $ $1 %(a)s %%");
  });

  it("does not look at what it put in", () => {
    expect(interpolate("%(a)s", 1, () => "%(b)s")).toBe("%(b)s");
  });

  it("names a reference that nothing stands behind", () => {
    expect(() => interpolate("%(zz)s", 1, lookup)).toThrow('Cannot resolve "%(zz)s"');
  });
});
