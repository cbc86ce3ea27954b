/** Sessions of an application that does what a history says, a statement at a time. */
import postgres from "postgres";
import type { LentDatabase } from "../../harness/pair.ts";
import { drawChange, drawTable, type Table } from "./history.ts";
import { chance, type Draw, int, pick } from "./types.ts";

/** How long a statement waits for another session's lock before it fails: sessions take turns, so nobody lets go. */
const LOCK_TIMEOUT_MS = 20;

/** One connection, in or out of a transaction. */
export class Session {
  readonly #sql: postgres.Sql;
  isInTransaction = false;
  savepointCount = 0;

  constructor({ cluster, name }: LentDatabase) {
    const { host, port, superuser: user } = cluster;
    this.#sql = postgres({ host, port, user, database: name, max: 1, onnotice: () => {} });
  }

  async start(): Promise<void> {
    await this.#sql.unsafe(`set lock_timeout = ${LOCK_TIMEOUT_MS}; set check_function_bodies = off`);
  }

  /** @returns what the server refused it for, null when it did it */
  async try(statement: string): Promise<string | null> {
    try {
      await this.#sql.unsafe(statement);
      return null;
    } catch (error) {
      const { code, message } = error as { code?: string; message: string };
      // A statement that makes no sense would test nothing.
      if (code === undefined || /^(42|0A|22P0[23]|22007|22008)/.test(code)) {
        throw new Error(`${message} (${code})\n${statement}`);
      }
      return code;
    }
  }

  close(): Promise<void> {
    return this.#sql.end({ timeout: 5 });
  }
}

/** What one history has done and has still to do. */
export class History {
  readonly tables: readonly Table[];
  /** All that was sent, with what was refused. */
  readonly log: string[] = [];
  readonly #draw: Draw;
  readonly #sessions: readonly Session[];
  #stepsLeft: number;

  constructor(
    draw: Draw,
    { schema, sessions, major, stepCount }: {
      /** Unquoted. */
      schema: string;
      sessions: readonly Session[];
      major: number;
      stepCount: number;
    },
  ) {
    this.#draw = draw;
    this.#sessions = sessions;
    this.#stepsLeft = stepCount;
    this.tables = Array.from({ length: int(draw, 1, 2) }, (_, index) => drawTable(draw, schema, index, major));
  }

  get isOver(): boolean {
    return this.#stepsLeft === 0;
  }

  /** One statement of one session. */
  async step(): Promise<void> {
    this.#stepsLeft--;
    const draw = this.#draw;
    const session = pick(draw, this.#sessions);
    if (!session.isInTransaction) {
      if (chance(draw, 20)) return await this.#change(session);
      const level = pick(draw, ["read committed", "read committed", "read committed", "repeatable read"]);
      await this.#send(session, `begin isolation level ${level}`);
      session.isInTransaction = true;
      session.savepointCount = 0;
      return await this.#change(session);
    }
    const what = int(draw, 0, 99);
    if (what < 14) return await this.#end(session, "commit");
    if (what < 18) return await this.#end(session, "rollback");
    if (what < 28) return await this.#savepoint(session);
    if (what < 36 && session.savepointCount > 0) return await this.#leave(session);
    await this.#change(session);
  }

  /** Ends what is open. */
  async finish(): Promise<void> {
    this.#stepsLeft = 0;
    await this.settle();
  }

  /** Ends the transactions that are under way, one way or the other. */
  async settle(): Promise<void> {
    for (const session of this.#sessions) {
      if (session.isInTransaction) await this.#end(session, chance(this.#draw, 80) ? "commit" : "rollback");
    }
  }

  async #change(session: Session): Promise<void> {
    const refused = await this.#send(session, drawChange(this.#draw, pick(this.#draw, this.tables)));
    if (refused === null || !session.isInTransaction) return;
    if (session.savepointCount > 0) await this.#send(session, `rollback to s${session.savepointCount}`);
    else await this.#end(session, "rollback");
  }

  async #savepoint(session: Session): Promise<void> {
    session.savepointCount++;
    await this.#send(session, `savepoint s${session.savepointCount}`);
  }

  async #leave(session: Session): Promise<void> {
    await this.#send(session, `${pick(this.#draw, ["rollback to", "release"])} s${session.savepointCount}`);
    // After a rollback the savepoint is still there; it is not used again.
    session.savepointCount--;
  }

  async #end(session: Session, how: "commit" | "rollback"): Promise<void> {
    session.isInTransaction = false;
    session.savepointCount = 0;
    await this.#send(session, how);
  }

  async #send(session: Session, statement: string): Promise<string | null> {
    const refused = await session.try(statement);
    this.log.push(`${"AB"[this.#sessions.indexOf(session)]}: ${statement};${refused === null ? "" : ` -- ${refused}`}`);
    return refused;
  }
}
