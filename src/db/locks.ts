// Locks of tables that others are using, for changes of structure.
//
// PostgreSQL looks for deadlocks in the session that has waited for deadlock_timeout, and ends that session's
// transaction. So whoever waits for one table while it holds another may make an application's transaction the victim.
// Here nobody waits who holds anything: the first table is waited for with empty hands, the others are taken only when
// they are free at that moment, else all is let go and done again from the beginning.

import type { Logger } from "../base/log.ts";
import { SkyqError } from "../base/errors.ts";
import { sleep } from "../base/time.ts";
import { shortStatement } from "./errors.ts";
import { one, type Queryable } from "./queryable.ts";
import { quoteLiteral } from "./quote.ts";

/** The weaker one lets others read: making a trigger or a foreign key. The other is for nearly all else. */
export type LockMode = "share row exclusive" | "access exclusive";

/**
 * Locks tables until the transaction ends. Must come first in a transaction; what a second call in the same transaction
 * asks for is not waited for. `lock_timeout` is as it was afterwards. Tables that the role may not lock are left to the
 * statements that change them.
 *
 * @param tables SQL names, without their children; first what everybody locks first
 * @throws {SkyqError} `lock-timeout`, which `withLocks` catches
 */
export type Locker = (tx: Queryable, tables: readonly string[], mode: LockMode) => Promise<void>;

export interface LockOptions {
  /** What cannot be done without the locks, for the error: "Cannot add table public.t". */
  readonly act: string;
  readonly log: Logger;
  readonly signal?: AbortSignal;
  /** How long to try; by default as long as the session's lock_timeout, 0 for ever. */
  readonly limitMs?: number;
}

/** An autovacuum that is in the way is ended by the server when somebody has waited for deadlock_timeout. */
const BEYOND_DEADLOCK_CHECK_MS = 500;
/** Between two tries others get their turn at least so long. */
const PAUSE_MIN_MS = 50;

/**
 * Runs `work`, which begins its transactions with the locker it is given, again and again until it gets its locks. A
 * lock that is not free is waited for in short turns, so that those who come after us never stand behind us for long.
 *
 * @param work whole transactions: each try begins them anew
 * @throws {SkyqError} `lock-timeout` that names who holds the lock; whatever else `work` throws
 */
export async function withLocks<T>(options: LockOptions, work: (lock: Locker) => Promise<T>): Promise<T> {
  const { act, log, signal } = options;
  const attempts = new Attempts(options);
  for (;;) {
    const startedMs = performance.now();
    try {
      return await work(attempts.locker());
    } catch (error) {
      if (!isBusy(error)) throw error;
      const waitedMs = performance.now() - startedMs;
      if (attempts.isOver) throw attempts.failure(error);
      if (attempts.count === 1) log.info(`${act} yet: ${attempts.inTheWay ?? error.message}; trying again`);
      // As long as we were in the way of others.
      if (!await sleep(Math.max(PAUSE_MIN_MS, Math.min(waitedMs, attempts.waitMs)), signal)) {
        throw new SkyqError("stopped", "Stopped before anything was changed");
      }
    }
  }
}

/** Whether the same work may succeed a moment later, because somebody else's locks were in its way. */
function isBusy(error: unknown): error is SkyqError {
  return error instanceof SkyqError && (error.sqlstate === "55P03" || error.sqlstate === "40P01");
}

class Attempts {
  count = 0;
  /** How long one try waits at most; known after the first look at the server. */
  waitMs = PAUSE_MIN_MS;
  /** Who held the lock that was missing last, in words. */
  inTheWay: string | null = null;
  readonly #options: LockOptions;
  readonly #startedMs = performance.now();
  #limitMs: number | undefined;
  /** What was not free last: waited for alone, before all are taken. */
  #missing: { tx: string; table: string; isMaintained: boolean } | null = null;

  constructor(options: LockOptions) {
    this.#options = options;
    this.#limitMs = options.limitMs;
  }

