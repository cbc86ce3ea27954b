// Statements of the console are written as patterns, which serve both for reading and for completion:
//
//   register consumer <consumer> [on <queue>] [copy <other:consumer>]
//   └───── words ───┘ └─ a name ┘└ optional ┘        └ named "other", of kind "consumer"
//   <tables:table,>  names with commas between · <settings:setting=>  NAME = VALUE, with or without commas

import type { Token } from "./lexer.ts";

type Element =
  | { readonly type: "word"; readonly text: string }
  | { readonly type: "name" | "list" | "settings"; readonly name: string; readonly kind: string }
  | { readonly type: "optional"; readonly elements: readonly Element[] };

export type Pattern = readonly Element[];

/** What may come next: a word of the statement, or a name of some kind. */
export type Expected = { readonly word: string } | { readonly kind: string };

/** What a statement says, by the names of its pattern. */
export class Values {
  readonly #words = new Set<string>();
  readonly #names = new Map<string, string>();
  readonly #lists = new Map<string, readonly string[]>();
  readonly #settings = new Map<string, ReadonlyMap<string, string | null>>();

  /** Whether a word of the pattern, an optional one for instance, was said. */
  has(word: string): boolean {
    return this.#words.has(word);
  }
  /** @returns null when it was left out */
  get(name: string): string | null {
    return this.#names.get(name) ?? null;
  }
  /** A name that the pattern demands. */
  need(name: string): string {
    return this.#names.get(name)!;
  }
  list(name: string): readonly string[] {
    return this.#lists.get(name) ?? [];
  }
  /** `null` stands for a name without value. */
  settings(name: string): ReadonlyMap<string, string | null> {
    return this.#settings.get(name) ?? new Map();
  }
  addWord(word: string): void {
    this.#words.add(word);
  }
  setName(name: string, value: string): void {
    this.#names.set(name, value);
  }
  setList(name: string, values: readonly string[]): void {
    this.#lists.set(name, values);
  }
  setSettings(name: string, values: ReadonlyMap<string, string | null>): void {
    this.#settings.set(name, values);
  }
}

/** @param text see the head of this file */
export function parsePattern(text: string): Pattern {
  const parts = text.match(/<[^>]+>|\[|\]|[^\s[\]<>]+/g) ?? [];
  let at = 0;
  const read = (): Element[] => {
    const elements: Element[] = [];
    while (at < parts.length && parts[at] !== "]") {
      const part = parts[at++]!;
      if (part === "[") {
        elements.push({ type: "optional", elements: read() });
        at++;
      } else if (part.startsWith("<")) {
        const [, name, kind = name, mark] = /^<(\w+)(?::(\w+))?([,=])?>$/.exec(part)!;
        elements.push({ type: mark === "," ? "list" : mark === "=" ? "settings" : "name", name: name!, kind: kind! });
      } else {
        elements.push({ type: "word", text: part });
      }
    }
    return elements;
  };
  return read();
}

/** How many words a pattern begins with. */
export function leadingWords(pattern: Pattern): string[] {
  const words: string[] = [];
  for (const element of pattern) {
    if (element.type !== "word") break;
    words.push(element.text);
  }
  return words;
}

/** @returns null when the statement is another one */
export function matchPattern(pattern: Pattern, tokens: readonly Token[]): Values | null {
  const matcher = new Matcher(tokens);
  return matcher.walk(pattern, 0) ? matcher.values : null;
}

/** What may follow on `tokens`, which are the beginning of a statement. */
export function expectedAfter(pattern: Pattern, tokens: readonly Token[]): Expected[] {
  const matcher = new Matcher(tokens);
  matcher.walk(pattern, 0);
  return matcher.expected;
}

/** Tries the ways through a pattern, the longer ones first. */
class Matcher {
  readonly values = new Values();
  readonly expected: Expected[] = [];

  constructor(readonly tokens: readonly Token[]) {}

  walk(elements: readonly Element[], at: number): boolean {
    const [element, ...rest] = elements;
    if (element === undefined) return at === this.tokens.length;
    if (element.type === "optional") return this.walk([...element.elements, ...rest], at) || this.walk(rest, at);
    if (at >= this.tokens.length) {
      this.expected.push(element.type === "word" ? { word: element.text } : { kind: element.kind });
      return false;
    }
    switch (element.type) {
      case "word":
        if (!this.#isWord(at, element.text) || !this.walk(rest, at + 1)) return false;
        this.values.addWord(element.text);
        return true;
      case "name": {
        if (!this.#isName(at) || !this.walk(rest, at + 1)) return false;
        this.values.setName(element.name, this.tokens[at]!.value);
        return true;
      }
      case "list":
        return this.#walkList(element, rest, at);
      case "settings":
        return this.#walkSettings(element, rest, at);
    }
  }

  #walkList(element: { name: string; kind: string }, rest: readonly Element[], start: number): boolean {
    const names: string[] = [];
    for (let at = start;; at++) {
      if (at >= this.tokens.length) {
        this.expected.push({ kind: element.kind });
        return false;
      }
      if (!this.#isName(at)) return false;
      names.push(this.tokens[at]!.value);
      at++;
      if (this.#isSymbol(at, ",")) continue;
      if (!this.walk(rest, at)) return false;
      this.values.setList(element.name, names);
      return true;
    }
  }

  #walkSettings(element: { name: string; kind: string }, rest: readonly Element[], start: number): boolean {
    const settings = new Map<string, string | null>();
    let at = start;
    while (at < this.tokens.length && this.tokens[at]!.kind === "word") {
      const name = this.tokens[at++]!.value;
      let value: string | null = null;
      if (this.#isSymbol(at, "=")) {
        if (!this.#isName(at + 1)) return false;
        value = this.tokens[at + 1]!.value;
        at += 2;
      }
      settings.set(name, value);
      if (this.#isSymbol(at, ",")) at++;
    }
    if (at >= this.tokens.length) this.expected.push({ kind: element.kind });
    if (settings.size === 0 || !this.walk(rest, at)) return false;
    this.values.setSettings(element.name, settings);
    return true;
  }

  #isWord(at: number, text: string): boolean {
    const token = this.tokens[at];
    return token?.kind === "word" && token.value === text;
  }

  #isName(at: number): boolean {
    const token = this.tokens[at];
    return token?.kind === "word" || token?.kind === "string" || this.#isSymbol(at, "*");
  }

  #isSymbol(at: number, text: string): boolean {
    const token = this.tokens[at];
    return token?.kind === "symbol" && token.value === text;
  }
}
