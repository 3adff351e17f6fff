/** Definitions that would be others on the other writers, and are refused: by what they name, write, or need. */
export const REFUSED = String.raw`
-- Does a text hold more than one statement, once quotes and comments are taken out? Each alone: without {1,1}? the longest match would
-- take all between two comments.
create or replace function dbproxy.is_several(sql text) returns boolean language sql immutable set search_path = pg_catalog, pg_temp as $several$
  select regexp_replace(regexp_replace(sql, '(?:\$(\w*)\$.*?\$\1\$|''[^'']*''|"[^"]*"|--[^\n]*(?:\n|$)|/\*.*?\*/){1,1}?', ' ', 'g'), '\mbegin\s+atomic\M.*', '', 'i') ~ ';\s*[^\s;]' $several$;

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

-- Is it a session's own, or about what is? Triggers, policies and rules have no schema, and are where their table is.
create or replace function dbproxy.is_temporary(class oid, object oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from pg_namespace where nspname like 'pg\_temp\_%' and oid = case class
    when 'pg_class'::regclass then (select relnamespace from pg_class where oid = object)
    when 'pg_type'::regclass then (select typnamespace from pg_type where oid = object)
    when 'pg_proc'::regclass then (select pronamespace from pg_proc where oid = object)
    when 'pg_trigger'::regclass then (select relnamespace from pg_class c join pg_trigger t on tgrelid = c.oid where t.oid = object)
    when 'pg_policy'::regclass then (select relnamespace from pg_class c join pg_policy p on polrelid = c.oid where p.oid = object)
    when 'pg_rewrite'::regclass then (select relnamespace from pg_class c join pg_rewrite r on ev_class = c.oid where r.oid = object) end) $$;

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
  if tag !~ '^(CREATE|ALTER) (FUNCTION|PROCEDURE|ROUTINE)$' or statement !~* '\mset\M' then return; end if;
  -- The applier is within a function that is the role's, where PostgreSQL takes no other (run_ddl).
  if exists (select from pg_event_trigger_ddl_commands() join pg_proc p on classid = 'pg_proc'::regclass and p.oid = objid cross join unnest(proconfig) setting where setting ~ '^(role|session_authorization)=') then
    raise exception 'a function that is SET to a role cannot be made with several writers' using errcode = '0A000', hint = 'SECURITY DEFINER, and ALTER FUNCTION ... OWNER TO that role.';
  end if;
  -- It goes by these itself.
  if exists (select from dbproxy.taken_from_current(statement) name where name ~ '^(session_replication_role$|dbproxy *\.)') then
    raise exception 'SET ... FROM CURRENT of this setting would be another value on the other writers' using errcode = '0A000', hint = 'Name the value.';
  end if;
end $$;
`;
