/**
 * Definitions, as event triggers see them: the statement goes along, for every writer to run it, with what it has computed (computed.ts) unless
 * it would be another one there (refused.ts); and what it has changed is captured anew (refresh.ts).
 */
import { IS_CLOSING } from './closing.js';
import { REQUIRE_PROOF } from './guard.js';
import { isNoted, note, unnote } from './notes.js';

/** Of what the client sent, until now. */
const TOOK_MS = `(extract(epoch from clock_timestamp() - statement_timestamp()) * 1000)::bigint`;

/** Before anything is installed: what is defined meanwhile is nobody else's business. */
export const WITHOUT_DDL =
  'drop event trigger if exists dbproxy_0; drop event trigger if exists dbproxy_ddl; drop event trigger if exists dbproxy_drop; drop event trigger if exists dbproxy_rewrite; drop event trigger if exists dbproxy_extension; drop event trigger if exists dbproxy_grant; drop event trigger if exists dbproxy_before';

export const DDL = String.raw`
-- Fires before on_ddl, by its name, with nothing of a client between them: whoever else calls after_ddl, to tell of a definition that was never
-- made or of another role, finds no note.
create or replace function dbproxy.expect_ddl() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  ${note('p')}
end $$;

-- With the rights of the caller: current_user is who ran the statement, and what he looked for is what he had set. Every name is one with its
-- schema, so that nothing of his runs here.
create or replace function dbproxy.on_ddl() returns event_trigger language plpgsql as $$
declare context text;
begin
  get diagnostics context = pg_context;
  perform dbproxy.after_ddl(tg_tag, current_user, pg_catalog.current_setting('search_path'), context, pg_catalog.current_query(), pg_catalog.current_setting('standard_conforming_strings'));
end $$;

-- Within a REFRESH nothing is told of what it changes: with CONCURRENTLY it alters a temporary table of its own (refresh_by_match_merge).
create or replace function dbproxy.is_refreshing() returns boolean language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
  return exists (select from dbproxy.captured where xid = pg_current_xact_id() and operation = 'c' and about = 'REFRESH MATERIALIZED VIEW');
end $$;

-- Changes of rows come before the definitions that come after them. What a client's function defines while it is applied would be there, and
-- nowhere else; a trigger among it, that always fires and is deferred, would fire at our COMMIT: the one definition that is applied has
-- its note (d), and beside it there may be tables of a function's own, which are temporary (after_ddl). Another note says where each command begins; those of an extension's script are part of one.
create or replace function dbproxy.before_ddl() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare is_of_extension boolean; is_by_itself boolean := false;
begin
  if ${isNoted('w')} then return; end if;
  if tg_tag ~ ' (PUBLICATION|SUBSCRIPTION)$' and session_user <> 'dbproxy_apply' then
    raise exception 'several writers do not offer %, in a DO block or a function neither', tg_tag using errcode = '0A000',
      hint = 'Each writer would send, or receive, the same rows.';
  end if;
  if session_user <> 'dbproxy_apply' then perform dbproxy.settle(); end if;
  is_of_extension := ${isNoted('h')};
  if session_user = 'dbproxy_apply' and not is_of_extension then
    ${unnote('d')}
    is_by_itself := not found;
    if is_by_itself and tg_tag <> all ('{CREATE TABLE,CREATE TABLE AS,SELECT INTO,DROP TABLE,CREATE INDEX,CREATE SEQUENCE,DROP SEQUENCE}'::text[])
        and not (tg_tag = 'ALTER TABLE' and dbproxy.is_refreshing()) then
      raise exception 'what is applied changes no definitions by itself' using errcode = 'DBP01';
    end if;
  end if;
  if tg_tag <> 'REINDEX' and not is_of_extension then
    ${note('c', 'tg_tag', 'dbproxy.rows_written()', 'is_by_itself::text')}
  end if;
end $$;

-- Of captured tables, how many rows this session has inserted, updated and deleted, as it counts in its own memory (with track_counts); also those that a
-- savepoint has taken back, and none that a rewrite only copies. A table that is made meanwhile is not captured yet. Not without sequential
-- scans, as its callers are: of what seems so dear JIT would make code.
create or replace function dbproxy.written(out rel oid, out inserted bigint, out updated bigint, out deleted bigint) returns setof record language sql stable set search_path = pg_catalog, pg_temp set enable_seqscan = on as $$
  select c.* from (
    select oid, pg_stat_get_xact_tuples_inserted(oid) as i, pg_stat_get_xact_tuples_updated(oid) as u, pg_stat_get_xact_tuples_deleted(oid) as d
      from pg_class where relkind = 'r' offset 0) c
   where i + u + d > 0 and exists (select from pg_trigger where tgrelid = c.oid and tgname = 'dbproxy_capture') $$;

create or replace function dbproxy.rows_written() returns jsonb language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(jsonb_object_agg(rel, inserted + updated + deleted), '{}') from dbproxy.written() $$;

drop function if exists dbproxy.number_written();
create or replace function dbproxy.number_written() returns bigint[] language sql stable set search_path = pg_catalog, pg_temp as $$
  select array[coalesce(sum(inserted), 0), coalesce(sum(updated), 0), coalesce(sum(deleted), 0)]::bigint[] from dbproxy.written() $$;

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

-- A table's rows are written anew; after_ddl finds out whether they may be others elsewhere.
create or replace function dbproxy.on_rewrite() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare rel oid := pg_event_trigger_table_rewrite_oid();
begin
  if session_user <> 'dbproxy_apply' and (select relpersistence from pg_class where oid = rel) <> 't' then
    ${note('r', 'rel::text', 'to_jsonb(pg_event_trigger_table_rewrite_reason())')}
  end if;
end $$;

-- Who creates it may be a role of this transaction, which has to be there before it. Afterwards is too late: those that the
-- extension's script makes are there when it has run.
create or replace function dbproxy.on_extension() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if session_user <> 'dbproxy_apply' and tg_tag = 'CREATE EXTENSION' then perform dbproxy.note_roles(); end if;
  ${note('h')}
end $$;

-- What was granted on nobody tells, but the rows of the catalogs that are newer than this note.
create or replace function dbproxy.on_grant() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  if session_user <> 'dbproxy_apply' and pg_my_temp_schema() <> 0 and not ${isNoted('w')} then
    ${note('b')}
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
  ${unnote('b')}
end $$;

drop function if exists dbproxy.after_ddl(text, name, text, text, boolean);
create or replace function dbproxy.after_ddl(tag text, role name, path text, called_by text, query text, conforming text) returns void language plpgsql
  security definer set search_path = pg_catalog, pg_temp as $$
declare me xid8 := pg_current_xact_id(); is_ours boolean := false; is_mixed boolean; nested text; statement text; is_unclear boolean; command record; made oid; lost oid[];
  touched oid[] := array(select case classid when 'pg_trigger'::regclass then (select tgrelid from pg_trigger where oid = objid)
                                             when 'pg_constraint'::regclass then (select coalesce(nullif(conrelid, 0), contypid) from pg_constraint where oid = objid) else objid end
                           from pg_event_trigger_ddl_commands() where classid in ('pg_class'::regclass, 'pg_trigger'::regclass, 'pg_constraint'::regclass, 'pg_type'::regclass, 'pg_proc'::regclass));
begin
  ${unnote('p')}
  if not found then raise exception 'this is not for clients' using errcode = '42501'; end if;
  -- What we define ourselves, below, comes here again.
  if ${isNoted('w')} then return; end if;
  -- Within a function the context has the statement itself; what the client sent is the call.
  nested := (regexp_match(called_by, '^[^\n]*?\nSQL statement "(.*?)"\nPL/pgSQL function '))[1];
  statement := coalesce(nested, query);
  -- What it drops depends on who owned what a moment ago, and REASSIGN OWNED within a function is not seen.
  is_unclear := tag = 'DROP OWNED' and nested is not null or nested is null and (position(chr(10) in called_by) > 0 or dbproxy.is_several(query))
    -- Of several in one EXECUTE the context has all, for each.
    or dbproxy.is_several(nested);
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
    -- A script may have ALTER EXTENSION ... DROP in it.
    delete from dbproxy.captured where xid = me and operation = 'h' and cmin::text::bigint = (select max(h.cmin::text::bigint) from dbproxy.captured h where h.xid = me and h.operation = 'h');
  end if;
  if tag = 'CREATE MATERIALIZED VIEW' and session_user <> 'dbproxy_apply' then
    for made in select objid from pg_event_trigger_ddl_commands() where classid = 'pg_class'::regclass loop
      ${note('v', 'made::text')}
    end loop;
  end if;
  if ${isNoted('h')} then
    ${unnote('m')}
    return;
  end if;
  command := dbproxy.ended();
  select about::oid[] into lost from dbproxy.captured where xid = me and operation = 'm' order by cmin::text::bigint desc limit 1;
  touched := case when tag like 'DROP %' then lost else touched || coalesce(lost, '{}') end;
  -- Large objects are this engine's. Of what is made everything is told: nothing, where it was there already (IF NOT EXISTS). Others change what they do not tell of (ALTER
  -- PUBLICATION ... DROP).
  select coalesce(bool_or(not (coalesce(o.schema_name like 'pg\_temp%', false) or lower(o.object_type) = 'large object' or dbproxy.is_temporary(o.classid, o.objid))), tag not like 'CREATE %' and tag <> 'SELECT INTO') into is_ours
    from pg_event_trigger_ddl_commands() o where tag not like 'DROP%';
  if tag = 'ALTER TABLE' and dbproxy.is_refreshing() and called_by ~ '^[^\n]*\nSQL statement "ALTER TABLE pg_temp_\d+\.[^;]*"(\n|$)' then is_ours := false; end if;
  if tag like 'DROP%' and tag <> 'DROP OWNED' and not ${isNoted('m')} then is_ours := false; end if;
  if ${isNoted('b')} then
    select is_ours and not coalesce(g.temporary, false), g.temporary and g.others into is_ours, is_mixed from dbproxy.granted_on() g;
    if is_mixed then
      raise exception 'temporary objects and others cannot be granted in one statement with several writers' using errcode = '0A000', hint = 'Take a statement for each.';
    end if;
  end if;
  ${unnote('m')}
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
    if exists (select from pg_trigger where tgenabled in ('A', 'R') and tgname not like 'dbproxy\_%' and dbproxy.is_ours((select relnamespace from pg_class where oid = tgrelid)))
        or exists (select from pg_rewrite where ev_enabled in ('A', 'R') and dbproxy.is_ours((select relnamespace from pg_class where oid = ev_class))) then
      raise exception 'a trigger or rule that is ENABLE ALWAYS or ENABLE REPLICA would fire on every writer' using errcode = '0A000', hint = 'ENABLE TRIGGER: what it writes comes to the other writers by itself.';
    end if;
    if is_unclear then
      raise exception 'several writers need a change of definitions as a statement of its own' using errcode = '0A000',
        hint = 'Send the statements one by one (in a transaction), or in a DO block; not several in one EXECUTE, nor in a function in SQL.';
    end if;
    perform dbproxy.require_lasting(tag, statement);
    if tag in ('CREATE TABLE AS', 'SELECT INTO') then
      select dbproxy.table_as_made(objid) into statement from pg_event_trigger_ddl_commands() where object_type = 'table';
    end if;
    if tag in ('CREATE TABLE', 'ALTER TABLE', 'CREATE SCHEMA') then statement := dbproxy.with_bounds(statement, command.made_by, command.since); end if;
    perform dbproxy.require_names(tag, statement);
    -- It may need a role of this transaction (on_extension).
    if tag <> 'CREATE EXTENSION' then perform dbproxy.note_roles(); end if;
    perform dbproxy.keep('x', null, null, null, jsonb_build_array(tag, role, path, dbproxy.settings_for(statement),
      case when tag = 'ALTER TABLE' and statement ~* '\madd\M' then dbproxy.missing_values(touched, command.made_by, command.since) else '[]' end,
      ${TOOK_MS}), statement);
  end if;
  ${note('w')}
  perform dbproxy.refresh(tag, touched);
  ${unnote('w')}
  if session_user = 'dbproxy_apply' then return; end if;
  if tag ~ '^(CREATE|ALTER) (TABLE|INDEX|DOMAIN)$' then perform dbproxy.require_nothing_of_own(touched); end if;
  perform dbproxy.capture_content(rel) from (
    -- ADD COLUMN with a default that is volatile, nextval mostly, is reason 2.
    select about::oid as rel from dbproxy.captured where xid = me and operation = 'r' and (key::int & 3 <> 0 or dbproxy.may_differ(about::oid, statement))
    union select objid from pg_event_trigger_ddl_commands() where tag in ('CREATE TABLE AS', 'SELECT INTO') and object_type = 'table'
    -- Names become numbers, and numbers names, without a rewrite.
    union select f.oid from dbproxy.with_children(touched) f (oid) where tag = 'ALTER TABLE' and statement ~* '\mtype\M.*\m(oid|reg[a-z]+)\M') c
   where exists (select from pg_class where oid = rel and relkind = 'r' and relpersistence = 'p');
  ${unnote('r')}
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
declare secret text; statement text;
begin
  select s.secret into secret from dbproxy.self s;
  ${REQUIRE_PROOF}
  statement := convert_from(decode(hex, 'hex'), pg_client_encoding());
  perform dbproxy.require_names('REASSIGN OWNED', statement);
  perform dbproxy.note_roles();
  perform dbproxy.keep('x', null, null, null, jsonb_build_array('REASSIGN OWNED', role, path, '{}'::jsonb, '[]'::jsonb, ${TOOK_MS}), statement);
  ${note('w')}
  perform dbproxy.refresh();
  ${unnote('w')}
  return true;
end $$;

-- Drops are told by what is gone; an object of a session's own is nobody else's business.
create or replace function dbproxy.on_drop() returns event_trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare gone record; ours record; has_ours boolean; is_mixed boolean;
begin
  if ${isNoted('w')} then return; end if;
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
    ${note('m', 'dbproxy.that_lost()::text')}
  end if;
  ${note('w')}
  for gone in select objid from pg_event_trigger_dropped_objects() where object_type = 'table' loop
    -- Not IF EXISTS, whose notices would go to the client.
    for ours in select oid::regprocedure::text as name from pg_proc where pronamespace = 'dbproxy'::regnamespace
      and proname in ('capture_' || gone.objid, 'expressions_' || gone.objid, 'isolated_' || gone.objid, 'apply_' || gone.objid) loop
      execute 'drop function ' || ours.name;
    end loop;
    delete from dbproxy.running_code where rel = gone.objid;
  end loop;
  delete from dbproxy.sequences where sequence in (select objid from pg_event_trigger_dropped_objects() where object_type = 'sequence');
  ${unnote('w')}
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
