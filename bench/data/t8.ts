/** The table of the flow benches: 8 columns, about 150 bytes a row, the same rows for everybody. */

/** What a bench's tables are called, on both sides. */
export const TABLES = ["public.t8", "public.bench_mark"] as const;

/** `bench_mark` gets one row after each statement: where it is visible, all before it is. */
export const SCHEMA = `
create table t8 (
  id bigint primary key,
  customer_id integer not null,
  status text not null,
  created_at timestamptz not null,
  amount numeric(12,2) not null,
  note text not null,
  flags integer,
  updated_at timestamptz not null
);
create table bench_mark (id integer primary key);
`;

export type Op = "insert" | "update" | "delete";

export const OPS: readonly Op[] = ["insert", "update", "delete"];

/** How many rows the statement of an op touches: all, three tenths, three other tenths. */
export function rowsOf(op: Op, rowCount: number): number {
  return op === "insert" ? rowCount : Math.floor(rowCount / 10) * 3;
}

/**
 * One statement for all its rows. The values depend on the row's number alone.
 * @param rowCount rows of the full table, a multiple of ten
 */
export function statementOf(op: Op, rowCount: number): string {
  switch (op) {
    case "insert":
      return `
insert into t8
select i, hashint8(i) & 65535, (array['new','paid','shipped','returned'])[1 + (i % 4)],
       timestamptz '2024-01-01 00:00:00+00' + i * interval '17.31 seconds', (hashint8(i) & 1048575) / 100.0,
       'left at the door, ' || md5(i::text) || ' & signed by ' || (i % 977),
       case when i % 5 = 0 then null else (i % 32)::integer end,
       timestamptz '2024-06-01 00:00:00+00' + i * interval '0.731 seconds'
  from generate_series(1, ${rowCount}::bigint) i`;
    case "update":
      return `
update t8 set status = 'closed', amount = amount + 1.25, updated_at = updated_at + interval '1 day'
 where id % 10 < 3`;
    case "delete":
      return "delete from t8 where id % 10 between 3 and 5";
  }
}

/** Count and order-free checksum of a table as the server prints its rows. */
export const CHECKSUM = "select count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)), 0) from t8 t";
