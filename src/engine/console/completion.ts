import { expectedAfter } from "./grammar.ts";
import { lex, splitStatements } from "./lexer.ts";
import type { ConsoleSession } from "./session.ts";
import { FIXED_NAMES, NAME_QUERIES, STATEMENTS } from "./statements.ts";

/**
 * What may be written where the cursor is.
 * @param typed everything of the input up to the cursor
 * @returns the candidates, and the beginning of them that is typed already
 */
export async function completions(
  session: Pick<ConsoleSession, "db" | "queue">,
  typed: string,
): Promise<[string[], string]> {
  const { rest } = splitStatements(typed);
  const { tokens } = lex(rest);
  const last = tokens.at(-1);
  // A word that the cursor touches is still being typed.
  const isTouching = last !== undefined && last.kind === "word" && last.end === rest.length;
  const before = isTouching ? tokens.slice(0, -1) : tokens;
  const prefix = isTouching ? rest.slice(last.start) : "";

  const found = new Set<string>();
  const kinds = new Set<string>();
  for (const { pattern } of STATEMENTS) {
    for (const next of expectedAfter(pattern, before)) {
      if ("word" in next) found.add(next.word);
      else kinds.add(next.kind);
    }
  }
  for (const kind of kinds) {
    for (const name of FIXED_NAMES[kind] ?? []) found.add(name);
    for (const name of await namesOfKind(session, kind)) found.add(name);
  }
  const hits = [...found].filter((text) => text.toLowerCase().startsWith(prefix.toLowerCase())).sort();
  return [hits.map((text) => `${text} `), prefix];
}

async function namesOfKind({ db, queue }: Pick<ConsoleSession, "db" | "queue">, kind: string): Promise<string[]> {
  const query = NAME_QUERIES[kind];
  if (query === undefined) return [];
  try {
    const rows = await db.query<Record<string, string>>(query, [queue]);
    return rows.map((row) => Object.values(row)[0]!);
  } catch {
    // Nothing is installed, or somebody typed BEGIN and an error: there is just nothing to offer.
    return [];
  }
}
