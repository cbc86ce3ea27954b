import type { ArgSpec } from "../cli/command.ts";
import { SkyqError } from "../base/errors.ts";
import type { Chosen } from "../engine/replay/retry.ts";

export const CHOSEN_ARG = {
  name: "EVENT|TABLE",
  help: "id of an event; or a table, `schema.table` or glob: all of its events",
  many: true,
} as const satisfies ArgSpec;

/** Nothing named is not everything. @throws {SkyqError} `usage` */
export function chosen(words: readonly string[], all: boolean, act: string): Chosen {
  if (all === words.length > 0) {
    throw new SkyqError("usage", `Cannot ${act}: name events or tables, or use --all`, {
      hint: all ? "--all stands alone." : "`skyq quarantine list` shows what there is.",
    });
  }
  return { words, all };
}
