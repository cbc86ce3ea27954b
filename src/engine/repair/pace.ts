// How fast the tables are read: never faster than allowed, and not at all while the subscriber is too far behind. And
// what a person at a terminal sees of it.

import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { sleep } from "../../base/time.ts";
import { formatSeconds } from "../../base/units.ts";

export interface Rate {
  readonly unit: "bytes" | "rows";
  readonly perSecond: number;
}

const SIZES: Readonly<Record<string, number>> = {
  "": 1,
  k: 1e3,
  m: 1e6,
  g: 1e9,
  ki: 2 ** 10,
  mi: 2 ** 20,
  gi: 2 ** 30,
};

/**
 * Reads what somebody typed as a rate per second.
 * @throws {SkyqError} `usage`
 * @example parseRate("20MB") // { unit: "bytes", perSecond: 20_000_000 }
 * @example parseRate("50000rows") // { unit: "rows", perSecond: 50_000 }
 */
export function parseRate(text: string): Rate {
  const match = /^\s*(\d+(?:\.\d+)?)\s*([kmg]i?)?\s*(b|bytes?|rows?)?(?:\/s)?\s*$/i.exec(text);
  const perSecond = match === null ? 0 : Number(match[1]) * SIZES[(match[2] ?? "").toLowerCase()]!;
  if (match === null || !(perSecond > 0)) {
    throw new SkyqError("usage", `Cannot read option "--max-rate": "${text}" is no rate`, {
      hint: "Write bytes or rows per second: 20MB, 512KiB, 50000rows.",
    });
  }
  return { unit: /^row/i.test(match[3] ?? "") ? "rows" : "bytes", perSecond };
}

export interface PaceOptions {
  readonly rate: Rate | null;
  /** Reading pauses while the subscriber is further behind than `limitS` seconds. */
  readonly lag: { readonly limitS: number; lagS(): Promise<number> } | null;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** A terminal's line; null: nobody looks. */
  readonly show: ((line: string) => void) | null;
}

/** How often the subscriber is asked how far behind it is. */
const LAG_PERIOD_MS = 1_000;
const SHOW_PERIOD_MS = 200;

/** One for all tables of a run. */
export class Pace {
  readonly #options: PaceOptions;
  readonly #tables = new Map<string, { rows: number; total: number; startMs: number }>();
  #startMs: number | null = null;
  #spent = 0;
  #lagAskedMs = -Infinity;
  #shownMs = -Infinity;
  #pausing: Promise<void> | null = null;

  constructor(options: PaceOptions) {
    this.#options = options;
  }

  /** @param total how many rows there are about to be, 0 when nobody knows */
  begin(table: string, total: number): void {
    this.#tables.set(table, { rows: 0, total, startMs: performance.now() });
  }

  end(table: string): void {
    this.#tables.delete(table);
    if (this.#tables.size === 0) this.#options.show?.("");
  }

  /**
   * Something more was read. Resolves when reading may go on.
   * @param rows of the larger side, so far; @param more what was read since the last call
   * @throws {SkyqError} `stopped`
   */
  async advance(table: string, rows: number, more: { bytes: number; rows: number }): Promise<void> {
    const entry = this.#tables.get(table);
    if (entry !== undefined) entry.rows = rows;
    this.#show();
    await this.#keepRate(more);
    await this.#keepLag();
    this.#options.signal.throwIfAborted();
  }

  async #keepRate(more: { bytes: number; rows: number }): Promise<void> {
    const { rate, signal } = this.#options;
    if (rate === null) return;
    const nowMs = performance.now();
    // What was not used while nothing was read may not be caught up on.
    if (this.#startMs === null || nowMs - this.#startMs > (this.#spent / rate.perSecond) * 1000 + 1000) {
      this.#startMs = nowMs;
      this.#spent = 0;
    }
    this.#spent += more[rate.unit];
    const aheadMs = this.#startMs + (this.#spent / rate.perSecond) * 1000 - nowMs;
    if (aheadMs > 5) await sleep(aheadMs, signal);
  }

  async #keepLag(): Promise<void> {
    if (this.#options.lag === null) return;
    // All tables wait for the one that asks.
    await (this.#pausing ??= this.#pauseForLag().finally(() => this.#pausing = null));
  }

  async #pauseForLag(): Promise<void> {
    const { lag, log, signal } = this.#options;
    for (let isFirst = true;; isFirst = false) {
      if (performance.now() - this.#lagAskedMs < LAG_PERIOD_MS && isFirst) return;
      this.#lagAskedMs = performance.now();
      const lagS = await lag!.lagS();
      if (lagS <= lag!.limitS) {
        if (!isFirst) log.info("Reading goes on");
        return;
      }
      if (isFirst) {
        log.info(
          `Reading pauses: the subscriber is ${formatSeconds(lagS)} behind, --max-lag is ${formatSeconds(lag!.limitS)}`,
        );
      }
      if (!await sleep(LAG_PERIOD_MS, signal)) return;
    }
  }

  #show(): void {
    const { show } = this.#options;
    const nowMs = performance.now();
    if (show === null || nowMs - this.#shownMs < SHOW_PERIOD_MS) return;
    this.#shownMs = nowMs;
    show([...this.#tables].map(([table, entry]) => progressText(table, entry, nowMs)).join(" · "));
  }
}

/** @example "public.t  45%  900,000 rows  410,000 rows/s  3s left" */
export function progressText(
  table: string,
  { rows, total, startMs }: { rows: number; total: number; startMs: number },
  nowMs: number,
): string {
  const perSecond = rows / Math.max(0.001, (nowMs - startMs) / 1000);
  const number = (value: number) => Math.round(value).toLocaleString("en-US");
  const parts = [`${number(rows)} rows`, `${number(perSecond)} rows/s`];
  if (total > 0) {
    parts.unshift(`${Math.min(99, Math.floor((rows / total) * 100))}%`);
    if (perSecond > 0 && total > rows) parts.push(`${formatSeconds(Math.ceil((total - rows) / perSecond))} left`);
  }
  return `${table}  ${parts.join("  ")}`;
}
