import type { Logger } from "../../base/log.ts";
import type { EventCodec } from "../../codec/event_codec.ts";
import type { WireConnection } from "../../db/wire/connection.ts";
import type { TableRow } from "../../queue/londiste.ts";
import type { Plans } from "./plan.ts";
import type { Quarantine } from "./quarantine.ts";
import type { ErrorPolicy } from "./refusal.ts";

/** Where a table's events stand for one consumer: which to take and how to apply them. */
export interface TakenTable {
  /** The local table, `schema.name`. */
  readonly dest: string;
  /** Snapshot of the first copy: events it has seen are left out. */
  readonly snapshot: string | null;
  /** Columns of the events that the local table lacks, and that are passed over. */
  readonly leftOut: ReadonlySet<string>;
}

/**
 * The way of one consumer's batches from a provider to a subscriber. Built once per connection pair; everything in it
 * is thrown away together when one of the connections fails.
 */
export interface Path {
  readonly queue: string;
  readonly consumer: string;
  readonly provider: WireConnection;
  readonly subscriber: WireConnection;
  readonly codec: EventCodec;
  /** Made when an event does not fit `codec`, and kept for the next one of its kind. */
  readonly largeCodec: { codec: EventCodec | null; rowBytes: number };
  /** Statements for the subscriber's tables, kept for the life of its connection. */
  readonly plans: Plans;
  readonly log: Logger;
  /** Which tables this consumer applies: all in state `ok` for the worker, the one being caught up for a copy. */
  takes(row: TableRow): boolean;
  /** Provider-side restriction of the batch to one table, for a copy's catch-up; null reads everything. */
  readonly onlyTable: string | null;
  /**
   * Rows may be there or not, and newer than their events: the catch-up of a table that was copied in chunks. Whatever is
   * there of an event's key gives way to what the event says.
   */
  readonly upsert: boolean;
  /** What becomes of rows that cannot be applied; where it is left out they stop the batch. */
  readonly policy?: ErrorPolicy;
  /** Whether system events (`londiste.*`, `pgq.*`) are this consumer's business. */
  readonly systemEvents: boolean;
}

/** What one batch did, for the statistics line. */
export interface BatchStats {
  /** Events read from the queue. */
  count: number;
  /** Events of tables that are not replayed here, or that the first copy had seen. */
  ignored: number;
  /** Rows an UPDATE or DELETE should have met and did not. */
  missedRows: number;
  /** Parts that had to be applied event by event after a constraint refused the set-based way. */
  ordered: number;
  /** Events that went into quarantine. */
  quarantined: number;
}

/** One batch on its way, in its subscriber transaction. */
export interface BatchRun {
  readonly tickId: bigint;
  readonly stats: BatchStats;
  readonly quarantine: Quarantine;
  /** To be logged once the batch is committed. */
  readonly notes: string[];
  /** The last part's savepoint on its way out; awaited before the commit. */
  released: Promise<unknown>;
}
