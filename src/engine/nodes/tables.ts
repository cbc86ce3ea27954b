// Adding, removing and listing the tables and sequences of a pair.

import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { sleep } from "../../base/time.ts";
import { withLocks } from "../../db/locks.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import { quoteFullName } from "../../db/quote.ts";
import type { SqlConnection } from "../../db/sql.ts";
import {
  addPendingFkey,
  findTableFkeys,
  getSeqList,
  getTableList,
  localAddSeq,
  localAddTable,
  localRemoveSeq,
  localRemoveTable,
  moveTableState,
} from "../../queue/londiste.ts";
import { dropRefusals, endSetAside, hasChunks, tableRefusals } from "../../queue/skyq.ts";
import { lockForTriggers, repairCapture } from "./captures.ts";
import { checkTable, earlierTriggers, maySetReplicaRole } from "./check.ts";
import { choose, type Chosen, type Pair, type Selection } from "./choice.ts";
import { type CreateMode, createSequence, createTable, creationProblems, schemaProblems } from "./create.ts";
import {
  readSequenceDefinition,
  readTableDefinition,
  type SequenceDefinition,
  type TableDefinition,
} from "./definition.ts";
import { leaveOut } from "./left_out.ts";
import { requireLeaf, requireRoot } from "./node.ts";
import { learnFromProvider } from "./pair.ts";
import { matchNames } from "./names.ts";
import { lacksOnProviderTable, lacksOnSequence, lacksOnSubscriberTable, lacksToDropTriggers } from "./rights.ts";
import { readStructure, type RelationKind, unfitness, unnameable, userSequences, userTables } from "./structure.ts";

async function localTables(db: SqlConnection, queue: string): Promise<string[]> {
  return (await getTableList(db, queue)).filter((row) => row.local).map((row) => row.table_name);
}

/** How changes are logged: once per row, once per statement, or as skyq thinks best. */
export const CAPTURE_MODES = ["auto", "row", "statement"] as const;
export type CaptureMode = (typeof CAPTURE_MODES)[number];

/**
 * Puts tables of the provider under replication: trigger and registration, each table in a transaction of its own.
 * Everything that can be known before is checked before the first one.
 * @param options `capture` of a table that is added already is changed
 * @returns false when something was refused; the log says what
 */
export async function addProviderTables(
  db: SqlConnection,
  queue: string,
  selection: Selection,
  options: { capture: CaptureMode },
  log: Logger,
): Promise<boolean> {
  await requireRoot(db, queue);
  const registered = new Set(await localTables(db, queue));
  const chosen = choose(selection, await userTables(db), "table");
  let isRefused = chosen.unknown.length > 0;
  let isPassedOver = await tellUnnameable(db, selection, "table", log);
  for (const typed of chosen.unknown) log.error(`No table matches ${typed}`);
  const wanted: string[] = [];
  for (const table of chosen.names) {
    if (registered.has(table)) {
      if (selection.all && selection.names.length === 0) continue;
      log.info(`Table ${table} already added`);
      await repairCapture(db, queue, table, log);
      if (options.capture !== "auto") {
        await changeTriggers(
          db,
          table,
          { act: `Cannot capture ${table}`, log },
          (tx) => setCapture(tx, queue, table, options.capture, log),
        );
      }
      continue;
    }
    const structure = await readStructure(db, table);
    if (structure?.kind === "p" && !chosen.exact.has(table)) {
      log.info(`Table ${table} is partitioned: its partitions are what is added`);
      continue;
    }
    const lacks = await lacksOnProviderTable(db, table);
    const problem = unfitness(table, structure) ?? (lacks === null ? null : `Cannot add table ${table}: ${lacks}`);
    if (problem === null) {
      wanted.push(table);
    } else if (chosen.exact.has(table)) {
      log.error(problem);
      isRefused = true;
    } else {
      log.warning(`${problem}; passed over`);
      isPassedOver = true;
    }
  }
  // What is named is added together or not at all; globs and --all take what fits.
  if (isRefused) return false;
  for (const table of wanted) {
    log.info(`Adding ${table}`);
    const ret = await changeTriggers(db, table, { act: `Cannot add table ${table}`, log }, async (tx) => {
      const added = await localAddTable(tx, queue, table, []);
      if (options.capture !== "auto") await setCapture(tx, queue, table, options.capture, log);
      return added;
    });
    if (ret.ret_code >= 300) {
      for (const text of await earlierTriggers(db, queue, table)) log.warning(text);
    }
  }
  if (wanted.length === 0 && selection.all) log.info("Nothing to add: every table that fits is added already");
  return !isPassedOver;
}

