// Everything the console understands by itself; all else goes to the server.

import { SkyqError } from "../../base/errors.ts";
import { installSchemas, QUEUE_SCHEMAS } from "../../db/install.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import { localAddSeq, localAddTable, localRemoveSeq, localRemoveTable } from "../../queue/londiste.ts";
import {
  consumerStates,
  createQueue,
  queueInfo,
  registerConsumer,
  registerConsumerAt,
  unregisterConsumer,
} from "../../queue/pgq.ts";
import { changeSettings, parseSetting, SETTINGS } from "../queue_admin/config.ts";
import { dropQueueAndLimits } from "../queue_admin/drop.ts";
import { checkedName, requireConsumer, requireNoNode, requireQueue, UNREGISTER_HINT } from "../queue_admin/names.ts";
import { findTick, isRegistered, positionOf } from "../queue_admin/position.ts";
import { sequenceDdl, tableDdl } from "./ddl.ts";
import { parsePattern, type Pattern, type Values } from "./grammar.ts";
import type { ConsoleSession } from "./session.ts";

export interface ConsoleStatement {
  /** As the help shows it. */
  readonly text: string;
  readonly pattern: Pattern;
  run(session: ConsoleSession, values: Values): Promise<void>;
}

function statement(text: string, run: ConsoleStatement["run"]): ConsoleStatement {
  return { text, pattern: parsePattern(text), run };
}

