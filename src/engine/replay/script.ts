// Scripts that run on every node of a cascade (`execute`): on the root by command, elsewhere by their EXECUTE event.

import { SkyqError } from "../../base/errors.ts";
import type { Logger } from "../../base/log.ts";
import { didYouMean } from "../../base/nearest.ts";
import { decodeUrl, encodeUrl } from "../../codec/urlencode.ts";
import { one, type Queryable } from "../../db/queryable.ts";
import { makeFullName, quoteFullName, quoteIdent } from "../../db/quote.ts";
import { during, lineInScript } from "../../db/errors.ts";
import { executeFinish, executeStart } from "../../queue/londiste.ts";

/** Attributes of a script, by their names in lower case: what has to be there for it to run on a node. */
export type ScriptAttributes = ReadonlyMap<string, readonly string[]>;

export interface Script {
  /** Base name of the file: the script's identity on every node. */
  readonly file: string;
  readonly sql: string;
  readonly attributes: ScriptAttributes;
}

/** Whether a node has what an attribute names; `$1` is the queue, `$2` the name, `$3` a function's argument count. */
const TESTS: Readonly<Record<string, string>> = {
  "local-table": `exists (select from londiste.table_info t where t.queue_name = $1 and t.table_name = $2 and t.local)`,
  "local-sequence": `exists (select from londiste.seq_info s where s.queue_name = $1 and s.seq_name = $2 and s.local)`,
  "local-destination": `exists (select from londiste.table_info t
     where t.queue_name = $1 and t.table_name = $2 and t.local
       and londiste.find_table_oid(coalesce(t.dest_table, t.table_name)) is not null)`,
  "need-table": "londiste.find_table_oid($2) is not null",
  "need-sequence": "londiste.find_seq_oid($2) is not null",
  "need-view": "londiste.find_rel_oid($2, 'v') is not null",
  "need-schema": "exists (select from pg_catalog.pg_namespace n where n.nspname = $2)",
  "need-function": `exists (select from pg_catalog.pg_proc p join pg_catalog.pg_namespace n on n.oid = p.pronamespace
     where n.nspname || '.' || p.proname = $2 and p.pronargs = $3)`,
};

/** What else the name might have been, where that can be known. */
const CANDIDATES: Readonly<Record<string, string>> = {
  "local-table": "select t.table_name as name from londiste.table_info t where t.queue_name = $1 and t.local",
  "local-destination": "select t.table_name as name from londiste.table_info t where t.queue_name = $1 and t.local",
  "local-sequence": "select s.seq_name as name from londiste.seq_info s where s.queue_name = $1 and s.local",
  "need-table": relationNames("'r', 'p'"),
  "need-sequence": relationNames("'S'"),
  "need-view": relationNames("'v'"),
};

function relationNames(kinds: string): string {
  return `select n.nspname || '.' || c.relname as name
            from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
           where c.relkind in (${kinds}) and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
             and $1::text is not null`;
}

const DESTINATION_KEYS = ["local-table", "local-sequence", "local-destination"];

/**
 * Reads the attributes of a script: lines `--*-- Key: value, value` above the first statement; one that ends with a
 * comma goes on in the next such line.
 * @throws {SkyqError} `usage` for a key that nobody knows
 * @example readAttributes("--*-- Need-Table: a, b\nselect 1").get("need-table") // ["a", "b"]
 */
export function readAttributes(sql: string): Map<string, readonly string[]> {
  const attributes = new Map<string, string[]>();
  let continued: string[] | null = null;
  for (const [index, line] of sql.split(/\r?\n/).entries()) {
    const text = line.trim();
    const attribute = /^--\*--\s*(.*)$/.exec(text);
    if (attribute === null) {
      if (text === "" || text.startsWith("--")) continue;
      break;
    }
    let values = attribute[1]!;
    if (continued === null) {
      const pair = /^([^:]*):(.*)$/.exec(values);
      const key = pair?.[1]?.trim().toLowerCase();
      if (key === undefined || TESTS[key] === undefined) {
        throw new SkyqError("usage", `Cannot read attribute in line ${index + 1}: "${text}" has no known key`, {
          hint: "Known keys: Local-Table, Local-Sequence, Local-Destination, Need-Table, Need-Sequence, Need-View, " +
            "Need-Schema, Need-Function.",
        });
      }
      continued = attributes.get(key) ?? [];
      attributes.set(key, continued);
      values = pair![2]!;
    }
    continued.push(...values.split(",").map((value) => value.trim()).filter((value) => value !== ""));
    if (!values.trim().endsWith(",")) continued = null;
  }
  return attributes;
}