/** Runs `work` in a transaction that has the table's triggers to itself, without making its writers wait long for that. */
async function changeTriggers<T>(
  db: SqlConnection,
  table: string,
  { act, log }: { act: string; log: Logger },
  work: (tx: Queryable) => Promise<T>,
): Promise<T> {
  return await withLocks(
    { act, log },
    (lock) =>
      db.transaction(async (tx) => {
        await lockForTriggers(tx, lock, table);
        return await work(tx);
      }),
  );
}

/** Warns of relations that no name can mean, where --all or a name seems to mean them. @returns whether there are any */
async function tellUnnameable(
  db: Queryable,
  selection: Selection,
  kind: RelationKind,
  log: Logger,
): Promise<boolean> {
  const names = await unnameable(db, kind);
  const meant = selection.names.length === 0 ? names : selection.names.flatMap((typed) => matchNames(typed, names));
  for (const name of meant) {
    log.warning(
      `Cannot add ${kind} ${name}: its schema's name has a dot, and \`schema.${kind}\` splits at the first one; passed over`,
    );
  }
  return meant.length > 0;
}

async function setCapture(db: Queryable, queue: string, table: string, mode: CaptureMode, log: Logger): Promise<void> {
  const { captures } = await one<{ captures: string | null }>(
    db,
    `select skyq.create_capture($1, $2, coalesce((select c.trigger_args from skyq.capture c
                                                   where c.queue_name = $1 and c.table_name = $2), '{}'), $3) as captures`,
    [queue, table, mode],
  );
  if (captures === null) log.warning(`${table}: needs the generic trigger, --capture=${mode} has no effect`);
  else log.info(`${table}: captured once per ${captures}`);
}

/** Takes tables out of replication everywhere: an event tells the subscribers. None when one of them cannot be. @returns false then */
export async function removeProviderTables(
  db: SqlConnection,
  queue: string,
  selection: Selection,
  log: Logger,
): Promise<boolean> {
  await requireRoot(db, queue);
  const chosen = choose(selection, await localTables(db, queue), "table");
  for (const typed of chosen.unknown) log.error(`No registered table matches ${typed}`);
  let isRefused = chosen.unknown.length > 0;
  for (const table of chosen.names) {
    const lacks = await lacksToDropTriggers(db, queue, table);
    if (lacks === null) continue;
    log.error(`Cannot remove table ${table}: ${lacks}`);
    isRefused = true;
  }
  if (isRefused) return false;
  for (const table of chosen.names) {
    log.info(`Removing ${table}`);
    await changeTriggers(
      db,
      table,
      { act: `Cannot remove table ${table}`, log },
      (tx) => localRemoveTable(tx, queue, table),
    );
  }
  return true;
}

export interface AddOptions {
  /** The rows are there already: state `ok` at once, no copy. */
  readonly expectSync: boolean;
  /** The copy keeps what the subscriber's table holds. */
  readonly skipTruncate: boolean;
  /** Add in spite of differences that the check calls errors. */
  readonly force: boolean;
  /** Drop user triggers, to be restored by hand. */
  readonly dropTriggers: boolean;
  /** Make tables that are missing on the subscriber; null: refuse them. */
  readonly create: CreateMode | null;
}

/**
 * Subscribes tables: the running replay copies them next. Nothing is added when the check of any of them finds an error.
 * @returns false when something was refused; the log says what
 */