  get isOver(): boolean {
    return this.#leftMs() <= 0;
  }

  #leftMs(): number {
    return (this.#limitMs ?? Infinity) === 0
      ? Infinity
      : this.#startedMs + (this.#limitMs ?? Infinity) - performance.now();
  }

  failure(cause: SkyqError): SkyqError {
    const seconds = ((performance.now() - this.#startedMs) / 1000).toFixed(1);
    const tried = `not obtained in ${this.count === 1 ? "1 try" : `${this.count} tries`}, ${seconds} s`;
    return new SkyqError("lock-timeout", `${this.#options.act}: ${this.inTheWay ?? cause.message} (${tried})`, {
      hint: cause.hint,
      facts: cause.facts,
      sqlstate: cause.sqlstate,
      cause,
    });
  }

  locker(): Locker {
    this.count++;
    this.inTheWay = null;
    const holding = new Set<Queryable>();
    return async (tx, tables, mode) => {
      if (tables.length === 0) return;
      const server = await one<{ session: string; own: number; deadlock: number; lockable: string[] }>(
        tx,
        `select array(select t.name from pg_catalog.unnest($1::text[]) with ordinality t (name, nr)
                       where pg_catalog.to_regclass(t.name) is null
                          or pg_catalog.has_table_privilege(t.name, 'UPDATE, DELETE, TRUNCATE') order by t.nr) as lockable,
                pg_catalog.current_database() || ' ' || pg_catalog.pg_backend_pid() as session,
                (select s.setting::int4 from pg_catalog.pg_settings s where s.name = 'lock_timeout') as own,
                (select s.setting::int4 from pg_catalog.pg_settings s where s.name = 'deadlock_timeout') as deadlock`,
        [tables],
      );
      this.#limitMs ??= server.own;
      this.waitMs = Math.ceil(server.deadlock / 2);
      const lockable = server.lockable;
      if (lockable.length < tables.length) {
        // Who may make a trigger may not always say LOCK TABLE: then at least the statement itself waits no longer.
        await tx.query(`set local lock_timeout = ${this.#turn(this.waitMs)}`);
        if (lockable.length === 0) return;
      }
      const isMissingHere = this.#missing !== null && this.#missing.tx === server.session;
      const alone = isMissingHere && lockable.includes(this.#missing!.table) && !holding.has(tx) ? this.#missing : null;
      const waits = {
        first: this.#turn(this.waitMs),
        alone: this.#turn(alone?.isMaintained ? server.deadlock + BEYOND_DEADLOCK_CHECK_MS : this.waitMs),
      };
      await tx.query("savepoint skyq_lock");
      try {
        if (alone !== null) {
          await tx.query(`set local lock_timeout = ${waits.alone}`);
          await tx.query(lockStatement([alone.table], mode, true));
          await tx.query("rollback to savepoint skyq_lock");
        }
        await tx.query(`set local lock_timeout = ${waits.first}`);
        await tx.query(lockStatement(lockable, mode, !holding.has(tx)));
        await tx.query(`set local lock_timeout = ${lockable.length < tables.length ? waits.first : server.own}`);
        await tx.query("release savepoint skyq_lock");
      } catch (error) {
        if (!isBusy(error) || typeof error.facts.table !== "string") throw error;
        await tx.query("rollback to savepoint skyq_lock");
        throw await this.#lookAt(tx, { session: server.session, table: error.facts.table, mode, cause: error });
      }
      holding.add(tx);
    };
  }

  #turn(waitMs: number): number {
    return Math.max(1, Math.ceil(Math.min(waitMs, this.#leftMs())));
  }

  async #lookAt(
    tx: Queryable,
    { session, table, mode, cause }: { session: string; table: string; mode: LockMode; cause: SkyqError },
  ): Promise<SkyqError> {
    const holders = await holdersOf(tx, table, mode);
    this.#missing = {
      tx: session,
      table,
      isMaintained: holders.some((holder) => holder.is_maintenance),
    };
    const words = holders.slice(0, HOLDERS_SHOWN_MAX).map(describeHolder);
    this.inTheWay = `table ${shown(table)} is in use` + (words.length === 0 ? "" : ` by ${words.join("; ")}`);
    const pids = holders.flatMap((holder) => holder.pid === null ? [] : [holder.pid]);
    return new SkyqError("lock-timeout", `Cannot lock table ${shown(table)}: it is in use`, {
      hint: "Nothing was changed. Try again when those transactions are over, or with a longer lock_timeout" +
        (pids.length === 0 ? "." : `; or end them: SELECT pg_terminate_backend(${pids[0]});`),
      facts: { ...cause.facts, table, pids },
      sqlstate: cause.sqlstate,
      cause,
    });
  }
}

/** Locks all at once or none. An error says in its `table` field which one was not free. */
function lockStatement(tables: readonly string[], mode: LockMode, mayWait: boolean): string {
  // Literals in a literal: no name can end it, as one with the tag of dollar quotes in it would.
  return `do ${
    quoteLiteral(`
    declare
      v_table text;
      v_nowait text := '${mayWait ? "" : " nowait"}';
    begin
      foreach v_table in array array[${tables.map(quoteLiteral).join(", ")}]::pg_catalog.text[] loop
        execute 'lock table only ' || v_table || ' in ${mode} mode' || v_nowait;
        v_nowait := ' nowait';
      end loop;
    exception when lock_not_available or deadlock_detected then
      raise exception using errcode = sqlstate, message = sqlerrm, table = v_table;
    end`)
  }`;
}

/** Without the quotes that nobody needs. */
function shown(table: string): string {
  return table.replace(/"([a-z_][a-z0-9_]*)"/g, "$1");
}

interface Holder {
  /** Null: a prepared transaction. */
  readonly pid: number | null;
  /** VACUUM, ANALYZE, and what else changes nothing: autovacuum nearly always. */
  readonly is_maintenance: boolean;
  readonly role: string | null;
  readonly application: string | null;
  readonly state: string | null;
  readonly since: string | null;
  readonly query: string | null;
}

const HOLDERS_SHOWN_MAX = 3;

/** Who holds locks of a table that exclude `mode`, the oldest transaction first. */
async function holdersOf(db: Queryable, table: string, mode: LockMode): Promise<Holder[]> {
  return await db.query<Holder>(
    `select l.pid, pg_catalog.bool_or(l.mode = 'ShareUpdateExclusiveLock') as is_maintenance, a.usename::text as role, a.application_name as application, a.state,
            pg_catalog.to_char(a.xact_start, 'YYYY-MM-DD HH24:MI:SS') as since, a.query
       from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid
      where l.locktype = 'relation' and l.granted and l.relation = pg_catalog.to_regclass($1)
        and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())
        and ($2 or l.mode not in ('AccessShareLock', 'RowShareLock'))
        and l.pid is distinct from pg_catalog.pg_backend_pid()
      group by l.pid, a.usename, a.application_name, a.state, a.xact_start, a.query
      order by a.xact_start nulls last, l.pid`,
    [table, mode === "access exclusive"],
  );
}

/** @example `process 4711 (role "app", application "psql", idle in transaction, begun 2026-11-21 03:00:00): "update t …"` */
function describeHolder(
  { pid, is_maintenance: isMaintenance, role, application, state, since, query }: Holder,
): string {
  if (pid === null) return "a prepared transaction (see pg_prepared_xacts)";
  const what = [
    role === null ? null : `role "${role}"`,
    !application ? null : `application "${application}"`,
    state,
    since === null ? null : `begun ${since}`,
  ].filter((word) => word !== null);
  if (role === null && isMaintenance) what.push("autovacuum");
  const statement = !query || query === "<insufficient privilege>" ? "" : `: "${shortStatement(query)}"`;
  return `process ${pid}${what.length === 0 ? "" : ` (${what.join(", ")})`}${statement}`;
}
