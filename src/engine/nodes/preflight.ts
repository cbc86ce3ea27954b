// What each side's role lacks before anything is installed or added. Nothing here changes anything.

import { messageOf, SkyqError } from "../../base/errors.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import { quoteIdent } from "../../db/quote.ts";
import { openSql, type SqlConnection } from "../../db/sql.ts";
import type { Target } from "../../db/target.ts";
import { getSeqList, getTableList } from "../../queue/londiste.ts";
import { maySetReplicaRole } from "./check.ts";
import { choose } from "./choice.ts";
import { creationProblems } from "./create.ts";
import { readTableDefinition } from "./definition.ts";
import {
  type Lack,
  Lacks,
  lacksOnProviderTable,
  lacksOnSequence,
  lacksOnSubscriberTable,
  userTriggers,
} from "./rights.ts";
import { readStructure, unfitness, userSequences, userTables } from "./structure.ts";

export type Side = "provider" | "subscriber";

/** One thing that was looked at. */
export interface PreflightRow {
  readonly side: Side;
  readonly what: string;
  /** `lacks`: it will fail. `note`: it works, but the operator should know. */
  readonly state: "ok" | "lacks" | "note";
  readonly detail: string;
  /** What gives it, to be run on that side; null when no statement does. */
  readonly statement: string | null;
  /** Who has to run it. */
  readonly by: "owner" | "superuser" | null;
}

export interface PreflightOptions {
  readonly provider: Target;
  readonly subscriber: Target;
  readonly queue: string;
  readonly applicationName: string;
  /** Tables and sequences to be added: names or globs; none: those that are registered. */
  readonly names: readonly string[];
  readonly dropTriggers: boolean;
  readonly parallelCopies: number;
  readonly ticker: "auto" | "on" | "off";
}

/** Servers whose clocks differ by more are worth a word: lag is told by them. */
const CLOCK_SKEW_MAX_S = 5;
const VERSION_MIN = 130000;
/** In the order in which they need each other. */
const SCHEMAS = ["pgq", "pgq_node", "londiste", "skyq"] as const;

/** Looks over both sides. @returns all that was looked at; a side that cannot be reached says why */
export async function preflight(options: PreflightOptions): Promise<PreflightRow[]> {
  const rows: PreflightRow[] = [];
  const provider = await connect(options, "provider", rows);
  try {
    const subscriber = await connect(options, "subscriber", rows);
    try {
      const chosen = provider === null ? null : await checkProviderSide(provider, options, rows);
      if (subscriber !== null) await checkSubscriberSide({ provider, subscriber }, options, chosen, rows);
      if (provider !== null && subscriber !== null) await checkPair(provider, subscriber, rows);
    } finally {
      await subscriber?.close();
    }
  } finally {
    await provider?.close();
  }
  return rows;
}

/** The rows of one side. */
class Report {
  constructor(readonly side: Side, readonly rows: PreflightRow[]) {}

  ok(what: string, detail: string): void {
    this.#add(what, "ok", detail);
  }

  note(what: string, detail: string, statement: string | null = null, by: PreflightRow["by"] = null): void {
    this.#add(what, "note", detail, statement, by);
  }

  lacks(what: string, detail: string, statement: string | null = null, by: PreflightRow["by"] = "owner"): void {
    this.#add(what, "lacks", detail, statement, statement === null ? null : by);
  }

  /** One row for each thing that is missing, else one that says what is there. */
  items(what: string, items: readonly Lack[], detail: string): void {
    for (const { state, statement } of items) {
      this.lacks(what, state, statement, /^ALTER (ROLE|TABLE)/.test(statement) ? "superuser" : "owner");
    }
    if (items.length === 0) this.ok(what, detail);
  }

  #add(
    what: string,
    state: PreflightRow["state"],
    detail: string,
    statement: string | null = null,
    by: PreflightRow["by"] = null,
  ): void {
    this.rows.push({ side: this.side, what, state, detail, statement, by });
  }
}

async function connect(options: PreflightOptions, side: Side, rows: PreflightRow[]): Promise<SqlConnection | null> {
  const report = new Report(side, rows);
  const target = options[side];
  try {
    const db = await openSql(target, { applicationName: options.applicationName });
    report.ok("connect", `${target.redacted}`);
    return db;
  } catch (error) {
    if (!(error instanceof SkyqError)) throw error;
    // The database's own right; what pg_hba.conf says no grant can change.
    const statement = error.sqlstate === "42501"
      ? `GRANT CONNECT ON DATABASE ${quoteIdent(target.database)} TO ${quoteIdent(target.user)};`
      : null;
    report.lacks("connect", `${messageOf(error)}${error.hint === undefined ? "" : ` (${error.hint})`}`, statement);
    return null;
  }
}