/** Attributes as they travel with the event. */
export function encodeAttributes(attributes: ScriptAttributes): string {
  return encodeUrl(new Map([...attributes].map(([key, values]) => [key, values.join(",")])));
}

/** @throws {SkyqError} `bad-event` for a key that this version does not know */
export function decodeAttributes(text: string): ScriptAttributes {
  const attributes = new Map<string, readonly string[]>();
  for (const [name, value] of decodeUrl(text)) {
    const key = name.toLowerCase();
    if (TESTS[key] === undefined) {
      throw new SkyqError("bad-event", `Cannot execute script: its attribute "${name}" is not known`, {
        hint: "It was written by a newer version or another tool; bring this node's skyq up to date.",
      });
    }
    attributes.set(key, (value ?? "").split(",").map((word) => word.trim()).filter((word) => word !== ""));
  }
  return attributes;
}

export interface ScriptRun {
  readonly queue: string;
  /** The command on the root; an event on any other node. */
  readonly isRoot: boolean;
  readonly log: Logger;
}

/**
 * Runs a script inside the caller's transaction, once per database, where its attributes say that it is needed. What it
 * changes is not logged by the tables' triggers: every node runs the script itself.
 * @returns whether it is new here (also where it was not needed); false when it had been applied before
 * @throws {SkyqError} `refused` on a node that is not the root, or that has only some of what the script needs; else what
 * the server says of the script
 */
export async function runScript(db: Queryable, script: Script, { queue, isRoot, log }: ScriptRun): Promise<boolean> {
  const { file, sql, attributes } = script;
  const act = `Cannot execute "${file}"`;
  const roleBefore = await setLocalRole(db, "local");
  if (isRoot && roleBefore.now !== "local") {
    const { role } = await one<{ role: string }>(db, "select current_user as role");
    throw new SkyqError("privilege", `${act}: role ${role} may not set session_replication_role`, {
      hint: "The triggers would log the script's changes a second time. As a superuser, from PostgreSQL 15 on: " +
        `GRANT SET ON PARAMETER session_replication_role TO ${quoteIdent(role)};`,
    });
  }
  const started = await executeStart(db, queue, script.file, sql, isRoot, encodeAttributes(attributes));
  if (started.ret_code >= 300) throw new SkyqError("refused", `${act}: ${started.ret_note}`);
  log.info(started.ret_note);
  if (started.ret_code === 201) {
    log.warning(`Skipping execution of '${file}'`);
    await setLocalRole(db, roleBefore.before);
    return false;
  }
  const need = await isNeeded(db, queue, script, act);
  if (need === null) {
    log.info(`${file}: This SQL does not need to run on this node.`);
    if (isRoot) await tellUnknownNames(db, queue, script, log);
  } else {
    log.info(`${file}: executing sql`);
    // Inside a block of the server, which refuses COMMIT and its like: they would tear the transaction apart.
    await runBlock(db, withNames(sql, need), act);
  }
  const finished = await executeFinish(db, queue, file);
  log.info(finished.ret_note);
  await setLocalRole(db, roleBefore.before);
  return true;
}

/** @returns names to put in for `@name@`, null when the script has nothing to do here */
async function isNeeded(
  db: Queryable,
  queue: string,
  { attributes }: Script,
  act: string,
): Promise<ReadonlyMap<string, string> | null> {
  const there: string[] = [];
  const lacking: string[] = [];
  const names = new Map<string, string>();
  for (const [key, values] of attributes) {
    for (const value of values) {
      const { name, argCount } = namedBy(key, value);
      const holds = key === "need-function"
        ? one<{ holds: boolean }>(db, `select ${TESTS[key]} and $1::text is not null as holds`, [queue, name, argCount])
        : one<{ holds: boolean }>(
          db,
          `select ${TESTS[key]} and $1::text is not null and $2::text is not null as holds`,
          [queue, name],
        );
      ((await holds).holds ? there : lacking).push(`${key} ${value}`);
      if (DESTINATION_KEYS.includes(key)) names.set(value, quoteFullName(await destination(db, queue, key, name)));
    }
  }
  if (lacking.length === 0) return names;
  if (there.length === 0) return null;
  throw new SkyqError(
    "refused",
    `${act}: SQL only partially matches local setup: there is ${there.join(", ")}, there is no ${lacking.join(", ")}`,
    { hint: "Make what lacks, or take what is there away; or write two scripts." },
  );
}

/**
 * Says which names of a script that was passed over on the root stand for nothing. Those of Local keys are none of a
 * table or sequence of this queue, so that no subscriber can have it: the script runs nowhere.
 */
