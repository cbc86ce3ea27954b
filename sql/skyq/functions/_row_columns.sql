create or replace function skyq._row_columns(
    i_table oid, i_ignore text[], out nr bigint, out name text, out kind text, out chars text, out is_text boolean, out has_nulls boolean)
returns setof record
language sql stable set search_path = pg_catalog, pg_temp as $$
-- The columns of a table that its events show, in order, and what their texts may hold.
-- Returns:   kind  plain  of chars alone, besides what is never encoded: 0-9 A-Z a-z _ . -
--                  bytes  bytea
--                  words  text and the like: often nothing to encode but blanks and commas
--                  other  texts with quotes, brackets and so on
--            is_text    that a cast to text shows the value as its type does
select row_number() over (order by c.attnum), c.attname::text,
       case when c.chars is not null then 'plain'
            when c.type = 'bytea'::regtype then 'bytes'
            when c.typcategory in ('S', 'E', 'I') then 'words'
            else 'other' end,
       coalesce(c.chars, ''), c.chars is not null or c.type in ('text'::regtype, 'varchar'::regtype),
       c.has_nulls
  from (select a.attnum, a.attname, not skyq._has_no_nulls(a) as has_nulls, b.type, t.typcategory,
               case
                   when b.type in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'oid'::regtype, 'numeric'::regtype,
                                   'uuid'::regtype, 'bool'::regtype) then ''
                   when b.type in ('float4'::regtype, 'float8'::regtype) then '+'
                   when b.type = 'date'::regtype then ' '
                   when b.type = 'time'::regtype then ':'
                   when b.type = 'timestamp'::regtype then ' :'
                   when b.type = 'timetz'::regtype then '+:'
                   when b.type in ('timestamptz'::regtype, 'interval'::regtype) then '+ :'
               end as chars
          from pg_attribute a
         cross join lateral skyq._base_type(a.atttypid) b (type)
          join pg_type t on t.oid = b.type
         where a.attrelid = i_table and a.attnum > 0 and not a.attisdropped and a.attname <> all (i_ignore)) c
$$;