export async function addSubscriberTables(
  pair: Pair,
  queue: string,
  selection: Selection,
  options: AddOptions,
  log: Logger,
): Promise<boolean> {
  if (options.expectSync && options.skipTruncate) {
    throw new SkyqError("usage", "Too many options: --expect-sync and --skip-truncate");
  }
  if (options.expectSync && options.create !== null) {
    throw new SkyqError("usage", "Too many options: --expect-sync and --create", {
      hint: "A table that is made now has no rows: without --expect-sync they are copied.",
    });
  }
  await requireRoot(pair.provider, queue);
  await requireLeaf(pair.subscriber, queue);
  const onProvider = new Set(await localTables(pair.provider, queue));
  const here = new Set(await localTables(pair.subscriber, queue));
  const there = new Set(await userTables(pair.subscriber));
  const candidates = options.create === null ? there : new Set([...there, ...onProvider]);
  const chosen = choose(selection, [...candidates], "table");
  /** A name that stands for nothing that could be added: --force does not help. */
  let isUnknown = chosen.unknown.length > 0;
  let isRefused = false;
  for (const typed of chosen.unknown) {
    const sent = matchNames(typed, [...onProvider]);
    log.error(
      `No tables found that match ${typed} on the subscriber` +
        (sent.length === 0 ? "" : `: the provider sends ${sent.join(", ")}, make them on the subscriber first`),
    );
    if (sent.length > 0) log.info("hint: the options --create and --create-full make them as the provider has them");
  }
  const wanted: string[] = [];
  for (const table of chosen.names) {
    if (here.has(table)) {
      if (!selection.all) log.info(`Table ${table} already added`);
    } else if (onProvider.has(table)) {
      wanted.push(table);
    } else if (chosen.exact.has(table)) {
      isUnknown = true;
      log.error(`Table ${table} not attached to queue`);
    } else if (!selection.all) {
      log.info(`Table ${table} not attached to queue, passed over`);
    }
  }
  const definitions = new Map<string, TableDefinition>();
  for (const table of wanted) {
    log.info(`Checking ${table}`);
    if (options.create !== null && !there.has(table)) {
      const definition = await readTableDefinition(pair.provider, table);
      const problems = definition === null
        ? [`Table ${table} missing from provider side`]
        : await creationProblems(pair.subscriber, definition, options.create);
      for (const problem of problems) log.error(problem);
      if (definition !== null && problems.length === 0) definitions.set(table, definition);
      else isUnknown = true;
      continue;
    }
    if (options.create !== null) log.info(`Table ${table} already exist, not touching`);
    if (await checkTable(pair, table, log)) isRefused = true;
    const lacks = await lacksOnSubscriberTable(pair.subscriber, table, {
      isCopied: !options.expectSync,
      dropsTriggers: options.dropTriggers,
    });
    if (lacks !== null) {
      log.error(`Cannot add table ${table}: ${lacks}`);
      isRefused = true;
    }
  }
  if (isRefused || isUnknown) {
    if (!options.force) return false;
    log.warning("--force used, ignoring errors");
  }
  await learnFromProvider(pair.provider, pair.subscriber, queue);
  const withTriggers = definitions.size > 0 && (options.dropTriggers || await maySetReplicaRole(pair.subscriber));
  for (const table of wanted) {
    const definition = definitions.get(table);
    if (definition === undefined && !there.has(table)) continue; // --force does not make what cannot be made
    const fkeys = definition === undefined || options.create !== "full"
      ? []
      : (await findTableFkeys(pair.provider, table)).filter((fkey) => fkey.from_table === table);
    const absent = definition === undefined ? await absentColumns(pair, table) : [];
    if (absent.length > 0) {
      log.warning(`${table}: columns that the subscriber lacks are left out: ${absent.join(", ")}`);
    }
    await pair.subscriber.transaction(async (tx) => {
      if (definition !== undefined) {
        log.info(`Creating ${table}`);
        await createTable(tx, definition, { mode: options.create!, withTriggers, log });
        for (const fkey of fkeys) await addPendingFkey(tx, fkey);
        const lacks = await lacksOnSubscriberTable(tx, table, { isCopied: true, dropsTriggers: options.dropTriggers });
        if (lacks !== null) throw new SkyqError("privilege", `Cannot add table ${table}: ${lacks}`);
      }
      log.info(`Adding ${table}`);
      // The tables of a subscriber may have other writers (more columns, more rows): no trigger that denies them.
      const words = ["no_triggers"];
      if (options.expectSync) words.push("expect_sync");
      if (options.skipTruncate) words.push("skip_truncate");
      const ret = await localAddTable(tx, queue, table, words, absent.length === 0 ? null : leaveOut(absent));
      if (ret.ret_code >= 300) log.warning(ret.ret_note);
      if (options.dropTriggers && !options.expectSync) {
        await tx.query("select skyq.drop_user_triggers($1)", [table]);
      }
    });
  }
  return !isUnknown;
}

