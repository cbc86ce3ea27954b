/** What every session is told and asked right after its start-up, whichever connection it is. */
import { SkyqError } from "../../base/errors.ts";
import type { Queryable } from "../queryable.ts";
import type { Target } from "../target.ts";

/**
 * Makes values read the same on every server, whatever its configuration or the role's settings say: rows go from one to
 * the other as text, and "01/02/2026" would change its meaning on the way.
 */
const TEXT_SETTINGS: Readonly<Record<string, string>> = {
  datestyle: "ISO, MDY",
  intervalstyle: "postgres",
  extra_float_digits: "3",
  bytea_output: "hex",
  standard_conforming_strings: "on",
  array_nulls: "on",
};

export interface SessionLimits {
  statementTimeoutMs?: number;
  lockTimeoutMs?: number;
  settings?: Record<string, string>;
}

/** Applies our settings and `limits` in one round trip. @throws {SkyqError} for a setting that does not exist or may not be made */
export async function applySettings(db: Queryable, limits: SessionLimits): Promise<void> {
  const settings: Record<string, string> = { ...TEXT_SETTINGS };
  if (limits.statementTimeoutMs !== undefined) settings.statement_timeout = String(limits.statementTimeoutMs);
  if (limits.lockTimeoutMs !== undefined) settings.lock_timeout = String(limits.lockTimeoutMs);
  Object.assign(settings, limits.settings);
  await db.query(
    "select pg_catalog.set_config(s.name, s.value, false) from unnest($1::text[], $2::text[]) as s(name, value)",
    [Object.keys(settings), Object.values(settings)],
  );
}

/**
 * Checks `target_session_attrs`.
 * @param isLastChance no host is left: prefer-standby takes anything
 * @throws {SkyqError} `connect` when the session is not of the kind asked for
 */
export async function checkSessionAttrs(
  db: Queryable,
  target: Target,
  act: string,
  isLastChance: boolean,
): Promise<void> {
  const wanted = target.sessionAttrs;
  if (wanted === "any") return;
  const [state] = await db.query<{ standby: boolean; readonly: boolean }>(
    "select pg_catalog.pg_is_in_recovery() as standby," +
      " pg_catalog.current_setting('transaction_read_only') = 'on' as readonly",
  );
  const { standby, readonly } = state!;
  const isRight = {
    "read-write": !readonly,
    "read-only": readonly,
    "primary": !standby,
    "standby": standby,
    "prefer-standby": standby || isLastChance,
  }[wanted];
  if (isRight) return;
  throw new SkyqError(
    "connect",
    `${act}: the session is ${standby ? "on a standby" : readonly ? "read-only" : "read-write"}`,
    {
      hint: `target_session_attrs asks for "${wanted}".`,
    },
  );
}
