/** Tables whose rows bring code to run where they are applied: apply.ts, and what is generated for them, mind it. */
export const RUNNING_CODE = String.raw`
-- What a row of a table goes by where it is written, as the catalogs have it: checks, those of domains, generated columns, indexes, partition
-- keys, and what these are made of, however far.
create or replace function dbproxy.needed_by(rel oid, out class oid, out object oid) returns setof record language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive needed as (
    select 'pg_class'::regclass::oid as class, t as object from (select rel as t union select relid from pg_partition_ancestors(rel)) tables
    union
    select o.* from needed n cross join lateral (
      select refclassid, refobjid from pg_depend where classid = n.class and objid = n.object and refclassid in ('pg_class'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass, 'pg_constraint'::regclass)
      union all select 'pg_constraint'::regclass, oid from pg_constraint where conrelid = case n.class when 'pg_class'::regclass then n.object end and contype <> 'f'
      union all select 'pg_constraint'::regclass, oid from pg_constraint where contypid = case n.class when 'pg_type'::regclass then n.object end
      union all select 'pg_class'::regclass, indexrelid from pg_index where indrelid = case n.class when 'pg_class'::regclass then n.object end
      union all select 'pg_attrdef'::regclass, d.oid from pg_attrdef d join pg_attribute on attrelid = adrelid and attnum = adnum
        where adrelid = case n.class when 'pg_class'::regclass then n.object end and attgenerated <> ''
      union all select 'pg_class'::regclass, typrelid from pg_type where oid = case n.class when 'pg_type'::regclass then n.object end and typrelid <> 0) o (class, object))
  select * from needed $$;

-- Does a row of it bring functions to run that are no superuser's, or that do more than compute (some of PostgreSQL's own run what they are given,
-- or change settings)?
create or replace function dbproxy.runs_code(rel oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  with needed as materialized (select * from dbproxy.needed_by(rel)),
  -- As they are stored: of what is built in nothing depends.
  called as (
    select m[1]::oid as function from needed n cross join lateral (
      select conbin::text from pg_constraint where oid = case n.class when 'pg_constraint'::regclass then n.object end and conbin is not null
      union all select adbin::text from pg_attrdef where oid = case n.class when 'pg_attrdef'::regclass then n.object end
      union all select concat(indexprs::text, ' ', indpred::text) from pg_index where indexrelid = case n.class when 'pg_class'::regclass then n.object end and num_nonnulls(indexprs, indpred) > 0
      union all select partexprs::text from pg_partitioned_table where partrelid = case n.class when 'pg_class'::regclass then n.object end and partexprs is not null) e (expression)
      cross join lateral regexp_matches(expression, ':(?:op)?funcid (\d+)', 'g') m
    union select object from needed where class = 'pg_proc'::regclass)
  select exists (select from called join pg_proc p on p.oid = function join pg_roles r on r.oid = proowner where not rolsuper or provolatile <> 'i') $$;

-- Tables of which that is so.
create table if not exists dbproxy.running_code (rel oid primary key);
alter table dbproxy.running_code enable row level security;
`;
