// The hand-over of a copied table from its copy to the replay, as decisions without side effects. Each state has one
// owner, who alone may leave it; both sides evaluate their rule at the start of a batch, before any event of it.
//
//   (null) ──replay──▶ in-copy ──copy──▶ catching-up ──copy──▶ wanna-sync:T ──replay──▶ do-sync:N ──copy──▶ ok
//
// Exactness: the copy applies all batches that end before N and not batch N; the replay skips the table in all batches
// before N and applies its events of batch N, when it finds `ok`. Both therefore need the same batch borders.

import { SkyqError } from "../../base/errors.ts";

export type MergeState =
  | { readonly name: "new" | "in-copy" | "catching-up" | "ok" }
  | { readonly name: "wanna-sync" | "do-sync"; readonly tick: bigint };

/** @throws {SkyqError} `refused` for a text that is no state */
export function parseState(text: string | null): MergeState {
  if (text === null) return { name: "new" };
  if (text === "in-copy" || text === "catching-up" || text === "ok") return { name: text };
  const match = /^(wanna-sync|do-sync):(\d+)$/.exec(text);
  if (match === null) throw new SkyqError("refused", `Cannot read table state: "${text}" is none`);
  return { name: match[1] as "wanna-sync" | "do-sync", tick: BigInt(match[2]!) };
}

/** The text kept in londiste.table_info.merge_state. */
export function formatState(state: MergeState): string | null {
  if (state.name === "new") return null;
  return "tick" in state ? `${state.name}:${state.tick}` : state.name;
}

export interface StateOfTable {
  readonly table: string;
  readonly state: MergeState;
}

export interface ReplayDecision {
  /** States to change now, each from its present one. */
  readonly changes: readonly { table: string; from: MergeState; to: MergeState }[];
  /** Tables whose copy must be running: in progress, or just to begin. */
  readonly copies: readonly string[];
  /** Some copy has to reach our batch's end first: look again soon, do not apply the batch. */
  readonly wait: boolean;
}

/**
 * What the replay does about its tables before it applies the batch that ends with tick `cur`.
 * @param cur null when it holds no batch: copies can begin, but no hand-over can
 * @param parallelCopies how many copies may be in progress at once, ≥ 1
 * @param failing tables whose copy fails at present: they take up no place, so that no table keeps others from theirs
 */
export function decideReplay(
  tables: readonly StateOfTable[],
  cur: bigint | null,
  parallelCopies: number,
  failing: ReadonlySet<string> = new Set(),
): ReplayDecision {
  const changes: { table: string; from: MergeState; to: MergeState }[] = [];
  const copies: string[] = [];
  let wait = false;
  const inProgress = tables.filter(({ table, state }) =>
    state.name !== "new" && state.name !== "ok" && !failing.has(table)
  );
  let free = parallelCopies - inProgress.length;
  for (const { table, state } of tables) {
    switch (state.name) {
      case "new":
        if (free > 0) {
          free--;
          changes.push({ table, from: state, to: { name: "in-copy" } });
          copies.push(table);
        }
        break;
      case "in-copy":
      case "catching-up":
        copies.push(table);
        break;
      case "wanna-sync":
        copies.push(table);
        if (cur !== null && cur >= state.tick) {
          changes.push({ table, from: state, to: { name: "do-sync", tick: cur } });
          wait = true;
        }
        break;
      case "do-sync":
        copies.push(table);
        wait = cur !== null;
        break;
      case "ok":
        break;
    }
  }
  return { changes, copies, wait };
}

export type CopyDecision =
  | { readonly act: "copy" | "apply" | "wait" | "leave" }
  | { readonly act: "change"; readonly to: MergeState; readonly done: boolean };

/**
 * What a table's copy does when it holds the batch that ends with tick `cur`, or has found none (`cur` is then the end
 * of the last one it applied, `atQueueEnd` is true). Having applied batch `cur` it can only meet the replay at a later
 * one, so it asks for `cur + 1`: tick ids may have gaps, the replay compares with ≥.
 */
export function decideCopy(state: MergeState, cur: bigint, atQueueEnd: boolean): CopyDecision {
  switch (state.name) {
    case "in-copy":
      return { act: "copy" };
    case "catching-up":
      return atQueueEnd ? { act: "change", to: { name: "wanna-sync", tick: cur + 1n }, done: false } : { act: "apply" };
    case "wanna-sync":
      return { act: "wait" };
    case "do-sync":
      if (atQueueEnd) return { act: "wait" };
      if (cur === state.tick) return { act: "change", to: { name: "ok" }, done: true };
      if (cur < state.tick) return { act: "apply" };
      throw new SkyqError("refused", `Invalid table state: copy is at tick ${cur}, replay waits at ${state.tick}`, {
        hint: "Copy the table anew with `skyq subscriber resync`.",
      });
    case "new":
    case "ok":
      return { act: "leave" };
  }
}
