// One table's copy: load it, replay its events to the end of the queue, hand it over to the replay exactly.

import { messageOf, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { sleep } from "../../base/time.ts";
import { EventCodec } from "../../codec/event_codec.ts";
import { during } from "../../db/errors.ts";
import { type Locker, withLocks } from "../../db/locks.ts";
import { quoteFullName } from "../../db/quote.ts";
import type { Target } from "../../db/target.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import { dropTableFkey, findTableFkeys, getTableList, moveTableState, type TableRow } from "../../queue/londiste.ts";
import {
  forceTick,
  getConsumerInfo,
  registerConsumer,
  registerConsumerAt,
  tickSnapshot,
  unregisterConsumer,
} from "../../queue/pgq.ts";
import { getConsumerState, registerTargetConsumer, unregisterTargetConsumer } from "../../queue/pgq_node.ts";
import { hasChunks } from "../../queue/skyq.ts";
import { replayBatch } from "../replay/batch.ts";
import { openProvider, openSubscriber } from "../replay/connections.ts";
import { isReplayRunning, takeSessionLock } from "../replay/job_lock.ts";
import { type OpenBatch, openBatch } from "../replay/open.ts";
import type { Path } from "../replay/path.ts";
import type { ErrorPolicy } from "../replay/refusal.ts";
import { Plans } from "../replay/plan.ts";
import { parseSnapshot, seesAllOf } from "../replay/snapshot.ts";
import { type ChunkPlan, type OnePiece, planChunks } from "./chunk_plan.ts";
import { type Connections, countChunks, forgetChunks, givenUp, loadChunks, settledBy, storeChunks } from "./chunks.ts";
import { decideCopy, formatState, type MergeState, parseState } from "./handover.ts";
import {
  dropRepeatedRows,
  makeIndex,
  type PendingIndex,
  pendingIndexes,
  setAsideIndexes,
  whyNoUpsert,
} from "./indexes.ts";
import { beginRead, columnList, commonColumns, loadTable } from "./load.ts";

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
  /** How many chunks of one table are loaded at once. */
  readonly connections: number;
  /** Tables of several times this size on the provider's disk are copied in chunks of about this size. */
  readonly chunkBytes: number;
  /** What becomes of rows that cannot be applied while it catches up; where it is left out they stop the copy. */
  readonly policy?: ErrorPolicy;
  /** How long to wait for another session that has this copy in hand; null: until the signal aborts. */
  readonly patienceMs: number | null;
  /** End when the table waits for the replay and none runs. */
  readonly leaveWaiting?: boolean;
}

