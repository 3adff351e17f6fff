/**
 * Capture: for every table a trigger function of its own, generated, with its columns, indexes and foreign keys as constants:
 * some microseconds a row, where one function for all would look everything up again.
 *
 * - It is deferred: it fires at the COMMIT, for each change that no savepoint has taken back, and tells the proxy, which is closing the
 *   transaction, in a notice (closing.ts). Where it fires before, or nobody is closing, the row is kept in `captured` (guard.ts).
 * - It belongs to the superuser and has a fixed environment, so that the text of a value is the same whatever a client set.
 * - What the table's owner wrote (expressions and predicates of indexes) runs as the owner, as REINDEX does: `expressions_<oid>`. Where that
 *   calls functions of clients, it does so in a subtransaction that is rolled back (`isolated_<oid>`): a search_path that they set would
 *   have us, a superuser, find other functions than ours.
 * - Values become text, and values of other types, by the types' own functions, which are a superuser's: never by a cast, which whoever owns
 *   a row type or an enum can CREATE, to run what he likes. Between types of pg_catalog nobody can.
 * - It is ENABLE ALWAYS; only the applier's session is left out, by its session_user, which no client can take on.
 * - Keys are hashes by the type's own equality (hash_record_extended). Where it has none, or the index has another equality than
 *   the type, one constant stands for all values: more conflicts, never a missed one.
 */
import { IS_CLOSING, TELL_DELETE, TELL_INSERT, TELL_UPDATE, TELLS } from './closing.js';
import { isNoted } from './notes.js';