/** Columns that the provider has and the subscriber has not: after --force, else there are none. Keys cannot be absent. */
async function absentColumns(pair: Pair, table: string): Promise<string[]> {
  const there = await readStructure(pair.provider, table);
  const here = new Set((await readStructure(pair.subscriber, table))?.columns.map(({ name }) => name));
  return (there?.columns ?? []).filter(({ name, isKey }) => !isKey && !here.has(name)).map(({ name }) => name);
}

/** Ends the subscription of tables; their rows stay, dropped triggers come back. @returns false when a name was unknown */
export async function removeSubscriberTables(
  db: SqlConnection,
  queue: string,
  selection: Selection,
  log: Logger,
): Promise<boolean> {
  await requireLeaf(db, queue);
  const chosen = choose(selection, await localTables(db, queue), "table");
  for (const typed of chosen.unknown) log.warning(`No subscribed table matches ${typed}`);
  for (const table of chosen.names) {
    log.info(`Removing: ${table}`);
    await db.transaction(async (tx) => {
      await localRemoveTable(tx, queue, table);
      await tx.query("select skyq.restore_user_triggers($1)", [table]);
      if (await hasChunks(tx)) {
        const { names } = await one<{ names: string | null }>(
          tx,
          `select string_agg(p.index_name, ', ' order by p.index_name) as names
             from skyq.pending_index p where p.queue_name = $1 and p.table_name = $2`,
          [queue, table],
        );
        if (names !== null) {
          log.info(`${table}: the replay makes the indexes again that its copy has dropped: ${names}`);
        }
        await tx.query("delete from skyq.copy_chunk c where c.queue_name = $1 and c.table_name = $2", [queue, table]);
      }
      await tx.query("delete from skyq.copy_state s where s.queue_name = $1 and s.table_name = $2", [queue, table]);
      await dropRefusals(tx, queue, table);
    });
  }
  return chosen.unknown.length === 0;
}

/**
 * Makes triggers again that were dropped when the table was added.
 * @param triggers none: all that are pending
 * @returns false when the table is not subscribed
 */
export async function restoreTriggers(
  db: SqlConnection,
  queue: string,
  typed: string,
  triggers: readonly string[],
  log: Logger,
): Promise<boolean> {
  await requireLeaf(db, queue);
  const table = matchNames(typed, await localTables(db, queue))[0];
  if (table === undefined) {
    log.error(`Table ${typed} is not in the subscriber queue.`);
    return false;
  }
  if (triggers.length === 0) {
    const { count } = await one<{ count: number }>(db, "select skyq.restore_user_triggers($1) as count", [table]);
    if (count === 0) log.info(`No pending triggers found for ${table}.`);
    return true;
  }
  for (const trigger of triggers) {
    const { count } = await one<{ count: number }>(
      db,
      "select skyq.restore_user_trigger($1, $2) as count",
      [table, trigger],
    );
    if (count === 1) continue;
    const active = await db.query(
      "select 1 from pg_catalog.pg_trigger t where t.tgrelid = $1::pg_catalog.regclass and t.tgname = $2",
      [quoteFullName(table), trigger],
    );
    log.info(
      active.length > 0
        ? `Trigger ${trigger} on ${table} is already active.`
        : `Trigger ${trigger} not found on ${table}`,
    );
  }
  return true;
}

