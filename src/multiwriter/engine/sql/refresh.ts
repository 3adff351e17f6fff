/** What capture goes by, made anew: all of it at the installation, and behind a definition what that may have changed. */
import { note, unnote } from './notes.js';

export const REFRESH = String.raw`
create or replace function dbproxy.refresh() returns void language plpgsql set search_path = pg_catalog, pg_temp set standard_conforming_strings = on as $$
begin
  perform dbproxy.attach(oid) from pg_class where relkind = 'r' and relpersistence <> 't' and dbproxy.is_ours(relnamespace);
  perform dbproxy.own_sequence(oid) from pg_class where relkind = 'S' and relpersistence <> 't' and dbproxy.is_ours(relnamespace);
end $$;

-- Tables that have these types, tables or functions in their definition, however far: in a column, a check, a domain, a generated column, an
-- index, a partition key.
create or replace function dbproxy.tables_with(parts oid[]) returns setof oid language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive users as (
    select 'pg_type'::regclass::oid as class, oid as object from pg_type where oid = any (parts) or typrelid = any (parts) and typrelid <> 0
    union all select 'pg_proc'::regclass, oid from pg_proc where oid = any (parts)
    union
    select o.* from users u cross join lateral (
      select classid, objid from pg_depend where refclassid = u.class and refobjid = u.object
         and classid in ('pg_class'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass, 'pg_operator'::regclass, 'pg_constraint'::regclass, 'pg_attrdef'::regclass)
      union all select 'pg_class'::regclass, conrelid from pg_constraint where oid = case u.class when 'pg_constraint'::regclass then u.object end and contype = 'c'
      union all select 'pg_type'::regclass, contypid from pg_constraint where oid = case u.class when 'pg_constraint'::regclass then u.object end
      union all select 'pg_class'::regclass, adrelid from pg_attrdef where oid = case u.class when 'pg_attrdef'::regclass then u.object end) o (class, object))
  select distinct coalesce(i.indrelid, object) from users left join pg_index i on indexrelid = object where class = 'pg_class'::regclass $$;

create or replace function dbproxy.with_children(tables oid[]) returns setof oid language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive family as (select unnest(tables) as oid union select inhrelid from pg_inherits join family on inhparent = family.oid)
  select oid from family $$;

-- What a command may have changed of capture: its tables, their children, those that refer to them, those that have its types or functions; its
-- sequences.
create or replace function dbproxy.refresh(tag text, touched oid[]) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tag ~ '^(CREATE|ALTER) (PROCEDURE|AGGREGATE|RULE|POLICY|STATISTICS|PUBLICATION|EVENT TRIGGER)$'
    or tag ~ '^(COMMENT|GRANT|REVOKE|REFRESH MATERIALIZED VIEW|CREATE TYPE|CREATE DOMAIN|ALTER DEFAULT PRIVILEGES|SECURITY LABEL)$' then return; end if;
  if touched is null or tag !~ '^(DROP .*|(CREATE|ALTER) (TABLE|SEQUENCE|INDEX|TRIGGER|TYPE|DOMAIN|VIEW|MATERIALIZED VIEW|FUNCTION|ROUTINE)|CREATE TABLE AS|SELECT INTO|CREATE SCHEMA)$' or tag = 'DROP OWNED' then
    perform dbproxy.refresh();
    return;
  end if;
  perform dbproxy.own_sequence(oid) from pg_class where relkind = 'S' and oid = any (touched);
  perform dbproxy.attach(c.oid) from (
    with family as (
      select dbproxy.with_children(array(select coalesce(i.indrelid, t) from (select unnest(touched) union select dbproxy.tables_with(touched)) t (t) left join pg_index i on i.indexrelid = t)) as oid)
    select oid from family
    union select conrelid from pg_constraint join family on confrelid = family.oid where contype = 'f') f join pg_class c on c.oid = f.oid and c.relkind = 'r';
end $$;

-- Whose superusers these were, or have become: which rows bring code of others to run is another matter then.
create or replace function dbproxy.refresh_code_of(roles oid[]) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare changed oid[] := array(
  select c.oid from pg_class c where relkind = 'r' and oid in (select dbproxy.tables_with(array(select oid from pg_proc where proowner = any (roles) and pronamespace <> 'dbproxy'::regnamespace)))
     and dbproxy.runs_code(c.oid) <> exists (select from dbproxy.running_code where rel = c.oid)
  union select oid from pg_class where relkind = 'r' and relrowsecurity and relforcerowsecurity and relowner = any (roles));
begin
  if changed = '{}' then return; end if;
  -- Their triggers may be others, too.
  perform dbproxy.settle();
  ${note('w')}
  perform dbproxy.attach(rel) from unnest(changed) rel;
  ${unnote('w')}
end $$;

-- Tables that are left and have lost something that capture goes by: columns, constraints, defaults, keys. Of an index nothing says which
-- table it was of; those that have it as a key, or refer to it, have its name in their function. Null: that is not to be told.
create or replace function dbproxy.that_lost() returns oid[] language plpgsql set search_path = pg_catalog, pg_temp set quote_all_identifiers = off as $$
declare is_plain boolean; lost oid[];
begin
  select coalesce(bool_and(case object_type when 'index' then object_identity ~ '^[a-z0-9_]+\.[a-z0-9_]+$' else coalesce(cardinality(address_names), 0) > 2 end), true) into is_plain
    from pg_event_trigger_dropped_objects() where object_type in ('index', 'table constraint', 'default value', 'table column');
  if not is_plain then return null; end if;
  select array_agg(distinct rel) into lost from (
    select to_regclass(quote_ident(address_names[1]) || '.' || quote_ident(address_names[2]))::oid from pg_event_trigger_dropped_objects()
     where object_type in ('table constraint', 'default value', 'table column') or object_type = 'trigger' and starts_with(address_names[3], 'dbproxy_')
    union all
    select substr(proname, 9)::oid from pg_event_trigger_dropped_objects() join pg_proc on pronamespace = 'dbproxy'::regnamespace and proname ~ '^capture_[0-9]+$'
       and position('"' || object_identity || '"' in prosrc) > 0 where object_type = 'index'
    -- Whose code was in it.
    union all
    select r.rel from dbproxy.running_code r where exists (select from pg_event_trigger_dropped_objects() where object_type = 'index')) l (rel)
   where rel is not null;
  return coalesce(lost, '{}');
end $$;

-- Does code of clients run at COMMITs: deferred triggers, the cast by which a foreign key compares, functions of an exclusion constraint? Also
-- those of temporary tables; what was once so stays so until the next start.
create or replace function dbproxy.note_deferring() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  update dbproxy.self set defers = true where not defers and (
    exists (select from pg_trigger join pg_proc p on p.oid = tgfoid where tgdeferrable and not tgisinternal and pronamespace <> 'dbproxy'::regnamespace)
    or exists (select from pg_constraint cross join unnest(conkey, confkey) k (mine, other) join pg_attribute m on m.attrelid = conrelid and m.attnum = mine join pg_attribute o on o.attrelid = confrelid and o.attnum = other
                where contype = 'f' and condeferrable and m.atttypid <> o.atttypid and dbproxy.base_type(m.atttypid) <> dbproxy.base_type(o.atttypid)
                  and not (dbproxy.is_built_in(m.atttypid) and dbproxy.is_built_in(o.atttypid)))
    or exists (select from pg_constraint where contype = 'x' and condeferrable and dbproxy.runs_code(conrelid)));
end $$;

create or replace function dbproxy.become(me int, all_writers int[], new_incarnation int, new_secret text) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  insert into dbproxy.self (writer, writers, incarnation, secret) values (me, all_writers, new_incarnation, new_secret)
    on conflict (only_row) do update set writer = excluded.writer, writers = excluded.writers, incarnation = excluded.incarnation, secret = excluded.secret, defers = false;
  perform dbproxy.require_names_of_ours();
  perform dbproxy.refresh();
  perform dbproxy.note_deferring();
end $$;
`;