async function tellUnknownNames(db: Queryable, queue: string, { file, attributes }: Script, log: Logger) {
  for (const [key, values] of attributes) {
    const query = CANDIDATES[key];
    if (query === undefined) continue;
    const known = (await db.query<{ name: string }>(query, [queue])).map((row) => row.name);
    for (const value of values) {
      const hint = didYouMean(namedBy(key, value).name, known);
      if (DESTINATION_KEYS.includes(key)) {
        const kind = key === "local-sequence" ? "sequence" : "table";
        log.warning(`${file}: no ${kind} "${value}" is registered in queue "${queue}": the script runs on no node`);
      }
      if (hint !== undefined) log.info(`hint: ${hint}`);
    }
  }
}

function namedBy(key: string, value: string): { name: string; argCount: number } {
  if (key === "need-schema") return { name: value, argCount: 0 };
  const call = key === "need-function" ? /^(.*)\((\d*)\)$/.exec(value) : null;
  return { name: makeFullName((call?.[1] ?? value).trim()), argCount: Number(call?.[2] || 0) };
}

async function destination(db: Queryable, queue: string, key: string, name: string): Promise<string> {
  if (key === "local-sequence") return name;
  const rows = await db.query<{ dest: string }>(
    `select coalesce(t.dest_table, t.table_name) as dest from londiste.table_info t
      where t.queue_name = $1 and t.table_name = $2`,
    [queue, name],
  );
  return rows[0]?.dest ?? name;
}

function withNames(sql: string, names: ReadonlyMap<string, string>): string {
  return [...names].reduce((text, [name, quoted]) => text.replaceAll(`@${name}@`, () => quoted), sql);
}

/** Runs statements as one. @throws {SkyqError} what the server says, and in which line where it knows */
async function runBlock(db: Queryable, sql: string, act: string): Promise<void> {
  const script = `${sql}\n`;
  let tag = "skyq";
  while (sql.includes(`$${tag}`)) tag += "_";
  try {
    await db.query(`do $${tag}_do$ begin execute $${tag}$${script}$${tag}$; end $${tag}_do$`);
  } catch (error) {
    const line = error instanceof SkyqError ? lineInScript(error, script) : null;
    await during(line === null ? act : `${act}, line ${line}`, Promise.reject(error));
  }
}

/**
 * Sets session_replication_role for the rest of the transaction, where the role may, or a function of londiste whose
 * owner may does it for us.
 */
async function setLocalRole(db: Queryable, role: string): Promise<{ before: string; now: string }> {
  const read = async () =>
    (await one<{ role: string }>(db, "select pg_catalog.current_setting('session_replication_role') as role")).role;
  const before = await read();
  if (before === role) return { before, now: before };
  await db.query(`do $$
begin
  perform londiste.set_session_replication_role('${role}', true);
exception when others then
  begin
    perform pg_catalog.set_config('session_replication_role', '${role}', true);
  exception when insufficient_privilege then
    null;
  end;
end;
$$`);
  return { before, now: await read() };
}

/** A connection that runs a function inside a transaction: the commands' own. */
interface Transactor {
  transaction<T>(work: (tx: Queryable) => Promise<T>): Promise<T>;
}

/** Thrown to leave a transaction of which nothing is to stay. */
class Undo extends Error {}

/**
 * Runs scripts on the root, all in one transaction: after an error nothing has happened, and no event was written.
 * @throws {SkyqError} as `runScript`
 */
export async function executeScripts(
  root: Transactor,
  queue: string,
  scripts: readonly Script[],
  log: Logger,
): Promise<void> {
  await root.transaction(async (tx) => {
    for (const script of scripts) {
      if (await runScript(tx, script, { queue, isRoot: true, log })) await followColumns(tx, queue);
    }
  });
}

/** Runs scripts as a node would, and takes everything back. @throws {SkyqError} as `runScript` */
export async function tryScripts(
  node: Transactor,
  scripts: readonly Script[],
  run: ScriptRun,
): Promise<void> {
  try {
    await node.transaction(async (tx) => {
      for (const script of scripts) await runScript(tx, script, run);
      throw new Undo();
    });
  } catch (error) {
    if (!(error instanceof Undo)) throw error;
  }
}

/** Capture functions of tables that the script has altered are written anew at once: the replay would do it later. */
async function followColumns(tx: Queryable, queue: string): Promise<void> {
  await tx.query(
    `select skyq.refresh_capture($1, c.local_name)
       from skyq.check_capture($1) c
      where c.problem = 'columns or key have changed' and c.local_name is not null`,
    [queue],
  );
}
