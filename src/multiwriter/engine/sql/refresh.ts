/** What capture goes by, made anew: all of it at the installation, and behind a definition what that may have changed. */
export const REFRESH = String.raw`
create or replace function dbproxy.refresh() returns void language plpgsql set search_path = pg_catalog, pg_temp set standard_conforming_strings = on as $$
begin
  perform dbproxy.attach(oid) from pg_class where relkind = 'r' and relpersistence <> 't' and dbproxy.is_ours(relnamespace);
  perform dbproxy.own_sequence(oid) from pg_class where relkind = 'S' and relpersistence <> 't' and dbproxy.is_ours(relnamespace);
end $$;

-- What a command may have changed of capture: its tables, their children, those that refer to them, those that have its types; its sequences.
create or replace function dbproxy.refresh(tag text, touched oid[]) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if tag ~ '^(CREATE|ALTER) (FUNCTION|PROCEDURE|ROUTINE|AGGREGATE|RULE|POLICY|CAST|STATISTICS|PUBLICATION|EVENT TRIGGER)$'
    or tag ~ '^(COMMENT|GRANT|REVOKE|REFRESH MATERIALIZED VIEW|CREATE TYPE|CREATE DOMAIN|ALTER DEFAULT PRIVILEGES|SECURITY LABEL)$' then return; end if;
  if touched is null or tag !~ '^(DROP .*|(CREATE|ALTER) (TABLE|SEQUENCE|INDEX|TRIGGER|TYPE|DOMAIN|VIEW|MATERIALIZED VIEW)|CREATE TABLE AS|SELECT INTO|CREATE SCHEMA)$' or tag = 'DROP OWNED' then
    perform dbproxy.refresh();
    return;
  end if;
  perform dbproxy.own_sequence(oid) from pg_class where relkind = 'S' and oid = any (touched);
  perform dbproxy.attach(c.oid) from (
    with recursive users as (
      select 'pg_type'::regclass::oid as class, oid from pg_type where oid = any (touched) or typrelid = any (touched) and typrelid <> 0
      union select d.classid, d.objid from users u join pg_depend d on d.refclassid = u.class and d.refobjid = u.oid where d.classid in ('pg_type'::regclass, 'pg_class'::regclass)),
    family as (
      select coalesce(i.indrelid, t) as oid from (select unnest(touched) union select oid from users where class = 'pg_class'::regclass) t (t) left join pg_index i on i.indexrelid = t
      union select inhrelid from pg_inherits join family on inhparent = family.oid)
    select oid from family
    union select conrelid from pg_constraint join family on confrelid = family.oid where contype = 'f') f join pg_class c on c.oid = f.oid and c.relkind = 'r';
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

-- Do deferred triggers of clients run at COMMITs? Also those of temporary tables; what was once so stays so until the next start.
create or replace function dbproxy.note_deferring() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  update dbproxy.self set defers = true
   where not defers and exists (select from pg_trigger join pg_proc p on p.oid = tgfoid where tgdeferrable and not tgisinternal and pronamespace <> 'dbproxy'::regnamespace);
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
