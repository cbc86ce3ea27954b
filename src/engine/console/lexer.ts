/** A piece of a statement as typed. `value`: a word in lower case, a string without its quotes. */
export interface Token {
  readonly kind: "word" | "string" | "symbol" | "end";
  readonly value: string;
  /** Offsets in the text. */
  readonly start: number;
  readonly end: number;
}

const SPACE = /\s+|--[^\n]*/y;
// A hyphen belongs to a name, two begin a comment.
const WORD = /[\p{L}\p{N}_](?:[\p{L}\p{N}_.:$@%]|-(?!-))*/uy;
const DOLLAR = /\$(?:[\p{L}_][\p{L}\p{N}_]*)?\$/uy;

/**
 * Splits a text by the rules of SQL, as far as they decide where a statement ends: strings, quoted names, dollar quotes
 * and comments may hold anything. A string that is not closed reaches to the end of the text.
 * @returns the tokens, and whether something is still open
 */
export function lex(text: string): { tokens: Token[]; isOpen: boolean } {
  const tokens: Token[] = [];
  const match = (pattern: RegExp, at: number): string | null => {
    pattern.lastIndex = at;
    return pattern.exec(text)?.[0] ?? null;
  };
  let isOpen = false;
  for (let at = 0; at < text.length;) {
    const space = match(SPACE, at);
    if (space !== null) {
      at += space.length;
      continue;
    }
    if (text.startsWith("/*", at)) {
      const end = endOfComment(text, at);
      isOpen = end === null;
      at = end ?? text.length;
      continue;
    }
    const start = at;
    const isEscape = /^[eE]'/.test(text.slice(at, at + 2));
    const quote = isEscape ? "'" : text[at]!;
    if (quote === "'" || quote === '"') {
      const from = at + (isEscape ? 2 : 1);
      const { value, end } = readQuoted(text, from, quote, isEscape);
      isOpen = end === null;
      at = end ?? text.length;
      tokens.push({ kind: "string", value, start, end: at });
      continue;
    }
    const dollar = match(DOLLAR, at);
    if (dollar !== null) {
      const close = text.indexOf(dollar, at + dollar.length);
      isOpen = close < 0;
      at = close < 0 ? text.length : close + dollar.length;
      tokens.push({ kind: "string", value: text.slice(start + dollar.length, close < 0 ? at : close), start, end: at });
      continue;
    }
    const word = match(WORD, at);
    at += word?.length ?? 1;
    const value = text.slice(start, at);
    tokens.push({
      kind: word !== null ? "word" : value === ";" ? "end" : "symbol",
      value: value.toLowerCase(),
      start,
      end: at,
    });
  }
  return { tokens, isOpen };
}

function endOfComment(text: string, start: number): number | null {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    if (text.startsWith("/*", at)) depth++;
    else if (text.startsWith("*/", at)) depth--;
    else continue;
    at++;
    if (depth === 0) return at + 1;
  }
  return null;
}

function readQuoted(
  text: string,
  from: number,
  quote: string,
  isEscape: boolean,
): { value: string; end: number | null } {
  let value = "";
  for (let at = from; at < text.length; at++) {
    if (isEscape && text[at] === "\\") value += text[++at] ?? "";
    else if (text[at] !== quote) value += text[at];
    else if (text[at + 1] === quote) value += text[at++];
    else return { value, end: at + 1 };
  }
  return { value, end: null };
}

export interface Statement {
  /** As typed, without the semicolon. */
  readonly text: string;
  readonly tokens: readonly Token[];
}

/** @returns whole statements, and what stands behind the last semicolon */
export function splitStatements(text: string): { statements: Statement[]; rest: string } {
  const statements: Statement[] = [];
  let start = 0;
  let tokens: Token[] = [];
  for (const token of lex(text).tokens) {
    if (token.kind !== "end") {
      tokens.push(token);
      continue;
    }
    if (tokens.length > 0) statements.push({ text: text.slice(start, token.start).trim(), tokens });
    start = token.end;
    tokens = [];
  }
  return { statements, rest: text.slice(start) };
}
