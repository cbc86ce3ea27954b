/** Ways to have a table's changes logged, each in a database of its own on the same server. */
import { silentLog } from "../../src/base/log.ts";
import { installSchemas } from "../../src/db/install.ts";
import { quoteFullName } from "../../src/db/quote.ts";
import { parseTarget } from "../../src/db/target.ts";
import { MessageWriter } from "../../src/db/wire/messages.ts";
import { WireConnection } from "../../src/db/wire/connection.ts";
import type { Cluster } from "../../tests/harness/cluster.ts";
import { type Op, OPS, SCHEMA } from "../data/t8.ts";

/** `none` logs nothing; `generic` is our `pgq.logutriga`, `C` the original extension's. */
export type Mode = "none" | "row" | "statement" | "generic" | "C";

export const MODES: readonly Mode[] = ["none", "row", "statement", "generic", "C"];

const QUEUE = "q";
const ROW_TRIGGER = `create trigger capture after insert or update or delete on t8
  for each row execute function pgq.logutriga('${QUEUE}')`;
const INT8_OID = 20;
/** Transactions on their way to the server at a time, so that no backend waits for the client. */
const PIPELINE_DEPTH = 50;
/** Plans settle after five executions. */
const WARM_UP = 10;

/** Whether the original extension can be had. */
export async function hasExtension(cluster: Cluster): Promise<boolean> {
  return await cluster.sql("postgres", "select 1 from pg_available_extensions where name = 'pgq'") === "1";
}

/** What is measured: so many statements of so many rows, shared out among the clients. */
export interface Load {
  readonly rowsPerStatement: number;
  /** A multiple of `clientCount`. */
  readonly statementCount: number;
  readonly clientCount: number;
}

/** The statements have two parameters of type int8: their first and their last key. */
export function statements(isSingle: boolean): Record<Op, string> {
  const where = isSingle ? "id = $1" : "id between $1 and $2";
  return {
    insert: `
insert into t8
select i, hashint8(i) & 65535, (array['new','paid','shipped','returned'])[1 + abs(i % 4)],
       timestamptz '2024-01-01 00:00:00+00' + i * interval '17.31 seconds', (hashint8(i) & 1048575) / 100.0,
       'left at the door, ' || md5(i::text) || ' & signed by ' || (i % 977),
       case when i % 5 = 0 then null else (i % 32)::integer end,
       timestamptz '2024-06-01 00:00:00+00' + i * interval '0.731 seconds'
  from ${isSingle ? "(values ($1)) v (i)" : "generate_series($1, $2) i"}`,
    update: `update t8 set status = 'closed', amount = amount + 1.25, updated_at = updated_at + interval '1 day'
 where ${where}`,
    delete: `delete from t8 where ${where}`,
  };
}

function nameOf(op: Op, isSingle: boolean): string {
  return `${op}_${isSingle ? "one" : "many"}`;
}

/** A table whose changes are logged in one way, empty between the measurements, and its clients. */
export class CapturedTable implements AsyncDisposable {
  /** For all that is not measured. */
  readonly admin: WireConnection;
  /** Table that the events are logged into, null when none are. */
  readonly eventTable: string | null;
  readonly #drop: () => Promise<void>;
  readonly #clients: readonly WireConnection[];

  private constructor(
    readonly mode: Mode,
    parts: {
      admin: WireConnection;
      eventTable: string | null;
      clients: readonly WireConnection[];
      drop: () => Promise<void>;
    },
  ) {
    this.admin = parts.admin;
    this.eventTable = parts.eventTable;
    this.#clients = parts.clients;
    this.#drop = parts.drop;
  }

