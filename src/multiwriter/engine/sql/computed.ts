/**
 * What a definition computes, and may come to something else elsewhere: it goes along, as rows or as the value that PostgreSQL keeps, and
 * with it the settings by which the rest is computed.
 */
import { MEANING } from './settings.js';

export const COMPUTED = String.raw`
-- A table whose rows were computed by a definition, with what may be another value elsewhere: they go along, as they are.
create or replace function dbproxy.capture_content(rel oid) returns void language plpgsql set search_path = pg_catalog, pg_temp
  set datestyle = 'ISO, YMD' set intervalstyle = postgres set extra_float_digits = 3 set bytea_output = hex set lc_monetary = 'C' set xmloption = content as $$
declare me xid8 := pg_current_xact_id(); t text := dbproxy.name_of(rel); names text := dbproxy.names_in(rel, 't.'); readings text := dbproxy.readings(rel, 't.');
begin
  if readings is not null then
    begin
      execute format('select count(%s) from only %s t', readings, t);
    exception when others then
      perform dbproxy.refuse_unreadable(rel, sqlerrm);
    end;
  end if;
  if names is not null then execute format('select bool_and(%s) from only %s t', names, t); end if;
  insert into dbproxy.captured values (me, 'e', t, null, null, null, null, false);
  execute format('insert into dbproxy.captured select $1, ''i'', $2, ''{}'', null, null, format(''%%s'', t.*), false from only %s t', t)
    using me, jsonb_build_object('table', t, 'unique', '{}'::text[], 'references', '{}'::text[], 'coarse', '{}'::int[], 'whole', true)::text;
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
    -- As numbers, or by them.
    or plain ~* '\m(oid|tableoid|reg(class|collation|config|dictionary|namespace|oper|operator|proc|procedure|role|type)|hash_?(enum|array|record|range|multirange)\w*)\M'
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

-- As words: those in a text are too many, and do no harm.
create or replace function dbproxy.taken_from_current(statement text) returns setof text language sql immutable set search_path = pg_catalog, pg_temp as $$
  select distinct lower(replace(m[1], '"', '')) from regexp_matches(regexp_replace(statement, '--[^\n\r]*|/\*([^*]|\*+[^*/])*\*+/', ' ', 'g'), '\mset\s+((?:[[:alpha:]_][\w$]*|"[^"]+")(?:\s*\.\s*(?:[[:alpha:]_][\w$]*|"[^"]+"))*)\s+from\s+current\M', 'gi') m $$;

-- Settings that a statement is read by, or computes by; and those that it names, as what a client has made (current_setting) or a function is
-- to have (SET ... FROM CURRENT). Not where a client may not read them.
create or replace function dbproxy.settings_for(statement text) returns jsonb language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(jsonb_object_agg(name, value) filter (where value is not null), '{}') from (
    select name, current_setting(name, true) from unnest('{${MEANING.join()}}'::text[]) name
    union select name, current_setting(name, true)
      from (select m[1] from regexp_matches(statement, '\mcurrent_setting\s*\(\s*''([[:alpha:]_][\w$]*\.[\w$.]+)''', 'gi') m) own(name)
     where name !~* '^dbproxy\.' and not exists (select from pg_settings s where s.name = lower(own.name))
    union select name, current_setting(name, true) from dbproxy.taken_from_current(statement) name where name <> 'search_path') s(name, value) $$;

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
  for c in select attrelid, attname, atttypid, format('%s', attmissingval) as value from dbproxy.with_children(touched) family (oid) join pg_attribute a on attrelid = oid join pg_class k on k.oid = attrelid
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

-- Where the bounds of a partition stand in a statement (FOR VALUES ...), and whether they are nothing but constants.
create or replace function dbproxy.bounds_in(statement text, out at int, out length int, out constant boolean) returns setof record language plpgsql immutable set search_path = pg_catalog, pg_temp as $bounds$
declare token text; here int := 1; begun int; before text := ''; depth int := 0; lists int;
begin
  for token in select m[1] from regexp_matches(statement, '(''(?:[^'']|'''')*''|"[^"]*"|--[^\n]*|/\*(?:[^*]|\*+[^*/])*\*+/|\s+|\w+|.)', 'g') m loop
    if token !~ '^(\s|--|/\*)' then
      if at is null then
        if lower(token) = 'for' then begun := here; end if;
        if lower(token) = 'values' and before = 'for' then
          at := begun;
          lists := null;
          constant := true;
        end if;
      else
        lists := coalesce(lists, case when lower(token) = 'from' then 2 else 1 end);
        depth := depth + case token when '(' then 1 when ')' then -1 else 0 end;
        constant := constant and (token !~ '^\w' or token ~ '^\d' or lower(token) in ('from', 'to', 'in', 'with', 'modulus', 'remainder', 'minvalue', 'maxvalue', 'null', 'true', 'false'))
          and token !~ '^"' and token !~* '^[''$].*\m(now|today|tomorrow|yesterday)\M';
        if token = ')' and depth = 0 then
          lists := lists - 1;
          if lists = 0 then
            length := here + 1 - at;
            return next;
            at := null;
          end if;
        end if;
      end if;
      before := lower(token);
    end if;
    here := here + char_length(token);
  end loop;
end $bounds$;

-- Bounds are computed where a partition is made, and once: the others get what they came to.
create or replace function dbproxy.with_bounds(statement text, made_by xid, since bigint) returns text language plpgsql set search_path = pg_catalog, pg_temp
  set datestyle = 'ISO, YMD' set intervalstyle = postgres set extra_float_digits = 3 set bytea_output = hex set lc_monetary = 'C' set timezone = 'UTC' as $$
declare bounds record; made oid[];
begin
  if statement !~* '\mfor\M.*\mvalues\M' or not exists (select from dbproxy.bounds_in(statement) b where not b.constant) then return statement; end if;
  -- With backslashes and dollars it is not clear what is a text.
  made := array(select oid from pg_class where statement !~ '\\|\$\w*\$' and relpartbound is not null and xmin = made_by and cmin::text::bigint >= since);
  if cardinality(made) <> 1 or 1 <> (select count(*) from dbproxy.bounds_in(statement)) then
    raise exception 'bounds of a partition that are computed cannot be told to several writers here' using errcode = '0A000',
      hint = 'Name constants as bounds; or make or attach one partition in a statement of its own.';
  end if;
  select * into bounds from dbproxy.bounds_in(statement);
  return overlay(statement placing (select pg_get_expr(relpartbound, oid) from pg_class where oid = made[1]) from bounds.at for bounds.length);
end $$;

-- The others have neither the temporary tables of a query nor its prepared statements: they make the table, and its rows go along.
create or replace function dbproxy.table_as_made(rel oid) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  select format('create %s table %s (%s) using %I%s', case relpersistence when 'u' then 'unlogged' else '' end, dbproxy.name_of(rel),
           (select string_agg(format('%I %s%s', attname, format_type(atttypid, atttypmod),
                     case when attcollation <> typcollation then (select format(' collate %I.%I', nspname, collname) from pg_collation l join pg_namespace n on n.oid = collnamespace where l.oid = attcollation) else '' end), ', ' order by attnum)
              from pg_attribute join pg_type t on t.oid = atttypid where attrelid = rel and attnum > 0),
           amname, (select format(' with (%s)', string_agg(format('%s = %L', split_part(o, '=', 1), substr(o, position('=' in o) + 1)), ', ')) from unnest(reloptions) o having count(*) > 0))
    from pg_class c join pg_am m on m.oid = relam where c.oid = rel $$;
`;
