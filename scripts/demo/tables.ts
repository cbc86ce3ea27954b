/** The demo's database: a small shop whose texts are as unpleasant as texts get. */

export const TABLES = ["public.customer", "public.orders", "public.order_item"] as const;
export const SEQUENCE = "public.orders_order_id_seq";

export const CUSTOMER_COUNT = 5_000;
export const ORDER_COUNT = 200_000;

/** What people type into text fields, and what breaks replication written in a hurry. */
export const REMARKS: readonly (string | null)[] = [
  "plain",
  `it's "quoted", isn't it`,
  "a\ttab, a line\nfeed, a carriage\rreturn",
  "100 % of 50 & 7 = 1+1 %41%zz",
  "back\\slash \\N \\. \\t",
  "naïve café, 日本語, Ελληνικά, 🐘",
  '{curly,"braces"} (and, round) [ones]',
  "",
  null,
];

function literal(text: string | null): string {
  return text === null ? "null" : `'${text.replaceAll("'", "''")}'`;
}

/** The same on both sides; skyq replicates rows, the tables have to be there. */
export const SCHEMA = `
create table customer (
  customer_id integer primary key,
  name        text not null,
  note        text,
  tags        text[],
  profile     jsonb,
  photo       bytea,
  balance     numeric(20,4) not null default 0,
  changed_at  timestamptz not null default now()
);
create table orders (
  order_id    bigserial primary key,
  customer_id integer not null references customer,
  amount      numeric(12,2) not null,
  remark      text,
  placed_at   timestamptz not null default now()
);
create index on orders (customer_id);
create table order_item (
  order_id bigint references orders on delete cascade,
  line_no  integer,
  product  text not null,
  quantity integer[],
  price    numeric,
  primary key (order_id, line_no)
);`;

/** Fills the provider's tables; the numbers decide every value, so that two runs begin alike. */
export const ROWS = `
insert into customer
select n, 'Customer ' || n, r.list[1 + n % ${REMARKS.length}], array[r.list[1 + n % 7], r.list[1 + n % 5], null, ''],
       jsonb_build_object('n', n, 'text', r.list[1 + n % 8], 'list', jsonb_build_array(1.50, null, true, n)),
       case when n % 11 > 0 then decode(md5(n::text) || '00ff5c27', 'hex') end,
       n * 1.2345, timestamptz '2024-02-29 23:59:59.999999+00' + n * interval '1 minute'
  from generate_series(1, ${CUSTOMER_COUNT}) n,
       (select array[${REMARKS.map(literal).join(", ")}]::text[]) r (list);
insert into orders (customer_id, amount, remark, placed_at)
select 1 + n % ${CUSTOMER_COUNT}, n / 7.0, r.list[1 + n % ${REMARKS.length}],
       timestamptz '2025-03-30 00:30:00+00' + n * interval '3 seconds'
  from generate_series(1, ${ORDER_COUNT}) n,
       (select array[${REMARKS.map(literal).join(", ")}]::text[]) r (list);
insert into order_item
select 1 + n / 3, 1 + n % 3, 'Product ' || n % 97, array[n, null, -n], nullif(n % 10, 0) * 1.10
  from generate_series(0, 29999) n;
analyze;`;