  static async create(cluster: Cluster, mode: Mode, clientCount: number): Promise<CapturedTable> {
    const name = `capture_${mode.toLowerCase()}`;
    await cluster.createDatabase(name);
    const connect = () =>
      WireConnection.connect(parseTarget(cluster.dsn(name)), {
        // The disk would hide what a trigger costs.
        settings: { synchronous_commit: "off", timezone: "UTC" },
      });
    const admin = await connect();
    await admin.exec(SCHEMA);
    const eventTable = mode === "none" ? null : await installCapture(admin, mode);
    const clients = await Promise.all(Array.from({ length: clientCount }, connect));
    for (const client of clients) {
      for (const isSingle of [true, false]) {
        const texts = statements(isSingle);
        for (const op of OPS) await client.prepare(nameOf(op, isSingle), texts[op], [INT8_OID, INT8_OID]);
      }
    }
    return new CapturedTable(mode, { admin, eventTable, clients, drop: () => cluster.dropDatabase(name) });
  }

  /** No rows, no events. */
  async clear(): Promise<void> {
    await this.admin.exec(`truncate t8${this.eventTable === null ? "" : `, ${this.eventTable}`}`);
  }

  /** Fresh statistics, no dead rows, plans made: every measurement starts like this. */
  async settle(op: Op, load: Load): Promise<void> {
    await this.admin.exec("vacuum (analyze) t8");
    await this.admin.exec("checkpoint");
    const clients = this.#clients.slice(0, load.clientCount);
    const warmUpKey = (client: number, i: number) => -1 - client * WARM_UP - i;
    for (const [number, client] of clients.entries()) {
      const keys = Array.from({ length: WARM_UP }, (_, i) => warmUpKey(number, i));
      await runAll(client, nameOf(op, load.rowsPerStatement === 1), keys.map((key) => [key, key]));
    }
  }

  /** The processes of the first `clientCount` clients. */
  backendPids(clientCount: number): number[] {
    return this.#clients.slice(0, clientCount).map((client) => client.processId);
  }

  /** Runs the statements, each a transaction; keys begin with 1. */
  async run(op: Op, { rowsPerStatement, statementCount, clientCount }: Load): Promise<void> {
    const share = statementCount / clientCount;
    await Promise.all(
      this.#clients.slice(0, clientCount).map((client, number) => {
        const ranges = Array.from({ length: share }, (_, i): [number, number] => {
          const first = (number * share + i) * rowsPerStatement + 1;
          return [first, first + rowsPerStatement - 1];
        });
        return runAll(client, nameOf(op, rowsPerStatement === 1), ranges);
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of [...this.#clients, this.admin]) await connection.close();
    await this.#drop();
  }
}

/** Logs changes of t8 in this way. @returns the table for the events */
export async function installCapture(db: WireConnection, mode: Exclude<Mode, "none">): Promise<string> {
  if (mode === "C") await db.exec("create extension pgq");
  else await installSchemas(db, { log: silentLog });
  await db.query("select pgq.create_queue($1)", [QUEUE]);
  if (mode === "C" || mode === "generic") {
    await db.exec(ROW_TRIGGER);
  } else {
    // the name that a registered table's events carry, whatever it is called later
    await db.query("select skyq.create_capture($1, 'public.t8', array[$3], $2)", [
      QUEUE,
      mode,
      "ev_extra1='public.t8'",
    ]);
  }
  const [queue] = await db.query<{ prefix: string; slot: number }>(
    "select queue_data_pfx as prefix, queue_cur_table as slot from pgq.queue where queue_name = $1",
    [QUEUE],
  );
  return quoteFullName(`${queue!.prefix}_${queue!.slot}`);
}

/** Runs one prepared statement for each range of keys, each in a transaction of its own. */
async function runAll(client: WireConnection, name: string, ranges: readonly [number, number][]): Promise<void> {
  for (let at = 0; at < ranges.length; at += PIPELINE_DEPTH) {
    const done = ranges.slice(at, at + PIPELINE_DEPTH).map(([first, last]) => {
      const message = new MessageWriter().begin("B").cstring("").cstring(name).int16(0).int16(2);
      message.value(String(first)).value(String(last)).int16(0).end();
      message.begin("E").cstring("").int32(0).end();
      return Promise.all([client.sendRaw(message.done()), client.sync()]);
    });
    await Promise.all(done);
  }
}
