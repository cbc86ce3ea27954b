// One table's copy: load it, replay its events to the end of the queue, hand it over to the replay exactly.

import { messageOf, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { sleep } from "../../base/time.ts";
import { EventCodec } from "../../codec/event_codec.ts";
import { during } from "../../db/errors.ts";
import { quoteFullName } from "../../db/quote.ts";
import type { Target } from "../../db/target.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { dropTableFkey, findTableFkeys, getTableList, moveTableState, type TableRow } from "../../queue/londiste.ts";
import { forceTick, getConsumerInfo, registerConsumer, tickSnapshot, unregisterConsumer } from "../../queue/pgq.ts";
import { getConsumerState, registerTargetConsumer, unregisterTargetConsumer } from "../../queue/pgq_node.ts";
import { replayBatch } from "../replay/batch.ts";
import { openProvider, openSubscriber } from "../replay/connections.ts";
import { type OpenBatch, openBatch } from "../replay/open.ts";
import type { Path } from "../replay/path.ts";
import { Plans } from "../replay/plan.ts";
import { parseSnapshot, seesAllOf } from "../replay/snapshot.ts";
import { decideCopy, formatState, type MergeState, parseState } from "./handover.ts";
import { loadTable } from "./load.ts";

const CATCH_UP_ARENA_BYTES = 8 * 1024 * 1024;
/** How often a waiting copy looks whether the replay has moved its table's state. */
const POLL_MS = 100;

export interface TableCopyOptions {
  readonly queue: string;
  /** The replay's consumer; the copy's own is named after it and the table. */
  readonly worker: string;
  readonly table: string;
  readonly provider: Target;
  readonly subscriber: Target;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly lockTimeoutMs: number;
}

/** Name of the consumer that holds a copy's position. */
export function copyConsumerName(worker: string, table: string): string {
  return `${worker}.copy.${table}`;
}

/**
 * Runs one table's copy until the table is `ok`, is not ours to copy any more, or the signal aborts. Safe to start
 * again from whatever state a crash has left.
 */
export async function runTableCopy(options: TableCopyOptions): Promise<void> {
  await using copy = await TableCopy.open(options);
  const cut = () => copy.cut();
  options.signal.addEventListener("abort", cut);
  try {
    await copy.run();
  } finally {
    options.signal.removeEventListener("abort", cut);
  }
}

class TableCopy implements AsyncDisposable {
  readonly #options: TableCopyOptions;
  readonly #path: Path;
  #tickOfLastBatch = 0n;
  #isRegistered = false;
  #ticksWanted = 0;

  private constructor(options: TableCopyOptions, path: Path) {
    this.#options = options;
    this.#path = path;
  }

  static async open(options: TableCopyOptions): Promise<TableCopy> {
    const { queue, worker, table, log, signal, lockTimeoutMs } = options;
    const provider = await openProvider(options.provider, { applicationName: `skyq copy ${table}`, signal });
    try {
      const { connection: subscriber } = await openSubscriber(options.subscriber, {
        applicationName: `skyq copy ${table}`,
        signal,
        lockTimeoutMs,
      });
      return new TableCopy(options, {
        queue,
        consumer: copyConsumerName(worker, table),
        provider,
        subscriber,
        codec: await EventCodec.create({ arenaBytes: CATCH_UP_ARENA_BYTES }),
        largeCodec: { codec: null, rowBytes: 0 },
        plans: new Plans(subscriber),
        log,
        takes: (row) => row.table_name === table,
        onlyTable: table,
        upsert: false,
        systemEvents: false,
      });
    } catch (error) {
      provider.destroy();
      throw error;
    }
  }

  /** Ends both connections at once, in whatever they are doing; the servers roll back. */
  cut(): void {
    this.#path.provider.destroy();
    this.#path.subscriber.destroy();
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.cut();
    return Promise.resolve();
  }

  async run(): Promise<void> {
    const { signal, table, queue } = this.#options;
    const { provider, subscriber, log } = this.#path;
    while (!signal.aborted) {
      const row = await this.#tableRow();
      if (row === null) return;
      const state = parseState(row.merge_state);
      if (state.name === "new" || state.name === "ok") return;
      if (state.name === "in-copy") {
        await this.#load(row);
        continue;
      }
      await this.#resume();
      const batch = await openBatch(this.#path);
      if (batch?.isApplied) {
        await this.#replay(batch);
        continue;
      }
      const decision = decideCopy(state, batch?.tickId ?? this.#tickOfLastBatch, batch === null);
      switch (decision.act) {
        case "apply":
          await this.#replay(batch!);
          break;
        case "change":
          if (!decision.done && !await this.#hasPassedSnapshot(row)) {
            // Each call makes the queue look busier, so not more often than a ticker looks.
            if (this.#ticksWanted++ % 10 === 0) await forceTick(provider, queue);
            await sleep(POLL_MS, signal);
            break;
          }
          // What comes from here on was not seen by the snapshot, so nothing is left for it to do.
          if (await this.#move(row, state, decision.to, decision.done ? null : row.custom_snapshot) && decision.done) {
            await this.#unregister();
            return;
          }
          // The replay answers at its next batch: let there be one soon.
          await forceTick(provider, queue);
          break;
        case "wait":
          await sleep(POLL_MS, signal);
          break;
        default:
          log.debug(`Copy of ${table} has nothing to do in state ${formatState(state)}`);
          return;
      }
      if (subscriber.isClosed) throw new SkyqError("connection-lost", `Copy of "${table}" lost the subscriber`);
    }
  }

  async #replay(batch: OpenBatch): Promise<void> {
    await replayBatch(this.#path, batch);
    this.#tickOfLastBatch = batch.tickId;
  }

  async #tableRow(): Promise<TableRow | null> {
    const rows = await getTableList(this.#path.subscriber, this.#options.queue);
    return rows.find((row) => row.table_name === this.#options.table && row.local) ?? null;
  }

  /**
   * Whether the last batch applied ends at a tick that sees all the copy's snapshot saw. Before that the table is ahead
   * of the others, and would show halves of transactions when it is handed over.
   */
  async #hasPassedSnapshot(row: TableRow): Promise<boolean> {
    if (row.custom_snapshot === null) return true;
    const tick = await tickSnapshot(this.#path.provider, this.#options.queue, this.#tickOfLastBatch);
    return tick === null || seesAllOf(parseSnapshot(tick), parseSnapshot(row.custom_snapshot));
  }

  async #move(row: TableRow, from: MergeState, to: MergeState, snapshot = row.custom_snapshot): Promise<boolean> {
    const moved = await moveTableState(this.#path.subscriber, {
      queue: this.#options.queue,
      table: this.#options.table,
      from: formatState(from),
      to: formatState(to),
      snapshot,
    });
    if (moved) this.#path.log.info(`Table ${this.#options.table} status changed to '${formatState(to)}'`);
    return moved;
  }

  /**
   * Loads the rows and enters `catching-up`, in one subscriber transaction. The consumer is registered before the
   * provider's snapshot is taken, so whatever the snapshot does not show comes through the queue.
   */
  async #load(row: TableRow): Promise<void> {
    const { queue, table, worker } = this.#options;
    const { provider, subscriber, consumer, log } = this.#path;
    log.info(`Starting full copy of ${table}`);
    const dest = row.dest_table ?? table;

    // A position left by an earlier try may be far behind; whatever it is, this copy begins at the present one.
    await unregisterConsumer(provider, queue, consumer);
    await registerConsumer(provider, queue, consumer);
    const position = (await getConsumerInfo(provider, queue, consumer))!.last_tick!;
    const node = await getConsumerState(subscriber, queue, worker);
    await registerTargetConsumer(subscriber, queue, consumer, node!.provider_node!, position);
    this.#isRegistered = true;
    this.#tickOfLastBatch = position;

    for (const fkey of await findTableFkeys(subscriber, dest)) {
      const dropped = dropTableFkey(subscriber, fkey.from_table, fkey.fkey_name);
      if (await during(`Cannot drop foreign key "${fkey.fkey_name}" of table "${fkey.from_table}"`, dropped)) {
        log.info(`Dropping fkey: ${fkey.fkey_name}`);
      }
    }
    await this.#note("started", null);
    await subscriber.exec("begin");
    let result;
    try {
      result = await loadTable(provider, subscriber, {
        sourceTable: table,
        destTable: dest,
        skipTruncate: /(^|&)skip_truncate=1(&|$)/.test(row.table_attrs ?? ""),
        log,
      });
      if (!await this.#move(row, { name: "in-copy" }, { name: "catching-up" }, result.snapshot)) {
        throw new SkyqError("refused", `Copy of "${table}" given up: its state was changed meanwhile`);
      }
      await this.#note("finished", result);
      await subscriber.exec("commit");
    } catch (error) {
      if (!subscriber.isClosed) await subscriber.exec("rollback").catch(() => {});
      throw error;
    }
    await subscriber.exec(`analyze ${quoteFullName(dest)}`).catch((error) => {
      log.warning(`Cannot analyze ${dest}: ${messageOf(error)}`);
    });
    await forceTick(provider, queue);
  }

  async #note(what: "started" | "finished", result: { rows: number; bytes: number } | null): Promise<void> {
    await this.#path.subscriber.query(
      what === "started"
        ? `insert into skyq.copy_state as s (queue_name, table_name, started_at) values ($1, $2, now())
           on conflict (queue_name, table_name) do update
              set started_at = now(), finished_at = null, rows_copied = 0, bytes_copied = 0`
        : `update skyq.copy_state s set finished_at = now(), rows_copied = $3, bytes_copied = $4, error = null, error_time = null
            where s.queue_name = $1 and s.table_name = $2`,
      result === null
        ? [this.#options.queue, this.#options.table]
        : [this.#options.queue, this.#options.table, result.rows, result.bytes],
    );
  }

  /** After a restart: the consumer is registered on both sides already; both must still know it. */
  async #resume(): Promise<void> {
    if (this.#isRegistered) return;
    const { provider, subscriber, consumer, queue } = this.#path;
    const there = await getConsumerInfo(provider, queue, consumer);
    const here = await getConsumerState(subscriber, queue, consumer);
    if (there === null || here === null || here.completed_tick === null) {
      throw new SkyqError(
        "lost-position",
        `Cannot go on with the copy of "${this.#options.table}": its consumer "${consumer}" is gone`,
        { hint: "Copy the table anew with `skyq subscriber resync`." },
      );
    }
    this.#tickOfLastBatch = here.completed_tick;
    this.#isRegistered = true;
  }

  async #unregister(): Promise<void> {
    await unregisterConsumer(this.#path.provider, this.#options.queue, this.#path.consumer);
    await unregisterTargetConsumer(this.#path.subscriber, this.#options.queue, this.#path.consumer);
  }
}

/**
 * Removes the consumers that finished or abandoned copies have left behind (a crash between `ok` and unregistering):
 * each would hold back the queue's rotation for ever.
 */
export async function removeStrayCopyConsumers(
  provider: WireConnection,
  subscriber: WireConnection,
  job: { queue: string; worker: string; log: Logger },
): Promise<void> {
  const inProgress = new Set(
    (await getTableList(subscriber, job.queue))
      .filter((row) => row.local && row.merge_state !== null && row.merge_state !== "ok")
      .map((row) => copyConsumerName(job.worker, row.table_name)),
  );
  const prefix = copyConsumerName(job.worker, "");
  const names = new Set<string>();
  for (
    const row of await provider.query<{ name: string }>(
      `select c.consumer_name as name from pgq.get_consumer_info($1) c where starts_with(c.consumer_name, $2)`,
      [job.queue, prefix],
    )
  ) names.add(row.name);
  for (
    const row of await subscriber.query<{ name: string }>(
      `select c.consumer_name as name from pgq_node.get_consumer_info($1) c where starts_with(c.consumer_name, $2)`,
      [job.queue, prefix],
    )
  ) names.add(row.name);
  for (const name of names) {
    if (inProgress.has(name)) continue;
    job.log.info(`Removing consumer ${name} of a copy that has ended`);
    await unregisterConsumer(provider, job.queue, name);
    await unregisterTargetConsumer(subscriber, job.queue, name);
  }
}
