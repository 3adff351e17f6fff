/**
 * What is an engine's own, and no other's: the numbers of its objects (OIDs), and who its sessions are. Rows that are made of it would be
 * others on the other writers, or not be taken there.
 *
 * - Computed into a row, or into which partition it is in: the definition is refused, and where it is there already, its table cannot
 *   be written (`goes_by_own`). What a client's function hides is not seen.
 * - As a value of a type that is a name (regclass, regproc …): it travels as the name, and has to be one that the others have
 *   (`require_same_names`). Of type oid it is a plain number, the same everywhere.
 */
export const ENGINE_OWN = String.raw`
-- Does a type hold OIDs, of enums or names, that are an engine's own?
drop function if exists dbproxy.holds_oids(oid);
create or replace function dbproxy.holds_oids(type oid, enums boolean default true) returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare t pg_type;
begin
  select * into t from pg_type where oid = dbproxy.base_type(type);
  if t.typtype = 'e' and enums or t.typname like 'reg%' and t.typnamespace = 'pg_catalog'::regnamespace then return true; end if;
  if t.typcategory = 'A' and t.typelem <> 0 then return dbproxy.holds_oids(t.typelem, enums); end if;
  if t.typtype = 'c' then
    return exists (select from pg_attribute where attrelid = t.typrelid and attnum > 0 and not attisdropped and dbproxy.holds_oids(atttypid, enums));
  end if;
  if t.typtype in ('r', 'm') then
    return exists (select from pg_range where t.oid in (rngtypid, rngmultitypid) and dbproxy.holds_oids(rngsubtype, enums));
  end if;
  return false;
end $$;

-- The functions that an expression calls, as it is stored.
create or replace function dbproxy.called_in(expression text) returns setof pg_proc language sql stable set search_path = pg_catalog, pg_temp as $$
  select p.* from regexp_matches(expression, ':(?:op)?funcid (\d+)', 'g') m join pg_proc p on oid = m[1]::oid $$;

-- May it make a number of a name? As oid or integer it is the same bits; a bigint comes from a function of oid.
create or replace function dbproxy.makes_numbers(expression text) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select expression ~ '\{(ARRAYCOERCEEXPR|MINMAXEXPR) |\{RELABELTYPE .*:resulttype (23|26) ' or exists (
    select from dbproxy.called_in(expression)
     where 'oid'::regtype = any (proargtypes::oid[]) or pronamespace = 'pg_catalog'::regnamespace and proname ~ '^hash_?(array|record)|^array_(lt|le|gt|ge)$|^btarraycmp$') $$;

-- Does it have a value of such a type in it? Configurations of text search are what to_tsvector is told, in
-- whatever table that is searched: a matter of OIDs only where something makes a number of one.
create or replace function dbproxy.has_oids(expression text, enums boolean) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from regexp_matches(expression, 'type(?:id)? (\d+)', 'g') m where dbproxy.holds_oids(m[1]::oid, enums)
           and (m[1]::oid not in ('regconfig'::regtype, 'regdictionary'::regtype) or dbproxy.makes_numbers(expression))) $$;

-- A function of PostgreSQL's hashes one in it.
create or replace function dbproxy.hashes_oids(expression text) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from dbproxy.called_in(expression)
                  where pronamespace = 'pg_catalog'::regnamespace and proname ~ '^hash_?(enum|array|record|range|multirange)') and dbproxy.has_oids(expression, true) $$;

-- A check, as it is stored: it waits, and would hold up what is applied behind it.
create or replace function dbproxy.waits(expression text) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from dbproxy.called_in(expression)
                  where pronamespace = 'pg_catalog'::regnamespace and proname in ('pg_sleep', 'pg_sleep_for', 'pg_sleep_until')) $$;

-- What of a table's definition has its rows go by what is an engine's own; null: nothing. Keys of an enum are hashed by its OIDs, and names
-- are in the order of theirs.
create or replace function dbproxy.goes_by_own(rel oid) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  with keys as (select p.* from pg_partitioned_table p where partrelid = rel or partrelid in (select relid from pg_partition_ancestors(rel)))
  select what from (
    select format('its generated column %I', attname) as what from pg_attrdef join pg_attribute on attrelid = adrelid and attnum = adnum
     where adrelid = rel and attgenerated <> '' and (adbin::text ~ ':varattno -6 ' or dbproxy.has_oids(adbin::text, false) or dbproxy.hashes_oids(adbin::text))
    union all
    select format('its unique index %s', indexrelid::regclass) from pg_index
     where indrelid = rel and indisunique and indexprs is not null and (dbproxy.has_oids(indexprs::text, false) or dbproxy.hashes_oids(indexprs::text))
    union all
    select format('the partition key of %s', partrelid::regclass) from keys
     where dbproxy.has_oids(partexprs::text, partstrat = 'h') or dbproxy.hashes_oids(partexprs::text)
        or partstrat <> 'l' and exists (select from pg_attribute where attrelid = partrelid and attnum = any (partattrs) and dbproxy.holds_oids(atttypid, partstrat = 'h'))
    union all
    select format('its foreign key %I', conname) from pg_constraint cross join unnest(conkey, confkey) k (mine, other)
      join pg_attribute m on m.attrelid = conrelid and m.attnum = mine join pg_attribute o on o.attrelid = confrelid and o.attnum = other
     where conrelid = rel and contype = 'f' and dbproxy.holds_oids(m.atttypid, false) <> dbproxy.holds_oids(o.atttypid, false)
    union all
    select format('its check %I', conname) from pg_constraint where conrelid = rel and contype = 'c' and dbproxy.waits(conbin::text)) found
   limit 1 $$;

create or replace function dbproxy.require_nothing_of_own(touched oid[]) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare what text; whose text;
begin
  select t.oid::regclass, t.what into whose, what
    from (select c.oid, dbproxy.goes_by_own(c.oid) as what from pg_class c where relkind in ('r', 'p') and relpersistence <> 't' and (
            c.oid = any (touched) or c.oid in (select indrelid from pg_index where indexrelid = any (touched)))) t where t.what is not null limit 1;
  if what is null then
    select contypid::regtype, format('its check %I', conname) into whose, what from pg_constraint
     where contypid = any (touched) and contype = 'c' and dbproxy.waits(conbin::text) limit 1;
  end if;
  if what is not null then
    raise exception 'values of % would be others on the other writers, or not be taken there, by %', whose, what using errcode = '0A000',
      hint = case when what like 'its check%' then 'A check that does not wait; or a trigger, which fires on one writer only.'
                  else 'OIDs are an engine''s own: PARTITION BY LIST, or a text in place of the enum or name; of tableoid and regclass, what a trigger writes into a column.' end;
  end if;
end $$;

-- For tables that were so before there were several writers.
create or replace function dbproxy.refuse_own() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'the table % cannot be written with several writers: its rows would be others there, or not be taken, by %', tg_relid::regclass,
      coalesce(dbproxy.goes_by_own(tg_relid), 'a name within a row type, a range or an array of a domain') using errcode = '55000',
    hint = 'Take that out of the definition, or make another table of its rows: OIDs are an engine''s own.';
end $$;

-- A type whose values are names, or an array of them.
create or replace function dbproxy.is_name(type oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select t.typnamespace = 'pg_catalog'::regnamespace and coalesce(e.typname, t.typname) like 'reg%' from pg_type t left join pg_type e on e.oid = t.typelem and t.typcategory = 'A' where t.oid = type $$;

-- The columns that are names, or arrays of them: as calls that refuse what is none elsewhere. Casts between types of pg_catalog nobody can define.
create or replace function dbproxy.names_in(rel oid, r text, of_columns int2[] default null) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  select string_agg(format(case when t.typcategory = 'A' then 'dbproxy.require_same_names(%L, %L, %s::oid[])' else 'dbproxy.require_same_names(%L, %L, array[%s::oid])' end,
           dbproxy.name_of(rel) || '.' || quote_ident(attname), coalesce(e.typname, t.typname), r || dbproxy.quoted(attname)), ' and ' order by attnum)
    from pg_attribute join pg_type t on t.oid = dbproxy.base_type(atttypid) left join pg_type e on e.oid = t.typelem and t.typcategory = 'A'
   where attrelid = rel and attnum > 0 and not attisdropped and (of_columns is null or attnum = any (of_columns)) and dbproxy.is_name(t.oid) $$;

-- There are names in it which the calls do not reach.
create or replace function dbproxy.hides_names(rel oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from pg_attribute where attrelid = rel and attnum > 0 and not attisdropped and dbproxy.holds_oids(atttypid, false) and not dbproxy.is_name(dbproxy.base_type(atttypid))) $$;

create or replace function dbproxy.require_same_names(called text, type name, objects oid[]) returns boolean language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare object oid; schema oid; is_one boolean := true;
begin
  foreach object in array coalesce(objects, '{}') loop
    -- '-', the name of nothing.
    continue when object is null or object = 0;
    case type
      when 'regclass' then select relnamespace into schema from pg_class where oid = object;
      when 'regtype' then select typnamespace into schema from pg_type where oid = object;
      when 'regproc' then select pronamespace, 1 = (select count(*) from pg_proc p where (p.proname, p.pronamespace) = (f.proname, f.pronamespace)) into schema, is_one from pg_proc f where oid = object;
      when 'regprocedure' then select pronamespace into schema from pg_proc where oid = object;
      when 'regoper' then select oprnamespace, 1 = (select count(*) from pg_operator p where (p.oprname, p.oprnamespace) = (o.oprname, o.oprnamespace)) into schema, is_one from pg_operator o where oid = object;
      when 'regoperator' then select oprnamespace into schema from pg_operator where oid = object;
      when 'regcollation' then select collnamespace into schema from pg_collation where oid = object;
      when 'regconfig' then select cfgnamespace into schema from pg_ts_config where oid = object;
      when 'regdictionary' then select dictnamespace into schema from pg_ts_dict where oid = object;
      when 'regnamespace' then schema := object;
      when 'regrole' then select 'pg_catalog'::regnamespace into schema from pg_roles where oid = object;
      else schema := null;
    end case;
    if not coalesce(is_one, true) then
      raise exception '% has the name of several functions or operators, %', called,
          case type when 'regproc' then object::regproc::text else object::regoper::text end
        using errcode = '55000', hint = 'The other writers could not tell which one it is: regprocedure or regoperator, which have the arguments, can.';
    end if;
    if not exists (select from pg_namespace where oid = schema and nspname not in ('pg_toast', 'dbproxy') and nspname !~ '^pg_(toast_)?temp_') then
      raise exception '% has the name of something that the other writers do not have: %', called,
          case type when 'regclass' then object::regclass::text when 'regtype' then object::regtype::text when 'regproc' then object::regproc::text when 'regprocedure' then object::regprocedure::text else object::text end
        using errcode = '55000',
        hint = 'It is gone, or temporary, or of this engine only. Keep names as text, and numbers in a column of type oid.';
    end if;
  end loop;
  return true;
end $$;
`;
