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
    { target, queue, printer, log }: { target: Target; queue: string | null; printer: Printer; log: Logger },
  ): Promise<ConsoleSession> {
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

  /** Connects again where the server ended the connection. @returns whether it had to */
  async revive(): Promise<boolean> {
    if (!this.#db.isClosed) return false;
    this.#db = await connect(this.#target, this.log);
    return true;
  }

  /** Goes to another database; the old one stays when that fails. @param target a connect string, or one parsed */
  async reconnect(to: string | Target): Promise<void> {
    const target = typeof to === "string" ? parseTarget(to) : to;
    const db = await connect(target, this.log);
    await this.#db.close();
    this.#db = db;
    this.#target = target;
    this.queue = null;
  }

  /** Where we are, with some keywords changed; the password stays as long as server and role do, as in psql. */
  changed(keywords: Readonly<Record<string, string>>): Target {
    return this.#target.with(keywords, {
      keepPassword: !("host" in keywords || "port" in keywords || "user" in keywords),
    });
  }

  /** Ends the running statement. */
  async cancel(): Promise<void> {
    await this.#db.cancel();
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