/** Has tables copied anew. @returns false when a name is unknown, or a table is gone or in the middle of a copy */
export async function resyncTables(
  pair: Pair,
  queue: string,
  selection: Selection,
  log: Logger,
): Promise<boolean> {
  const db = pair.subscriber;
  await requireLeaf(db, queue);
  const onProvider = new Set(await userTables(pair.provider));
  const chosen = choose(selection, await localTables(db, queue), "table");
  for (const typed of chosen.unknown) log.warning(`Table ${typed} not found`);
  let isRefused = chosen.unknown.length > 0;
  for (const table of chosen.names) {
    if (!onProvider.has(table)) {
      isRefused = true;
      log.error(`Table ${table} is gone from the provider: there is nothing to copy`);
    } else if (
      await moveTableState(db, { queue, table, from: "ok", to: null, snapshot: null }) ||
      // Paused, or behind: its copy begins anew.
      await moveTableState(db, { queue, table, from: "catching-up", to: null, snapshot: null }) ||
      await endSetAside(db, queue, table)
    ) {
      log.info(`Resyncing ${table}`);
    } else {
      isRefused = true;
      log.warning(`Table ${table} is not in stable state`);
    }
  }
  return !isRefused;
}

/** Registers sequences on the provider; their values travel as events, with head-room. */
export async function addProviderSeqs(
  db: SqlConnection,
  queue: string,
  selection: Selection,
  log: Logger,
): Promise<boolean> {
  await requireRoot(db, queue);
  const chosen = choose(selection, await userSequences(db), "sequence");
  const isPassedOver = await tellUnnameable(db, selection, "sequence", log);
  for (const typed of chosen.unknown) log.error(`seq not found: no sequence matches ${typed}`);
  let isRefused = chosen.unknown.length > 0;
  const wanted = await notRegistered(db, queue, chosen.names, selection, log);
  for (const name of wanted) {
    const lacks = await lacksOnSequence(db, name, "provider");
    if (lacks === null) continue;
    log.error(`Cannot add sequence ${name}: ${lacks}`);
    isRefused = true;
  }
  if (isRefused) return false;
  for (const name of wanted) {
    log.info(`Adding sequence ${name}`);
    await db.transaction((tx) => localAddSeq(tx, queue, name));
  }
  return !isPassedOver;
}

/** Subscribes sequences that the provider has. @param options `create`: those that are missing are made */
export async function addSubscriberSeqs(
  pair: Pair,
  queue: string,
  selection: Selection,
  options: { create: boolean },
  log: Logger,
): Promise<boolean> {
  await requireRoot(pair.provider, queue);
  await requireLeaf(pair.subscriber, queue);
  const onProvider = (await getSeqList(pair.provider, queue)).filter((row) => row.local).map((row) => row.seq_name);
  const there = new Set(await userSequences(pair.subscriber));
  await learnFromProvider(pair.provider, pair.subscriber, queue);
  const chosen = choose(selection, onProvider, "sequence");
  for (const typed of chosen.unknown) log.error(`Seq ${typed} does not exist on provider side`);
  const wanted = await notRegistered(pair.subscriber, queue, chosen.names, selection, log);
  const problems: string[] = [];
  const definitions = new Map<string, SequenceDefinition>();
  for (const name of wanted) {
    const definition = options.create && !there.has(name) ? await readSequenceDefinition(pair.provider, name) : null;
    if (definition !== null) {
      definitions.set(name, definition);
      const found = await schemaProblems(pair.subscriber, [definition.schema]);
      problems.push(...found.map((problem) => `Cannot create sequence ${name}: ${problem}`));
    } else if (!there.has(name)) {
      problems.push(`Seq ${name} does not exist on subscriber side`);
    } else {
      const lacks = await lacksOnSequence(pair.subscriber, name, "subscriber");
      if (lacks !== null) problems.push(`Cannot add sequence ${name}: ${lacks}`);
    }
  }
  for (const problem of problems) log.error(problem);
  if (problems.length > 0 || chosen.unknown.length > 0) return false;
  for (const name of wanted) {
    const definition = definitions.get(name);
    await pair.subscriber.transaction(async (tx) => {
      if (definition !== undefined) {
        log.info(`Creating sequence ${name}`);
        await createSequence(tx, definition, log);
      }
      log.info(`Adding sequence: ${name}`);
      await localAddSeq(tx, queue, name);
    });
  }
  return true;
}