/** In the order of the help. */
export const STATEMENTS: readonly ConsoleStatement[] = [
  statement("connect <options:connect=>", async (session, values) => {
    await connect(session, values.settings("options"));
    session.printer.line("CONNECT");
  }),
  statement("install pgq", install),
  statement("install londiste", install),
  statement("create queue <queue>", async ({ db, printer }, values) => {
    const queue = checkedName("create queue", values.need("queue"));
    printer.line(await createQueue(db, queue) ? "CREATE" : `Queue "${queue}" is there already`);
  }),
  statement("alter queue <queue> set <settings:setting=>", async ({ db, printer }, values) => {
    const changes = [...values.settings("settings")].map(([name, value]) => {
      const full = `ticker_${name}` in SETTINGS ? `ticker_${name}` : name;
      return parseSetting(`${full}=${value ?? ""}`);
    });
    const queues = await named(db, values.need("queue"));
    await db.transaction(async (tx) => {
      for (const queue of queues) await changeSettings(tx, queue, changes);
    });
    printer.line("ALTER");
  }),
  statement("drop queue <queue>", async (session, values) => {
    const queue = values.need("queue");
    await dropQueueAndLimits(session.db, queue, false, session.log);
    if (session.queue === queue) session.queue = null;
    session.printer.line("DROP");
  }),
  statement("show queue [<queue>]", async ({ db, printer, queue }, values) => {
    const name = values.get("queue") ?? queue;
    const rows = await queueInfo(db, name === "*" ? null : name);
    printer.rows({
      columns: [
        ...["queue_name", "tables", "max_count", "max_lag", "idle_period", "paused", "ticker_lag"],
        ...["ev_per_sec", "ev_new"],
      ],
      rows: rows.map((row) =>
        [
          row.queue_name,
          `${row.queue_cur_table}/${row.queue_ntables}`,
          row.ticker_max_count,
          seconds(row.ticker_max_lag),
          seconds(row.ticker_idle_period),
          row.ticker_paused,
          seconds(row.ticker_lag),
          row.ev_per_sec === null ? null : row.ev_per_sec.toFixed(1),
          row.ev_new,
        ].map(text)
      ),
    });
  }),
  statement(
    "register consumer <consumer> [on <queue>] [at <tick>] [copy <other:consumer>]",
    async (session, values) => {
      const { db, printer } = session;
      const queue = session.needQueue(values.get("queue"));
      const consumer = checkedName("register consumer", values.need("consumer"));
      await requireQueue(db, queue);
      const [at, other] = [values.get("tick"), values.get("other")];
      if (at !== null && other !== null) {
        throw new SkyqError("usage", `Cannot register consumer "${consumer}": both "at" and "copy" are given`);
      }
      if (await isRegistered(db, queue, consumer)) {
        printer.line(`Consumer "${consumer}" is registered on queue "${queue}" already`);
        return;
      }
      const tick = at !== null
        ? await findTick(db, queue, at)
        : other !== null
        ? await positionOf(db, queue, other)
        : null;
      if (tick === null) await registerConsumer(db, queue, consumer);
      else await registerConsumerAt(db, queue, consumer, tick);
      printer.line("REGISTER");
    },
  ),
  statement("unregister consumer <consumer> [from <queue>]", async (session, values) => {
    const { db, printer } = session;
    const queue = session.needQueue(values.get("queue"));
    const consumer = values.need("consumer");
    const consumers = consumer === "*"
      ? (await consumerStates(db, queue)).map((row) => row.consumer_name)
      : [(await requireConsumer(db, queue, consumer)).consumer_name];
    // All are looked at first: what is refused leaves nothing half done.
    for (const name of consumers) {
      await requireNoNode(db, { queue, consumer: name, act: "unregister", hint: UNREGISTER_HINT });
    }
    for (const name of consumers) await unregisterConsumer(db, queue, name);
    printer.line("UNREGISTER");
  }),
  statement("register subconsumer <subconsumer> for <consumer> [on <queue>]", async (session, values) => {
    const [queue, consumer] = [session.needQueue(values.get("queue")), values.need("consumer")];
    const name = checkedName("register subconsumer", values.need("subconsumer"));
    await requireQueue(session.db, queue);
    await requireCoop(session.db);
    const [{ is_new }] = await session.db.query<{ is_new: boolean }>(
      "select pgq_coop.register_subconsumer($1, $2, $3) = 1 as is_new",
      [queue, consumer, name],
    ) as [{ is_new: boolean }];
    session.printer.line(
      is_new ? "REGISTER" : `Subconsumer "${name}" of consumer "${consumer}" is registered on queue "${queue}" already`,
    );
  }),
  statement(
    "unregister subconsumer <subconsumer> for <consumer> [from <queue>] [close [batch]]",
    unregisterSubconsumer,
  ),
  statement("show consumer [<consumer> [on <queue>]]", async ({ db, printer, queue: own }, values) => {
    const [queue, consumer] = [values.get("queue") ?? own, values.get("consumer")];
    const rows = await consumerStates(db, queue === "*" ? null : queue, consumer === "*" ? null : consumer);
    printer.rows({
      columns: [
        ...["queue_name", "consumer_name", "lag", "last_seen", "last_tick", "current_batch", "next_tick"],
        "pending_events",
      ],
      rows: rows.map((row) =>
        [
          row.queue_name,
          row.consumer_name,
          seconds(row.lag),
          seconds(row.last_seen),
          row.last_tick,
          row.current_batch,
          row.next_tick,
          row.pending_events,
        ].map(text)
      ),
    });
  }),
  statement("show batch <batch:consumer>", async (session, values) => {
    const which = values.need("batch");
    const batchId = /^\d+$/.test(which) ? which : await openBatch(session, which);
    if (!/^\d+$/.test(batchId)) throw new Error(`Not a batch: ${batchId}`);
    session.printer.rows(await session.db.typed(`select * from pgq.get_batch_events(${batchId})`));
  }),
  statement("show node [<node> [on <queue>]]", async ({ db, printer, queue: own }, values) => {
    const [queue, node] = [values.get("queue") ?? own, values.get("node")];
    const rows = await db.query<{ queue_name: string; node_name: string; node_location: string; dead: boolean }>(
      `select l.queue_name, l.node_name, l.node_location, l.dead from pgq_node.node_location l
        where ($1::text is null or l.queue_name = $1) and ($2::text is null or l.node_name = $2)
        order by l.queue_name, l.node_name`,
      [queue === "*" ? null : queue, node === "*" ? null : node],
    );
    printer.rows({
      columns: ["queue_name", "node_name", "node_location", "dead"],
      rows: rows.map((row) => [row.queue_name, row.node_name, row.node_location, text(row.dead)]),
    });
  }),
  statement("show table <table>", async ({ db, printer }, values) => {
    for (const line of await tableDdl(db, values.need("table"))) printer.line(line);
  }),
  statement("show sequence <sequence>", async ({ db, printer }, values) => {
    for (const line of await sequenceDdl(db, values.need("sequence"))) printer.line(line);
  }),
  statement("show version", async ({ db, printer }) => {
    printer.rows(
      await db.typed(
        "select current_setting('server_version') as postgres, pgq.version() as pgq, current_database() as database",
      ),
    );
  }),
  statement("londiste add table <tables:table,> [with <options:tableoption=>]", async (session, values) => {
    const queue = session.needQueue();
    // What local_add_table takes as words, and what it takes as NAME=VALUE.
    const args = [...values.settings("options")].map(([name, value]) => value === null ? name : `${name}=${value}`);
    for (const table of values.list("tables")) {
      session.printer.line((await localAddTable(session.db, queue, table, args)).ret_note);
    }
  }),
  statement("londiste add sequence <sequences:sequence,>", async (session, values) => {
    const queue = session.needQueue();
    for (const name of values.list("sequences")) {
      session.printer.line((await localAddSeq(session.db, queue, name)).ret_note);
    }
  }),
  statement("londiste remove table <tables:table,>", async (session, values) => {
    const queue = session.needQueue();
    for (const name of values.list("tables")) {
      session.printer.line((await localRemoveTable(session.db, queue, name)).ret_note);
    }
  }),
  statement("londiste remove sequence <sequences:sequence,>", async (session, values) => {
    const queue = session.needQueue();
    for (const name of values.list("sequences")) {
      session.printer.line((await localRemoveSeq(session.db, queue, name)).ret_note);
    }
  }),
  statement("londiste tables", async (session) => {
    const queue = session.needQueue();
    const rows = await session.db.query<Record<string, string | boolean | null>>(
      "select table_name, local, merge_state, table_attrs, dest_table from londiste.get_table_list($1)",
      [queue],
    );
    printRecords(session, ["table_name", "local", "merge_state", "table_attrs", "dest_table"], rows);
  }),
  statement("londiste seqs", async (session) => {
    const queue = session.needQueue();
    const rows = await session.db.query("select seq_name, last_value, local from londiste.get_seq_list($1)", [queue]);
    printRecords(session, ["seq_name", "last_value", "local"], rows);
  }),
  statement("londiste missing", async (session) => {
    const queue = session.needQueue();
    const rows = await session.db.query("select obj_kind, obj_name from londiste.local_show_missing($1)", [queue]);
    printRecords(session, ["obj_kind", "obj_name"], rows);
  }),
  statement("show help", help),
  statement("help", help),
  statement("exit", exit),
  statement("quit", exit),
];

