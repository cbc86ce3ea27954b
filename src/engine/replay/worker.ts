// The replay of one subscriber: batch after batch, until it is told to stop.

import { messageWithDetail, SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { Backoff, sleep } from "../../base/time.ts";
import { EventCodec } from "../../codec/event_codec.ts";
import { quoteIdent } from "../../db/quote.ts";
import type { Target } from "../../db/target.ts";
import { WireConnection } from "../../db/wire/connection.ts";
import { getTableList, moveTableState, rootCheckSeqs } from "../../queue/londiste.ts";
import { forceTick, tickSnapshot } from "../../queue/pgq.ts";
import { counterWentBack, transactionIdsBehind } from "../../queue/skyq.ts";
import {
  getConsumerState,
  getNodeInfo,
  setConsumerError,
  setConsumerUptodate,
  setSubscriberWatermark,
} from "../../queue/pgq_node.ts";
import { forgetChunks } from "../copy/chunks.ts";
import { decideReplay, formatState, parseState } from "../copy/handover.ts";
import { tablesWithoutIndexes } from "../copy/indexes.ts";
import { CopyManager } from "../copy/manager.ts";
import { removeStrayCopyConsumers } from "../copy/table_copy.ts";
import { takeTableAside } from "./aside.ts";
import { replayBatch } from "./batch.ts";
import { mendCaptures } from "./captures.ts";
import { openProvider, openSubscriber, setReplicaRole } from "./connections.ts";
import { restoreFkeys } from "./fkeys.ts";
import { takeJobLock } from "./job_lock.ts";
import { type OpenBatch, openBatch } from "./open.ts";
import type { Path } from "./path.ts";
import { Plans } from "./plan.ts";
import { forgetRefusals, tablesSetAside } from "./quarantine.ts";
import type { ErrorPolicy } from "./refusal.ts";
import { parseSnapshot, seesAllOf } from "./snapshot.ts";
import { TickBell } from "./tick_bell.ts";

/** How often a replay that waits for a copy looks again. */
const HANDOVER_POLL_MS = 50;
/** A copy that keeps failing while the replay waits for it is sent back after this long, so that the others go on. */
const HANDOVER_WAIT_MAX_MS = 60_000;
/** How often the node tells its provider what it still needs (`local_wm_publish_period` of the originals). */
const WATERMARK_PERIOD_MS = 300_000;
/** Sequence values are published this often, in rounds of the replay, as a root's worker does. */
const SEQUENCE_ROUNDS = 10;
/** How often things that usually do not change are looked at: pending foreign keys, stray consumers. */
const HOUSEKEEPING_PERIOD_MS = 30_000;

/** Read again for each round, so that a reloaded config works from the next batch on. */
export interface ReplayOptions {
  readonly queue: string;
  /** Name of the leaf's worker: its consumer on the queue. */
  readonly worker: string;
  readonly provider: Target;
  readonly subscriber: Target;
  readonly log: Logger;
  /** Aborted: finish the batch in hand, then end. */
  readonly signal: AbortSignal;
  readonly loopDelayMs: number;
  readonly lockTimeoutMs: number;
  /** Connections older than this are opened anew between batches. */
  readonly connectionLifetimeMs: number;
  /** How often the config was read again: after each time connections are opened anew. */
  readonly reloadCount: number;
  /** Longest pause after an error. */
  readonly errorPauseMaxMs: number;
  readonly parallelCopies: number;
  readonly copyConnections: number;
  readonly copyChunkBytes: number;
  /** Memory for the events of one part of a batch, in bytes; two parts are held. */
  readonly arenaBytes: number;
  /** What becomes of rows that cannot be applied. */
  readonly policy: ErrorPolicy;
  /** Called once, when both sides are connected and the job is ours. */
  ready(): Promise<void> | void;
}

/**
 * Replays until `signal` aborts. Errors are logged, stored in the node (`status` shows them) and tried again after
 * growing pauses; only those that no retry can cure are thrown.
 * @throws {SkyqError} before the first connection stands: whatever is wrong; later: faults without retry
 */
export async function runReplay(options: ReplayOptions): Promise<void> {
  const { log, signal } = options;
  const backoff = new Backoff(1_000, options.errorPauseMaxMs);
  const bell = new TickBell(options.queue);
  const copies = new CopyManager(options, (table, error) => noteCopyError(options, table, error));
  let session: ReplaySession | null = null;
  let isReady = false;
  try {
    while (!signal.aborted) {
      try {
        if (session === null) {
          session = await ReplaySession.open(options, copies, bell);
          if (!isReady) await options.ready();
          isReady = true;
        }
        bell.reset();
        const moved = await session.step();
        if (moved) backoff.reset();
        if (session.isOutdated) {
          log.debug("Opening new connections");
          await session.close();
          session = null;
        }
        if (!moved) await bell.pause(options.loopDelayMs, signal);
      } catch (error) {
        if (signal.aborted && isConnectionFault(error)) break;
        const failed = session;
        session = null;
        if (!isReady || isFinal(error)) throw error;
        const pauseMs = backoff.next();
        const message = messageWithDetail(error);
        log.error(
          `Job ${options.worker} failed: ${message}; ` +
            `${isConnectionFault(error) ? "connecting again" : "next try"} in ${Math.ceil(pauseMs / 1000)} s`,
        );
        if (!(error instanceof SkyqError)) {
          log.error(`This is a bug in skyq: ${error instanceof Error ? error.stack : error}`);
        } else if (error.hint !== undefined) log.info(`hint: ${error.hint}`);
        await failed?.noteError(message);
        failed?.destroy();
        await sleep(pauseMs, signal);
      }
    }
  } finally {
    await copies.stopAll();
    await session?.close();
  }
}

function isConnectionFault(error: unknown): boolean {
  return error instanceof SkyqError &&
    (error.fault === "connect" || error.fault === "connection-lost" || error.fault === "auth");
}

/** Whether no retry can cure it. Our own lost connection may hold the job's lock for a while: that ends by itself. */
function isFinal(error: unknown): boolean {
  return error instanceof SkyqError && !error.retry && error.fault !== "already-running";
}

/** Two connections and what is known through them; thrown away as a whole when one of them fails. */
class ReplaySession {
  readonly #options: ReplayOptions;
  readonly #copies: CopyManager;
  readonly #path: Path;
  readonly #openedMs = performance.now();
  readonly #reloadCount: number;
  #nodeName = "";
  /** Whether triggers and foreign keys of the subscriber's tables keep quiet. */
  #isReplica: boolean;
  #hasStoredError = true;
  #lastBatchEndedMs = performance.now();
  #nextHousekeepingMs = 0;
  #nextCounterLookMs = 0;
  /** Tables that were not `ok` at the last look. */
  #notInSync = 0;
  #nextWatermarkMs = 0;
  #nextSequencesMs = 0;

  private constructor(options: ReplayOptions, copies: CopyManager, isReplica: boolean, path: Path) {
    this.#options = options;
    this.#copies = copies;
    this.#isReplica = isReplica;
    this.#path = path;
    this.#reloadCount = options.reloadCount;
  }

  static async open(options: ReplayOptions, copies: CopyManager, bell: TickBell): Promise<ReplaySession> {
    const { queue, worker, log, signal, lockTimeoutMs } = options;
    const applicationName = `skyq replay ${worker}`;
    const provider = await openProvider(options.provider, {
      applicationName,
      signal,
      onNotification: (notification) => bell.hear(notification),
    });
    let subscriber: WireConnection | null = null;
    try {
      const opened = await openSubscriber(options.subscriber, { applicationName, signal, lockTimeoutMs });
      subscriber = opened.connection;
      if (!opened.isReplica) {
        log.warning(
          "The subscriber's role may not set session_replication_role: triggers and foreign keys of its tables fire " +
            "for replayed rows",
        );
        log.info(
          "hint: As a superuser of the subscriber, from PostgreSQL 15 on: GRANT SET ON PARAMETER " +
            `session_replication_role TO ${quoteIdent(options.subscriber.user)}; it is noticed within half a minute.`,
        );
      }
      const session = new ReplaySession(options, copies, opened.isReplica, {
        queue,
        consumer: worker,
        provider,
        subscriber,
        codec: await EventCodec.create({ arenaBytes: options.arenaBytes }),
        largeCodec: { codec: null, rowBytes: 0 },
        plans: new Plans(subscriber),
        log,
        takes: (row) => row.merge_state === "ok",
        onlyTable: null,
        upsert: false,
        policy: options.policy,
        systemEvents: true,
      });
      await session.#begin();
      await bell.listen(provider);
      return session;
    } catch (error) {
      provider.destroy();
      subscriber?.destroy();
      throw error;
    }
  }

  /** Whether it has lived as long as connections may, or the config was read again since. */
  get isOutdated(): boolean {
    const { connectionLifetimeMs, reloadCount } = this.#options;
    return performance.now() - this.#openedMs > connectionLifetimeMs || reloadCount !== this.#reloadCount;
  }

  async close(): Promise<void> {
    await Promise.allSettled([this.#path.provider.close(), this.#path.subscriber.close()]);
  }

  destroy(): void {
    this.#path.provider.destroy();
    this.#path.subscriber.destroy();
  }

  /** Stores the error where `status` shows it, if the subscriber can still be reached. */
  async noteError(message: string): Promise<void> {
    const { subscriber, queue } = this.#path;
    if (subscriber.isClosed || subscriber.transactionStatus !== "I") return;
    await setConsumerError(subscriber, queue, this.#options.worker, message).catch(() => {});
  }

  async #begin(): Promise<void> {
    const { subscriber, queue, log } = this.#path;
    const { worker, signal } = this.#options;
    const node = await getNodeInfo(subscriber, queue).catch((error) => {
      if (error instanceof SkyqError && (error.sqlstate === "3F000" || error.sqlstate === "42883")) return null;
      throw error;
    });
    if (node === null) {
      throw new SkyqError("not-installed", `Cannot replay queue "${queue}": the subscriber has no node of it`, {
        hint: "Run `skyq subscriber install` first.",
      });
    }
    this.#nodeName = node.node_name;
    await takeJobLock(subscriber, { queue, worker, log, signal });
  }

  /**
   * One round: tables, batch, housekeeping.
   * @returns false when there was nothing to do
   */
  async step(): Promise<boolean> {
    const { queue, subscriber, log } = this.#path;
    const state = await getConsumerState(subscriber, queue, this.#options.worker);
    if (state !== null && !state.uptodate) await setConsumerUptodate(subscriber, queue, this.#options.worker);
    if (state?.paused) return false;
    await this.#housekeeping();

    const batch = await openBatch(this.#path, state);
    if (!await this.#settleTables(batch)) return false;
    if (batch === null) {
      await this.#complainOfCounter();
      return false;
    }

    const startedMs = performance.now();
    const idleS = (performance.now() - this.#lastBatchEndedMs) / 1000;
    const stats = await replayBatch(this.#path, batch, (error) => takeTableAside(this.#path, batch, error));
    this.#lastBatchEndedMs = performance.now();
    if (stats !== null) {
      log.stat({
        count: stats.count,
        ignored: stats.ignored,
        duration: (performance.now() - startedMs) / 1000,
        ...(stats.count > 0 ? { idle: idleS } : {}),
        ...(stats.missedRows > 0 ? { missed_rows: stats.missedRows } : {}),
        ...(stats.ordered > 0 ? { ordered_parts: stats.ordered } : {}),
        ...(stats.quarantined > 0 ? { quarantined: stats.quarantined } : {}),
      });
    }
    if (this.#hasStoredError) {
      await setConsumerError(subscriber, queue, this.#options.worker, null);
      this.#hasStoredError = false;
    }
    return true;
  }

  /**
   * The replay's side of the hand-over: changes the states it owns, keeps the copies running, and waits for a copy
   * that has to reach this batch's end.
   * @returns false when it was told to stop while waiting
   */
  async #settleTables(batch: OpenBatch | null): Promise<boolean> {
    const { queue, subscriber, provider, log } = this.#path;
    const { signal, parallelCopies } = this.#options;
    const waitingSinceMs = performance.now();
    for (;;) {
      const [aside, known] = await Promise.all([tablesSetAside(subscriber, queue), getTableList(subscriber, queue)]);
      const rows = known.filter((row) => row.local && !aside.has(row.table_name));
      const tables = rows.map((row) => ({ table: row.table_name, state: parseState(row.merge_state) }));
      // A table that got in sync may be what a dropped foreign key waits for.
      const notInSync = tables.filter(({ state }) => state.name !== "ok").length;
      if (notInSync < this.#notInSync) this.#nextHousekeepingMs = 0;
      this.#notInSync = notInSync;
      const decision = decideReplay(tables, batch?.tickId ?? null, parallelCopies, this.#copies.failing);
      for (const change of decision.changes) {
        // What a copy that was broken off has left is not what this one goes on with.
        if (change.from.name === "new") await forgetChunks(subscriber, { queue, table: change.table });
        if (change.to.name === "in-copy") await forgetRefusals(subscriber, queue, change.table, log);
        const moved = await moveTableState(subscriber, {
          queue,
          table: change.table,
          from: formatState(change.from),
          to: formatState(change.to),
          snapshot: rows.find((row) => row.table_name === change.table)!.custom_snapshot,
        });
        if (moved) log.info(`Table ${change.table} status changed to '${formatState(change.to)}'`);
      }
      this.#copies.ensure(decision.copies);
      if (batch === null) {
        // Whatever waits for our next batch should not wait for the idle period.
        if (tables.some(({ state }) => state.name === "wanna-sync")) await forceTick(provider, queue);
        return true;
      }
      if (!decision.wait) {
        await this.#dropSnapshots(batch, rows);
        return true;
      }
      if (performance.now() - waitingSinceMs > HANDOVER_WAIT_MAX_MS) await this.#sendBackFailingCopies(tables);
      if (!await sleep(HANDOVER_POLL_MS, signal)) return false;
    }
  }

  /** A copy's snapshot has done its work once a batch begins at a tick that sees all it saw. */
  async #dropSnapshots(batch: OpenBatch, rows: Awaited<ReturnType<typeof getTableList>>): Promise<void> {
    const { queue, provider, subscriber, log } = this.#path;
    const filtered = rows.filter((row) => row.merge_state === "ok" && row.custom_snapshot !== null);
    if (filtered.length === 0) return;
    const tick = await tickSnapshot(provider, queue, batch.prevTickId);
    if (tick === null) return;
    const begin = parseSnapshot(tick);
    for (const row of filtered) {
      if (!seesAllOf(begin, parseSnapshot(row.custom_snapshot!))) continue;
      await moveTableState(subscriber, { queue, table: row.table_name, from: "ok", to: "ok", snapshot: null });
      log.debug(`${row.table_name}: the copy's snapshot is not needed any more`);
      this.#nextHousekeepingMs = 0;
    }
  }

  async #sendBackFailingCopies(tables: readonly { table: string; state: ReturnType<typeof parseState> }[]) {
    const { queue, subscriber, log } = this.#path;
    for (const { table, state } of tables) {
      const error = this.#copies.errorOf(table);
      if (state.name !== "do-sync" || error === null) continue;
      await this.#copies.stop(table);
      const snapshot = (await getTableList(subscriber, queue)).find((row) => row.table_name === table)?.custom_snapshot;
      await moveTableState(subscriber, {
        queue,
        table,
        from: formatState(state),
        to: "catching-up",
        snapshot: snapshot ?? null,
      });
      log.error(`${table}: its copy cannot reach the hand-over (${error}); the other tables go on without it`);
    }
  }

  /** A provider whose transaction counter went back gives no batches: without this nobody would say why. */
  async #complainOfCounter(): Promise<void> {
    if (performance.now() < this.#nextCounterLookMs) return;
    this.#nextCounterLookMs = performance.now() + HOUSEKEEPING_PERIOD_MS;
    const { queue, provider, subscriber, log } = this.#path;
    const behind = await transactionIdsBehind(provider, queue);
    if (behind === 0n) return;
    const { message, hint } = counterWentBack(`Queue "${queue}" gives nothing`, behind);
    log.error(message);
    log.info(`hint: ${hint}`);
    await setConsumerError(subscriber, queue, this.#options.worker, message);
    this.#hasStoredError = true;
  }

  async #housekeeping(): Promise<void> {
    const nowMs = performance.now();
    const { queue, provider, subscriber, log } = this.#path;
    if (nowMs >= this.#nextHousekeepingMs) {
      this.#nextHousekeepingMs = nowMs + HOUSEKEEPING_PERIOD_MS;
      if (!this.#isReplica && await setReplicaRole(subscriber)) {
        this.#isReplica = true;
        log.info("session_replication_role is set now: triggers and foreign keys keep quiet for replayed rows");
      }
      await removeStrayCopyConsumers(provider, subscriber, { queue, worker: this.#options.worker, log });
      this.#copies.ensure(await tablesWithoutIndexes(subscriber, queue));
      await restoreFkeys(subscriber, log);
      await mendCaptures(provider, { queue, log, lockTimeoutMs: this.#options.lockTimeoutMs });
    }
    if (nowMs >= this.#nextSequencesMs) {
      this.#nextSequencesMs = nowMs + SEQUENCE_ROUNDS * Math.max(this.#options.loopDelayMs, 100);
      try {
        await rootCheckSeqs(provider, queue);
      } catch (error) {
        if (!(error instanceof SkyqError) || error.fault !== "privilege") throw error;
        this.#nextSequencesMs = Infinity;
        log.warning(`Sequence values are published by the ticker's maintenance alone: ${error.message}`);
      }
    }
    if (nowMs >= this.#nextWatermarkMs) {
      this.#nextWatermarkMs = nowMs + WATERMARK_PERIOD_MS;
      const node = await getNodeInfo(subscriber, queue);
      if (node?.local_watermark != null) {
        await setSubscriberWatermark(provider, queue, this.#nodeName, node.local_watermark);
      }
    }
  }
}

async function noteCopyError(options: ReplayOptions, table: string, error: string | null): Promise<void> {
  const db = await WireConnection.connect(options.subscriber, { applicationName: `skyq replay ${options.worker}` });
  try {
    await db.query(
      `insert into skyq.copy_state as s (queue_name, table_name, error, error_time) values ($1, $2, $3, now())
       on conflict (queue_name, table_name) do update set error = excluded.error, error_time = now()`,
      [options.queue, table, error],
    );
  } finally {
    await db.close();
  }
}