/** What a role needs on either side. */
async function checkServer(db: SqlConnection, options: PreflightOptions, report: Report): Promise<void> {
  const server = await one<{
    version: number;
    shown: string;
    encoding: string;
    role: string;
    database: string;
    may_create: boolean;
    connection_limit: number;
    is_standby: boolean;
  }>(
    db,
    `select current_setting('server_version_num')::int4 as version, current_setting('server_version') as shown,
            pg_catalog.getdatabaseencoding()::text as encoding, pg_catalog.quote_ident(current_user) as role,
            pg_catalog.quote_ident(pg_catalog.current_database()) as database,
            pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE') as may_create,
            (select case when r.rolsuper then -1 else r.rolconnlimit end from pg_catalog.pg_roles r
              where r.rolname = current_user) as connection_limit,
            pg_catalog.pg_is_in_recovery() as is_standby`,
  );
  if (server.version < VERSION_MIN) {
    report.lacks("version", `PostgreSQL ${server.shown}: ${VERSION_MIN / 10000} or newer is needed`);
  } else report.ok("version", `PostgreSQL ${server.shown}`);
  if (server.is_standby) report.lacks("server", "it is a standby: nothing can be written there");
  if (server.encoding === "SQL_ASCII") {
    report.note("encoding", "SQL_ASCII: texts that are no UTF-8 cannot be replicated");
  } else report.ok("encoding", server.encoding);

  // The daemon and its copies, and a command or ticker beside it.
  const connections = 2 + options.parallelCopies;
  if (server.connection_limit >= 0 && server.connection_limit < connections) {
    report.lacks(
      "connections",
      `role ${server.role} may have ${server.connection_limit} connections, a replay with its copies takes ${connections}`,
      `ALTER ROLE ${server.role} CONNECTION LIMIT ${connections};`,
      "superuser",
    );
  }
  await checkSchemas(db, server, report);
}

async function checkSchemas(
  db: SqlConnection,
  { role, database, may_create }: { role: string; database: string; may_create: boolean },
  report: Report,
): Promise<void> {
  const there = new Map(
    (await db.query<{ name: string; owner: string; is_owner: boolean; owner_is_superuser: boolean }>(
      `select n.nspname as name, pg_catalog.quote_ident(o.rolname) as owner, o.rolsuper as owner_is_superuser,
              pg_catalog.pg_has_role(o.oid, 'USAGE') as is_owner
         from pg_catalog.pg_namespace n join pg_catalog.pg_roles o on o.oid = n.nspowner where n.nspname = any ($1)`,
      [SCHEMAS],
    )).map((row) => [row.name, row]),
  );
  const missing = SCHEMAS.filter((name) => !there.has(name));
  if (missing.length > 0) {
    const detail = `schemas ${missing.join(", ")} are to be made by \`${report.side} install\``;
    if (may_create) report.ok("schemas", detail);
    else {
      report.lacks(
        "schemas",
        `${detail}: role ${role} lacks CREATE on database ${database}`,
        `GRANT CREATE ON DATABASE ${database} TO ${role};`,
      );
    }
  }
  for (const { name, owner, is_owner, owner_is_superuser } of there.values()) {
    if (is_owner) report.ok("schemas", `${name} is installed`);
    else if (await mayUseSchema(db, name)) {
      report.note("schemas", `${name} is installed by ${owner}: newer versions are for ${owner} to install`);
    } else {
      // Nobody should become a superuser for this.
      const group = name === "pgq" ? "pgq_admin" : "londiste_writer";
      report.lacks(
        "schemas",
        `${name} is installed by ${owner}, and role ${role} may not use it`,
        `GRANT ${owner_is_superuser ? group : owner} TO ${role};`,
        "superuser",
      );
    }
  }
}