/** Those that are not added yet; of the others it is said, unless --all brought them. */
async function notRegistered(
  db: SqlConnection,
  queue: string,
  names: readonly string[],
  selection: Selection,
  log: Logger,
): Promise<string[]> {
  const registered = new Set((await getSeqList(db, queue)).filter((row) => row.local).map((row) => row.seq_name));
  for (const name of names) {
    if (registered.has(name) && selection.names.length > 0) log.info(`Seq ${name} already subscribed`);
  }
  return names.filter((name) => !registered.has(name));
}

/** Takes sequences out of replication everywhere: an event tells the subscribers. None when a name is unknown. @returns false then */
export async function removeProviderSeqs(
  db: SqlConnection,
  queue: string,
  selection: Selection,
  log: Logger,
): Promise<boolean> {
  await requireRoot(db, queue);
  const chosen = await chooseSeqs(db, queue, selection);
  for (const typed of chosen.unknown) log.error(`seq not attached: no registered sequence matches ${typed}`);
  if (chosen.unknown.length > 0) return false;
  await removeSeqs(db, queue, chosen, log);
  return true;
}

/** Ends the subscription of sequences; their values stay. @returns false when a name was unknown */
export async function removeSubscriberSeqs(
  db: SqlConnection,
  queue: string,
  selection: Selection,
  log: Logger,
): Promise<boolean> {
  await requireLeaf(db, queue);
  const chosen = await chooseSeqs(db, queue, selection);
  for (const typed of chosen.unknown) log.warning(`Seq ${typed} not subscribed`);
  await removeSeqs(db, queue, chosen, log);
  return chosen.unknown.length === 0;
}

async function chooseSeqs(db: SqlConnection, queue: string, selection: Selection): Promise<Chosen> {
  const registered = (await getSeqList(db, queue)).filter((row) => row.local).map((row) => row.seq_name);
  return choose(selection, registered, "sequence");
}

async function removeSeqs(db: SqlConnection, queue: string, { names }: Chosen, log: Logger): Promise<void> {
  for (const name of names) {
    log.info(`Removing sequence: ${name}`);
    await db.transaction((tx) => localRemoveSeq(tx, queue, name));
  }
}

export interface TableState {
  readonly table: string;
  /** null is shown as `NEW`; `set-aside`: not replayed since a row was refused, until it is copied anew. */
  readonly state: string | null;
  /** What the last copy has brought so far, null when there was none. */
  readonly rows: bigint | null;
  /** In COPY's text format. */
  readonly bytes: bigint | null;
  /** How many chunks the copy has, and how many of them are loaded; null for one in one piece. */
  readonly chunks: number | null;
  readonly chunks_loaded: number | null;
  /** Why the last try to copy it failed, why it is set aside, or what of it is in quarantine. */
  readonly error: string | null;
}

