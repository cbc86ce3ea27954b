import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { openSql, type SqlConnection, type TypedResult } from "../../db/sql.ts";
import { parseTarget, type Target } from "../../db/target.ts";
import { requirePgq, requireQueue } from "../queue_admin/names.ts";

/** What the statements print to. */
export interface Printer {
  line(text: string): void;
  /** Rows under their columns' names; values as text, null for NULL. */
  rows(result: TypedResult): void;
}

/** The console's connection and default queue. */
export class ConsoleSession {
  #db: SqlConnection;
  #target: Target;
  queue: string | null = null;
  /** `exit;` was typed. */
  isOver = false;

  private constructor(db: SqlConnection, target: Target, readonly printer: Printer, readonly log: Logger) {
    this.#db = db;
    this.#target = target;
  }

  /** @throws {SkyqError} `connect`, `auth`, `config` · `not-found`, `not-installed` (the queue) */
  static async open(
    { dsn, queue, printer, log }: { dsn: string; queue: string | null; printer: Printer; log: Logger },
  ): Promise<ConsoleSession> {
    const target = parseTarget(dsn);
    const session = new ConsoleSession(await connect(target, log), target, printer, log);
    try {
      if (queue !== null) await session.use(queue);
      return session;
    } catch (error) {
      await session.close();
      throw error;
    }
  }

  get db(): SqlConnection {
    return this.#db;
  }

  get prompt(): string {
    return `${this.queue ?? "(noqueue)"}@${this.#target.database}`;
  }

  /** Makes `queue` the default one. */
  async use(queue: string): Promise<void> {
    await requirePgq(this.#db);
    await requireQueue(this.#db, queue);
    this.queue = queue;
  }

  /** @throws {SkyqError} `usage` when neither the statement nor the session names a queue */
  needQueue(named: string | null = null): string {
    const queue = named ?? this.queue;
    if (queue !== null) return queue;
    throw new SkyqError("usage", "Cannot run the statement: no queue is named", {
      hint: "Name one in the statement, or connect with queue=…",
    });
  }

  /** Goes to another database; the old one stays when that fails. */
  async reconnect(dsn: string): Promise<void> {
    const target = parseTarget(dsn);
    const db = await connect(target, this.log);
    await this.#db.close();
    this.#db = db;
    this.#target = target;
    this.queue = null;
  }

  /** The connect string of now, without its secrets. */
  get location(): string {
    return this.#target.redacted;
  }

  /** Ends the running statement. */
  async cancel(): Promise<void> {
    await using other = await connect(this.#target, this.log);
    await other.query("select pg_cancel_backend($1)", [this.#db.processId]);
  }

  async close(): Promise<void> {
    await this.#db.close();
  }
}

function connect(target: Target, log: Logger): Promise<SqlConnection> {
  return openSql(target, {
    applicationName: "skyq console",
    onNotice: (notice) => log.info(`${notice.severity}: ${notice.message}`),
  });
}
