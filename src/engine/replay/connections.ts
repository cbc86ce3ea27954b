import type { Target } from "../../db/target.ts";
import { WireConnection, type WireOptions } from "../../db/wire/connection.ts";

/**
 * A server that cannot reach its client any more keeps the session, and with it our lock and position, until it
 * notices: with these settings after a minute, not after the two hours of most systems.
 */
export const NOTICE_DEAD_CLIENT = {
  tcp_keepalives_idle: "30",
  tcp_keepalives_interval: "10",
  tcp_keepalives_count: "3",
} as const;

/**
 * Values travel as text, so both sides must write and read it alike, whatever a database or role has set for itself.
 * The connection sees to dates, intervals, floats and bytes; these two are ours.
 */
const PORTABLE_TEXT = { timezone: "UTC", lc_monetary: "C" } as const;

/** Connects to the provider for reading batches and rows. */
export function openProvider(
  target: Target,
  options: Pick<WireOptions, "signal" | "onNotification"> & { applicationName: string },
): Promise<WireConnection> {
  return WireConnection.connect(target, {
    ...options,
    keepStatements: true,
    settings: { ...NOTICE_DEAD_CLIENT, ...PORTABLE_TEXT, jit: "off" },
  });
}

export interface SubscriberOptions {
  readonly applicationName: string;
  readonly signal: AbortSignal;
  readonly lockTimeoutMs: number;
}

export interface SubscriberSession {
  readonly connection: WireConnection;
  /** Ordinary triggers and foreign keys keep quiet. False: the role may not set that, they fire. */
  readonly isReplica: boolean;
}

/**
 * Connects to the subscriber for applying rows.
 *
 * The planner settings close a trap: a set-based update joins an array of unknown length with the target table, and
 * from some length on the planner prefers to hash the whole target, which is several times slower than its key's index.
 */
export async function openSubscriber(target: Target, options: SubscriberOptions): Promise<SubscriberSession> {
  const connection = await WireConnection.connect(target, {
    applicationName: options.applicationName,
    signal: options.signal,
    lockTimeoutMs: options.lockTimeoutMs,
    keepStatements: true,
    settings: {
      ...NOTICE_DEAD_CLIENT,
      ...PORTABLE_TEXT,
      enable_hashjoin: "off",
      enable_mergejoin: "off",
      enable_seqscan: "off",
      jit: "off",
    },
  });
  try {
    return { connection, isReplica: await setReplicaRole(connection) };
  } catch (error) {
    connection.destroy();
    throw error;
  }
}

/**
 * The first way is a function of londiste whose owner may have the right that we lack. Refusals are caught on the
 * server: it would write each into its own log, and a replay without the right asks again and again.
 */
const TRY_REPLICA_ROLE = `do $$
begin
  perform londiste.set_session_replication_role('replica', false);
exception when others then
  begin
    perform pg_catalog.set_config('session_replication_role', 'replica', false);
  exception when insufficient_privilege then
    null;
  end;
end;
$$`;

/** Sets session_replication_role = replica, outside of transactions. @returns false when our role may not */
export async function setReplicaRole(connection: WireConnection): Promise<boolean> {
  await connection.exec(TRY_REPLICA_ROLE);
  const rows = await connection.query<{ role: string }>(
    "select pg_catalog.current_setting('session_replication_role') as role",
    [],
  );
  return rows[0]!.role === "replica";
}