/** Names for completion, by the kinds that the patterns use and nobody can ask the server for. */
export const FIXED_NAMES: Readonly<Record<string, readonly string[]>> = {
  connect: ["dbname", "host", "node", "password", "port", "queue", "user"],
  setting: ["idle_period", "max_count", "max_lag", "paused", ...Object.keys(SETTINGS)],
  tableoption: [
    ...["backup", "ev_data", "ev_extra1", "ev_extra2", "ev_extra3", "ev_extra4", "ev_ignore", "ev_type"],
    ...["expect_sync", "no_triggers", "pkey", "skip", "skip_truncate", "tgflags", "when"],
  ],
  tick: ["newest", "oldest"],
};

/** A statement that yields the names of a kind as its only column; `$1` is the default queue. */
export const NAME_QUERIES: Readonly<Record<string, string>> = {
  queue: "select q.queue_name from pgq.queue q where $1::text is null or true order by 1",
  consumer: "select distinct i.consumer_name from pgq.get_consumer_info($1::text) i order by 1",
  node: `select distinct l.node_name from pgq_node.node_location l
          where $1::text is null or l.queue_name = $1 order by 1`,
  table: namesOf("'r', 'p'"),
  sequence: namesOf("'S'"),
};

function namesOf(relkinds: string): string {
  return `select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
           where c.relkind in (${relkinds}) and c.relpersistence <> 't' and ($1::text is null or true)
             and n.nspname !~ '^(pg_|information_schema$|pgq|londiste$|skyq$)' order by 1`;
}

/** The queues that a name or `*` means. */
async function named(db: Queryable, name: string): Promise<string[]> {
  return name === "*" ? (await queueInfo(db, null)).map((row) => row.queue_name) : [name];
}

async function install({ db, log, printer }: ConsoleSession): Promise<void> {
  await installSchemas(db, { log, schemas: QUEUE_SCHEMAS });
  printer.line("INSTALL");
}

