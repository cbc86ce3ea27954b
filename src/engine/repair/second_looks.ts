// Rows that differed at first sight, gathered and looked at again until the verdict is certain; and, for repair, fixed in
// the very transaction that the verdict was found in.

import { messageWithDetail, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { sleep } from "../../base/time.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { openFixer, openKeyReader, type Pair, type SessionOptions } from "./connections.ts";
import { fixStatement, statementsByWayOf } from "./fix.ts";
import { bothOpened } from "./sync.ts";
import { textOf } from "./keyed.ts";
import type { Layout } from "./layout.ts";
import { pinSettings } from "./order.ts";
import { type Look, lookAgain, lookAt, positionOf } from "./second_look.ts";
import { Asides, type Held, readHolders, rulesTaken, turnsOf, type UniqueRule, type Wait } from "./unique_rules.ts";
import type { Cell, Difference } from "./walk.ts";

export interface SecondLooksOptions extends SessionOptions {
  readonly pair: Pair;
  readonly layout: Layout;
  /** By the name that the queue knows it by. */
  readonly table: string;
  /** What may stand between rows that are fixed. */
  readonly rules: readonly UniqueRule[];
  readonly log: Logger;
  /** The first look was only at rows for which this holds, in SQL; null: at all. */
  readonly where: string | null;
  /** Fixes are applied, not only told of. */
  readonly isApplying: boolean;
  /**
   * A difference that is certain. With `isApplying` its fix has been made and is about to be committed; `commitFailed`
   * says that it was not.
   */
  onCertain(difference: Difference): void;
  /** A difference whose fix the server has refused. */
  onRefused(difference: Difference): void;
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
/** As many bytes of rows that wait for each other's values are fixed in one transaction. */
const GROUP_BYTES_MAX = 16 << 20;
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
  #isCommitting = false;
  #applied = 0;
  #unsettled = 0;
  #refused = 0;
  readonly #asides = new Asides();
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
      this.#isCommitting = false;
      try {
        return await this.#settleOnce(rows);
      } catch (error) {
        if (!(error instanceof SkyqError)) throw error;
        if (this.#isCommitting && this.#target.isClosed) {
          // Nobody knows whether it was done, so what takes it back is kept: it changes only rows that it finds as fixed.
          this.#options.log.warning(
            `${this.#options.table}: the last fixes may have been committed; the undo file has them`,
          );
          throw error;
        }
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
          this.#options.onRefused(rows[0]!);
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
    const { pair: { replication }, layout, table, isApplying, where, onCertain } = this.#options;
    const target = this.#target;
    await target.exec(`begin isolation level repeatable read${isApplying ? " read write" : " read only"}`);
    const position = replication === null ? 0n : await positionOf(target, replication, { isLocked: isApplying });
    const look: Look = {
      source: this.#source,
      target,
      layout,
      isRestricted: where !== null,
      replication: replication && { ...replication, table, position },
    };
    const verdicts = await lookAgain(look, rows);
    const found = verdicts.flatMap((verdict, index) => verdict.is === "different" ? [{ verdict, index }] : []);
    let certain = found.map(({ verdict }) => verdict.difference);
    const waiting = new Set<number>();
    let fixed = 0;
    if (isApplying) {
      const group = await this.#withHolders(look, certain);
      for (const n of group.waiting) waiting.add(found[n]!.index);
      certain = [...group.differences];
      fixed = await this.#fix(group);
    }
    // In the order in which the table is read, as far as it goes.
    certain.forEach(onCertain);
    this.#options.beforeCommit?.();
    this.#isCommitting = true;
    await target.exec("commit");
    this.#applied += fixed;
    const left = rows.filter((_, index) => verdicts[index]!.is === "in flight" || waiting.has(index));
    if (replication !== null) return left;
    // Nobody says when they will be quiet.
    this.#unsettled += left.length;
    return [];
  }

  /**
   * Adds the rows that hold the values that others are to get, and those that hold theirs: what depends on each other is
   * fixed in one transaction or not at all.
   * @throws {SkyqError} `sql` when such a value stays where it is: the row that wants it cannot be fixed
   */
  async #withHolders(look: Look, certain: readonly Difference[]): Promise<Group> {
    const { layout, rules, where } = this.#options;
    const differences = [...certain];
    if (rules.length === 0) return { differences, waits: [], waiting: [] };
    const places = new Map(differences.map(({ key }, n) => [keyOf(key), n]));
    const waits: Wait[] = [];
    /** Rows whose values are held by one that is in flight. */
    const stuck = new Set<number>();
    let bytes = 0;
    for (let from = 0; from < differences.length;) {
      const wanters = differences.slice(from);
      const held = await readHolders(look.target, layout, rules, wanters, where);
      const wanterOf = ({ wanter }: Held) => from + wanter;
      const strangers = new Map(
        held.filter(({ holder }) => !places.has(keyOf(holder))).map((one) => [keyOf(one.holder), one]),
      );
      const keys = [...strangers.values()].map(({ holder }) => holder);
      const verdicts = keys.length === 0 ? [] : await lookAt(look, keys);
      const next = from + wanters.length;
      const inFlight = new Set<string>();
      [...strangers.values()].forEach((one, n) => {
        const verdict = verdicts[n]!;
        if (verdict.is === "in flight") return void inFlight.add(keyOf(one.holder));
        const wanter = shownKey(layout, differences[wanterOf(one)]!);
        const holder = shownKey(layout, { key: one.holder });
        if (!one.isChosen) throw heldBy(one.rule, wanter, `${holder}, which the condition leaves out`);
        if (verdict.is === "equal") throw heldBy(one.rule, wanter, `${holder}, where it stays`);
        places.set(keyOf(one.holder), differences.length);
        differences.push(verdict.difference);
        bytes += bytesOf(verdict.difference);
      });
      if (bytes > GROUP_BYTES_MAX) throw tooManyAtOnce(this.#options.table, differences.length);
      for (const one of held) {
        const place = places.get(keyOf(one.holder));
        if (place === undefined) stuck.add(wanterOf(one));
        else waits.push([wanterOf(one), place]);
      }
      from = next;
    }
    if (stuck.size === 0) return { differences, waits, waiting: [] };
    // Who waits for one that is stuck is stuck as well.
    for (let size = -1; size !== stuck.size;) {
      size = stuck.size;
      for (const [wanter, holder] of waits) if (stuck.has(holder)) stuck.add(wanter);
    }
    const places2 = new Map<number, number>();
    const kept = differences.filter((_, n) => !stuck.has(n) && places2.set(n, places2.size));
    return {
      differences: kept,
      waits: waits.filter(([wanter, holder]) => places2.has(wanter) && places2.has(holder))
        .map(([wanter, holder]): Wait => [places2.get(wanter)!, places2.get(holder)!]),
      waiting: [...stuck].filter((n) => n < certain.length),
    };
  }

  /**
   * Deletes first, inserts last, updates between them in an order in which each finds its values free.
   * @returns rows fixed
   */
  async #fix({ differences, waits }: Group): Promise<number> {
    const { layout, rules } = this.#options;
    const statement = (difference: Difference) => fixStatement(layout, difference, { isLookedUp: true });
    const of = (kind: Difference["kind"]) => differences.filter((difference) => difference.kind === kind);
    const updates = differences.flatMap((difference, n) => difference.kind === "update" ? [n] : []);
    const placeOf = new Map(updates.map((n, place) => [n, place]));
    const ways = new Map<number, { aside: Uint8Array; then: Uint8Array }>();
    const turns = turnsOf(
      updates.length,
      waits.filter(([wanter, holder]) => placeOf.has(wanter) && placeOf.has(holder))
        .map(([wanter, holder]): Wait => [placeOf.get(wanter)!, placeOf.get(holder)!]),
      (place) => {
        const difference = differences[updates[place]!]!;
        const taken = rulesTaken(rules, difference).filter(({ isDeferrable }) => !isDeferrable);
        const between = this.#asides.setAside(taken, difference.target!);
        const way = between && statementsByWayOf(layout, difference, between);
        if (way) ways.set(place, way);
        return Boolean(way);
      },
    );
    const isAside = new Set(turns.aside);
    const statements = [
      ...of("delete").map(statement),
      ...turns.aside.map((place) => ways.get(place)!.aside),
      ...turns.order.map((place) =>
        isAside.has(place) ? ways.get(place)!.then : statement(differences[updates[place]!]!)
      ),
      ...of("insert").map(statement),
    ].filter((statement) => statement !== null);
    if (statements.length === 0) return 0;
    const deferred = rules.some(({ isDeferrable }) => isDeferrable) ? "set constraints all deferred;\n" : "";
    const tags = await this.#target.exec(deferred + statements.map(textOf).join(""));
    const missed = tags.find((tag) => / 0$/.test(tag));
    if (missed === undefined) return statements.length - turns.aside.length;
    throw new SkyqError(
      "sql",
      `Cannot fix a row of ${this.#options.table}: "${missed}", it was not found by its old values`,
    );
  }
}

