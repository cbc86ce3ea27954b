/** A table change: an upgraded database gets it, a fresh one has it in `tables.sql` already. */
export interface Migration {
  /** From 1, without gaps. */
  readonly id: number;
  readonly sql: string;
  /** Tables that it changes and that others may be using: locked exclusively before anything else is done. */
  readonly locks?: readonly string[];
}

/** A table of somebody else's that the functions' texts change, once. */
export interface Alteration {
  readonly table: string;
  /** SQL: whether it is still to be done. */
  readonly isDue: string;
}

/** One schema of the database, as text; `src/db/install.ts` puts it there. */
export interface SqlSchema {
  readonly name: string;
  /** The newest tables, sequences and indexes. Run once, in a schema that exists and is empty. */
  readonly tables: string;
  /** `create or replace function …` texts, in order. Run on every install. */
  readonly functions: readonly string[];
  /** Roles and grants. Run on every install, after the functions; must say the same when run twice. */
  readonly grants: string;
  /** Table changes since the first release, in order. */
  readonly migrations: readonly Migration[];
  /** What the functions' texts do besides: triggers on tables that are in use, which are locked against writers first. */
  readonly alterations?: readonly Alteration[];
  /** The extension that would bring the same schema. */
  readonly extension?: string;
  /** A table (`schema.table`), or a function with its types, by which the schema is known when somebody else installed it. */
  readonly landmark?: string;
}
