// What an operator asked for, made into names.

import { SkyqError } from "../../base/errors.ts";
import type { SqlConnection } from "../../db/sql.ts";
import { isExactName, matchNames } from "./names.ts";

/** Pair of databases a command works on. */
export interface Pair {
  readonly provider: SqlConnection;
  readonly subscriber: SqlConnection;
}

/** What the operator asked for: names and globs as typed, or everything. */
export interface Selection {
  readonly names: readonly string[];
  readonly all: boolean;
}

export interface Chosen {
  readonly names: readonly string[];
  /** Those of them that were typed as they are: what a glob or --all brings may be passed over. */
  readonly exact: ReadonlySet<string>;
  /** Arguments that stand for nothing. */
  readonly unknown: readonly string[];
}

/** @throws {SkyqError} `usage` when neither names nor `--all` say what is meant */
export function choose(selection: Selection, candidates: readonly string[], kind: string): Chosen {
  if (selection.names.length === 0) {
    if (selection.all) return { names: candidates, exact: new Set(), unknown: [] };
    throw new SkyqError("usage", `No ${kind} was named`, { hint: `Name ${kind}s, or give --all.` });
  }
  const names = new Set<string>();
  const exact = new Set<string>();
  const unknown: string[] = [];
  for (const typed of selection.names) {
    const matching = matchNames(typed, candidates);
    if (matching.length === 0) unknown.push(typed);
    for (const name of matching) names.add(name);
    if (isExactName(typed, candidates)) exact.add(matching[0]!);
  }
  return { names: [...names], exact, unknown };
}