/** Rows that are fixed together. */
interface Group {
  readonly differences: readonly Difference[];
  /** Who wants values that another one of them holds. */
  readonly waits: readonly Wait[];
  /** Of the rows that were asked for those that have to wait until a row in flight has landed. */
  readonly waiting: readonly number[];
}

function keyOf(key: readonly Cell[]): string {
  return JSON.stringify(key.map((cell) => cell && textOf(cell)));
}

function heldBy({ name }: UniqueRule, wanter: string, holder: string): SkyqError {
  return new SkyqError("sql", `Cannot fix ${wanter}: what it should have under "${name}" is held by ${holder}`);
}

function tooManyAtOnce(table: string, count: number): SkyqError {
  return new SkyqError(
    "refused",
    `Cannot fix ${table}: more than ${count} rows have to get each other's values in one transaction`,
    { hint: "Leave --apply out: the fix file can be of any size." },
  );
}

/** A lock, a deadlock, or a row that was changed since our snapshot: the same works when tried again. */
function isInTheWay(error: SkyqError): boolean {
  return error.fault === "lock-timeout" || error.sqlstate === "40001" || error.sqlstate === "40P01";
}

function bytesOf({ source, target }: Difference): number {
  return [source, target].flatMap((row) => row ?? []).reduce((size, cell) => size + (cell?.length ?? 0), 0);
}

/** @example "(id, day)=(5, 2024-01-01)" */
function shownKey(layout: Layout, { key }: Pick<Difference, "key">): string {
  const values = key.map((cell) => cell === null ? "null" : textOf(cell));
  return `(${layout.key.map(({ name }) => name).join(", ")})=(${values.join(", ")})`;
}