export const CAPTURE = String.raw`
create or replace function dbproxy.is_ours(schema oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select not (nspname in ('pg_catalog', 'information_schema', 'pg_toast', 'dbproxy') or nspname like 'pg\_temp\_%' or nspname like 'pg\_toast\_temp\_%')
    from pg_namespace where oid = schema $$;

-- The same on every writer, and whatever a client has set.
create or replace function dbproxy.name_of(rel oid) returns text language sql stable set search_path = pg_catalog, pg_temp set quote_all_identifiers = off as $$
  select format('%I.%I', nspname, relname) from pg_class c join pg_namespace n on n.oid = relnamespace where c.oid = rel $$;

create or replace function dbproxy.base_type(type oid) returns oid language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive b as (select oid, typbasetype from pg_type where oid = type
             union all select t.oid, t.typbasetype from pg_type t join b on t.oid = b.typbasetype)
  select oid from b where typbasetype = 0 $$;

-- A column's name where PL/pgSQL reads it, which has reserved words of its own (by, loop).
create or replace function dbproxy.quoted(name name) returns text language sql immutable set search_path = pg_catalog, pg_temp as $$
  select '"' || replace(name, '"', '""') || '"' $$;

-- Is it a type whose casts are PostgreSQL's? Those of domains are their base types'.
create or replace function dbproxy.is_built_in(type oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select typnamespace = 'pg_catalog'::regnamespace from pg_type where oid = dbproxy.base_type(type) $$;

-- The text of a value that is never null, as an expression.
create or replace function dbproxy.text_of(value text, type oid) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  select format(case when dbproxy.is_built_in(type) then '%s::text' else 'format(''%%s'', %s)' end, value) $$;

-- The topmost of an index's partitioned parents: by its name a key is known, whichever partition holds the row.
create or replace function dbproxy.root_index(index oid) returns oid language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive up as (select index as i, 0 as n union all select inhparent, n + 1 from pg_inherits join up on inhrelid = i)
  select i from up order by n desc limit 1 $$;

-- What values of a type are made of, however far, itself among it: base types.
create or replace function dbproxy.parts_of(type oid) returns setof oid language sql stable set search_path = pg_catalog, pg_temp as $$
  with recursive part (type) as (
    select dbproxy.base_type(parts_of.type)
    union
    select dbproxy.base_type(inner_type) from part p join pg_type t on t.oid = p.type cross join lateral (
      select typelem where typcategory = 'A' and typelem <> 0
      union all select atttypid from pg_attribute where t.typtype = 'c' and attrelid = typrelid and attnum > 0 and not attisdropped
      union all select rngsubtype from pg_range where t.oid in (rngtypid, rngmultitypid)) i (inner_type))
  select part.type from part $$;

-- What to hash for a value, so that equal values hash equal; null: nothing will do.
create or replace function dbproxy.hashable(value text, type oid, coll oid) returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare base oid := dbproxy.base_type(type);
  plain text := value;
  t pg_type;
begin
  select * into t from pg_type where oid = base;
  -- Equal names may have different hashes there: their hash function knows no collations.
  if 'name'::regtype in (select dbproxy.parts_of(base)) and (base <> 'name'::regtype or exists (select from pg_collation where oid = coll and not collisdeterministic)) then
    return null;
  end if;
  if dbproxy.holds_oids(base) then
    -- Two arrays are equal where their texts are.
    if t.typtype in ('e', 'b') then return format('format(''%%s'', %s) collate "C"', value); end if;
    return null;
  end if;
  if base <> type then plain := format('(%s)::%s', value, format_type(base, -1)); end if;
  begin
    execute format('select hash_record_extended(row(null::%s), 0)', format_type(base, -1));
  exception when undefined_function then
    -- Types without a hash whose text is canonical.
    if base in ('bit'::regtype, 'varbit'::regtype, 'money'::regtype, 'tsvector'::regtype) then return format('format(''%%s'', %s) collate "C"', value); end if;
    return null;
  end;
  if coll <> 0 then
    plain := format('(%s) collate %s', plain, (select format('%I.%I', nspname, collname) from pg_collation c join pg_namespace n on n.oid = collnamespace where c.oid = coll));
  end if;
  return plain;
end $$;

-- Is the equality of the index's operator class that of the type?
create or replace function dbproxy.is_usual_class(class oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select c.opcdefault or exists (
    select from pg_amop a join pg_opclass d on d.opcdefault and d.opcmethod = c.opcmethod and d.opcintype = c.opcintype
                  join pg_amop b on b.amopfamily = d.opcfamily and b.amopstrategy = 3 and b.amoplefttype = d.opcintype and b.amoprighttype = d.opcintype
     where a.amopfamily = c.opcfamily and a.amopstrategy = 3 and a.amoplefttype = c.opcintype and a.amoprighttype = c.opcintype and a.amopopr = b.amopopr)
    from pg_opclass c where c.oid = class $$;

-- Of the column, where it is one: an index keeps names as cstring.
create or replace function dbproxy.indexed_type(index oid, n int) returns oid language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce(t.atttypid, k.atttypid) from pg_index ix join pg_attribute k on k.attrelid = ix.indexrelid and k.attnum = n
    left join pg_attribute t on t.attrelid = ix.indrelid and t.attnum = ix.indkey[n - 1] and t.attnum > 0 where ix.indexrelid = index $$;

-- The last column of a key WITHOUT OVERLAPS (PostgreSQL 18): those that refer to it name a part of what one or several of its rows have.
create or replace function dbproxy.is_period(index oid, n int) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select indisunique and indisexclusion and n = indnkeyatts from pg_index where indexrelid = index $$;

-- Keys that are not equal may have one hash: that it stays does not say that the key does.
create or replace function dbproxy.is_coarse(index oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from pg_index cross join generate_series(1, indnkeyatts) n where indexrelid = index
                   and not (not dbproxy.is_period(index, n) and dbproxy.is_usual_class(indclass[n - 1]) and dbproxy.hashable('null', dbproxy.indexed_type(index, n), indcollation[n - 1]) is not null)) $$;

-- Tells one value of these columns (null: of all) from another, as a hash of their text.
create or replace function dbproxy.image_of(rel oid, columns int2[], r text) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  select format('hashtextextended(format(''%%s'', row(%s)) collate "C", 0)', string_agg(r || dbproxy.quoted(attname), ', ' order by attnum))
    from pg_attribute where attrelid = rel and attnum > 0 and not attisdropped and (columns is null or attnum = any (columns)) $$;

-- The hash of an index's key as an expression over r.<column>; null where the row is not in it, or is equal to no other.
create or replace function dbproxy.index_hash(index oid, r text) returns text language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare ix pg_index;
  part text; parts text[] := '{}'; nullable text[] := '{}'; found text; a record;
  result text;
begin
  select * into ix from pg_index where indexrelid = index;
  for a in select i, ix.indkey[i - 1] as attnum, ix.indclass[i - 1] as class, ix.indcollation[i - 1] as coll, dbproxy.indexed_type(index, i) as atttypid, t.attname, coalesce(t.attnotnull, false) as attnotnull
             from generate_series(1, ix.indnkeyatts) i
             left join pg_attribute t on t.attrelid = ix.indrelid and t.attnum = ix.indkey[i - 1] and t.attnum > 0 loop
    part := case when a.attnum = 0 then '(' || pg_get_indexdef(index, a.i, false) || ')' else r || dbproxy.quoted(a.attname) end;
    if not a.attnotnull and not ix.indnullsnotdistinct then nullable := nullable || part; end if;
    found := case when not dbproxy.is_period(index, a.i) and dbproxy.is_usual_class(a.class) then dbproxy.hashable(part, a.atttypid, a.coll) end;
    -- Without this column, keys that differ in it alone count as equal.
    if found is not null then parts := parts || found; end if;
  end loop;
  result := case when parts = '{}' then '0::bigint' else format('hash_record_extended(row(%s), 0)', array_to_string(parts, ', ')) end;
  if nullable <> '{}' then
    result := format('case when num_nulls(%s) = 0 then %s end', array_to_string(nullable, ', '), result);
  end if;
  if ix.indpred is not null then
    result := format('case when %s then %s end', pg_get_expr(ix.indpred, ix.indrelid), result);
  end if;
  return result;
end $$;

-- By which a row is found, the same on every writer, whose numbers are others: the primary key, the replica identity, or any unique index on columns that are never null.
create or replace function dbproxy.row_index(rel oid) returns oid language sql stable set search_path = pg_catalog, pg_temp as $$
  select indexrelid from pg_index i
   where indrelid = rel and indisunique and indimmediate and indisvalid and indpred is null and indexprs is null
     and not exists (select from unnest(indkey[0 : indnkeyatts - 1]) k join pg_attribute a on a.attrelid = rel and a.attnum = k where not a.attnotnull)
     and not exists (select from unnest(indclass[0 : indnkeyatts - 1]) class where not dbproxy.is_usual_class(class))
   order by indisprimary desc, indisreplident desc, (select relname from pg_class c where c.oid = indexrelid) limit 1 $$;

drop function if exists dbproxy.references_of(oid);
drop function if exists dbproxy.references_of(oid, text);
-- As index_hash(). Is it computed by a cast that may be somebody's own? Coarse: its columns (is_coarse).
create or replace function dbproxy.references_of(rel oid, r text, out key text, out hash text, out casts boolean, out coarse int2[]) returns setof record language plpgsql stable set search_path = pg_catalog, pg_temp as $$
declare f record;
begin
  -- Where a parent is partitioned there is a constraint for every partition, too; all lead to one index.
  for f in select distinct on (root, conkey) * from (
             select dbproxy.root_index(conindid) as root, conindid, conkey, confkey, confrelid from pg_constraint where conrelid = rel and contype = 'f' and conindid <> 0) k loop
    return query
      select dbproxy.name_of(f.root),
             format('case when num_nulls(%s) = 0 then %s end', string_agg(r || dbproxy.quoted(c.attname), ', ' order by n),
               case when bool_and(v.hashed is null) then '0::bigint' else
                 format('hash_record_extended(row(%s), 0)', string_agg(v.hashed, ', ' order by n)) end),
             bool_or(dbproxy.base_type(c.atttypid) <> dbproxy.base_type(p.atttypid) and not (dbproxy.is_built_in(c.atttypid) and dbproxy.is_built_in(p.atttypid))),
             case when bool_or(v.hashed is null) then f.conkey end
        from pg_index ix
        cross join generate_series(0, ix.indnkeyatts - 1) n
        join pg_attribute c on c.attrelid = rel and c.attnum = f.conkey[array_position(f.confkey, ix.indkey[n])]
        cross join lateral (select dbproxy.indexed_type(f.conindid, n + 1) as atttypid) p
        cross join lateral (select case when not dbproxy.is_period(f.conindid, n + 1) and dbproxy.is_usual_class(ix.indclass[n]) then
            -- The value as one of the type referred to: without a length, which would cut it, and without the checks of a domain.
            dbproxy.hashable(format('%s%s::%s', r, dbproxy.quoted(c.attname), format_type(dbproxy.base_type(p.atttypid), -1)), dbproxy.base_type(p.atttypid), ix.indcollation[n]) end as hashed) v
       where ix.indexrelid = f.conindid;
  end loop;
end $$;

-- The settings on which the text of its columns depends, and no other: each costs time with each row.
create or replace function dbproxy.environment(rel oid) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  with setting(definition, types) as (values
      ('datestyle = ''ISO, YMD''', '{date,timestamp,timestamptz}'::regtype[]), ('timezone = ''UTC''', '{timestamptz}'), ('intervalstyle = postgres', '{interval}'),
      ('extra_float_digits = 3', '{float4,float8}'), ('bytea_output = hex', '{bytea}'), ('lc_monetary = ''C''', '{money}'), ('xmloption = content', '{xml}')),
    col as (
      select atttypid as type, not exists (select from setting where atttypid = any (types))
          and atttypid <> all ('{bool,int2,int4,int8,text,varchar,bpchar,numeric,uuid,json,jsonb,inet,cidr,name,"char",time}'::regtype[]) as may_need_all
        from pg_attribute where attrelid = rel and attnum > 0 and not attisdropped)
  select concat('set search_path = pg_catalog, pg_temp', (select string_agg(' set ' || definition, '') from setting where exists (select from col where may_need_all or type = any (types)))) $$;

create or replace function dbproxy.attach(rel oid) returns void language plpgsql set search_path = pg_catalog, pg_temp set standard_conforming_strings = on set quote_all_identifiers = off as $$
declare c pg_class; row_index oid; shape jsonb; key text; me text := rel::text; coarse int[]; coarse_columns jsonb[]; readings text; compressed text;
  simple oid[]; complex oid[]; uniques text[]; hashes text[] := '{}'; expressions text; reference_keys text[]; reference_hashes text; has_casts boolean; runs_code boolean; hashed text; tuple text; body text; names text; old_names text; may_have_names boolean;
begin
  select * into c from pg_class where oid = rel;
  if c.relkind <> 'r' or c.relpersistence = 't' or not dbproxy.is_ours(c.relnamespace) then return; end if;
  row_index := dbproxy.row_index(rel);
  runs_code := dbproxy.runs_code(rel);
  select coalesce(array_agg(indexrelid order by indexrelid <> row_index, indexrelid) filter (where indpred is null and indexprs is null), '{}'),
         coalesce(array_agg(indexrelid order by indexrelid) filter (where indpred is not null or indexprs is not null), '{}')
    into simple, complex from pg_index where indrelid = rel and indisunique and (indislive or indexrelid in (select index from dbproxy.left_out));
  uniques := case when row_index is null then array[null]::text[] else '{}' end
    || array(select dbproxy.name_of(dbproxy.root_index(i)) from unnest(simple || complex) with ordinality u(i, n) order by n);
  -- Behind the hashes come the images of those that are coarse.
  select array_agg(at order by at), array_agg(columns order by at) into coarse, coarse_columns from (
    select n - 1 + (row_index is null)::int as at, to_jsonb(case when i = any (simple) then (select indkey[0 : indnkeyatts - 1]::int2[] from pg_index where indexrelid = i) end) as columns
      from unnest(simple || complex) with ordinality u(i, n) where dbproxy.is_coarse(i)
    union all
    select cardinality(uniques) + n - 1, to_jsonb(k.coarse) from (select f.coarse, row_number() over (order by f.casts desc, f.key) as n from dbproxy.references_of(rel, '') f) k where k.coarse is not null) c;
  -- Of the new row, and of the old one.
  foreach tuple in array '{new,old}'::text[] loop
    hashed := array_to_string(case when row_index is null then array['null'] else '{}' end
      || array(select dbproxy.index_hash(i, tuple || '.') from unnest(simple) with ordinality u(i, n) order by n), ', ');
    select array_agg(k.key), string_agg(k.hash, ', ') filter (where not k.casts), coalesce(bool_or(k.casts), false)
      into reference_keys, reference_hashes, has_casts from (select * from dbproxy.references_of(rel, tuple || '.') order by casts desc, key) k;
    -- Arrays of one kind only: expressions come as an array, the others as elements.
    hashes := hashes || (case when complex = '{}' and not has_casts then format('array[%s]::bigint[]', concat_ws(', ', nullif(hashed, ''), reference_hashes))
      else format('array[%s]::bigint[] || dbproxy.%I(%s) || array[%s]::bigint[]', hashed, case when has_casts or runs_code then 'isolated_' else 'expressions_' end || me, tuple, reference_hashes) end
      || coalesce((select ' || array[' || string_agg(dbproxy.image_of(rel, (select array_agg(k::int2) from jsonb_array_elements_text(nullif(columns, 'null')) k), tuple || '.'), ', ' order by n) || ']::bigint[]'
                     from unnest(coarse_columns) with ordinality c(columns, n)), ''));
  end loop;
  shape := jsonb_build_object('table', dbproxy.name_of(rel), 'unique', uniques, 'references', coalesce(reference_keys, '{}'), 'coarse', coalesce(coarse, '{}'),
    'whole', exists (select from pg_constraint where conrelid = rel and contype = 'x') or exists (select from pg_index where indrelid = rel and indisexclusion));
  if complex <> '{}' or has_casts then
    select format('select array[%s] into result from (select %s) t',
        array_to_string(array(select dbproxy.index_hash(i, 't.') from unnest(complex) with ordinality u(i, n) order by n)
          || array(select k.hash from dbproxy.references_of(rel, 't.') k where k.casts order by k.key), ', '),
        (select string_agg(format('r.%1$s as %1$s', dbproxy.quoted(attname)), ', ') from pg_attribute where attrelid = rel and attnum > 0 and not attisdropped))
      into expressions;
    execute format('create or replace function dbproxy.%I(r record) returns bigint[] language plpgsql security definer %s set standard_conforming_strings = on as %L', 'expressions_' || me, dbproxy.environment(rel),
      -- The expressions name columns without their table.
      E'#variable_conflict use_column\ndeclare result bigint[]; begin ' || expressions || '; return result; end');
    execute format('revoke execute on function dbproxy.%I(record) from public', 'expressions_' || me);
    execute format('alter function dbproxy.%I(record) owner to %I', 'expressions_' || me, pg_get_userbyid(c.relowner));
    if has_casts or runs_code then
      execute format('create or replace function dbproxy.%I(r record) returns bigint[] language plpgsql set search_path = pg_catalog, pg_temp as %L', 'isolated_' || me, format($f$
declare said text;
begin
  begin
    raise exception using errcode = 'DBP0E', message = dbproxy.%I(r);
  exception when sqlstate 'DBP0E' then
    get stacked diagnostics said = message_text;
  end;
  return said::bigint[];
end $f$, 'expressions_' || me));
      execute format('revoke execute on function dbproxy.%I(record) from public', 'isolated_' || me);
    end if;
  end if;
  if runs_code then insert into dbproxy.running_code values (rel) on conflict do nothing;
  else delete from dbproxy.running_code r where r.rel = attach.rel; end if;
  select format('jsonb_build_array(%s)', string_agg(dbproxy.text_of('old.' || dbproxy.quoted(attname), atttypid), ', ' order by n)) into key
    from pg_index i cross join generate_series(0, indnkeyatts - 1) n join pg_attribute a on attrelid = rel and attnum = indkey[n] where indexrelid = row_index;

  -- Most tables have none, as the types of their columns say at once.
  may_have_names := exists (select from pg_attribute join pg_type t on t.oid = atttypid where attrelid = rel and attnum > 0 and not attisdropped
                       and (typname like 'reg%' or typtype not in ('b', 'e') or typcategory = 'A'));
  if may_have_names then
    names := dbproxy.names_in(rel, 'new.');
    select dbproxy.names_in(rel, 'old.', indkey::int2[]) into old_names from pg_index where indexrelid = row_index;
  end if;
  readings := dbproxy.readings(rel, 'new.');
  compressed := dbproxy.compressed(rel, 'new.');
  body := format($f$
begin
  %5$s
  if ${TELLS} then
    if tg_op = 'INSERT' then
      ${TELL_INSERT}
    elsif tg_op = 'UPDATE' then
      ${TELL_UPDATE}
    else
      ${TELL_DELETE}
    end if;
  elsif tg_op = 'INSERT' then
    perform dbproxy.keep('i', %1$L, %2$s, null, null, format('%%s', new), null, new.ctid, pg_relation_filenode(tg_relid));
  elsif tg_op = 'UPDATE' then
    perform dbproxy.keep('u', %1$L, %2$s, %3$s, %4$s, format('%%s', new), old.ctid, new.ctid, pg_relation_filenode(tg_relid));
  else
    perform dbproxy.keep('d', %1$L, null, %3$s, %4$s, null, old.ctid, null, pg_relation_filenode(tg_relid));
  end if;
  return null;
end $f$, shape::text, hashes[1], hashes[2], coalesce(key, 'null::jsonb'),
    format(case when names is not null then E'if tg_op <> ''DELETE'' then perform %s; end if;\n  ' else '' end, names)
      || format(case when old_names is not null then 'if tg_op <> ''INSERT'' then perform %s; end if;' else '' end, old_names)
      || format(case when compressed is not null then E'if tg_op <> ''DELETE'' and (%s) then perform dbproxy.refuse_compressed(tg_relid); end if;\n  ' else '' end, compressed)
      || format(case when readings is not null then 'if tg_op <> ''DELETE'' then begin perform %s; exception when others then perform dbproxy.refuse_unreadable(tg_relid, sqlerrm); end; end if;' else '' end, readings));
  execute format('create or replace function dbproxy.%I() returns trigger language plpgsql security definer %s as %L', 'capture_' || me, dbproxy.environment(rel), body);
  execute format('revoke execute on function dbproxy.%I() from public', 'capture_' || me);
  perform dbproxy.define_applier(rel, row_index);
  perform dbproxy.add_trigger(rel, 'dbproxy_capture', 'after insert or update or delete', 'row', format('dbproxy.%I()', 'capture_' || me), is_deferred => true);
  perform dbproxy.add_trigger(rel, 'dbproxy_truncate', 'after truncate', 'statement', 'dbproxy.capture_truncate()', is_also_applied => true);
  if c.relpersistence = 'u' then
    perform dbproxy.add_trigger(rel, 'dbproxy_refuse', 'before insert or update or delete', 'row', 'dbproxy.refuse_unlogged()');
  elsif c.relrowsecurity and c.relforcerowsecurity and not (select rolsuper from pg_roles where oid = c.relowner) and runs_code then
    perform dbproxy.add_trigger(rel, 'dbproxy_refuse', 'before insert or update or delete', 'row', 'dbproxy.refuse_forced()');
  elsif dbproxy.goes_by_own(rel) is not null or may_have_names and dbproxy.hides_names(rel) then
    perform dbproxy.add_trigger(rel, 'dbproxy_refuse', 'before insert or update or delete', 'row', 'dbproxy.refuse_own()');
  else
    perform dbproxy.take_trigger(rel, 'dbproxy_refuse');
    if row_index is null then perform dbproxy.add_trigger(rel, 'dbproxy_refuse', 'before update or delete', 'row', 'dbproxy.refuse_without_key()'); end if;
  end if;
  if dbproxy.generates_texts(rel) then perform dbproxy.add_trigger(rel, 'dbproxy_texts', 'before insert or update', 'row', 'dbproxy.require_usual_texts()');
  else perform dbproxy.take_trigger(rel, 'dbproxy_texts');
  end if;
end $$;

-- Not IF EXISTS, whose notice would go to the client.
create or replace function dbproxy.take_trigger(rel oid, name text) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  if exists (select from pg_trigger where tgrelid = rel and tgname = name) then execute format('drop trigger %I on %s', name, rel::regclass); end if;
end $$;

drop function if exists dbproxy.add_trigger(oid, text, text, text, text), dbproxy.add_trigger(oid, text, text, text, text, boolean);
create or replace function dbproxy.add_trigger(rel oid, name text, event text, level text, action text, is_deferred boolean default false, is_also_applied boolean default false) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare found pg_trigger;
begin
  select * into found from pg_trigger where tgrelid = rel and tgname = name;
  if found.tgenabled = 'A' and found.tgdeferrable = is_deferred and found.tgfoid = action::regprocedure and (found.tgqual is null) = is_also_applied then return; end if;
  if found.tgdeferrable <> is_deferred then execute format('drop trigger %I on %s', name, rel::regclass); end if;
  -- A constraint trigger cannot be replaced; one that is there is disabled.
  if not is_deferred or found.tgdeferrable is distinct from is_deferred then
    execute format('create %s trigger %I %s on %s %s for each %s %s execute function %s',
      case when is_deferred then 'constraint' else 'or replace' end, name, event, rel::regclass, case when is_deferred then 'deferrable initially deferred' else '' end, level,
      case when is_also_applied then '' else 'when (session_user <> ''dbproxy_apply''::text)' end, action);
  end if;
  execute format('alter table only %s enable always trigger %I', rel::regclass, name);
end $$;

-- Before something that PostgreSQL refuses for a table with changes that have not fired, and before what has to come after them: they are
-- kept. Whoever asks may not use all schemas in which he has changed something; of that name there is nothing but what is ours (names.ts).
-- Where there is all the same, what cannot be deferred again fires at once from then on.
create or replace function dbproxy.settle() returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare names text; to_defer text;
begin
  if pg_current_xact_id_if_assigned() is null or session_user = 'dbproxy_apply' then return; end if;
  select string_agg(name, ', '), string_agg(name, ', ') filter (where are_deferrable) into names, to_defer
    from (select format('%I.dbproxy_capture', nspname) as name, bool_and(condeferrable) as are_deferrable
            from (select oid, nspname from pg_namespace where dbproxy.is_ours(oid) offset 0) n join pg_constraint on connamespace = n.oid and conname = 'dbproxy_capture'
           group by nspname) c;
  if names is not null then execute format('set constraints %s immediate', names); end if;
  if to_defer is not null then execute format('set constraints %s deferred', to_defer); end if;
end $$;

create or replace function dbproxy.capture_truncate() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare me xid; s record; is_at_start boolean;
begin
  if session_user = 'dbproxy_apply' then
    if not ${isNoted('w')} then raise exception 'what is applied truncates no table by itself' using errcode = 'DBP01'; end if;
    return null;
  end if;
  if ${IS_CLOSING} then
    raise exception 'a deferred trigger cannot truncate a table with several writers' using errcode = '0A000';
  end if;
  insert into dbproxy.captured values (pg_current_xact_id(), 't', dbproxy.name_of(tg_relid), null, null, null, null, not exists (select from dbproxy.captured where xid = pg_current_xact_id() and is_first))
    returning xmin into me;
  -- RESTART IDENTITY, of which nothing tells, gives each sequence of the table a new file, in this (sub)transaction.
  for s in select q.* from dbproxy.sequences q join pg_class c on c.oid = q.sequence
            where c.xmin = me and q.sequence in (
              select objid from pg_depend where classid = 'pg_class'::regclass and refclassid = 'pg_class'::regclass and deptype in ('a', 'i')
                 and refobjid in (select tg_relid union all select relid from pg_partition_ancestors(tg_relid))) loop
    execute format('select last_value = $1 and not is_called from %s', s.sequence::regclass) into is_at_start using s.started;
    if is_at_start then
      insert into dbproxy.captured values (pg_current_xact_id(), 's', dbproxy.name_of(s.sequence), null, null, jsonb_build_array(s.start::text, 'false'), null, false);
    end if;
  end loop;
  return null;
end $$;

create or replace function dbproxy.refuse_without_key() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'rows of % cannot be changed with several writers: it has no key to find them by', tg_relid::regclass using errcode = '55000',
    hint = format('ALTER TABLE %s ADD PRIMARY KEY (...); a unique index on columns that are NOT NULL will do, too. Rows can be inserted as it is.', tg_relid::regclass);
end $$;

create or replace function dbproxy.refuse_forced() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'the table % cannot be written with several writers: its policies are forced on its owner, and its rows bring a function to run that is a client''s or not IMMUTABLE', tg_relid::regclass using errcode = '55000',
    hint = format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY; or take the function out of its checks, domains, generated columns, indexes and partition keys.', tg_relid::regclass);
end $$;

-- What is computed of a row is computed again where it is applied. Texts of what is IMMUTABLE to PostgreSQL, and goes by settings all the same:
-- in generated columns, unique indexes, partition keys. Of float4, float8, and bytea.
create or replace function dbproxy.generates_texts(rel oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from (
    select adbin::text from pg_attrdef join pg_attribute on attrelid = adrelid and attnum = adnum where adrelid = rel and attgenerated <> ''
    union all select indexprs::text from pg_index where indrelid = rel and indisunique
    union all select partexprs::text from pg_partitioned_table where partrelid in (select relid from pg_partition_ancestors(rel))) e (expression)
   where expression ~ '\{COERCEVIAIO .*:resulttype (?!17 |700 |701 )'
     and exists (select from regexp_matches(expression, 'type (\d+)', 'g') m where dbproxy.base_type(m[1]::oid) in (17, 700, 701))) $$;

create or replace function dbproxy.require_usual_texts() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  -- From 1 on it is all one.
  if current_setting('bytea_output') <> 'hex' or current_setting('extra_float_digits')::int < 1 then
    raise exception 'what is computed of a row of % would be another text on the other writers: of a number or bytes it goes by settings of this session', tg_relid::regclass using errcode = '55000',
      hint = 'SET bytea_output = hex; SET extra_float_digits = 1; as they are without a SET.';
  end if;
  return new;
end $$;

-- One that has it unique, or excludes by it, could take here what another writer cannot.
create or replace function dbproxy.refuse_left_out() returns trigger language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare index regclass := (select l.index from dbproxy.left_out l join pg_index i on indexrelid = l.index where indrelid = tg_relid and not indisready and (indisunique or indisexclusion) limit 1);
begin
  if index is not null then
    raise exception 'the table % cannot be written through this writer: it does not keep the index %, whose function failed here, wrote, or did not end, or in which a row had no room', tg_relid::regclass, index using errcode = '55000',
      hint = format('Mend the function, or the row; then REINDEX INDEX %s on this writer. Or DROP INDEX. Other writers take the row.', index);
  end if;
  return new;
end $$;

create or replace function dbproxy.refuse_unlogged() returns trigger language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  raise exception 'the unlogged table % cannot be written with several writers: a crash of one would empty it there alone', tg_relid::regclass using errcode = '55000',
    hint = format('ALTER TABLE %s SET LOGGED; or a temporary table, which is this session''s.', tg_relid::regclass);
end $$;

create or replace function dbproxy.checksums(out "table" text, out rows bigint, out sum text) returns setof record language plpgsql
  set search_path = pg_catalog, pg_temp set datestyle = 'ISO, YMD' set intervalstyle = postgres set extra_float_digits = 3 set bytea_output = hex set lc_monetary = 'C' set timezone = 'UTC' as $$
begin
  for "table" in select dbproxy.name_of(oid) from pg_class where relkind = 'r' and relpersistence = 'p' and dbproxy.is_ours(relnamespace) order by 1 loop
    execute format('select count(*), coalesce(sum(hashtextextended(format(''%%s'', t.*) collate "C", 0)), 0)::text from only %s t', "table") into rows, sum;
    return next;
  end loop;
end $$;
`;
