// Rows that differed at first sight, gathered and looked at again until the verdict is certain; and, for repair, fixed in
// the very transaction that the verdict was found in.

import { messageWithDetail, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { sleep } from "../../base/time.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { openFixer, openKeyReader, type Pair, type SessionOptions } from "./connections.ts";
import { fixStatement } from "./fix.ts";
import { bothOpened } from "./sync.ts";
import { textOf } from "./keyed.ts";
import type { Layout } from "./layout.ts";
import { pinSettings } from "./order.ts";
import { lookAgain, positionOf } from "./second_look.ts";
import type { Difference } from "./walk.ts";

export interface SecondLooksOptions extends SessionOptions {
  readonly pair: Pair;
  readonly layout: Layout;
  /** By the name that the queue knows it by. */
  readonly table: string;
  readonly log: Logger;
  /** The first look was at some rows only. */
  readonly isRestricted: boolean;
  /** Fixes are applied, not only told of. */
  readonly isApplying: boolean;
  /**
   * A difference that is certain. With `isApplying` its fix has been made and is about to be committed; `commitFailed`
   * says that it was not.
   */
  onCertain(difference: Difference): void;
  /** Everything that was told of since `mark` did not happen. */
  mark?(): void;
  commitFailed?(): void;
  /** Before the commit of fixes: what was told of must be safe by now. */
  beforeCommit?(): void;
}

export interface SecondLooksResult {
  /** Rows that were fixed. */
  readonly applied: number;
  /** Rows that changed so often, or so long, that nothing can be said of them, or that somebody else changed. */
  readonly unsettled: number;
  /** Rows whose fix the server refused, with its words for the first ones. */
  readonly refused: number;
  readonly refusals: readonly string[];
}

/** Rows in one look, and in one transaction of fixes. */
const ROWS_AT_ONCE = 500;
const BYTES_AT_ONCE = 4 << 20;
/** Reading waits while so many rows are in flight. */
const IN_FLIGHT_MAX = 5_000;
const PAUSE_MS = 300;
/** Rows that stay in flight so long after the last one that was settled are given up. */
const PATIENCE_MS = 60_000;
/** Another transaction was in the way: so many tries. */
const TRIES_MAX = 8;
const REFUSALS_SHOWN = 5;

export class SecondLooks {
  readonly #options: SecondLooksOptions;
  readonly #source: WireConnection;
  readonly #target: WireConnection;
  #fresh: Difference[] = [];
  #freshBytes = 0;
  #inFlight: Difference[] = [];
  #settledMs = performance.now();
  #applied = 0;
  #unsettled = 0;
  #refused = 0;
  readonly #refusals: string[] = [];

  private constructor(options: SecondLooksOptions, source: WireConnection, target: WireConnection) {
    this.#options = options;
    this.#source = source;
    this.#target = target;
  }

  /** @throws {SkyqError} `privilege` (the role may not act as a replica), … */
  static async open(options: SecondLooksOptions): Promise<SecondLooks> {
    const { pair, layout, isApplying } = options;
    const [source, target] = await bothOpened(
      openKeyReader(pair.source, options),
      isApplying ? openFixer(pair.target, options) : openKeyReader(pair.target, options),
    );
    try {
      await Promise.all([pinSettings(source, layout), pinSettings(target, layout)]);
      return new SecondLooks(options, source, target);
    } catch (error) {
      source.destroy();
      target.destroy();
      throw error;
    }
  }

  /** Takes in a row that differed. Resolves when more may come. */
  async add(difference: Difference): Promise<void> {
    this.#fresh.push(difference);
    this.#freshBytes += bytesOf(difference);
    if (this.#fresh.length < ROWS_AT_ONCE && this.#freshBytes < BYTES_AT_ONCE) return;
    await this.#lookAtFresh();
    while (this.#inFlight.length > IN_FLIGHT_MAX) await this.#lookAtInFlight();
  }

  /** Nothing waits to be settled. */
  get isQuiet(): boolean {
    return this.#fresh.length === 0 && this.#inFlight.length === 0;
  }

  /** Settles what is left. */
  async finish(): Promise<SecondLooksResult> {
    await this.#lookAtFresh();
    this.#settledMs = performance.now();
    let isTold = false;
    while (this.#inFlight.length > 0) {
      if (!isTold) {
        this.#options.log.info(`${this.#options.table}: ${this.#inFlight.length} rows are in flight, looking again`);
      }
      isTold = true;
      await this.#lookAtInFlight();
    }
    return {
      applied: this.#applied,
      unsettled: this.#unsettled,
      refused: this.#refused,
      refusals: this.#refusals,
    };
  }

  close(): void {
    this.#source.destroy();
    this.#target.destroy();
  }

  async #lookAtFresh(): Promise<void> {
    const rows = this.#fresh;
    this.#fresh = [];
    this.#freshBytes = 0;
    if (rows.length > 0) this.#inFlight.push(...await this.#settle(rows));
  }

  /** One more look at all that are in flight, after a pause. */
  async #lookAtInFlight(): Promise<void> {
    if (!await sleep(PAUSE_MS, this.#options.signal)) this.#options.signal.throwIfAborted();
    const rows = this.#inFlight;
    this.#inFlight = [];
    for (let at = 0; at < rows.length; at += ROWS_AT_ONCE) {
      this.#inFlight.push(...await this.#settle(rows.slice(at, at + ROWS_AT_ONCE)));
    }
    if (this.#inFlight.length < rows.length) this.#settledMs = performance.now();
    else if (performance.now() - this.#settledMs > PATIENCE_MS) {
      this.#unsettled += this.#inFlight.length;
      this.#inFlight = [];
    }
  }

  /** @returns rows that are still in flight */
  async #settle(rows: readonly Difference[]): Promise<Difference[]> {
    for (let tries = 1;; tries++) {
      this.#options.mark?.();
      try {
        return await this.#settleOnce(rows);
      } catch (error) {
        if (!(error instanceof SkyqError)) throw error;
        this.#options.commitFailed?.();
        if (this.#target.isClosed || this.#source.isClosed) throw error;
        await this.#target.exec("rollback");
        if (isInTheWay(error)) {
          // Whatever it is, these rows are not quiet.
          if (tries === TRIES_MAX) return [...rows];
          await sleep(100 * tries, this.#options.signal);
          continue;
        }
        if (!this.#options.isApplying || error.fault !== "sql") throw error;
        if (rows.length === 1) {
          this.#refused++;
          if (this.#refusals.length < REFUSALS_SHOWN) {
            this.#refusals.push(`key ${shownKey(this.#options.layout, rows[0]!)}: ${messageWithDetail(error)}`);
          }
          return [];
        }
        // One of them is refused: the others need not be.
        const half = Math.ceil(rows.length / 2);
        return [...await this.#settle(rows.slice(0, half)), ...await this.#settle(rows.slice(half))];
      }
    }
  }

  async #settleOnce(rows: readonly Difference[]): Promise<Difference[]> {
    const { pair: { replication }, layout, table, isApplying, isRestricted, onCertain } = this.#options;
    const target = this.#target;
    await target.exec(`begin isolation level repeatable read${isApplying ? "" : " read only"}`);
    const position = replication === null ? 0n : await positionOf(target, replication, { isLocked: isApplying });
    const verdicts = await lookAgain({
      source: this.#source,
      target,
      layout,
      isRestricted,
      replication: replication && { ...replication, table, position },
    }, rows);
    const certain = verdicts.flatMap((verdict) => verdict.is === "different" ? [verdict.difference] : []);
    let fixed = 0;
    if (isApplying) fixed = await this.#fix(certain);
    // In the order in which the table is read.
    certain.forEach(onCertain);
    this.#options.beforeCommit?.();
    await target.exec("commit");
    this.#applied += fixed;
    const left = rows.filter((_, index) => verdicts[index]!.is === "in flight");
    if (replication !== null) return left;
    // Nobody says when they will be quiet.
    this.#unsettled += left.length;
    return [];
  }

  /** Deletes first, inserts last: a value that is unique may have moved from row to row. @returns rows fixed */
  async #fix(differences: readonly Difference[]): Promise<number> {
    const { layout } = this.#options;
    const order = { delete: 0, update: 1, insert: 2 };
    const statements = differences.toSorted((a, b) => order[a.kind] - order[b.kind])
      .map((difference) => fixStatement(layout, difference, { isLookedUp: true }))
      .filter((statement) => statement !== null);
    if (statements.length === 0) return 0;
    const tags = await this.#target.exec(statements.map(textOf).join(""));
    const missed = tags.find((tag) => / 0$/.test(tag));
    if (missed === undefined) return statements.length;
    throw new SkyqError(
      "sql",
      `Cannot fix a row of ${this.#options.table}: "${missed}", it was not found by its old values`,
    );
  }
}

/** A lock, a deadlock, or a row that was changed since our snapshot: the same works when tried again. */
function isInTheWay(error: SkyqError): boolean {
  return error.fault === "lock-timeout" || error.sqlstate === "40001" || error.sqlstate === "40P01";
}

function bytesOf({ source, target }: Difference): number {
  return [source, target].flatMap((row) => row ?? []).reduce((size, cell) => size + (cell?.length ?? 0), 0);
}

/** @example "(id, day)=(5, 2024-01-01)" */
function shownKey(layout: Layout, { key }: Difference): string {
  const values = key.map((cell) => cell === null ? "null" : textOf(cell));
  return `(${layout.key.map(({ name }) => name).join(", ")})=(${values.join(", ")})`;
}
