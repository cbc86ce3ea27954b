// The sessions that compare and repair read and write with. How values read is set by `pinSettings` (`order.ts`), once
// the layout is known.

import { SkyqError } from "../../base/errors.ts";
import type { Target } from "../../db/target.ts";
import { WireConnection, type WireOptions } from "../../db/wire/connection.ts";
import { NOTICE_DEAD_CLIENT, setReplicaRole } from "../replay/connections.ts";

/** How to reach the two databases, and what brings changes from one to the other. */
export interface Pair {
  readonly source: Target;
  readonly target: Target;
  /** null: tables that no queue of ours connects. */
  readonly replication: Replication | null;
}

export interface Replication {
  readonly queue: string;
  /** The subscriber's worker: its position on the queue, and on the subscriber. */
  readonly consumer: string;
}

export interface SessionOptions {
  /** 0 is no limit. */
  readonly statementTimeoutMs: number;
  readonly signal: AbortSignal;
}

/** A session for reading. @param options.lockLimitMs how long it waits for a table that somebody has locked */
export function openReader(
  target: Target,
  options: SessionOptions & { readonly lockLimitMs: number },
): Promise<WireConnection> {
  return open(target, "skyq compare", options, {
    lockTimeoutMs: options.lockLimitMs,
    // The side that is read first waits in its transaction for the other one.
    settings: { idle_in_transaction_session_timeout: "0" },
  });
}

/** Gives a reader a snapshot of now until its session ends: COPY and other statements see that one moment. */
export async function takeSnapshot(reader: WireConnection): Promise<void> {
  const limit = reader.serverVersion >= 170_000 ? "set local transaction_timeout = 0; " : "";
  await reader.exec(`begin isolation level repeatable read read only; ${limit}select 1`);
}

/** How long a second look or a fix waits for a row or table that somebody else has locked. */
const LOCK_WAIT_MS = 2_000;
/** How long a transaction that fixes rows may be left alone by a client that has vanished. */
const FIX_IDLE_MS = 30_000;

/** A session that looks rows up by their keys: plans that begin with the whole table are kept away from it. */
export function openKeyReader(target: Target, options: SessionOptions): Promise<WireConnection> {
  return open(target, "skyq compare", options, { lockTimeoutMs: LOCK_WAIT_MS, settings: BY_KEY });
}

/**
 * A session that reads and writes rows by their keys. As the replay's, it fires no ordinary triggers and no foreign keys.
 * @throws {SkyqError} `privilege` when the role may not set session_replication_role
 */
export async function openFixer(target: Target, options: SessionOptions): Promise<WireConnection> {
  const connection = await open(target, "skyq repair", options, {
    lockTimeoutMs: LOCK_WAIT_MS,
    settings: { ...BY_KEY, idle_in_transaction_session_timeout: String(FIX_IDLE_MS) },
  });
  try {
    if (await setReplicaRole(connection)) return connection;
  } catch (error) {
    connection.destroy();
    throw error;
  }
  connection.destroy();
  throw new SkyqError("privilege", "Cannot apply fixes: the role may not set session_replication_role", {
    hint: "Triggers and foreign keys would fire for them. From PostgreSQL 15 on: GRANT SET ON PARAMETER " +
      "session_replication_role TO the role. Or leave --apply out, and have a superuser run the file.",
  });
}

const BY_KEY = {
  enable_hashjoin: "off",
  enable_mergejoin: "off",
  enable_seqscan: "off",
} as const;

function open(
  target: Target,
  applicationName: string,
  { statementTimeoutMs, signal }: SessionOptions,
  { settings, ...options }: WireOptions,
): Promise<WireConnection> {
  return WireConnection.connect(target, {
    ...options,
    applicationName,
    signal,
    statementTimeoutMs,
    settings: { ...NOTICE_DEAD_CLIENT, jit: "off", ...settings },
  });
}
