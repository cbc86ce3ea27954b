/** What the SQL tests of schemas skyq and londiste share: a database with all schemas, and looks at its queue. */
import postgres from "postgres";
import { afterAll, beforeAll } from "vitest";
import { silentLog } from "../../../src/base/log.ts";
import { installSchemas } from "../../../src/db/install.ts";
import type { Param, Queryable } from "../../../src/db/queryable.ts";
import { londiste } from "../../../sql/londiste/mod.ts";
import { pgq } from "../../../sql/pgq/mod.ts";
import { pgqNode } from "../../../sql/pgq_node/mod.ts";
import { skyq } from "../../../sql/skyq/mod.ts";
import { lendDatabases, type LentDatabase } from "../../harness/pair.ts";

/** The fields of an event that capture fills; nulls are left out of `extras`. */
export interface Event {
  type: string | null;
  data: string | null;
  table: string | null;
  backup: string | null;
}

/** What generated functions set, whatever the writer has set, for tables with columns that show it. */
const TEXT_SETTINGS = [
  "datestyle = 'ISO, MDY'",
  "intervalstyle = postgres",
  "extra_float_digits = 1",
  "lc_monetary = 'C'",
];

export class TestDatabase {
  readonly #connections: postgres.Sql[] = [];
  /** The superuser's session. */
  readonly sql: postgres.Sql;

  constructor(readonly lent: LentDatabase) {
    this.sql = this.connect();
  }

  /** One more session, closed at the end of the file. */
  connect(user: string = this.lent.cluster.superuser): postgres.Sql {
    const { cluster, name } = this.lent;
    const connection = postgres({
      host: cluster.host,
      port: cluster.port,
      database: name,
      username: user,
      max: 1,
      onnotice: () => {},
    });
    this.#connections.push(connection);
    return connection;
  }

  async install(): Promise<void> {
    const db: Queryable = {
      query: async <Row>(text: string, params: readonly Param[] = []) =>
        [...await this.sql.unsafe(text, params as never[])] as Row[],
    };
    await installSchemas(db, { schemas: [pgq, pgqNode, londiste, skyq], log: silentLog });
  }

  /** Runs one statement. @returns its rows, each as its columns */
  async rows(text: string, connection = this.sql): Promise<unknown[][]> {
    return [...await connection.unsafe(text).values()];
  }

  /** The only column of the only row. */
  async value(text: string, connection = this.sql): Promise<unknown> {
    const rows = await this.rows(text, connection);
    if (rows.length !== 1 || rows[0]!.length !== 1) {
      throw new Error(`Not one value but ${JSON.stringify(rows)}: ${text}`);
    }
    return rows[0]![0];
  }

  /** The message of the error that a statement must raise. The transaction is rolled back. */
  async error(text: string, connection = this.sql): Promise<string> {
    try {
      await connection.unsafe(text);
    } catch (error) {
      await connection.unsafe("rollback");
      return (error as Error).message;
    }
    throw new Error(`No error: ${text}`);
  }

  /** Events of all queues in the order of their ids; they are taken out. */
  async events(): Promise<Event[]> {
    const rows = await this.sql.unsafe<Event[]>(`
      with gone as (delete from pgq.event_template returning *)
      select ev_type as type, ev_data as data, ev_extra1 as table, ev_extra2 as backup from gone order by ev_id`);
    return rows.map((row) => ({ ...row }));
  }

  /** Makes pgq.logutriga show values as generated functions do, or again as the session does. */
  async pinLogutriga(isPinned: boolean): Promise<void> {
    for (const setting of TEXT_SETTINGS) {
      await this.sql.unsafe(
        `alter function pgq.logutriga() ${isPinned ? `set ${setting}` : `reset ${setting.split(" ")[0]}`}`,
      );
    }
  }

  async end(): Promise<void> {
    for (const connection of this.#connections) await connection.end({ timeout: 5 });
  }
}

/** A database with all schemas for the calling test file. Call at its top; use it from `beforeAll` on. */
export function useDatabase(prepare = ""): { current: TestDatabase } {
  const holder = {} as { current: TestDatabase };
  beforeAll(async () => {
    const [lent] = await lendDatabases(1);
    holder.current = new TestDatabase(lent);
    await holder.current.install();
    if (prepare !== "") await holder.current.sql.unsafe(prepare);
  });
  afterAll(() => holder.current.end());
  return holder;
}