/** A table that catches up is out of the others' way already: there is nothing to set aside. */
function catchUpPolicy({ onError, quarantineMax }: ErrorPolicy): ErrorPolicy {
  const way = (table: string) => {
    const chosen = onError(table);
    return chosen === "skip-table" ? "stop" : chosen;
  };
  return { onError: way, quarantineMax };
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

async function connect({ provider, subscriber, table, signal, lockTimeoutMs }: TableCopyOptions): Promise<Connections> {
  const applicationName = `skyq copy ${table}`;
  const from = await openProvider(provider, { applicationName, signal });
  try {
    const { connection: to } = await openSubscriber(subscriber, { applicationName, signal, lockTimeoutMs });
    return { provider: from, subscriber: to };
  } catch (error) {
    from.destroy();
    throw error;
  }
}

class TableCopy implements AsyncDisposable {
  readonly #options: TableCopyOptions;
  #path: Path;
  /** Chunks: until events have passed this snapshot, rows may be newer than they. */
  #settledBy: string | null = null;
  #tickOfLastBatch = 0n;
  #isRegistered = false;
  #ticksWanted = 0;

  private constructor(options: TableCopyOptions, path: Path) {
    this.#options = options;
    this.#path = path;
  }

  static async open(options: TableCopyOptions): Promise<TableCopy> {
    const { queue, worker, table, log } = options;
    const { provider, subscriber } = await connect(options);
    try {
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
        ...(options.policy === undefined ? {} : { policy: catchUpPolicy(options.policy) }),
        systemEvents: false,
      });
    } catch (error) {
      provider.destroy();
      subscriber.destroy();
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
    const { signal, table, queue, worker } = this.#options;
    const { provider, subscriber, log } = this.#path;
    await takeSessionLock(subscriber, {
      key: `skyq copy ${queue} ${worker} ${table}`,
      name: `the copy of table ${table}`,
      hint: "Each table is copied by one process at a time; the other one goes on with it.",
      patienceMs: this.#options.patienceMs,
      log,
      signal,
    });
    while (!signal.aborted) {
      const row = await this.#tableRow();
      const state = parseState(row?.merge_state ?? null);
      if (row === null) await forgetChunks(subscriber, this.#options);
      if (row === null || state.name === "ok") await this.#makeIndexes(() => true);
      if (row === null || state.name === "new" || state.name === "ok") return;
      if (state.name === "in-copy") {
        await this.#load(row);
        continue;
      }
      await this.#resume();
      if (this.#settledBy !== null && await this.#hasPassed(this.#settledBy)) {
        await this.#settle();
        continue;
      }
      const batch = await openBatch(this.#path);
      if (batch?.isApplied) {
        await this.#replay(batch);
        continue;
      }
      if (
        state.name === "do-sync" && batch !== null && batch.tickId > state.tick && this.#tickOfLastBatch < state.tick
      ) {
        // A tick that became visible after a later one: the replay has it, this batch was opened without it.
        await registerConsumerAt(provider, queue, this.#path.consumer, this.#tickOfLastBatch);
        continue;
      }
      const decision = decideCopy(state, batch?.tickId ?? this.#tickOfLastBatch, batch === null);
      switch (decision.act) {
        case "apply":
          await this.#replay(batch!);
          break;
        case "change": {
          const toPass = this.#settledBy ?? row.custom_snapshot;
          if (!decision.done && toPass !== null && !await this.#hasPassed(toPass)) {
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
        }
        case "wait":
          if (
            this.#options.leaveWaiting && state.name === "wanna-sync" &&
            !await isReplayRunning(subscriber, this.#options)
          ) {
            log.info(`${table}: copied; the next replay takes it over`);
            return;
          }
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
   * Whether the last batch applied ends at a tick that sees all this snapshot saw. Before that the table is ahead of the
   * others, and would show halves of transactions when it is handed over.
   */
  async #hasPassed(snapshot: string): Promise<boolean> {
    const tick = await tickSnapshot(this.#path.provider, this.#options.queue, this.#tickOfLastBatch);
    return tick === null || seesAllOf(parseSnapshot(tick), parseSnapshot(snapshot));
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
   * Loads the rows and enters `catching-up`. The consumer is registered before the first row is read, so whatever the
   * rows do not show comes through the queue.
   */
  async #load(row: TableRow): Promise<void> {
    const { table } = this.#options;
    const { provider, subscriber, log } = this.#path;
    const dest = row.dest_table ?? table;
    const { all, loaded } = await countChunks(subscriber, this.#options);
    let inChunks = all > 0 && await this.#hasPosition();
    if (inChunks) {
      log.info(`Going on with the copy of ${table}: ${loaded} of ${all} chunks are loaded`);
    } else {
      log.info(`Starting full copy of ${table}`);
      await this.#begin(dest);
      const plan = await this.#plan(row, dest);
      inChunks = "conditions" in plan && await this.#beginChunks(row, dest, plan);
      if ("reason" in plan && plan.reason !== null) log.info(`${dest}: copied in one piece: ${plan.reason}`);
    }
    if (inChunks) await this.#loadChunks(row, dest);
    else await this.#loadAtOnce(row, dest);
    await subscriber.exec(`analyze ${quoteFullName(dest)}`).catch((error) => {
      log.warning(`Cannot analyze ${dest}: ${messageOf(error)}`);
    });
    await forceTick(provider, this.#options.queue);
  }

  /** Begins at the queue's present position, with nothing loaded and nothing in the way. */
  async #begin(dest: string): Promise<void> {
    const { queue, worker } = this.#options;
    const { provider, subscriber, consumer, log } = this.#path;
    await forgetChunks(subscriber, this.#options);
    // A position left by an earlier try may be far behind; whatever it is, this copy begins at the present one.
    await unregisterConsumer(provider, queue, consumer);
    await registerConsumer(provider, queue, consumer);
    const position = (await getConsumerInfo(provider, queue, consumer))!.last_tick!;
    const node = await getConsumerState(subscriber, queue, worker);
    await registerTargetConsumer(subscriber, queue, consumer, node!.provider_node!, position);
    this.#setPosition(position, null);

    for (const fkey of await findTableFkeys(subscriber, dest)) {
      const act = `Cannot drop foreign key "${fkey.fkey_name}" of table "${fkey.from_table}"`;
      const { lockTimeoutMs: limitMs, signal } = this.#options;
      const dropped = withLocks({ act, log, limitMs, signal }, (lock) =>
        this.#transaction(async () => {
          await lock(subscriber, [fkey.from_table, fkey.to_table].map(quoteFullName), "access exclusive");
          return await dropTableFkey(subscriber, fkey.from_table, fkey.fkey_name);
        }));
      if (await during(act, dropped)) {
        log.info(`Dropping fkey: ${fkey.fkey_name}`);
      }
    }
    await this.#note("started", null);
  }

  async #plan(row: TableRow, dest: string): Promise<ChunkPlan | OnePiece> {
    const { queue, table, chunkBytes } = this.#options;
    const plan = await planChunks(this.#path.provider, { queue, table, chunkBytes });
    if ("reason" in plan) return plan;
    if (!await hasChunks(this.#path.subscriber)) {
      return { reason: "an older version made the subscriber's schema skyq; run `skyq subscriber install` again" };
    }
    // Rows that are there already may have any key.
    if (skipsTruncate(row)) return { reason: "the rows that are there are kept" };
    const reason = await whyNoUpsert(this.#path.subscriber, { queue, table, dest }, plan.key);
    return reason === null ? plan : { reason };
  }

  /**
   * Empties the subscriber's table and stores what is to be loaded. Not before rows of the source have been read.
   * @returns false when an index refuses rows of different moments and cannot be dropped; nothing was done then
   */
  async #beginChunks(row: TableRow, dest: string, plan: ChunkPlan): Promise<boolean> {
    const { queue, table } = this.#options;
    const { provider, subscriber, log } = this.#path;
    const sides = { queue, sourceTable: table, destTable: dest, log };
    const list = columnList(await commonColumns(provider, subscriber, sides));
    await beginRead(provider, table, { isolation: "read committed", lockTimeoutMs: this.#options.lockTimeoutMs });
    try {
      const probe = provider.copyOut(`copy (select ${list} from only ${quoteFullName(table)} limit 1) to stdout`);
      for await (const _ of probe);
    } finally {
      if (!provider.isClosed) await provider.exec("rollback");
    }
    return await this.#lockedTransaction(dest, async (lock) => {
      await lock(subscriber, [quoteFullName(dest)], "access exclusive");
      await this.#hold(row);
      await subscriber.exec("savepoint skyq_chunks");
      const stayed = await setAsideIndexes(subscriber, { queue, table, dest }, plan.key, log);
      const inTheWay = stayed.find((index) => !index.isKey || plan.sourceFile !== null);
      if (inTheWay !== undefined) {
        await subscriber.exec("rollback to savepoint skyq_chunks");
        log.info(`${dest}: copied in one piece: its index ${inTheWay.name} cannot be dropped for the copy`);
        return false;
      }
      log.info(`${dest}: truncating`);
      await during(
        `Cannot truncate table "${dest}" on the subscriber`,
        subscriber.exec(`truncate only ${quoteFullName(dest)}`),
      );
      await storeChunks(subscriber, this.#options, plan);
      return true;
    });
  }

  async #loadChunks(row: TableRow, dest: string): Promise<void> {
    const { queue, table, connections } = this.#options;
    const { provider, subscriber, log } = this.#path;
    log.info(`${dest}: start copy`);
    await loadChunks({ provider, subscriber }, {
      queue,
      table,
      dest,
      connections,
      lockTimeoutMs: this.#options.lockTimeoutMs,
      log,
      signal: this.#options.signal,
      connect: () => connect(this.#options),
    });
    if (this.#options.signal.aborted) return;
    const counted = await countChunks(subscriber, this.#options);
    log.info(`${dest}: copy finished: ${counted.bytes} bytes, ${counted.rows} rows`);
    // What is unique over the events' key finds their rows. Other unique indexes have to wait until the rows are of one
    // moment.
    await this.#makeIndexes((index) => index.key_columns !== null);
    // Whoever sees all that was committed up to now sees all that any chunk has seen.
    const { snapshot } = (await provider.query<{ snapshot: string }>(
      "select pg_catalog.txid_current_snapshot()::text as snapshot",
    ))[0]!;
    await this.#transaction(async () => {
      if (!await this.#move(row, { name: "in-copy" }, { name: "catching-up" }, null)) throw givenUp(table);
      await forgetChunks(subscriber, this.#options);
      await subscriber.query(
        `update skyq.copy_state s set settled_by = $3, chunk_count = $4 where s.queue_name = $1 and s.table_name = $2`,
        [queue, table, snapshot, counted.all],
      );
      await this.#note("finished", counted);
    });
    this.#setPosition(this.#tickOfLastBatch, snapshot);
  }

  /** One transaction and one snapshot for all rows; events that the snapshot has seen are left out afterwards. */
  async #loadAtOnce(row: TableRow, dest: string): Promise<void> {
    const { queue, table, lockTimeoutMs } = this.#options;
    const { provider, subscriber, log } = this.#path;
    await this.#lockedTransaction(dest, async (lock) => {
      const result = await loadTable(provider, subscriber, {
        queue,
        sourceTable: table,
        destTable: dest,
        skipTruncate: skipsTruncate(row),
        lockTimeoutMs,
        lock,
        log,
      });
      if (!await this.#move(row, { name: "in-copy" }, { name: "catching-up" }, result.snapshot)) throw givenUp(table);
      await this.#note("finished", result);
    });
  }

  /** The rows are of one moment now, that of the last batch: from here on this copy is like any other. */
  async #settle(): Promise<void> {
    const { queue, table } = this.#options;
    await this.#makeIndexes(() => true);
    await this.#path.subscriber.query(
      "update skyq.copy_state s set settled_by = null, error = null, error_time = null where s.queue_name = $1 and s.table_name = $2",
      [queue, table],
    );
    this.#setPosition(this.#tickOfLastBatch, null);
  }

  /** Makes dropped indexes again, each in a transaction of its own: what is done need not be done twice. */
  async #makeIndexes(which: (index: PendingIndex) => boolean): Promise<void> {
    const { subscriber, log } = this.#path;
    for (const index of (await pendingIndexes(subscriber, this.#options)).filter(which)) {
      try {
        await this.#transaction(() => makeIndex(subscriber, index, log));
      } catch (error) {
        const { dest_table: dest, key_columns: key } = index;
        if (key === null || !(error instanceof SkyqError) || error.sqlstate !== "23505") throw error;
        await this.#transaction(async () => {
          const count = await dropRepeatedRows(subscriber, dest, key);
          log.info(`${dest}: ${count} rows were met twice, as they were updated while they were copied`);
          await makeIndex(subscriber, index, log);
        });
      }
    }
  }

  /** Runs `work` in one transaction of the subscriber. */
  async #transaction<T>(work: () => Promise<T>): Promise<T> {
    const { subscriber } = this.#path;
    await subscriber.exec("begin");
    try {
      const result = await work();
      await subscriber.exec("commit");
      return result;
    } catch (error) {
      if (!subscriber.isClosed) await subscriber.exec("rollback").catch(() => {});
      throw error;
    }
  }

  /** A transaction that begins with locking the subscriber's table: those who read it never stand behind us for long. */
  #lockedTransaction<T>(dest: string, work: (lock: Locker) => Promise<T>): Promise<T> {
    const { lockTimeoutMs: limitMs, signal } = this.#options;
    const act = `Cannot lock table "${dest}" on the subscriber`;
    return withLocks({ act, log: this.#path.log, limitMs, signal }, (lock) => this.#transaction(() => work(lock)));
  }

  /** Keeps the table in state `in-copy` until the transaction ends. */
  async #hold(row: TableRow): Promise<void> {
    const held = await this.#path.subscriber.query(
      `select 1 from londiste.table_info t
        where t.queue_name = $1 and t.table_name = $2 and t.local and t.merge_state = 'in-copy' for update`,
      [this.#options.queue, row.table_name],
    );
    if (held.length === 0) throw givenUp(row.table_name);
  }

  async #note(
    what: "started" | "finished",
    result: { rows: number | bigint; bytes: number | bigint } | null,
  ): Promise<void> {
    await this.#path.subscriber.query(
      what === "started"
        ? `insert into skyq.copy_state as s (queue_name, table_name, started_at) values ($1, $2, now())
           on conflict (queue_name, table_name) do update
              set started_at = now(), finished_at = null, rows_copied = 0, bytes_copied = 0`
        : `update skyq.copy_state s set finished_at = clock_timestamp(), rows_copied = $3, bytes_copied = $4, error = null, error_time = null
            where s.queue_name = $1 and s.table_name = $2`,
      result === null
        ? [this.#options.queue, this.#options.table]
        : [this.#options.queue, this.#options.table, result.rows, result.bytes],
    );
  }

  /** Where the consumer stands, and whether rows are still of several moments. */
  #setPosition(tick: bigint, settledBy: string | null): void {
    this.#tickOfLastBatch = tick;
    this.#isRegistered = true;
    this.#settledBy = settledBy;
    const upsert = settledBy !== null;
    if (this.#path.upsert === upsert) return;
    this.#path = { ...this.#path, upsert, plans: new Plans(this.#path.subscriber, upsert) };
  }

  /** Whether both sides know the consumer, at the same place. */
  async #hasPosition(): Promise<boolean> {
    const { provider, subscriber, consumer, queue } = this.#path;
    const there = await getConsumerInfo(provider, queue, consumer);
    const here = await getConsumerState(subscriber, queue, consumer);
    if (there === null || here === null || here.completed_tick === null) return false;
    if (there.last_tick !== here.completed_tick) return false;
    this.#setPosition(here.completed_tick, null);
    return true;
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
    this.#setPosition(here.completed_tick, await settledBy(subscriber, this.#options));
  }

  async #unregister(): Promise<void> {
    await unregisterConsumer(this.#path.provider, this.#options.queue, this.#path.consumer);
    await unregisterTargetConsumer(this.#path.subscriber, this.#options.queue, this.#path.consumer);
  }
}

/** Whether the copy adds to the rows that are there. */
function skipsTruncate(row: TableRow): boolean {
  return /(^|&)skip_truncate=1(&|$)/.test(row.table_attrs ?? "");
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