/** The subscriber's tables, in the order they were added. */
export async function subscriberTables(db: SqlConnection, queue: string): Promise<TableState[]> {
  await requireLeaf(db, queue);
  const copies = new Map(
    (await db.query<Omit<TableState, "table" | "state"> & { table_name: string }>(
      !await hasChunks(db)
        ? `select s.table_name, s.error, s.rows_copied as rows, s.bytes_copied as bytes, null::int4 as chunks,
                  null::int4 as chunks_loaded
             from skyq.copy_state s where s.queue_name = $1`
        : `select s.table_name, s.error, s.rows_copied + coalesce(c.rows, 0) as rows,
                  s.bytes_copied + coalesce(c.bytes, 0) as bytes, s.chunk_count as chunks,
                  coalesce(c.loaded, s.chunk_count)::int4 as chunks_loaded
             from skyq.copy_state s
             left join (select c.table_name, sum(c.rows_copied)::int8 as rows, sum(c.bytes_copied)::int8 as bytes,
                               count(c.loaded_at) as loaded
                          from skyq.copy_chunk c where c.queue_name = $1 group by c.table_name) c using (table_name)
            where s.queue_name = $1`,
      [queue],
    )).map((row) => [row.table_name, row]),
  );
  const refusals = await tableRefusals(db, queue);
  return (await getTableList(db, queue)).filter((row) => row.local).map((row) => {
    const copy = copies.get(row.table_name);
    const { setAside = null, held = 0 } = refusals.get(row.table_name) ?? {};
    const isAside = row.merge_state === null && setAside !== null;
    const copyError = row.merge_state === "ok" ? null : copy?.error ?? null;
    return {
      table: row.table_name,
      state: isAside ? "set-aside" : row.merge_state,
      rows: copy?.rows ?? null,
      bytes: copy?.bytes ?? null,
      chunks: copy?.chunks ?? null,
      chunks_loaded: copy?.chunks_loaded ?? null,
      error: isAside ? setAside : copyError ?? (held > 0 ? `${held} event(s) in quarantine` : null),
    };
  });
}

const WAIT_POLL_MS = 500;

/**
 * Waits until every subscribed table is in sync, telling of each one that gets there.
 * @param options `timeoutMs` null: no limit
 * @throws {SkyqError} `timeout` naming what is not in sync, `not-in-sync` for a table that is set aside, `stopped` when the signal aborts
 */
export async function waitSync(
  db: SqlConnection,
  queue: string,
  options: { timeoutMs: number | null },
  log: Logger,
  signal: AbortSignal,
): Promise<void> {
  const startedMs = performance.now();
  let waitingFor: Set<string> | null = null;
  for (;;) {
    const tables = await subscriberTables(db, queue);
    const open = tables.filter((table) => table.state !== "ok");
    if (waitingFor === null) {
      waitingFor = new Set(open.map((table) => table.table));
      log.info("Waiting until all tables are in sync");
      if (open.length > 0) log.info(`${open.length}/${tables.length} table(s) to copy`);
    }
    for (const name of waitingFor) {
      if (open.some((table) => table.table === name)) continue;
      waitingFor.delete(name);
      log.info(`${name}: finished (${tables.length - open.length}/${tables.length})`);
    }
    if (open.length === 0) break;
    const aside = open.find((table) => table.state === "set-aside");
    if (aside !== undefined) {
      throw new SkyqError("not-in-sync", `Cannot wait for table ${aside.table}, it is set aside: ${aside.error}`, {
        hint: `Mend the cause, then \`skyq subscriber resync CONFIG ${aside.table}\` copies it anew.`,
      });
    }
    if (options.timeoutMs !== null && performance.now() - startedMs > options.timeoutMs) {
      const states = open.map((table) =>
        `${table.table} is ${table.state ?? "NEW"}${table.error ? ` (${table.error})` : ""}`
      );
      throw new SkyqError(
        "timeout",
        `Waited ${options.timeoutMs / 1000} s for tables to get in sync: ${states.join(", ")}`,
        {
          hint: "Is a replay running? Its log tells what the copies do; `skyq subscriber tables` shows the states.",
        },
      );
    }
    if (!await sleep(WAIT_POLL_MS, signal)) throw new SkyqError("stopped", "Stopped waiting");
  }
  log.info("All done");
}