/** Whether the role may do there what a daemon does. */
async function mayUseSchema(db: Queryable, schema: string): Promise<boolean> {
  const test = {
    pgq: "pg_catalog.has_function_privilege(pg_catalog.to_regprocedure('pgq.create_queue(text)'), 'EXECUTE')",
    pgq_node: "pg_catalog.has_table_privilege(pg_catalog.to_regclass('pgq_node.local_state'), 'UPDATE')",
    londiste: "pg_catalog.has_table_privilege(pg_catalog.to_regclass('londiste.table_info'), 'UPDATE')",
    skyq: "pg_catalog.has_table_privilege(pg_catalog.to_regclass('skyq.copy_state'), 'UPDATE')",
  }[schema];
  return (await one<{ may: boolean }>(db, `select coalesce(${test}, false) as may`)).may;
}

interface ChosenRelations {
  readonly tables: readonly string[];
  readonly sequences: readonly string[];
}

/** @returns the tables and sequences that are meant */
async function checkProviderSide(
  db: SqlConnection,
  options: PreflightOptions,
  rows: PreflightRow[],
): Promise<ChosenRelations> {
  const report = new Report("provider", rows);
  await checkServer(db, options, report);
  await checkTicker(db, options, report);
  const chosen = await chooseRelations(db, options, report);
  for (const table of chosen.tables) {
    const problem = unfitness(table, await readStructure(db, table));
    if (problem !== null) report.lacks(`table ${table}`, problem);
    const lacks = new Lacks(db);
    await lacksOnProviderTable(db, table, lacks);
    report.items(`table ${table}`, lacks.items, "read, and given a trigger");
  }
  for (const sequence of chosen.sequences) {
    const lacks = new Lacks(db);
    await lacksOnSequence(db, sequence, "provider", lacks);
    report.items(`sequence ${sequence}`, lacks.items, "read");
  }
  return chosen;
}

async function isInstalled(db: Queryable): Promise<boolean> {
  const { there } = await one<{ there: boolean }>(
    db,
    `select coalesce(pg_catalog.has_function_privilege(pg_catalog.to_regprocedure('londiste.get_table_list(text)'), 'EXECUTE'),
                     false)
            and coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('londiste.table_info'), 'SELECT'), false)
              as there`,
  );
  return there;
}

async function chooseRelations(
  db: SqlConnection,
  { names, queue }: PreflightOptions,
  report: Report,
): Promise<ChosenRelations> {
  if (names.length > 0) {
    const [tables, sequences] = [await userTables(db), await userSequences(db)];
    const chosen = choose({ names, all: false }, [...tables, ...sequences], "table");
    for (const typed of chosen.unknown) report.lacks(`table ${typed}`, `no table or sequence matches ${typed}`);
    return {
      tables: chosen.names.filter((name) => tables.includes(name)),
      sequences: chosen.names.filter((name) => sequences.includes(name)),
    };
  }
  if (!await isInstalled(db)) {
    report.note("tables", "none are registered yet: name those that are to be added, to see what their rights lack");
    return { tables: [], sequences: [] };
  }
  const local = (row: { local: boolean }) => row.local;
  const tables = (await getTableList(db, queue)).filter(local).map((row) => row.table_name);
  if (tables.length === 0) report.note("tables", "none are registered: name those that are to be added");
  return { tables, sequences: (await getSeqList(db, queue)).filter(local).map((row) => row.seq_name) };
}

async function checkTicker(db: SqlConnection, { queue, ticker }: PreflightOptions, report: Report): Promise<void> {
  const { there } = await one<{ there: boolean }>(
    db,
    "select coalesce(pg_catalog.has_function_privilege(pg_catalog.to_regprocedure('pgq.get_queue_info(text)'), 'EXECUTE'), false) as there",
  );
  if (!there) return;
  const [row] = await db.query<{ lag: number }>(
    "select extract(epoch from ticker_lag)::float8 as lag from pgq.get_queue_info($1)",
    [queue],
  );
  const who = ticker === "off" ? "a `skyq ticker` has to run: ticker = off" : "a replay ticks it when nobody else does";
  if (row === undefined) report.note("queue", `queue "${queue}" is to be made by \`provider install\`; ${who}`);
  else if (row.lag > 120) report.note("ticker", `no tick for ${Math.round(row.lag)} s; ${who}`);
  else report.ok("ticker", `last tick ${Math.round(row.lag)} s ago`);
}

