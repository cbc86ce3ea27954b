/** A table change: an upgraded database gets it, a fresh one has it in `tables.sql` already. */
export interface Migration {
  /** From 1, without gaps. */
  readonly id: number;
  readonly sql: string;
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
  /** The extension that would bring the same schema. */
  readonly extension?: string;
  /** A table (`schema.table`) by which the schema is known when somebody else installed it. */
  readonly landmark?: string;
}
