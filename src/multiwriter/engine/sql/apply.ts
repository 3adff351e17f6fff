/**
 * Apply: for every table a function of its own, with plans that last. It runs as the table's owner: what the owner wrote
 * (checks, generated columns, expressions of indexes) is not to run as a superuser on another writer. An owner who is subject to the
 * table's policies himself (FORCE ROW LEVEL SECURITY) would not see all rows: there it is a superuser, and such a table cannot be written
 * where it has code of others (`runs_code`, running-code.ts).
 *
 * Such code may try to outlive its row in our session, which is a superuser's: by settings (a search_path, by which we would find its
 * functions in place of ours), a cursor WITH HOLD or a deferred trigger, which run at our COMMIT, prepared statements by the names of ours.
 * So where it may run an entry is applied alone (`dbproxy.apply`); behind it every name is one with its schema until the environment is there
 * again; and at the end nothing of it is left (`clean_session`).
 */
import { MARK } from './markers.js';
import { note, unnote } from './notes.js';

/** In PL/pgSQL. */
const FOR_THE_APPLIER = `if session_user <> 'dbproxy_apply' or current_setting('session_replication_role') <> 'replica' then
    raise exception 'this is for the applier' using errcode = '42501';
  end if;`;

export const APPLY = String.raw`
create or replace function dbproxy.prepare_applier() returns void language plpgsql as $$
begin
  -- The environment in which the texts were written, and nothing that could end a wait or change what a statement means.
  perform pg_catalog.set_config(name, value, false) from (values
    ('session_replication_role', 'replica'), ('search_path', 'pg_catalog, pg_temp'), ('datestyle', 'ISO, YMD'), ('intervalstyle', 'postgres'),
    ('lc_monetary', 'C'), ('bytea_output', 'hex'), ('extra_float_digits', '1'), ('xmloption', 'content'), ('array_nulls', 'on'), ('track_counts', 'on'), ('standard_conforming_strings', 'on'), ('timezone', 'UTC'), ('statement_timeout', '0'), ('lock_timeout', '0'),
    ('idle_in_transaction_session_timeout', '0'), ('default_transaction_isolation', 'read committed'), ('default_transaction_read_only', 'off'), ('check_function_bodies', 'off'),
    ('row_security', 'on'), ('synchronous_commit', 'off'), ('plan_cache_mode', 'force_generic_plan'), ('exit_on_error', 'off')) s(name, value);
  -- What was as deep as the stack of a client's session, and built there piece by piece, is read here at once. The system may allow less.
  begin
    perform pg_catalog.set_config('max_stack_depth', '6MB', false);
  exception when invalid_parameter_value then null;
  end;
  -- From PostgreSQL 17 on.
  if pg_catalog.current_setting('transaction_timeout', true) is not null then perform pg_catalog.set_config('transaction_timeout', '0', false); end if;
end $$;

create or replace function dbproxy.clean_session() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare cursor_name text;
begin
  for cursor_name in select name from pg_cursors where is_holdable loop
    execute format('close %I', cursor_name);
  end loop;
  execute 'reset all';
  execute 'deallocate all';
  execute 'unlisten *';
  execute 'discard temp';
  perform pg_advisory_unlock_all();
  perform dbproxy.prepare_applier();
end $$;

-- By which an index finds a value: where it is an extension's (citext), '=' alone would be another one, and use no index.
create or replace function dbproxy.equality(class oid) returns text language sql stable set search_path = pg_catalog, pg_temp as $$
  select coalesce((select format('operator(%I.=)', nspname)
    from pg_opclass c join pg_amop a on amopfamily = opcfamily and amopstrategy = 3 and amoplefttype = opcintype and amoprighttype = opcintype
    join pg_operator o on o.oid = amopopr join pg_namespace n on n.oid = oprnamespace
    join pg_proc p on p.oid = oprcode join pg_roles r on r.oid = proowner
   where c.oid = class and oprname = '=' and rolsuper and opcmethod = (select oid from pg_am where amname = 'btree')), '=') $$;

-- Does a client's cast make PostgreSQL find several operators for two values of the type?
create or replace function dbproxy.has_casts(type oid) returns boolean language sql stable set search_path = pg_catalog, pg_temp as $$
  select exists (select from pg_cast where castsource = type and castcontext = 'i' and oid >= 16384) $$;

-- Of an older version.
do $$ declare old record; begin
  for old in select oid::regprocedure::text as name from pg_proc where pronamespace = 'dbproxy'::regnamespace and proname ~ '^apply_\d+$' loop
    execute 'drop function ' || old.name;
  end loop;
end $$;

-- Changes of its rows, one after the other. A statement has its columns beside the parameters: of r and n, which none names without a table, they may have the name.
create or replace function dbproxy.define_applier(rel oid, row_index oid) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare t text := dbproxy.name_of(rel); owner name; columns text; fresh text; sets text; inserts text; updates text; found text; replaces text; name text := 'apply_' || rel; is_forced boolean; numbers text; row_type oid; given text := '(text, text[], jsonb[], text[])'; generated text; returned text; verified text;
  keyless text := $raise$raise exception '% in %, which has no key to find a row by', dbproxy_kind, dbproxy_called using errcode = 'DBP01';$raise$;
begin
  select pg_get_userbyid(relowner), relrowsecurity and relforcerowsecurity, reltype into owner, is_forced, row_type from pg_class where oid = rel;
  -- Generated columns generate themselves, also here.
  select string_agg(quote_ident(attname), ', ' order by attnum), string_agg('r.' || dbproxy.quoted(attname), ', ' order by attnum),
         string_agg(format('%1$s = r.%1$s', dbproxy.quoted(attname)), ', ' order by attnum) filter (where attidentity <> 'a'),
         string_agg(format('x.%1$s is distinct from r.%1$s', dbproxy.quoted(attname)), ' or ') filter (where attidentity = 'a')
    into columns, fresh, sets, replaces from pg_attribute where attrelid = rel and attnum > 0 and not attisdropped and attgenerated = '';
  -- What they generate goes by what their functions look up, whatever these are declared to be.
  select format(' returning format(''%%s'', row(%s)) = format(''%%s'', row(%s)) into dbproxy_same', string_agg('x.' || dbproxy.quoted(attname), ', ' order by attnum), string_agg('r.' || dbproxy.quoted(attname), ', ' order by attnum))
    into generated from pg_attribute where attrelid = rel and attnum > 0 and not attisdropped and attgenerated = 's' having count(*) > 0;
  returned := coalesce(generated, '') || ';';
  verified := case when generated is not null then 'if dbproxy_kind <> ''delete'' and not dbproxy_same then raise exception ''what is generated of % in % is another value here'', coalesce(dbproxy_key::text, ''a row''), dbproxy_called using errcode = ''DBP01''; end if;' else '' end;
  -- As texts become values: by no cast that may be somebody's own (capture.ts), and a domain's value is as one of its base type.
  -- Where several operators would do none does, and no index.
  select string_agg(format(case when dbproxy.equality(indclass[n]) in ('=', 'operator(pg_catalog.=)') and dbproxy.has_casts(b) then 'record_eq(row(x.%1$I::%5$s), row(%3$s%4$s))' else 'x.%I %s %s%s' end, a.attname, dbproxy.equality(indclass[n]), case when dbproxy.is_built_in(a.atttypid) then format('(dbproxy_key->>%s)::%s', n, format_type(b, -1))
             else format('(select v from jsonb_to_record(jsonb_build_object(''v'', dbproxy_key->%s)) as v(v %s))', n, format_type(b, -1)) end,
           case when indcollation[n] <> 0 then (select format(' collate %I.%I', nspname, collname) from pg_collation c join pg_namespace ns on ns.oid = collnamespace where c.oid = indcollation[n]) else '' end, format_type(b, -1)), ' and ' order by n)
    into found from pg_index cross join generate_series(0, indnkeyatts - 1) n join pg_attribute a on attrelid = rel and attnum = indkey[n]
     cross join lateral dbproxy.base_type(a.atttypid) b where indexrelid = row_index;
  inserts := case when columns is null then format('insert into %s as x default values%s', t, returned)
                  else format('insert into %s as x (%s) overriding system value values (%s)%s', t, columns, fresh, returned) end;
  updates := format('update only %s x set %s where %s%s', t, sets, found, returned);
  select string_agg(format('%L, r.%s', n.sequence, dbproxy.quoted(n.name)), ', ') into numbers from dbproxy.numbered(rel) n;
  execute format('create or replace function dbproxy.%I(dbproxy_called text, dbproxy_kinds text[], dbproxy_keys jsonb[], dbproxy_news text[]) returns void language plpgsql security definer set search_path = pg_catalog, pg_temp as %L', name, format($f$
#variable_conflict use_variable
declare r %1$s; n bigint; dbproxy_same boolean; dbproxy_kind text; dbproxy_key jsonb;
begin
  %8$sif dbproxy_called <> %6$L then raise exception '%% is %% by now', dbproxy_called, %6$L using errcode = 'DBP01'; end if;
  for dbproxy_i in 1 .. cardinality(dbproxy_kinds) loop
    dbproxy_kind := dbproxy_kinds[dbproxy_i];
    dbproxy_key := dbproxy_keys[dbproxy_i];
    if dbproxy_kind <> 'delete' then r := record_in(dbproxy_news[dbproxy_i]::cstring, %7$s, -1); end if;
    if dbproxy_kind = 'insert' then
      %2$s
    elsif dbproxy_kind = 'update' then
      %3$s
    else
      %4$s
    end if;
    get diagnostics n = row_count;
    if n <> 1 then raise exception '%% of %% in %%: %% rows instead of one', dbproxy_kind, coalesce(dbproxy_key::text, 'a row'), dbproxy_called, n using errcode = 'DBP01'; end if;
    %9$s
    %5$s
  end loop;
end $f$, t,
    inserts,
    case when found is null then keyless
         -- An identity that is GENERATED ALWAYS cannot be set by an UPDATE, and where there is nothing else, nothing can.
         when sets is null then format('delete from only %1$s x where %2$s; %3$s', t, found, inserts)
         when replaces is not null then format('if exists (select from only %1$s x where %2$s and (%3$s)) then delete from only %1$s x where %2$s; %4$s else %5$s end if;',
           t, found, replaces, inserts, updates)
         else updates end,
    case when found is null then keyless else format('delete from only %s x where %s;', t, found) end,
    -- Whose numbers they are apply() finds out, which may.
    case when numbers is not null then format('if dbproxy_kind <> ''delete'' and current_setting(''dbproxy.is_own'', true) = ''on'' then perform set_config(''dbproxy.numbers'', jsonb_build_object(%s)::text, true); end if;', numbers) end, t, row_type,
    case when exists (select from dbproxy.running_code c where c.rel = define_applier.rel) then E'if current_setting(''dbproxy.is_alone'', true) is distinct from ''on'' then raise exception ''by dbproxy.apply only'' using errcode = ''DBP01''; end if;\n  ' end, verified));
  execute format('alter function dbproxy.%I%s owner to %I', name, given, case when is_forced then current_user else owner end);
  execute format('revoke execute on function dbproxy.%I%s from public', name, given);
end $$;

-- Entries of others, whose rows follow in this transaction: those of a table by its function. All are new here, or none is marked.
create or replace function dbproxy.mark_all(entries bigint[]) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare n bigint;
begin
  ${FOR_THE_APPLIER}
  insert into dbproxy.applied select dbproxy.writer_of(at), at from unnest(entries) at
    where not exists (select from dbproxy.reached r where r.writer = dbproxy.writer_of(at) and r.lsn >= at);
  get diagnostics n = row_count;
  if n <> cardinality(entries) then raise exception 'not all of them are new' using errcode = 'DBP01'; end if;
end $$;

create or replace function dbproxy.apply_rows(called text, kinds text[], keys jsonb[], news text[]) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  execute format('select dbproxy.%I($1, $2, $3, $4)', 'apply_' || to_regclass(called)::oid) using called, kinds, keys, news;
end $$;

-- What a table's definition has against its rows here, and had not where they were written: its checks, those of domains, its partition's bounds and its
-- generated columns ask the time, a setting, who the user is, and its owner may have no right to write it. For this transaction it has them no
-- more; returned is what to take back. A schema is opened only where no client's code comes to run: in none of the entry's tables.
drop function if exists dbproxy.leave_out(oid);
create or replace function dbproxy.leave_out(rel oid, opens boolean) returns jsonb language plpgsql set search_path = pg_catalog, pg_temp as $$
declare c pg_class; n pg_namespace; taken jsonb := jsonb_build_object('rel', rel); generated int2[]; of_domains oid[]; domains oid[]; not_null oid[];
begin
  select * into c from pg_class where oid = rel;
  if c.relchecks > 0 then
    update pg_class set relchecks = 0 where oid = rel;
    taken := taken || '{"checks": true}';
  end if;
  of_domains := array(select k.oid from dbproxy.needed_by(rel) needed join pg_constraint k on k.oid = needed.object
                       where needed.class = 'pg_constraint'::regclass and contype = 'c' and contypid <> 0);
  if of_domains <> '{}' then
    update pg_constraint set contype = '-' where oid = any (of_domains);
    taken := taken || jsonb_build_object('domains', of_domains::text);
  end if;
  -- A null comes into a column of such a domain by an outer join. Those over it go by it, too, in what the session knows of them.
  domains := array(select t.oid from dbproxy.needed_by(rel) needed join pg_type t on t.oid = needed.object where needed.class = 'pg_type'::regclass and typtype = 'd');
  not_null := array(select oid from pg_type where oid = any (domains) and typnotnull);
  if not_null <> '{}' then
    update pg_type set typnotnull = false where oid = any (domains);
    taken := taken || jsonb_build_object('over', domains::text, 'not_null', not_null::text);
  end if;
  if c.relispartition then
    update pg_class set relispartition = false where oid = rel;
    taken := taken || '{"partition": true}';
  end if;
  generated := array(select attnum from pg_attribute where attrelid = rel and attnum > 0 and not attisdropped and attgenerated = 's');
  if generated <> '{}' then
    update pg_attribute set attgenerated = '' where attrelid = rel and attnum = any (generated);
    perform dbproxy.define_applier_again(rel);
    taken := taken || jsonb_build_object('generated', generated::text);
  end if;
  if not (select bool_and(has_table_privilege(c.relowner, rel, p)) from unnest('{select,insert,update,delete}'::text[]) p) then
    update pg_class set relacl = null where oid = rel;
    taken := taken || jsonb_build_object('rights', c.relacl::text);
  end if;
  if opens and not has_schema_privilege(c.relowner, c.relnamespace, 'usage') then
    select * into n from pg_namespace where oid = c.relnamespace;
    update pg_namespace set nspacl = coalesce(nspacl, acldefault('n', nspowner)) || makeaclitem(c.relowner, nspowner, 'USAGE', false) where oid = n.oid;
    taken := taken || jsonb_build_object('schema', n.oid, 'usage', n.nspacl::text);
  end if;
  return taken;
end $$;

-- In the opposite order: two tables may have one schema.
create or replace function dbproxy.take_back(all_taken jsonb[]) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare taken jsonb; rel oid;
begin
  for taken in select one from unnest(all_taken) with ordinality t (one, n) order by n desc loop
    rel := taken->>'rel';
    if taken ? 'checks' then
      update pg_class set relchecks = (select count(*) from pg_constraint where conrelid = rel and contype = 'c') where oid = rel;
    end if;
    if taken ? 'domains' then update pg_constraint set contype = 'c' where oid = any ((taken->>'domains')::oid[]); end if;
    if taken ? 'not_null' then update pg_type set typnotnull = oid = any ((taken->>'not_null')::oid[]) where oid = any ((taken->>'over')::oid[]); end if;
    if taken ? 'partition' then update pg_class set relispartition = true where oid = rel; end if;
    if taken ? 'generated' then
      update pg_attribute set attgenerated = 's' where attrelid = rel and attnum = any ((taken->>'generated')::int2[]);
      perform dbproxy.define_applier_again(rel);
    end if;
    if taken ? 'rights' then update pg_class set relacl = (taken->>'rights')::aclitem[] where oid = rel; end if;
    if taken ? 'schema' then update pg_namespace set nspacl = (taken->>'usage')::aclitem[] where oid = (taken->>'schema')::oid; end if;
  end loop;
end $$;

create or replace function dbproxy.define_applier_again(rel oid) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  ${note('w')}
  perform dbproxy.define_applier(rel, dbproxy.row_index(rel));
  ${unnote('w')}
end $$;

-- Indexes that this engine does not keep: what a client's function in them does here fails, writes, or does not end; or a row has no room in them.
create table if not exists dbproxy.left_out (index oid primary key);
alter table dbproxy.left_out enable row level security;

-- For good, until a REINDEX. Nobody may be within a transaction that still goes by them. Of one that is live PostgreSQL computes the constants in its
-- expressions (f(1)) for whoever writes, also where it is not kept.
drop function if exists dbproxy.leave_out_indexes(oid);
create or replace function dbproxy.leave_out_indexes(rel oid, too_large boolean) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare i pg_index; found boolean := false; guards boolean := false;
begin
  for i in select x.* from pg_index x where indrelid = rel and indisready and (
      num_nonnulls(indexprs, indpred) > 0 and exists (select from dbproxy.called_in(concat(indexprs::text, ' ', indpred::text)) where oid >= 16384)
      or too_large and exists (select from pg_attribute where attrelid = indexrelid and attlen = -1)) loop
    if not found then execute format('lock table %s in access exclusive mode', rel::regclass); end if;
    found := true;
    guards := guards or i.indisunique or i.indisexclusion;
    update pg_index set indislive = num_nonnulls(indexprs, indpred) = 0, indisready = false, indisvalid = false where indexrelid = i.indexrelid;
    insert into dbproxy.left_out values (i.indexrelid) on conflict do nothing;
    raise warning 'the index % of % is not kept by this writer any more: its function does something else here, or a row has no room in it', i.indexrelid::regclass, rel::regclass
      using hint = 'Mend the function, or the row; then REINDEX the index on this writer. Or DROP INDEX.';
  end loop;
  -- For the plans of others.
  if found then update pg_class set relchecks = relchecks where oid = rel; end if;
  if guards then
    ${note('w')}
    perform dbproxy.add_trigger(rel, 'dbproxy_left_out', 'before insert or update', 'row', 'dbproxy.refuse_left_out()');
    ${unnote('w')}
  end if;
end $$;

drop function if exists dbproxy.apply(bigint, text), dbproxy.apply(bigint, text, boolean), dbproxy.apply(bigint, text, boolean, oid[]), dbproxy.apply_unchecked(bigint, text);
-- Again with leaves_out, where it has failed without; and again, where that has failed within tables: without their indexes that have code (0: those of
-- tables that the entry makes), and without those in which a row may be too large.
create or replace function dbproxy.apply(at bigint, payload text, leaves_out boolean default false, without_indexes oid[] default '{}', too_large boolean default false) returns boolean language plpgsql set search_path = pg_catalog, pg_temp as $$
declare change jsonb; truncated text[] := '{}'; called text; target oid; kinds text[] := '{}'; keys jsonb[]; news text[]; is_own boolean := dbproxy.writer_of(at) = (select writer from dbproxy.self);
  running_code oid[]; runs_some boolean; is_code boolean; ran_code boolean := false;
  -- Of the rows since the last change of another kind: what was written before those that bring code, and is by them; what is left out.
  written bigint[]; changed bigint[]; left_out oid[] := '{}'; taken jsonb[] := '{}';
begin
  ${FOR_THE_APPLIER}
  ${MARK}
  if not found then return false; end if;
  if is_own then perform set_config('dbproxy.is_own', 'on', true); end if;
  perform set_config('dbproxy.is_alone', 'on', true);
  -- Behind the last one comes nothing.
  for change in select jsonb_array_elements(payload::jsonb) union all select '{"kind": "end"}' loop
    if kinds <> '{}' and (called is distinct from change->>'table' or change->>'kind' not in ('insert', 'update', 'delete')) then
      perform dbproxy.apply_rows(called, kinds, keys, news);
      kinds := '{}';
    end if;
    if written is not null and (change->>'kind' not in ('insert', 'update', 'delete') or leaves_out and called is distinct from change->>'table') then
      perform dbproxy.require_written(called, written, changed);
      written := null;
    end if;
    if change->>'kind' not in ('insert', 'update', 'delete') then
      perform dbproxy.take_back(taken);
      left_out := '{}';
      taken := '{}';
      called := null;
      -- A definition may have made tables, and had others bring code that did not.
      if change->>'kind' in ('ddl', 'roles') then running_code := null; end if;
    end if;
    -- Tables of one TRUNCATE go together: each may refer to the others.
    if change->>'kind' = 'truncate' then truncated := truncated || (change->>'table'); continue; end if;
    -- Between them is what restarted with each (RESTART IDENTITY).
    if truncated <> '{}' and change->>'kind' <> 'setval' then
      perform dbproxy.apply_truncate(truncated);
      truncated := '{}';
    end if;
    case change->>'kind'
      when 'end' then null;
      -- Not TRUNCATE, which others that refer to the table would forbid.
      when 'empty' then execute 'delete from only ' || (change->>'table');
      when 'ddl' then
        perform dbproxy.apply_ddl(change);
        ran_code := true;
      when 'name' then perform dbproxy.keep_name(change->>'id');
      when 'roles' then perform dbproxy.apply_roles(change);
      when 'setval' then perform dbproxy.align((change->>'sequence')::regclass, (change->>'value')::bigint, (change->>'isCalled')::boolean);
      else
        if called is distinct from change->>'table' then
          called := change->>'table';
          target := to_regclass(called);
          if target is null then raise exception 'there is no table %', called using errcode = 'DBP01'; end if;
          if running_code is null then
            running_code := array(select rel from dbproxy.running_code);
            if leaves_out then runs_some := exists (select from jsonb_array_elements(payload::jsonb) c where to_regclass(c->>'table') = any (running_code)); end if;
          end if;
          is_code := target = any (running_code);
          if leaves_out and target <> all (left_out) then
            if target = any (without_indexes) or 0 = any (without_indexes) and (select xmin = pg_current_xact_id()::xid from pg_class where oid = target) then
              perform dbproxy.leave_out_indexes(target, too_large);
            end if;
            left_out := left_out || target;
            taken := taken || dbproxy.leave_out(target, opens => not runs_some);
          end if;
        end if;
        if kinds = '{}' then keys := '{}'; news := '{}'; end if;
        kinds := kinds || (change->>'kind'); keys := keys || (change->'key'); news := news || (change->>'row');
        if is_code and written is null then
          written := dbproxy.number_written();
          changed := '{0,0,0}';
        end if;
        if written is not null then
          changed[array_position('{insert,update,delete}', change->>'kind')] := changed[array_position('{insert,update,delete}', change->>'kind')] + 1;
        end if;
        -- Those of one table that follow each other go together.
        if not is_code and not is_own then continue; end if;
        perform dbproxy.apply_rows(called, kinds, keys, news);
        kinds := '{}';
        if is_code then
          perform dbproxy.prepare_applier();
          ran_code := true;
        end if;
        if is_own and current_setting('dbproxy.numbers', true) <> '' then
          perform dbproxy.took(sequence::oid, value::numeric) from jsonb_each_text(current_setting('dbproxy.numbers')::jsonb) e(sequence, value)
            where not is_code or sequence::oid in (select n.sequence from dbproxy.numbered(target) n);
          perform set_config('dbproxy.numbers', '', true);
        end if;
    end case;
  end loop;
  if ran_code then perform dbproxy.clean_session(); end if;
  return true;
end $$;

-- What a check writes, it wrote where the row was first, too, and that comes by its rows. An UPDATE may have become a DELETE and an INSERT
-- (define_applier): one row fewer that is changed, and one more of both.
create or replace function dbproxy.require_written(called text, before bigint[], changed bigint[]) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare here bigint[] := dbproxy.number_written(); replaced bigint := here[1] - before[1] - changed[1];
begin
  if replaced <> here[3] - before[3] - changed[3] or replaced <> changed[2] - (here[2] - before[2]) then
    raise exception 'what rows of % bring to run writes rows itself', called using errcode = 'DBP01', table = to_regclass(called)::oid::text;
  end if;
end $$;

create or replace function dbproxy.apply_truncate(tables text[]) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare targets oid[] := array(select t::regclass from unnest(tables) t);
begin
  ${note('w')}
  -- Partitioned tables have no rows and are not told of, but one that refers to a table has to be truncated with it: where nothing
  -- of it is left out.
  execute 'truncate ' || array_to_string(array(select distinct 'only ' || t from unnest(tables) t) || array(
    select dbproxy.name_of(c.oid) from pg_class c where c.relkind = 'p'
       and exists (select from pg_constraint where contype = 'f' and conrelid = c.oid
                      and confrelid in (select t from unnest(targets) t union select relid from unnest(targets) t cross join pg_partition_ancestors(t) p(relid)))
       and not exists (select from pg_partition_tree(c.oid) where isleaf and relid <> all (targets))), ', ');
  ${unnote('w')}
end $$;

-- The statement, by the role that ran it, with the names it saw and the settings it was read by: in a function that is that role's, since
-- there nobody can become the session's user again, who is a superuser. What the statement computes may be a client's code. The function
-- has the settings of its own, so that behind it they are what they were; but what a client's code has SET, without LOCAL, stays.
create or replace function dbproxy.apply_ddl(change jsonb) returns void language plpgsql as $$
declare settings jsonb := coalesce(change->'settings', '{}'); missing jsonb;
begin
  ${note('w')}
  execute format($create$
    create or replace function dbproxy.run_ddl(path text, settings jsonb, statement text) returns void language plpgsql security definer
      set search_path = pg_catalog, pg_temp %s as $run$
    declare setting record;
    begin
      for setting in select * from jsonb_each_text(settings) s(name, value) where current_setting(name, true) is distinct from value loop
        -- This engine may not know it.
        begin perform set_config(setting.name, setting.value, true); exception when others then null; end;
      end loop;
      perform set_config('search_path', path, true);
      execute statement;
    end $run$ $create$, (select string_agg(format('set %I from current', lower(name)), ' ') from pg_settings where settings ? lower(name)));
  revoke execute on function dbproxy.run_ddl(text, jsonb, text) from public;
  execute format('alter function dbproxy.run_ddl(text, jsonb, text) owner to %I', change->>'role');
  ${unnote('w')}
  ${note('d')}
  perform dbproxy.run_ddl(change->>'searchPath', settings, change->>'sql');
  -- First of all this, which has no operator: names may still be looked for where a client has his.
  perform dbproxy.prepare_applier();
  ${unnote('d')}
  ${note('w')}
  -- DROP OWNED takes it along.
  if to_regprocedure('dbproxy.run_ddl(text, jsonb, text)') is not null then drop function dbproxy.run_ddl(text, jsonb, text); end if;
  for missing in select jsonb_array_elements(change->'missing') loop
    perform dbproxy.take_missing(to_regclass(missing->>0), missing->>1, missing->>2);
  end loop;
  ${unnote('w')}
end $$;

-- The value that rows without the column have in it (missing_values), as the array that PostgreSQL keeps it in. It is read as one of a
-- type that is no domain, which runs no code of a client. Indexes that came with the column have the value that was computed here.
create or replace function dbproxy.take_missing(rel oid, name name, value text) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare here pg_attribute; made_with_it regclass;
begin
  select * into here from pg_attribute where attrelid = rel and attname = name and atthasmissing;
  if not found then raise exception 'the new column % of % has no value for the rows that were there', name, rel::regclass using errcode = 'DBP01'; end if;
  if format('%s', here.attmissingval) = value then return; end if;
  update pg_attribute set attmissingval = array_in(textout(value), dbproxy.base_type(atttypid), -1) where attrelid = rel and attnum = here.attnum;
  for made_with_it in select indexrelid from pg_index i where indrelid = rel and i.xmin = pg_current_xact_id()::xid
      and (here.attnum = any (indkey) or num_nonnulls(indexprs, indpred) > 0) loop
    execute 'reindex index ' || made_with_it;
  end loop;
end $$;
`;
