// Events that the subscriber refused. All later events of a key follow the first one there: applied, they would come
// before it. Rows go into quarantine in the transaction of their batch, so nothing is lost or there twice.

import type { Logger } from "../../base/log.ts";
import type { Queryable } from "../../db/queryable.ts";
import { dropRefusals, hasQuarantine as isInstalled } from "../../queue/skyq.ts";

/** An event on its way into quarantine. */
export interface HeldEvent {
  readonly table: string;
  /** Urlencoded, in the key list's order; null: not told, so all later events of the table follow. */
  readonly key: string | null;
  readonly evId: bigint;
  readonly txid: bigint;
  readonly type: string;
  readonly data: string | null;
  /** Null for those that only follow. */
  readonly sqlstate: string | null;
  readonly error: string;
}

interface HeldTable {
  readonly keys: Set<string>;
  isWhole: boolean;
  count: number;
}

/** What is added is held in memory up to here, in characters and in events. */
const FRESH_SIZE_MAX = 4 << 20;
const FRESH_MAX = 1_000;

export const FOLLOWS = "an earlier event of its key is in quarantine";

/** Whether the subscriber's schema skyq has the tables, by connection: an older version left none. */
const installed = new WeakMap<Queryable, boolean>();

export async function hasQuarantine(db: Queryable): Promise<boolean> {
  let known = installed.get(db);
  if (known === undefined) {
    installed.set(db, known = await isInstalled(db));
  }
  return known;
}

/** The lock that keeps retries and batches apart: a batch takes it shared. */
export const QUARANTINE_LOCK = "pg_catalog.hashtextextended('skyq quarantine ' || $1, 0)";

/** What one queue has in quarantine, as one batch's transaction sees it, and adds to it. */
export class Quarantine {
  readonly #db: Queryable;
  readonly #queue: string;
  readonly #tables: Map<string, HeldTable>;
  #fresh: HeldEvent[] = [];
  #freshSize = 0;
  #isLocked = false;

  private constructor(db: Queryable, queue: string) {
    this.#db = db;
    this.#queue = queue;
    this.#tables = new Map();
  }

  /** Reads it inside the batch's transaction. Retries of events wait for its end, when there is anything to retry. */
  static async load(db: Queryable, queue: string): Promise<Quarantine> {
    const quarantine = new Quarantine(db, queue);
    if (await hasQuarantine(db) && await quarantine.#read()) {
      await quarantine.#lock();
      await quarantine.#read();
    }
    return quarantine;
  }

  /** @returns whether there is anything */
  async #read(): Promise<boolean> {
    const rows = await this.#db.query<{ table_name: string; key: string | null; count: number }>(
      `select q.table_name, q.key, count(*)::int4 as count from skyq.quarantine q
        where q.queue_name = $1 group by q.table_name, q.key`,
      [this.#queue],
    );
    this.#tables.clear();
    for (const { table_name, key, count } of rows) this.#note(table_name, key, count);
    return rows.length > 0;
  }

  async #lock(): Promise<void> {
    if (this.#isLocked) return;
    await this.#db.query(`select pg_catalog.pg_advisory_xact_lock_shared(${QUARANTINE_LOCK})`, [this.#queue]);
    this.#isLocked = true;
  }

  #note(table: string, key: string | null, count: number): void {
    let held = this.#tables.get(table);
    if (held === undefined) this.#tables.set(table, held = { keys: new Set(), isWhole: false, count: 0 });
    if (key === null) held.isWhole = true;
    else held.keys.add(key);
    held.count += count;
  }

  get isEmpty(): boolean {
    return this.#tables.size === 0;
  }

  /** Keys of a table that have events in quarantine; null when there are none. `isWhole`: the others follow as well. */
  of(table: string): { readonly keys: ReadonlySet<string>; readonly isWhole: boolean; readonly count: number } | null {
    return this.#tables.get(table) ?? null;
  }

  add(event: HeldEvent): void {
    this.#note(event.table, event.key, 1);
    this.#fresh.push(event);
    this.#freshSize += event.data?.length ?? 0;
  }

  /** Whether what was added should be written before more comes. */
  get isFull(): boolean {
    return this.#freshSize > FRESH_SIZE_MAX || this.#fresh.length > FRESH_MAX;
  }

  /** Writes what was added since the last time. */
  async flush(tickId: bigint): Promise<void> {
    const events = this.#fresh;
    if (events.length === 0) return;
    this.#fresh = [];
    this.#freshSize = 0;
    await this.#lock();
    await this.#db.query(
      `insert into skyq.quarantine (queue_name, tick_id, ev_id, table_name, key, ev_txid, ev_type, ev_data, sqlstate, error)
       select $1, $2, e.* from unnest($3::int8[], $4::text[], $5::text[], $6::int8[], $7::text[], $8::text[], $9::text[],
                                      $10::text[]) e
           on conflict (queue_name, ev_id) do nothing`,
      [
        this.#queue,
        tickId,
        events.map((event) => event.evId),
        events.map((event) => event.table),
        events.map((event) => event.key),
        events.map((event) => event.txid),
        events.map((event) => event.type),
        events.map((event) => event.data),
        events.map((event) => event.sqlstate),
        events.map((event) => event.error),
      ],
    );
  }

  /** A table was emptied: what came before has nothing to say any more. */
  async forget(table: string): Promise<void> {
    if (!this.#tables.delete(table)) return;
    this.#fresh = this.#fresh.filter((event) => event.table !== table);
    await this.#db.query("delete from skyq.quarantine q where q.queue_name = $1 and q.table_name = $2", [
      this.#queue,
      table,
    ]);
  }
}

/** Tables of a queue that wait for `subscriber resync`. */
export async function tablesSetAside(db: Queryable, queue: string): Promise<ReadonlySet<string>> {
  if (!await hasQuarantine(db)) return new Set();
  const rows = await db.query<{ table_name: string }>(
    "select s.table_name from skyq.set_aside s where s.queue_name = $1",
    [queue],
  );
  return new Set(rows.map((row) => row.table_name));
}

/** A table's copy begins: it brings whatever was in quarantine. */
export async function forgetRefusals(db: Queryable, queue: string, table: string, log: Logger): Promise<void> {
  const count = await dropRefusals(db, queue, table);
  if (count > 0) log.info(`${table}: ${count} event(s) left quarantine, the copy brings their rows`);
}
