// What keeps tables and sequences from being replicated, before it does: nothing here changes anything.

import type { Logger } from "../../base/log.ts";
import { didYouMean } from "../../base/nearest.ts";
import type { Queryable } from "../../db/queryable.ts";
import { makeFullName, quoteFullName } from "../../db/quote.ts";
import type { SqlConnection } from "../../db/sql.ts";
import { getSeqList, getTableList } from "../../queue/londiste.ts";
import { captureProblems } from "./captures.ts";
import { choose, type Pair } from "./choice.ts";
import { requireLeaf, requireRoot } from "./node.ts";
import { lacksOnProviderTable, lacksOnSequence, lacksOnSubscriberTable, userTriggers } from "./rights.ts";
import { compareStructure, type Finding, readStructure, unfitness, userSequences } from "./structure.ts";

export interface CheckOptions {
  /** Tables or globs; none: all, and the sequences. */
  readonly names: readonly string[];
  readonly log: Logger;
  /** Is told of each finding, beside the log. */
  readonly onFinding?: (name: string, finding: Finding) => void;
}

/** `unsound`: there was an ERROR. `unknown name`: not all could be looked at, whatever was found on the others. */
export type Verdict = "sound" | "unsound" | "unknown name";

/** Findings of one run, logged as they come. */
class Findings {
  readonly #options: CheckOptions;
  hasError = false;
  /** A name that stands for nothing: that is no finding about a table. */
  hasUnknown = false;

  constructor(options: CheckOptions) {
    this.#options = options;
  }

  add(name: string, findings: readonly Finding[]): void {
    for (const finding of findings) {
      if (finding.level === "ERROR") this.hasError = true;
      this.#options.log[finding.level === "ERROR" ? "error" : "warning"](finding.text);
      this.#options.onFinding?.(name, finding);
    }
  }

  unknown(names: readonly string[], registered: readonly string[]): void {
    for (const typed of names) {
      this.hasUnknown = true;
      this.error(typed, `No registered table matches ${typed}`);
      const hint = didYouMean(makeFullName(typed), registered);
      if (hint !== undefined) this.#options.log.info(`hint: ${hint}`);
    }
  }

  get verdict(): Verdict {
    return this.hasUnknown ? "unknown name" : this.hasError ? "unsound" : "sound";
  }

  error(name: string, text: string): void {
    this.add(name, [{ level: "ERROR", text }]);
  }

  warning(name: string, text: string): void {
    this.add(name, [{ level: "WARNING", text }]);
  }
}

/**
 * Looks for what on the provider keeps its registered tables and sequences from being captured, wholly and rightly.
 */
export async function checkProvider(db: SqlConnection, queue: string, options: CheckOptions): Promise<Verdict> {
  await requireRoot(db, queue);
  const found = new Findings(options);
  const tables = (await getTableList(db, queue)).filter((row) => row.local).map((row) => row.table_name);
  const chosen = choose({ names: options.names, all: true }, tables, "table");
  found.unknown(chosen.unknown, tables);
  const captures = await captureFindings(db, queue);
  for (const table of chosen.names) {
    options.log.info(`Checking ${table}`);
    found.add(table, captures.get(table) ?? []);
    const structure = await readStructure(db, table);
    // A table that was renamed is looked for under its old name; its capture has told.
    if (structure === null) {
      if (!captures.has(table)) found.error(table, `Table ${table} is gone from the provider`);
      continue;
    }
    const problem = unfitness(table, structure);
    if (problem !== null) found.error(table, problem);
    if (structure.isUnlogged) {
      found.warning(table, `Table ${table} is unlogged: a crash of the server empties it, and no event tells of that`);
    }
    if (!captures.has(table) && !await isLogged(db, queue, table)) {
      found.error(
        table,
        `Table ${table} is not captured: its trigger is gone or disabled; make it with \`provider add\``,
      );
    }
    for (const text of await earlierTriggers(db, queue, table)) found.warning(table, text);
    const lacks = await lacksOnProviderTable(db, table);
    if (lacks !== null) found.error(table, `${table}: ${lacks}`);
  }
  if (options.names.length === 0) await checkSequences(db, queue, "provider", found);
  return found.verdict;
}

/**
 * Compares the structure of the provider's tables with the subscriber's, and looks for what keeps rows from being
 * applied there.
 */
