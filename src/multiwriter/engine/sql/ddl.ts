/** Definitions: what they change is captured anew, and the statement itself, which every writer has to run. */
import { IS_CLOSING } from './closing.js';
import { REQUIRE_PROOF } from './guard.js';
import { MEANING } from './settings.js';

/** Before anything is installed: what is defined meanwhile is nobody else's business. */
export const WITHOUT_DDL =
  'drop event trigger if exists dbproxy_0; drop event trigger if exists dbproxy_ddl; drop event trigger if exists dbproxy_drop; drop event trigger if exists dbproxy_rewrite; drop event trigger if exists dbproxy_extension; drop event trigger if exists dbproxy_grant; drop event trigger if exists dbproxy_before';

export const DDL = String.raw`
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

-- Does a text hold more than one statement, once quotes and comments are taken out? Each alone: without {1,1}? the longest match would
-- take all between two comments.
create or replace function dbproxy.is_several(sql text) returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $several$
  select regexp_replace(regexp_replace(sql, '(?:\$(\w*)\$.*?\$\1\$|''[^'']*''|"[^"]*"|--[^\n]*(?:\n|$)|/\*.*?\*/){1,1}?', ' ', 'g'), '\mbegin\s+atomic\M.*', '', 'i') ~ ';\s*[^\s;]' $several$;

-- Fires before on_ddl, by its name, with nothing of a client between them: whoever else calls after_ddl, to tell of a definition that was never
-- made or of another role, finds no note.
create or replace function dbproxy.expect_ddl() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  insert into dbproxy.captured values (pg_current_xact_id(), 'p', null, null, null, null, null, false);
end $$;

-- With the rights of the caller: current_user is who ran the statement, and what he looked for is what he had set. Every name is one with its
-- schema, so that nothing of his runs here.
create or replace function dbproxy.on_ddl() returns event_trigger language plpgsql as $$
declare context text;
begin
  get diagnostics context = pg_context;
  perform dbproxy.after_ddl(tg_tag, current_user, pg_catalog.current_setting('search_path'), context, pg_catalog.current_query(), pg_catalog.current_setting('standard_conforming_strings'));
end $$;

-- A table whose rows were computed by a definition, with what may be another value elsewhere: they go along, as they are.
create or replace function dbproxy.capture_content(rel oid) returns void language plpgsql set search_path = pg_catalog, pg_temp
  set datestyle = 'ISO, YMD' set intervalstyle = postgres set extra_float_digits = 3 set bytea_output = hex set lc_monetary = 'C' as $$
declare me xid8 := pg_current_xact_id(); t text := dbproxy.name_of(rel);
begin
  insert into dbproxy.captured values (me, 'e', t, null, null, null, null, false);
  execute format('insert into dbproxy.captured select $1, ''i'', $2, ''{}'', null, null, format(''%%s'', t.*), false from only %s t', t)
    using me, jsonb_build_object('table', t, 'unique', '{}'::text[], 'references', '{}'::text[], 'whole', true)::text;
end $$;

-- Changes of rows come before the definitions that come after them. What a client's function defines while it is applied would be there, and
-- nowhere else; a trigger among it, that always fires and is deferred, would fire at our COMMIT: the one definition that is applied has
-- its note (d), and beside it there may be tables of a function's own, which are temporary (after_ddl). Another note says where each command begins; those of an extension's script are part of one.
create or replace function dbproxy.before_ddl() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare me xid8 := pg_current_xact_id_if_assigned(); is_of_extension boolean; is_by_itself boolean := false;
begin
  if exists (select from dbproxy.captured where xid = me and operation = 'w') then return; end if;
  if session_user <> 'dbproxy_apply' then perform dbproxy.settle(); end if;
  is_of_extension := exists (select from dbproxy.captured where xid = me and operation = 'h');
  if session_user = 'dbproxy_apply' and not is_of_extension then
    delete from dbproxy.captured where xid = me and operation = 'd';
    is_by_itself := not found;
    if is_by_itself and tg_tag <> all ('{CREATE TABLE,CREATE TABLE AS,SELECT INTO,DROP TABLE,CREATE INDEX,CREATE SEQUENCE,DROP SEQUENCE}'::text[]) then
      raise exception 'what is applied changes no definitions by itself' using errcode = 'DBP01';
    end if;
  end if;
  if tg_tag <> 'REINDEX' and not is_of_extension then
    insert into dbproxy.captured values (pg_current_xact_id(), 'c', tg_tag, null, null, dbproxy.rows_written(), is_by_itself::text, false);
  end if;
end $$;

-- Of captured tables, how many rows this session has written, as it counts in its own memory (with track_counts); also those that a
-- savepoint has taken back, and none that a rewrite only copies. A table that is made meanwhile is not captured yet. Not without sequential
-- scans, as its callers are: of what seems so dear JIT would make code.
create or replace function dbproxy.rows_written() returns jsonb language sql stable set search_path = pg_catalog, pg_temp set enable_seqscan = on as $$
  select coalesce(jsonb_object_agg(oid, n), '{}') from (
    select oid, pg_stat_get_xact_tuples_inserted(oid) + pg_stat_get_xact_tuples_updated(oid) + pg_stat_get_xact_tuples_deleted(oid) as n
      from pg_class where relkind = 'r' offset 0) c
   where n > 0 and exists (select from pg_trigger where tgrelid = c.oid and tgname = 'dbproxy_capture') $$;

create or replace function dbproxy.number_written() returns bigint language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(sum(value::bigint), 0) from jsonb_each_text(dbproxy.rows_written()) $$;

-- Takes the note of a command that has ended: by which (sub)transaction and from which command on it worked, whether rows were written
-- meanwhile, which other command it is part of, and whether what is applied has come to it by itself.
create or replace function dbproxy.ended(out made_by xid, out since bigint, out writes boolean, out within text, out by_itself boolean) language plpgsql
  set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare me xid8 := pg_current_xact_id(); before jsonb;
begin
  select xmin, cmin::text::bigint, key, new_row::boolean into made_by, since, before, by_itself from dbproxy.captured where xid = me and operation = 'c' order by cmin::text::bigint desc limit 1;
  if not found then return; end if;
  delete from dbproxy.captured where xid = me and operation = 'c' and cmin::text::bigint = since;
  writes := exists (select from jsonb_each_text(dbproxy.rows_written()) n(rel, now) where now::bigint > coalesce((before->>rel)::bigint, 0))
    or exists (select from dbproxy.captured where xid = me and operation = 't' and cmin::text::bigint > since);
  select about into within from dbproxy.captured where xid = me and operation = 'c' order by cmin::text::bigint desc limit 1;
end $$;

-- Each writer runs a definition, and what it calls with it: what that writes would be there once more, by its rows. The query of CREATE TABLE
-- AS the others do not run. Event triggers of clients do not fire where it is applied, and nobody tells what they write from the
-- rest. Where a function writes on another writer only, that one stops; of a TRUNCATE there nothing tells.
create or replace function dbproxy.require_no_writes(tag text, writes boolean, within text) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare without_query text[] := '{CREATE TABLE AS,SELECT INTO}'; is_applied boolean := session_user = 'dbproxy_apply';
begin
  if (not writes or tag = any (without_query)) and (within is null or within = any (without_query)) then return; end if;
  if not is_applied and exists (select from pg_event_trigger where evtname not like 'dbproxy\_%' and evtenabled = 'O') then return; end if;
  raise exception 'a definition that runs what writes to tables, or defines others, would do so on each of several writers'
    using errcode = case when is_applied then 'DBP01' else '0A000' end,
          hint = 'Write in a statement of its own: ADD COLUMN without the default, and an UPDATE behind it.';
end $$;

-- A table's rows are written anew; after_ddl finds out whether they may be others elsewhere.
create or replace function dbproxy.on_rewrite() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare rel oid := pg_event_trigger_table_rewrite_oid();
begin
  if session_user <> 'dbproxy_apply' and (select relpersistence from pg_class where oid = rel) <> 't' then
    insert into dbproxy.captured values (pg_current_xact_id(), 'r', rel::text, null, null, to_jsonb(pg_event_trigger_table_rewrite_reason()), null, false);
  end if;
end $$;

-- May a statement compute other rows elsewhere, by what it names? Its words are looked at, not its meaning: a name with a parenthesis
-- behind it is a function, one of a client's functions is one anywhere (t.f), and who has several of that name has the least stable one.
-- PostgreSQL's own casts depend on settings only, which go along (settings_for); so do USER and CURRENT_USER, on the role. What it does not
-- see: functions that are called IMMUTABLE and are not, and a client's cast to a type that is none of the table's.
create or replace function dbproxy.may_differ(rel oid, statement text) returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare types oid[] := array(select dbproxy.base_type(atttypid) from pg_attribute where attrelid = rel and attnum > 0 and not attisdropped);
  -- Without comments and texts, where it is clear what is one.
  is_clear boolean := statement !~ '\\|\$\w*\$';
  plain text := case when is_clear then regexp_replace(statement, '("[^"]*")|--[^\n\r]*|/\*([^*]|\*+[^*/])*\*+/|''[^'']*''', '\1 ', 'g') else statement end;
begin
  -- As names in quotes, or behind a dot, these are no words of the language.
  return regexp_replace(plain, '"[^"]*"|\.\s*\w+', ' ', 'g') ~* '\m(current_(date|time|timestamp)|localtime|localtimestamp|session_user|system_user)\M'
    or plain ~* 'u&"'
    or statement ~* '[''$][^'']*\m(now|today|tomorrow|yesterday)\M'
    or exists (select from regexp_matches(plain, '("(?:[^"]|"")+"|(?:[^\s!-/:-@[-^\x60{-~]|\$)+)(\s*\()?', 'g') m
                 join pg_proc p on proname = case when m[1] like '"%' then replace(substr(m[1], 2, length(m[1]) - 2), '""', '"') else lower(m[1] collate "C") end
                where provolatile <> 'i' and pronamespace <> 'dbproxy'::regnamespace
                  and (p.oid >= 16384 or (m[2] is not null or not is_clear) and not exists (select from pg_cast where castfunc = p.oid)))
    or exists (select from pg_operator o join pg_proc p on p.oid = oprcode where o.oid >= 16384 and provolatile <> 'i' and position(oprname in plain) > 0)
    or exists (select from pg_cast c join pg_proc p on p.oid = castfunc where c.oid >= 16384 and provolatile <> 'i' and casttarget = any (types))
    -- A new column may have the default of its domain.
    or plain ~* '\madd\M' and exists (select from pg_attribute a join pg_type t on t.oid = atttypid
                where attrelid = rel and attnum > 0 and not attisdropped and typdefaultbin::text not like '{CONST%');
end $$;

-- Settings that a statement is read by, or computes by; and those of clients that it names. Not where a client may not read them.
create or replace function dbproxy.settings_for(statement text) returns jsonb language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(jsonb_object_agg(name, value) filter (where value is not null), '{}') from (
    select name, current_setting(name, true) from unnest('{${MEANING.join()}}'::text[]) name
    union select name, current_setting(name, true)
      from (select m[1] from regexp_matches(statement, '\mcurrent_setting\s*\(\s*''([[:alpha:]_][\w$]*\.[\w$.]+)''', 'gi') m) own(name)
     where name !~* '^dbproxy\.' and not exists (select from pg_settings s where s.name = lower(own.name))) s(name, value) $$;

create or replace function dbproxy.holds_domain(type oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive held as (
    select oid, typtype, typcategory, typelem, typrelid from pg_type where oid = type
    union select t.oid, t.typtype, t.typcategory, t.typelem, t.typrelid from held h join pg_type t on t.oid = h.typelem and h.typcategory = 'A'
            or h.typtype = 'c' and t.oid in (select atttypid from pg_attribute where attrelid = h.typrelid and attnum > 0 and not attisdropped)
            or h.typtype in ('r', 'm') and t.oid in (select rngsubtype from pg_range where h.oid in (rngtypid, rngmultitypid)))
  select exists (select from held where typtype = 'd') $$;

-- Of a new column whose default is not volatile PostgreSQL keeps one value, which counts for all rows that were there, and may be
-- another one elsewhere (now()). As the array that it is kept in: of what this command has changed in the tables and their children.
create or replace function dbproxy.missing_values(touched oid[], made_by xid, since bigint) returns jsonb language plpgsql set search_path = pg_catalog, pg_temp
  set datestyle = 'ISO, YMD' set intervalstyle = postgres set extra_float_digits = 3 set bytea_output = hex set lc_monetary = 'C' set xmloption = content set timezone = 'UTC' as $$
declare c record; found jsonb := '[]';
begin
  for c in with recursive family as (select unnest(touched) as oid union select inhrelid from pg_inherits join family on inhparent = family.oid)
    select attrelid, attname, atttypid, format('%s', attmissingval) as value from family join pg_attribute a on attrelid = oid join pg_class k on k.oid = attrelid
     where atthasmissing and not attisdropped and a.xmin = made_by and a.cmin::text::bigint >= since and relkind = 'r' and relpersistence <> 't' order by attrelid, attnum loop
    -- To read it there would run the domain's checks, and we are a superuser.
    if dbproxy.holds_domain(dbproxy.base_type(c.atttypid)) then
      raise exception 'a new column with a default of type % cannot be told to several writers: there is a domain in it', format_type(c.atttypid, null)
        using errcode = '0A000', hint = 'ADD COLUMN without the default; then UPDATE, and ALTER COLUMN SET DEFAULT.';
    end if;
    found := found || jsonb_build_array(jsonb_build_array(dbproxy.name_of(c.attrelid), c.attname, c.value));
  end loop;
  return found;
end $$;

-- Who creates it may be a role of this transaction, which has to be there before it. Afterwards is too late: those that the
-- extension's script makes are there when it has run.
create or replace function dbproxy.on_extension() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if session_user <> 'dbproxy_apply' and tg_tag = 'CREATE EXTENSION' then perform dbproxy.note_roles(); end if;
  insert into dbproxy.captured values (pg_current_xact_id(), 'h', null, null, null, null, null, false);
end $$;

-- Is it a session's own, or about what is? Triggers, policies and rules have no schema, and are where their table is.
create or replace function dbproxy.is_temporary(class oid, object oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from pg_namespace where nspname like 'pg\_temp\_%' and oid = case class
    when 'pg_class'::regclass then (select relnamespace from pg_class where oid = object)
    when 'pg_type'::regclass then (select typnamespace from pg_type where oid = object)
    when 'pg_proc'::regclass then (select pronamespace from pg_proc where oid = object)
    when 'pg_trigger'::regclass then (select relnamespace from pg_class c join pg_trigger t on tgrelid = c.oid where t.oid = object)
    when 'pg_policy'::regclass then (select relnamespace from pg_class c join pg_policy p on polrelid = c.oid where p.oid = object)
    when 'pg_rewrite'::regclass then (select relnamespace from pg_class c join pg_rewrite r on ev_class = c.oid where r.oid = object) end) $$;

-- What was granted on nobody tells, but the rows of the catalogs that are newer than this note.
create or replace function dbproxy.on_grant() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if session_user <> 'dbproxy_apply' and pg_my_temp_schema() <> 0 and not exists (select from dbproxy.captured where xid = pg_current_xact_id() and operation = 'w') then
    insert into dbproxy.captured values (pg_current_xact_id(), 'b', null, null, null, null, null, false);
  end if;
end $$;

create or replace function dbproxy.granted_on(out temporary boolean, out others boolean) language plpgsql set search_path = pg_catalog, pg_temp as $$
declare me xid; command bigint;
begin
  select c.xmin, c.cmin::text::bigint into me, command from dbproxy.captured c where c.xid = pg_current_xact_id() and operation = 'b';
  select bool_or(schema = pg_my_temp_schema()), bool_or(schema <> pg_my_temp_schema()) into temporary, others from (
    select relnamespace, xmin, cmin from pg_class
    union all select relnamespace, a.xmin, a.cmin from pg_attribute a join pg_class c on c.oid = attrelid
    union all select pronamespace, xmin, cmin from pg_proc
    union all select typnamespace, xmin, cmin from pg_type) o (schema, x, c) where x = me and c::text::bigint >= command;
  delete from dbproxy.captured where xid = pg_current_xact_id() and operation = 'b';
end $$;

-- The others have neither the temporary tables of a query nor its prepared statements: they make the table, and its rows go along.
create or replace function dbproxy.table_as_made(rel oid) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  select format('create %s table %s (%s) using %I%s', case relpersistence when 'u' then 'unlogged' else '' end, dbproxy.name_of(rel),
           (select string_agg(format('%I %s%s', attname, format_type(atttypid, atttypmod),
                     case when attcollation <> typcollation then (select format(' collate %I.%I', nspname, collname) from pg_collation l join pg_namespace n on n.oid = collnamespace where l.oid = attcollation) else '' end), ', ' order by attnum)
              from pg_attribute join pg_type t on t.oid = atttypid where attrelid = rel and attnum > 0),
           amname, (select format(' with (%s)', string_agg(format('%s = %L', split_part(o, '=', 1), substr(o, position('=' in o) + 1)), ', ')) from unnest(reloptions) o having count(*) > 0))
    from pg_class c join pg_am m on m.oid = relam where c.oid = rel $$;

-- The other writers have no temporary object of this session.
create or replace function dbproxy.require_lasting(tag text, statement text) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare other text[];
begin
  if pg_my_temp_schema() = 0 then return; end if;
  if exists (select from (
       select distinct d.refclassid, d.refobjid from pg_event_trigger_ddl_commands() o join pg_depend d on (d.classid, d.objid) = (o.classid, o.objid)
               or o.classid = 'pg_class'::regclass and (d.classid = 'pg_attrdef'::regclass and d.objid in (select oid from pg_attrdef where adrelid = o.objid)
                                                        or d.classid = 'pg_constraint'::regclass and d.objid in (select oid from pg_constraint where conrelid = o.objid))
       offset 0) needed where dbproxy.is_temporary(refclassid, refobjid)) then
    raise exception 'what is temporary cannot be part of a definition with several writers: the others do not have it' using errcode = '0A000', hint = 'Make it of what is not temporary.';
  end if;
  -- Of LIKE nothing is left.
  if tag = 'CREATE TABLE' then
    for other in select parse_ident(m[1], false) from regexp_matches(regexp_replace(statement, '--[^\n]*|/\*.*?\*/', ' ', 'g'), '\mlike\s+((?:(?:"[^"]+"|[[:alpha:]_][\w$]*)\s*\.\s*)?(?:"[^"]+"|[[:alpha:]_][\w$]*))', 'gi') m loop
      if exists (select from pg_class where relnamespace = pg_my_temp_schema() and relname = other[array_upper(other, 1)]
                  and (array_upper(other, 1) = 1 or other[1] like 'pg\_temp%')) then
        raise exception 'a table LIKE a temporary one cannot be made with several writers: the others do not have that' using errcode = '0A000',
          hint = 'CREATE TABLE ... AS SELECT ... FROM it will do, or name the columns.';
      end if;
    end loop;
  end if;
end $$;

-- Elsewhere the session's user is another one.
create or replace function dbproxy.require_names(tag text, statement text) returns void language plpgsql
  set search_path = pg_catalog, pg_temp as $$
begin
  if tag not in ('CREATE FUNCTION', 'CREATE PROCEDURE') and statement ~* '\m(to|by|from|authorization|role|user)\s+session_user\M' then
    raise exception 'SESSION_USER would be another one on the other writers' using errcode = '0A000', hint = 'Name the role.';
  end if;
end $$;

drop function if exists dbproxy.after_ddl(text, name, text, text, boolean);
create or replace function dbproxy.after_ddl(tag text, role name, path text, called_by text, query text, conforming text) returns void language plpgsql
  security definer set search_path = pg_catalog, pg_temp as $$
declare me xid8 := pg_current_xact_id(); is_ours boolean := false; is_mixed boolean; nested text; statement text; is_unclear boolean; command record; lost oid[];
  touched oid[] := array(select case classid when 'pg_trigger'::regclass then (select tgrelid from pg_trigger where oid = objid)
                                             when 'pg_constraint'::regclass then (select coalesce(nullif(conrelid, 0), contypid) from pg_constraint where oid = objid) else objid end
                           from pg_event_trigger_ddl_commands() where classid in ('pg_class'::regclass, 'pg_trigger'::regclass, 'pg_constraint'::regclass, 'pg_type'::regclass));
begin
  delete from dbproxy.captured where xid = me and operation = 'p';
  if not found then raise exception 'this is not for clients' using errcode = '42501'; end if;
  -- What we define ourselves, below, comes here again.
  if exists (select from dbproxy.captured where xid = me and operation = 'w') then return; end if;
  -- Within a function the context has the statement itself; what the client sent is the call.
  nested := (regexp_match(called_by, '^[^\n]*?\nSQL statement "(.*?)"\nPL/pgSQL function '))[1];
  statement := coalesce(nested, query);
  -- What it drops depends on who owned what a moment ago, and REASSIGN OWNED within a function is not seen.
  is_unclear := tag = 'DROP OWNED' and nested is not null or nested is null and (position(chr(10) in called_by) > 0 or dbproxy.is_several(query));
  -- With the backslashes it would be another statement there.
  if conforming = 'off' and position(chr(92) in statement) > 0 then
    raise exception 'a definition with a backslash would be read otherwise by the other writers' using errcode = '0A000',
      hint = 'SET standard_conforming_strings = on; it is off in this session.';
  end if;
  perform dbproxy.note_deferring();
  -- Functions that run as the owner of a table belong to him (define_applier), and are not his to change: as SECURITY INVOKER they would
  -- run what he wrote as a superuser.
  if exists (select from pg_event_trigger_ddl_commands() where schema_name = 'dbproxy') and not (select rolsuper from pg_roles where rolname = role) then
    raise exception 'what is in schema dbproxy is not for clients' using errcode = '42501';
  end if;
  if tag ~ '^(CREATE|ALTER) (FOREIGN )?(TABLE|TRIGGER|INDEX|DOMAIN|SCHEMA)' and session_user <> 'dbproxy_apply' and statement ~* 'dbproxy|u&' then perform dbproxy.require_names_of_ours(); end if;
  -- Nor what others may do with them.
  if not (select rolsuper from pg_roles where rolname = role) and statement ~* 'dbproxy|u&' and (
      tag in ('GRANT', 'REVOKE') and statement ~* 'dbproxy"?\s*\.|schema\s+"?dbproxy|u&'
      or exists (select from pg_proc p join pg_depend d on d.refclassid = 'pg_proc'::regclass and d.refobjid = p.oid
                  where p.pronamespace = 'dbproxy'::regnamespace and p.proname ~ '_[0-9]+$' and d.classid <> 'pg_trigger'::regclass)) then
    raise exception 'what is in schema dbproxy is not for clients' using errcode = '42501';
  end if;
  -- Of this engine's storage only (PostgreSQL 17 fires for it).
  if tag = 'REINDEX' then return; end if;
  -- What an extension's script does is done by CREATE EXTENSION; it may DROP, too, of which nothing is told here.
  if tag in ('CREATE EXTENSION', 'ALTER EXTENSION') then
    delete from dbproxy.captured where xid = me and operation = 'h';
  elsif exists (select from dbproxy.captured where xid = me and operation = 'h') then
    delete from dbproxy.captured where xid = me and operation = 'm';
    return;
  end if;
  command := dbproxy.ended();
  select about::oid[] into lost from dbproxy.captured where xid = me and operation = 'm' order by cmin::text::bigint desc limit 1;
  touched := case when tag like 'DROP %' then lost else touched || coalesce(lost, '{}') end;
  -- Of what is made everything is told: nothing, where it was there already (IF NOT EXISTS). Others change what they do not tell of (ALTER
  -- PUBLICATION ... DROP).
  select coalesce(bool_or(not (coalesce(o.schema_name like 'pg\_temp%', false) or dbproxy.is_temporary(o.classid, o.objid))), tag not like 'CREATE %' and tag <> 'SELECT INTO') into is_ours
    from pg_event_trigger_ddl_commands() o where tag not like 'DROP%';
  if tag like 'DROP%' and tag <> 'DROP OWNED' and not exists (select from dbproxy.captured where xid = me and operation = 'm') then is_ours := false; end if;
  if exists (select from dbproxy.captured where xid = me and operation = 'b') then
    select not coalesce(g.temporary, false), g.temporary and g.others into is_ours, is_mixed from dbproxy.granted_on() g;
    if is_mixed then
      raise exception 'temporary objects and others cannot be granted in one statement with several writers' using errcode = '0A000', hint = 'Take a statement for each.';
    end if;
  end if;
  delete from dbproxy.captured where xid = me and operation = 'm';
  if not is_ours then return; end if;
  if command.by_itself then raise exception 'what is applied changes no definitions by itself' using errcode = 'DBP01'; end if;
  -- A session that was moved gets back what it knew of a sequence (session-state/sequences.ts). Whoever says so: the transaction ends in
  -- ROLLBACK (write_set, guard). Only where the sequence has a file of the transaction's own by now: no committed one steps otherwise than by
  -- what is in dbproxy.sequences.
  if tag = 'ALTER SEQUENCE' and starts_with(current_query(), '/* dbproxy: to be rolled back */') and session_user <> 'dbproxy_apply' then
    perform dbproxy.keep('z', s.sequence::text, null, null, null, null)
        from pg_event_trigger_ddl_commands() o join dbproxy.sequences s on s.sequence = o.objid join pg_sequence q on q.seqrelid = s.sequence
       where o.classid = 'pg_class'::regclass and q.seqincrement <> s.stepped;
    if found then return; end if;
  end if;
  perform dbproxy.require_no_writes(tag, command.writes, command.within);
  if session_user <> 'dbproxy_apply' then
    if ${IS_CLOSING} then
      raise exception 'a deferred trigger cannot change definitions with several writers' using errcode = '0A000';
    end if;
    if exists (select from pg_trigger where not tgisinternal and tgenabled in ('A', 'R') and tgname not like 'dbproxy\_%' and dbproxy.is_ours((select relnamespace from pg_class where oid = tgrelid)))
        or exists (select from pg_rewrite where ev_enabled in ('A', 'R')) then
      raise exception 'a trigger or rule that is ENABLE ALWAYS or ENABLE REPLICA would fire on every writer' using errcode = '0A000', hint = 'ENABLE TRIGGER: what it writes comes to the other writers by itself.';
    end if;
    if is_unclear then
      raise exception 'several writers need a change of definitions as a statement of its own' using errcode = '0A000',
        hint = 'Send the statements one by one (in a transaction), or in a DO block; not several in one query, nor in a function in SQL.';
    end if;
    perform dbproxy.require_lasting(tag, statement);
    if tag in ('CREATE TABLE AS', 'SELECT INTO') then
      select dbproxy.table_as_made(objid) into statement from pg_event_trigger_ddl_commands() where object_type = 'table';
    end if;
    perform dbproxy.require_names(tag, statement);
    -- It may need a role of this transaction (on_extension).
    if tag <> 'CREATE EXTENSION' then perform dbproxy.note_roles(); end if;
    perform dbproxy.keep('x', null, null, null, jsonb_build_array(tag, role, path, dbproxy.settings_for(statement),
      case when tag = 'ALTER TABLE' and statement ~* '\madd\M' then dbproxy.missing_values(touched, command.made_by, command.since) else '[]' end), statement);
  end if;
  insert into dbproxy.captured values (me, 'w', null, null, null, null, null, false);
  perform dbproxy.refresh(tag, touched);
  delete from dbproxy.captured where xid = me and operation = 'w';
  if session_user = 'dbproxy_apply' then return; end if;
  perform dbproxy.capture_content(rel) from (
    -- ADD COLUMN with a default that is volatile, nextval mostly, is reason 2.
    select about::oid as rel from dbproxy.captured where xid = me and operation = 'r' and (key::int & 3 <> 0 or dbproxy.may_differ(about::oid, statement))
    union select objid from pg_event_trigger_ddl_commands() where tag in ('CREATE TABLE AS', 'SELECT INTO') and object_type = 'table') c
   where exists (select from pg_class where oid = rel and relkind = 'r' and relpersistence = 'p');
  delete from dbproxy.captured where xid = me and operation = 'r';
end $$;

-- REASSIGN OWNED fires no event trigger: the proxy tells of it, in hex as the client sent it. An assignment and no PERFORM, which would be a
-- query, with the proof in its plan.
create or replace function dbproxy.reassigned(proof text, hex text) returns void language plpgsql as $$
declare path text := pg_catalog.current_setting('search_path'); done boolean;
begin
  done := dbproxy.after_reassign(proof, current_user, path, hex);
end $$;

-- Owners are in functions of ours. Who proves that he is the proxy does not say what the role is: that does the function above.
drop function if exists dbproxy.after_reassign(text, name, text, text);
create or replace function dbproxy.after_reassign(proof text, role name, path text, hex text) returns boolean language plpgsql
  security definer set search_path = pg_catalog, pg_temp as $$
declare me xid8; secret text; statement text;
begin
  select s.secret into secret from dbproxy.self s;
  ${REQUIRE_PROOF}
  me := pg_current_xact_id();
  statement := convert_from(decode(hex, 'hex'), pg_client_encoding());
  perform dbproxy.require_names('REASSIGN OWNED', statement);
  perform dbproxy.note_roles();
  perform dbproxy.keep('x', null, null, null, jsonb_build_array('REASSIGN OWNED', role, path, '{}'::jsonb, '[]'::jsonb), statement);
  insert into dbproxy.captured values (me, 'w', null, null, null, null, null, false);
  perform dbproxy.refresh();
  delete from dbproxy.captured where xid = me and operation = 'w';
  return true;
end $$;

-- Drops are told by what is gone; an object of a session's own is nobody else's business.
create or replace function dbproxy.on_drop() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare gone record; ours record; me xid8 := pg_current_xact_id(); has_ours boolean; is_mixed boolean;
begin
  if exists (select from dbproxy.captured where xid = me and operation = 'w') then return; end if;
  -- DROP OWNED takes the tables, too, to which these belong.
  if tg_tag <> 'DROP OWNED' and exists (select from pg_event_trigger_dropped_objects() where schema_name = 'dbproxy') then
    raise exception 'what is in schema dbproxy is not for clients' using errcode = '42501';
  end if;
  if exists (select from pg_event_trigger_dropped_objects() d where object_type = 'trigger' and starts_with(address_names[3], 'dbproxy_') and not starts_with(address_names[1], 'pg_temp')
                and not exists (select from pg_event_trigger_dropped_objects() t where t.object_type = 'table' and t.address_names = d.address_names[:2])) then
    raise exception 'what captures the changes of a table is not for clients' using errcode = '42501';
  end if;
  -- Triggers and the like are not called temporary, and have their table's schema in front of their names.
  select bool_or(not is_own), bool_or(is_own and original) and bool_or(not is_own and original) into has_ours, is_mixed
    from (select original, is_temporary or coalesce(address_names[1] like 'pg\_temp%', false) as is_own from pg_event_trigger_dropped_objects()) d;
  if is_mixed and tg_tag <> 'DROP OWNED' then
    raise exception 'temporary objects and others cannot be dropped in one statement with several writers' using errcode = '0A000', hint = 'Take a statement for each.';
  end if;
  if has_ours then
    insert into dbproxy.captured values (me, 'm', dbproxy.that_lost()::text, null, null, null, null, false);
  end if;
  insert into dbproxy.captured values (me, 'w', null, null, null, null, null, false);
  for gone in select objid from pg_event_trigger_dropped_objects() where object_type = 'table' loop
    -- Not IF EXISTS, whose notices would go to the client.
    for ours in select oid::regprocedure::text as name from pg_proc where pronamespace = 'dbproxy'::regnamespace
      and proname in ('capture_' || gone.objid, 'expressions_' || gone.objid, 'isolated_' || gone.objid, 'apply_' || gone.objid) loop
      execute 'drop function ' || ours.name;
    end loop;
    delete from dbproxy.running_code where rel = gone.objid;
  end loop;
  delete from dbproxy.sequences where sequence in (select objid from pg_event_trigger_dropped_objects() where object_type = 'sequence');
  delete from dbproxy.captured where xid = me and operation = 'w';
end $$;

-- A client may set standard_conforming_strings off: what has a backslash, but in E'', is read as it was written. Not on_ddl, which looks
-- how the client's statement was read.
do $$ declare one regprocedure; begin
  for one in select oid from pg_proc where pronamespace = 'dbproxy'::regnamespace and regexp_replace(prosrc, 'E''[^'']*''', '', 'g') ~ '\\' loop
    execute format('alter function %s set standard_conforming_strings = on', one);
  end loop;
end $$;
`;

/** At last. */
export const WITH_DDL = `
create event trigger dbproxy_ddl on ddl_command_end execute function dbproxy.on_ddl();
alter event trigger dbproxy_ddl enable always;
create event trigger dbproxy_0 on ddl_command_end execute function dbproxy.expect_ddl();
alter event trigger dbproxy_0 enable always;
create event trigger dbproxy_before on ddl_command_start execute function dbproxy.before_ddl();
alter event trigger dbproxy_before enable always;
create event trigger dbproxy_drop on sql_drop execute function dbproxy.on_drop();
alter event trigger dbproxy_drop enable always;
create event trigger dbproxy_rewrite on table_rewrite execute function dbproxy.on_rewrite();
alter event trigger dbproxy_rewrite enable always;
create event trigger dbproxy_extension on ddl_command_start when tag in ('CREATE EXTENSION', 'ALTER EXTENSION') execute function dbproxy.on_extension();
alter event trigger dbproxy_extension enable always;
create event trigger dbproxy_grant on ddl_command_start when tag in ('GRANT', 'REVOKE') execute function dbproxy.on_grant();
alter event trigger dbproxy_grant enable always;
`;
