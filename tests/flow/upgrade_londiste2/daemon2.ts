/**
 * What the daemons of Skytools 2.1 do to the databases: ticks, and the replay of batches. The programs themselves need a
 * Python that is not to be had any more.
 */
import postgres from "postgres";
import type { LentDatabase } from "../../harness/pair.ts";
import { waitFor } from "../../harness/wait_for.ts";

function connect(database: LentDatabase): postgres.Sql {
  const { host, port, superuser: user } = database.cluster;
  // Who looks for deadlocks at once would be the victim of each.
  const connection = { deadlock_timeout: "1ms" };
  return postgres({ host, port, user, database: database.name, max: 1, onnotice: () => {}, connection });
}

/** Runs `round` again and again, until it is stopped; what it throws is kept, and the next round tries again. */
abstract class Daemon implements AsyncDisposable {
  lastError: Error | null = null;
  #isStopping = false;
  readonly #done: Promise<void>;

  constructor(readonly pauseMs: number) {
    this.#done = (async () => {
      // The constructors of what extends this have to be done.
      await new Promise((resolve) => setTimeout(resolve, 0));
      while (!this.#isStopping) {
        try {
          await this.round();
        } catch (error) {
          this.lastError = error as Error;
        }
        await new Promise((resolve) => setTimeout(resolve, this.pauseMs));
      }
    })();
  }

  protected abstract round(): Promise<void>;
  protected abstract close(): Promise<void>;

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isStopping = true;
    await this.#done;
    await this.close();
  }
}

/** pgqadm.py ticker: decides by itself, then calls `pgq.ticker(queue, tick)`; with PgQ 3 `pgq.ticker()`. */
export class Ticker2 extends Daemon {
  #sql: postgres.Sql | undefined;

  constructor(readonly provider: LentDatabase, readonly version: 2 | 3 = 2) {
    super(300);
  }

  protected async round(): Promise<void> {
    const sql = this.#sql ??= connect(this.provider);
    if (this.version === 3) await sql`select pgq.ticker()`;
    else {
      await sql`select pgq.ticker(q.queue_name, nextval(q.queue_tick_seq)) from pgq.queue q
        where not q.queue_external_ticker`;
    }
  }

  protected async close(): Promise<void> {
    await this.#sql?.end({ timeout: 5 });
  }
}

/** londiste.py replay, for tables that are `ok`. */
export class Replay2 extends Daemon {
  #provider: postgres.Sql | undefined;
  #subscriber: postgres.Sql | undefined;
  #isRegistered = false;
  /** Set: dies after the subscriber's commit and before `finish_batch`. */
  dieBeforeFinish = false;
  isDead = false;

  constructor(
    readonly databases: { provider: LentDatabase; subscriber: LentDatabase },
    readonly job: { queue: string; consumer: string },
  ) {
    super(50);
  }

  protected async round(): Promise<void> {
    while (!this.isDead && await this.batch());
  }

  /** @returns false when there was none */
  async batch(): Promise<boolean> {
    const { queue, consumer } = this.job;
    const provider = this.#provider ??= connect(this.databases.provider);
    const subscriber = this.#subscriber ??= connect(this.databases.subscriber);
    if (!this.#isRegistered) await provider`select pgq.register_consumer(${queue}, ${consumer})`;
    this.#isRegistered = true;
    const [{ batch }] = await provider`select pgq.next_batch(${queue}, ${consumer}) as batch` as unknown as [
      { batch: string | null },
    ];
    if (batch === null) return false;
    const [info] = await provider`select prev_tick_id, tick_id from pgq.get_batch_info(${batch})`;
    const events =
      await provider`select ev_id, ev_txid, ev_type, ev_data, ev_extra1 from pgq.get_batch_events(${batch})`;
    const [{ tick }] = await subscriber`select londiste.get_last_tick(${consumer}) as tick` as unknown as [
      { tick: string | null },
    ];
    const failed: string[] = [];
    if (tick !== info!.tick_id) {
      if (tick !== null && tick !== info!.prev_tick_id) {
        throw new Error(`Lost position: batch ${info!.prev_tick_id}..${info!.tick_id}, dst has ${tick}`);
      }
      await subscriber.begin(async (tx) => {
        const rows = await tx`select table_name, snapshot from londiste.subscriber_get_table_list(${queue})
          where merge_state = 'ok'`;
        const tables = new Map(rows.map((row) => [row.table_name as string, row.snapshot as string | null]));
        for (const { ev_id, ev_txid, ev_type, ev_data, ev_extra1: table } of events) {
          const words = { I: "insert into", U: "update only", D: "delete from only" }[ev_type as string];
          if (words === undefined) {
            failed.push(ev_id);
            if (/^[IUDR]/.test(ev_type)) throw new Error(`Unknows op ${ev_type}: it would be lost`);
          }
          if (words === undefined || !tables.has(table)) continue;
          const snapshot = tables.get(table);
          if (snapshot !== null) {
            const [seen] = await tx`select txid_visible_in_snapshot(${ev_txid}, ${snapshot!}) as visible`;
            if (seen!.visible) continue;
          }
          const between = ev_type === "U" ? " set" : ev_type === "D" ? " where" : "";
          await tx.unsafe(`${words} ${table}${between} ${ev_data}`);
        }
        await tx`select londiste.set_last_tick(${consumer}, ${info!.tick_id})`;
      });
      if (this.dieBeforeFinish) {
        this.isDead = true;
        return false;
      }
    }
    for (const id of failed) await provider`select pgq.event_failed(${batch}, ${id}, 'Unknows op')`;
    await provider`select pgq.finish_batch(${batch})`;
    return true;
  }

  /** Waits until everything committed before the call is replayed. */
  async finished(): Promise<void> {
    const { queue, consumer } = this.job;
    const [newest] = (await this.databases.provider.sql(
      `select max(tick_id) from pgq.tick t join pgq.queue q on q.queue_id = t.tick_queue where q.queue_name = '${queue}'`,
    )).trim().split("|");
    await waitFor(
      async () =>
        Number(
          await this.databases.subscriber.sql(
            `select last_tick_id from londiste.completed where consumer_id = '${consumer}'`,
          ),
        ) > Number(newest),
      { what: "Londiste 2.1 to replay" },
    ).catch((error) => {
      throw new Error(`${error.message}\n${this.lastError}`);
    });
  }

  protected async close(): Promise<void> {
    await this.#provider?.end({ timeout: 5 });
    await this.#subscriber?.end({ timeout: 5 });
  }
}