async function connect(session: ConsoleSession, options: ReadonlyMap<string, string | null>): Promise<void> {
  const known = FIXED_NAMES.connect!;
  for (const [name, value] of options) {
    if (!known.includes(name)) {
      throw new SkyqError("usage", `Cannot connect: no such option "${name}"`, {
        hint: `There are: ${known.join(", ")}.`,
      });
    }
    if (value === null) throw new SkyqError("usage", `Cannot connect: "${name}" has no value`);
  }
  const { queue = null, node = null, ...keywords } = Object.fromEntries(options) as Record<string, string | null>;
  if (node !== null) {
    const ofQueue = session.needQueue(queue);
    const [location] = await session.db.query<{ node_location: string }>(
      "select l.node_location from pgq_node.node_location l where l.queue_name = $1 and l.node_name = $2",
      [ofQueue, node],
    );
    if (location === undefined) {
      throw new SkyqError("not-found", `Cannot connect to node "${node}": queue "${ofQueue}" has no such node`);
    }
    await session.reconnect(location.node_location);
    await session.use(ofQueue);
    return;
  }
  if (Object.keys(keywords).length > 0) {
    await session.reconnect(session.changed(keywords as Record<string, string>));
  }
  if (queue !== null) await session.use(queue);
}

/** @throws {SkyqError} `not-installed` */
async function requireCoop(db: Queryable): Promise<void> {
  const { there } = await one<{ there: boolean }>(
    db,
    "select to_regprocedure('pgq_coop.finish_batch(int8)') is not null as there",
  );
  if (there) return;
  throw new SkyqError("not-installed", "Cannot use subconsumers: the database has no schema pgq_coop", {
    hint: "`install pgq;` adds it, as `skyq queue upgrade` does.",
  });
}

async function unregisterSubconsumer(session: ConsoleSession, values: Values): Promise<void> {
  const { db, printer } = session;
  const queue = session.needQueue(values.get("queue"));
  const [consumer, subconsumer] = [values.need("consumer"), values.need("subconsumer")];
  await requireCoop(db);
  await requireConsumer(db, queue, consumer);
  const names = subconsumer === "*"
    ? (await db.query<{ name: string }>(
      `select substr(c.co_name, length(mc.co_name) + 2) as name from pgq.subscription s
         join pgq.consumer c on c.co_id = s.sub_consumer
         join pgq.queue q on q.queue_id = s.sub_queue
         join pgq.subscription m on m.sub_id = s.sub_id and m.sub_queue = s.sub_queue
         join pgq.consumer mc on mc.co_id = m.sub_consumer
        where q.queue_name = $1 and mc.co_name = $2 and starts_with(c.co_name, mc.co_name || '.') order by 1`,
      [queue, consumer],
    )).map((row) => row.name)
    : [subconsumer];
  for (const name of names) {
    const { done } = await one<{ done: number }>(
      db,
      "select pgq_coop.unregister_subconsumer($1, $2, $3, $4) as done",
      [queue, consumer, name, values.has("close") ? 1 : 0],
    );
    if (done === 0) {
      throw new SkyqError("not-found", `Cannot unregister subconsumer "${name}": consumer "${consumer}" has no such`);
    }
  }
  printer.line("UNREGISTER");
}

async function openBatch(session: ConsoleSession, consumer: string): Promise<string> {
  const { current_batch } = await requireConsumer(session.db, session.needQueue(), consumer);
  if (current_batch !== null) return String(current_batch);
  throw new SkyqError("not-found", `Cannot show the batch of consumer "${consumer}": it has none open`);
}

function help({ printer }: ConsoleSession): Promise<void> {
  for (const { text } of STATEMENTS) {
    printer.line(
      `  ${
        text.replace(/<(\w+)(?::\w+)?,>/g, "<$1> [, …]").replace(/<(\w+)(?::\w+)?=>/g, "<$1: NAME=VALUE …>").replace(
          /<(\w+):\w+>/g,
          "<$1>",
        )
      };`,
    );
  }
  printer.line("All else goes to the server as SQL. * stands for all queues, consumers or nodes.");
  return Promise.resolve();
}

function exit(session: ConsoleSession): Promise<void> {
  session.isOver = true;
  return Promise.resolve();
}

function printRecords(session: ConsoleSession, columns: string[], rows: readonly Record<string, unknown>[]): void {
  session.printer.rows({ columns, rows: rows.map((row) => columns.map((column) => text(row[column]))) });
}

function seconds(value: number | null): string | null {
  return value === null ? null : `${Math.round(value * 1000) / 1000}s`;
}

function text(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return typeof value === "boolean" ? (value ? "t" : "f") : String(value);
}
