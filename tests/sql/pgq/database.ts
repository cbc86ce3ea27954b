import { silentLog } from "../../../src/base/log.ts";
import { installSchemas } from "../../../src/db/install.ts";
import { openSql, type SqlConnection } from "../../../src/db/sql.ts";
import { parseTarget } from "../../../src/db/target.ts";
import { pgq } from "../../../sql/pgq/mod.ts";
import { pgqNode } from "../../../sql/pgq_node/mod.ts";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";

/** A database of this test file's own with the schemas pgq and pgq_node, and sessions on it. */
export class QueueDatabase {
  /** Warnings that any session got. */
  readonly warnings: string[] = [];
  readonly #sessions = new Map<string, SqlConnection>();

  private constructor(readonly database: LentDatabase) {}

  /** @param own default a fresh database on the shared cluster */
  static async create(own?: LentDatabase): Promise<QueueDatabase> {
    const [database] = own === undefined ? await lendDatabases(1) : [own];
    const queues = new QueueDatabase(database);
    await installSchemas(await queues.session("installer"), { schemas: [pgq, pgqNode], log: silentLog });
    return queues;
  }

  /** The session of that name, opened at the first call. @param user default the superuser */
  async session(name: string, user?: string): Promise<SqlConnection> {
    let session = this.#sessions.get(name);
    if (session === undefined) {
      session = await openSql(parseTarget(this.database.dsn(user)), {
        onNotice: ({ severity, message }) => void (severity === "WARNING" && this.warnings.push(message)),
      });
      this.#sessions.set(name, session);
    }
    return session;
  }

  /** Runs one statement in session `name`. @returns the rows, each as a list of values */
  async rows(name: string, sql: string): Promise<unknown[][]> {
    return (await (await this.session(name)).query(sql)).map((row) => Object.values(row));
  }

  /** The first value that a statement gives in session `name`; int8 comes as a number. */
  async value(name: string, sql: string): Promise<unknown> {
    const value = (await this.rows(name, sql))[0]?.[0];
    return typeof value === "bigint" ? Number(value) : value;
  }

  /** The message of the error that a statement ends with. */
  async error(name: string, sql: string): Promise<string> {
    const session = await this.session(name);
    return await session.query(sql).then(() => `no error: ${sql}`, serverMessage);
  }

  /** Closes all sessions but the installer's, rolling back what is open, and drops all queues. */
  async reset(): Promise<void> {
    for (const [name, session] of this.#sessions) {
      if (name === "installer") continue;
      await session.close();
      this.#sessions.delete(name);
    }
    this.warnings.length = 0;
    await this.rows("installer", "select pgq.drop_queue(queue_name, true) from pgq.queue");
  }

  async close(): Promise<void> {
    for (const session of this.#sessions.values()) await session.close();
  }
}

/** What the server said, without what skyq says around it. */
export function serverMessage(error: unknown): string {
  const { cause } = error as { cause?: { message?: string } };
  return cause?.message ?? String(error);
}