export async function checkSubscriber(pair: Pair, queue: string, options: CheckOptions): Promise<Verdict> {
  await requireRoot(pair.provider, queue);
  const found = new Findings(options);
  const sent = (await getTableList(pair.provider, queue)).filter((row) => row.local).map((row) => row.table_name);
  const chosen = choose({ names: options.names, all: true }, sent, "table");
  found.unknown(chosen.unknown, sent);
  const captures = await captureFindings(pair.provider, queue);
  const isReplica = await maySetReplicaRole(pair.subscriber);
  for (const table of chosen.names) {
    options.log.info(`Checking ${table}`);
    const structure = await readStructure(pair.subscriber, table);
    found.add(table, compareStructure(table, await readStructure(pair.provider, table), structure));
    found.add(table, captures.get(table) ?? []);
    if (structure === null) continue;
    const lacks = await lacksOnSubscriberTable(pair.subscriber, table, { isCopied: true, dropsTriggers: false });
    if (lacks !== null) found.error(table, `${table}: ${lacks}`);
    if (isReplica) continue;
    const triggers = await userTriggers(pair.subscriber, table, "ordinary");
    if (triggers.length > 0) {
      found.warning(
        table,
        `${table}: the subscriber's role may not set session_replication_role, so these fire for replayed rows: ` +
          triggers.join(", "),
      );
    }
  }
  if (options.names.length === 0) {
    await requireLeaf(pair.subscriber, queue);
    await checkSequences(pair.subscriber, queue, "subscriber", found);
  }
  return found.verdict;
}

/** The differences of one table, logged. @returns whether there was an ERROR */
export async function checkTable(pair: Pair, table: string, log: Logger): Promise<boolean> {
  const found = new Findings({ names: [], log });
  const [here, there] = [await readStructure(pair.provider, table), await readStructure(pair.subscriber, table)];
  found.add(table, compareStructure(table, here, there));
  return found.hasError;
}

async function checkSequences(
  db: SqlConnection,
  queue: string,
  side: "provider" | "subscriber",
  found: Findings,
): Promise<void> {
  const there = new Set(await userSequences(db));
  for (const { seq_name, local } of await getSeqList(db, queue)) {
    if (!local) continue;
    if (!there.has(seq_name)) {
      found.error(seq_name, `Seq ${seq_name} is gone from the ${side}`);
      continue;
    }
    const lacks = await lacksOnSequence(db, seq_name, side);
    if (lacks !== null) found.error(seq_name, `${seq_name}: ${lacks}`);
  }
}

/** What is wrong with captures, by table. One that merely has to be written anew logs all the same, only slower. */
async function captureFindings(db: Queryable, queue: string): Promise<Map<string, Finding[]>> {
  const findings = new Map<string, Finding[]>();
  for (const { table, problem } of await captureProblems(db, queue)) {
    const isSlow = problem === "columns or key have changed";
    findings.set(table, [{
      level: isSlow ? "WARNING" : "ERROR",
      text: `${table}: capture on the provider: ${problem}` +
        (isSlow ? "; it logs slowly until a replay has it written anew, or `provider add` is run" : ""),
    }]);
  }
  return findings;
}

/** Whether an enabled trigger logs the table's inserts, updates and deletes into the queue. */
async function isLogged(db: Queryable, queue: string, table: string): Promise<boolean> {
  const rows = await db.query(
    `select 1
       from skyq._queue_triggers(pg_catalog.to_regclass($1)) q
       join pg_catalog.pg_trigger t on t.oid = q.trigger_oid
      where q.queue_name = $2 and t.tgenabled in ('O', 'A')
     having pg_catalog.bit_or(t.tgtype & 28) = 28`, // I, D, U
    [quoteFullName(table), queue],
  );
  return rows.length > 0;
}

/** Row-level AFTER triggers that fire before the one that logs into the queue. @returns a warning for each */
export async function earlierTriggers(db: Queryable, queue: string, table: string): Promise<string[]> {
  const rows = await db.query<{ name: string }>(
    `select t.tgname as name
       from pg_catalog.pg_trigger t
      where t.tgrelid = pg_catalog.to_regclass($1) and not t.tgisinternal and t.tgtype & 67 = 1
        and not skyq._is_queue_function(t.tgfoid)
        and t.tgname < (select pg_catalog.min(q.trigger_name) from skyq._queue_triggers(t.tgrelid) q
                         join pg_catalog.pg_trigger o on o.oid = q.trigger_oid
                        where q.queue_name = $2 and o.tgtype & 1 = 1)
      order by t.tgname`,
    [quoteFullName(table), queue],
  );
  return rows.map(({ name }) =>
    `Table ${table} has AFTER trigger '${name}' which runs before Londiste trigger. If it modifies data, then events ` +
    "will appear in queue in wrong order."
  );
}

/** Whether replayed rows can be kept from firing triggers, by whichever way the replay would use. Tried, and undone. */
export async function maySetReplicaRole(db: SqlConnection): Promise<boolean> {
  return await db.transaction(async (tx) => {
    await tx.query(`do $$
      begin
        perform londiste.set_session_replication_role('replica', true);
      exception when others then
        begin
          perform pg_catalog.set_config('session_replication_role', 'replica', true);
        exception when insufficient_privilege then
          null;
        end;
      end;
      $$`);
    const rows = await tx.query<{ role: string }>(
      "select pg_catalog.current_setting('session_replication_role') as role",
    );
    return rows[0]!.role === "replica";
  });
}
