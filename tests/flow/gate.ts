/** Stops the product's own session at one exact place: in front of a change of a row that marks its progress. */
import postgres from "postgres";
import type { LentDatabase } from "../harness/pair.ts";
import { waitFor } from "../harness/wait_for.ts";

const LOCK = 4711;

/**
 * SQL that puts a gate in front of every update (or delete) of a row of `table` for which `condition` holds (`old` and `new` are the row). It
 * stands open until {@link Gate.close} closes it by its name. The sessions of a replay fire it as well.
 */
export function gateSql(
  { name, table, condition, event = "update" }: {
    name: string;
    table: string;
    condition: string;
    event?: "update" | "delete";
  },
): string {
  return `
    create table if not exists public.gate (name text);
    create or replace function public.pass_gate() returns trigger language plpgsql as $$
    begin
      if exists (select from public.gate g where g.name = tg_argv[0]) then
        perform pg_advisory_xact_lock(${LOCK});
      end if;
      return case when tg_op = 'DELETE' then old else new end;
    end $$;
    create trigger "gate ${name}" before ${event} on ${table} for each row when (${condition})
      execute function public.pass_gate('${name}');
    alter table ${table} enable always trigger "gate ${name}";`;
}

/** A closed gate: a lock that our own session holds. */
export class Gate implements AsyncDisposable {
  readonly #database: LentDatabase;
  readonly #sql: postgres.Sql;

  private constructor(database: LentDatabase, sql: postgres.Sql) {
    this.#database = database;
    this.#sql = sql;
  }

  /** @param name as given to {@link gateSql} */
  static async close(database: LentDatabase, name: string): Promise<Gate> {
    const { host, port, superuser: user } = database.cluster;
    const sql = postgres({ host, port, user, database: database.name, max: 1, onnotice: () => {} });
    await sql`select pg_advisory_lock(${LOCK})`;
    await sql`insert into public.gate values (${name})`;
    return new Gate(database, sql);
  }

  /** Waits until somebody waits at the gate. */
  async reached(): Promise<void> {
    await waitFor(async () => Number(await this.#database.sql(`select count(*) ${WAITING}`)) > 0, {
      what: "somebody to reach the gate",
      timeoutMs: 120_000,
    });
  }

  /** Lets those who wait go on. */
  async open(): Promise<void> {
    await this.#sql`delete from public.gate`;
    await this.#sql`select pg_advisory_unlock(${LOCK})`;
  }

  /** Opens the gate, and nobody who waits there gets through: their sessions end, as do those whose client died. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#database.sql(`delete from public.gate; select pg_terminate_backend(l.pid) ${WAITING}`);
    await this.#sql.end({ timeout: 5 });
  }
}

const WAITING = `from pg_locks l where l.locktype = 'advisory' and l.objid = ${LOCK} and not l.granted
  and l.database = (select d.oid from pg_database d where d.datname = current_database())`;