async function checkSubscriberSide(
  { provider, subscriber }: { provider: SqlConnection | null; subscriber: SqlConnection },
  options: PreflightOptions,
  chosen: ChosenRelations | null,
  rows: PreflightRow[],
): Promise<void> {
  const report = new Report("subscriber", rows);
  await checkServer(subscriber, options, report);
  const [tables, sequences] = [new Set(await userTables(subscriber)), new Set(await userSequences(subscriber))];
  const triggers: string[] = [];
  for (const table of chosen?.tables ?? []) {
    if (tables.has(table)) {
      const lacks = new Lacks(subscriber);
      await lacksOnSubscriberTable(subscriber, table, { isCopied: true, dropsTriggers: options.dropTriggers }, lacks);
      report.items(`table ${table}`, lacks.items, "written");
      for (const name of await userTriggers(subscriber, table, "ordinary")) triggers.push(`${name} of ${table}`);
      continue;
    }
    const definition = provider === null ? null : await readTableDefinition(provider, table);
    const problems = definition === null ? [] : await creationProblems(subscriber, definition, "plain");
    report.note(`table ${table}`, "it is missing: make it, or let `subscriber add --create` do it");
    for (const problem of problems) {
      const text = problem.replace(/^Cannot create table .*?: (?=role|type)/, "");
      report.note(`table ${table}`, `\`--create\` cannot yet: ${text}`);
    }
  }
  for (const sequence of chosen?.sequences ?? []) {
    if (!sequences.has(sequence)) {
      report.note(`sequence ${sequence}`, "it is missing: make it, or let `subscriber add-seq --create` do it");
      continue;
    }
    const lacks = new Lacks(subscriber);
    await lacksOnSequence(subscriber, sequence, "subscriber", lacks);
    report.items(`sequence ${sequence}`, lacks.items, "set");
  }
  await checkReplicaRole(subscriber, options, triggers, report);
}

/** How the subscriber's own triggers and foreign keys are kept quiet for replayed rows. */
async function checkReplicaRole(
  db: SqlConnection,
  { dropTriggers }: PreflightOptions,
  triggers: readonly string[],
  report: Report,
): Promise<void> {
  const what = "triggers";
  if (await maySetReplicaRole(db)) {
    report.ok(what, "kept quiet by session_replication_role = replica, which the role may set");
    return;
  }
  const { role, version } = await one<{ role: string; version: number }>(
    db,
    "select pg_catalog.quote_ident(current_user) as role, current_setting('server_version_num')::int4 as version",
  );
  const statement = version < 150000 ? null : `GRANT SET ON PARAMETER session_replication_role TO ${role};`;
  const otherwise = version < 150000
    ? "set drop_triggers = 1 in the config, or use a superuser (before PostgreSQL 15 the right cannot be granted)"
    : "or set drop_triggers = 1 in the config";
  if (dropTriggers) {
    report.note(
      what,
      "dropped when a table is added, and made again by `subscriber restore-triggers` (drop_triggers = 1); the role may " +
        "not set session_replication_role",
      statement,
      statement === null ? null : "superuser",
    );
  } else if (triggers.length === 0) {
    report.note(
      what,
      `there are none; any made later fire for replayed rows, as foreign keys do: the role may not set ` +
        `session_replication_role; ${otherwise}`,
      statement,
      statement === null ? null : "superuser",
    );
  } else {
    report.lacks(
      what,
      `these fire for replayed rows, since the role may not set session_replication_role: ${triggers.join(", ")}; ` +
        otherwise,
      statement,
      "superuser",
    );
  }
}

async function checkPair(provider: SqlConnection, subscriber: SqlConnection, rows: PreflightRow[]): Promise<void> {
  const report = new Report("subscriber", rows);
  const look = (db: Queryable) =>
    one<{ encoding: string; clock: number }>(
      db,
      `select pg_catalog.getdatabaseencoding()::text as encoding,
              extract(epoch from pg_catalog.clock_timestamp())::float8 as clock`,
    );
  const here = await look(provider);
  const askedMs = Date.now();
  const there = await look(subscriber);
  if (there.encoding !== here.encoding && there.encoding !== "UTF8") {
    report.note(
      "encoding",
      `${there.encoding} here, ${here.encoding} on the provider: rows with letters that ${there.encoding} lacks are refused`,
    );
  }
  const skewS = Math.abs(there.clock - here.clock) - (Date.now() - askedMs) / 1000;
  if (skewS > CLOCK_SKEW_MAX_S) {
    report.note("clock", `it differs from the provider's by ${Math.round(skewS)} s: lags are told wrong by as much`);
  }
}
