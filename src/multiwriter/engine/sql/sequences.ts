/**
 * Sequences: every writer steps by 16 times the increment, from a start of its own, so that no two give out one number.
 * nextval, currval and lastval are PostgreSQL's. setval is replaced: it sets this writer's nearest number, and goes to the others.
 */
export const SEQUENCES = String.raw`
create table if not exists dbproxy.sequences (sequence oid primary key, start bigint not null, step bigint not null, stepped bigint not null, started bigint not null);
alter table dbproxy.sequences enable row level security;

create or replace function dbproxy.setval(regclass, bigint, boolean) returns bigint language internal strict as 'setval3_oid';

-- After a position like this, the next number is one of this writer's, and beyond it as it would have been.
create or replace function dbproxy.align(sequence regclass, value bigint, is_called boolean) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare s dbproxy.sequences; first bigint; n numeric; q pg_sequence; v numeric;
begin
  select * into s from dbproxy.sequences where dbproxy.sequences.sequence = align.sequence;
  if not found then perform dbproxy.setval(align.sequence, value, is_called); return; end if;
  select * into q from pg_sequence where seqrelid = align.sequence;
  first := s.started;
  n := (value::numeric - first) / s.stepped;
  v := first + (case when is_called then floor(n) else ceil(n) end) * s.stepped;
  -- None of the numbers that are left is this writer's.
  if not is_called and (s.stepped > 0 and v > q.seqmax or s.stepped < 0 and v < q.seqmin) then v := first + floor(n) * s.stepped; is_called := true; end if;
  -- Before its first number: that comes next.
  if v < q.seqmin or v > q.seqmax then v := first; is_called := false; end if;
  perform dbproxy.setval(align.sequence, v::bigint, is_called);
end $$;

-- The columns of a table that have the numbers of a sequence as they are.
create or replace function dbproxy.numbered(rel oid, out name name, out sequence oid) returns setof record language sql stable set search_path = pg_catalog, pg_temp as $$
  with family as (select rel as oid union select relid from pg_partition_ancestors(rel)),
       source as (
         -- Its own: an identity, or one that the client asks by itself. Or a default that is nothing else.
         select d.refobjid as rel, d.refobjsubid::int2 as attnum, d.objid as sequence from pg_depend d join pg_attribute a on attrelid = d.refobjid and attnum = d.refobjsubid
          where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.refobjid in (select oid from family) and d.deptype in ('a', 'i') and not a.atthasdef
         union
         select x.adrelid, x.adnum, d.refobjid from pg_attrdef x join pg_depend d on d.classid = 'pg_attrdef'::regclass and d.objid = x.oid and d.refclassid = 'pg_class'::regclass
          where x.adrelid in (select oid from family) and pg_get_expr(x.adbin, x.adrelid) = format('nextval(%L::regclass)', d.refobjid::regclass))
  select distinct mine.attname, s.sequence from source s
    join pg_class c on c.oid = s.sequence and c.relkind = 'S'
    join pg_attribute a on a.attrelid = s.rel and a.attnum = s.attnum
    join pg_attribute mine on mine.attrelid = numbered.rel and mine.attname = a.attname and not mine.attisdropped
   where dbproxy.base_type(mine.atttypid) in ('int2'::regtype, 'int4'::regtype, 'int8'::regtype, 'numeric'::regtype) $$;

-- A row of this writer's own has come back by the log. The number in it may be one that a crash took back from the sequence.
create or replace function dbproxy.took(target oid, value numeric) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare s dbproxy.sequences; q pg_sequence; at bigint; is_called boolean; steps numeric;
begin
  select * into s from dbproxy.sequences where sequence = target;
  select * into q from pg_sequence where seqrelid = target;
  -- Not this writer's, or of nobody's sequence.
  if s.sequence is null or value is null or value not between q.seqmin and q.seqmax or (value - s.started) % s.stepped <> 0 then return; end if;
  execute format('select last_value, is_called from %s', target::regclass) into at, is_called;
  steps := (value - at) / s.stepped;
  if steps < 0 or steps = 0 and is_called then return; end if;
  -- Sessions may be taking numbers at the same time, and must not be set back: so far ahead as here they are not.
  if steps > 1000 then
    perform dbproxy.setval(target::regclass, value::bigint, true);
  else
    loop
      exit when (nextval(target::regclass) - value) / s.stepped >= 0;
    end loop;
  end if;
end $$;

create or replace function dbproxy.own_sequence(target oid) returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare q pg_sequence; s dbproxy.sequences; me int; at bigint; is_called boolean; is_copy boolean; c pg_class;
begin
  select * into c from pg_class where oid = target;
  if c.relkind <> 'S' or c.relpersistence = 't' or not dbproxy.is_ours(c.relnamespace) then return; end if;
  select * into q from pg_sequence where seqrelid = target;
  select * into s from dbproxy.sequences where sequence = target;
  select writer into me from dbproxy.self;
  -- What a user did not change since is as we left it.
  if s.sequence is null or q.seqincrement <> s.stepped then s.step := q.seqincrement; end if;
  if s.sequence is null or q.seqstart <> s.started then s.start := q.seqstart; end if;
  s.stepped := s.step * 16;
  is_copy := coalesce(s.started = q.seqstart and s.started <> s.start + s.step * me, false);
  s.started := s.start + s.step * me;
  insert into dbproxy.sequences values (target, s.start, s.step, s.stepped, s.started)
    on conflict (sequence) do update set start = excluded.start, step = excluded.step, stepped = excluded.stepped, started = excluded.started;
  if (q.seqincrement, q.seqstart) is distinct from (s.stepped, s.started) then
    execute format('alter sequence %s increment %s start %s', target::regclass, s.stepped, s.started);
  end if;
  execute format('select last_value, is_called from %s', target::regclass) into at, is_called;
  -- One that was not used is at its start, whoever's that was.
  if not is_called and at = q.seqstart then at := s.started; end if;
  -- A copy of another writer's engine: its last number was rounded down to one of that writer's, so that all those up to that writer's
  -- next one may have been given out while there was one writer.
  if is_copy and is_called then at := least(greatest(at::numeric + s.stepped - s.step, q.seqmin), q.seqmax); end if;
  if (at - s.started) % s.stepped <> 0 then perform dbproxy.align(target::regclass, at, is_called);
  elsif not is_called then perform dbproxy.setval(target::regclass, at, false); end if;
end $$;

-- Acts for a client, whose role it must not be told by anybody else. A function of ours, which has the client's rights and says current_user, calls
-- it in an assignment: so it stands next in the context, and not a statement, whose text could be anybody's. What is before its name is in
-- the language of lc_messages; where it is somebody else's function, statement or assignment, there is a name or a quote. What fails is
-- returned: where an assignment has failed PL/pgSQL makes a statement of it, for the rest of the transaction.
drop function if exists dbproxy.client_setval(name, regclass, bigint, boolean);
create or replace function dbproxy.client_setval(role name, sequence regclass, value bigint, is_called boolean, out failure text[]) language plpgsql
  security definer set search_path = pg_catalog, pg_temp as $$
declare context text;
begin
  get diagnostics context = pg_context;
  if context !~ '^[^\n]*\n([^"(\n]*[^[:alnum:]_."(\n$])?(dbproxy|"dbproxy")\."?ask_setval"?\(regclass,bigint,boolean\)' then
    raise exception 'this is not for clients' using errcode = '42501';
  end if;
  begin
    if not has_sequence_privilege(role, sequence, 'update') then
      raise exception 'permission denied for sequence %', sequence using errcode = '42501';
    end if;
    -- What the session knew, to the number (after_ddl): into a file that the ROLLBACK takes away.
    if exists (select from dbproxy.captured where xid = pg_current_xact_id_if_assigned() and operation = 'z' and about = sequence::oid::text) then
      perform dbproxy.setval(sequence, value, is_called);
    else
      perform dbproxy.align(sequence, value, is_called);
      if session_user <> 'dbproxy_apply' and exists (select from dbproxy.sequences s where s.sequence = client_setval.sequence) then
        perform dbproxy.capture('s', dbproxy.name_of(sequence), jsonb_build_array(value::text, is_called::text), null);
      end if;
    end if;
  exception when others then
    failure := array[sqlstate, sqlerrm];
  end;
end $$;

-- As the client, whom current_user names.
create or replace function dbproxy.ask_setval(sequence regclass, value bigint, is_called boolean) returns void language plpgsql as $$
declare failure text[];
begin
  failure := dbproxy.client_setval(current_user, sequence, value, is_called);
  if failure is not null then raise exception using errcode = failure[1], message = failure[2]; end if;
end $$;

-- A built-in function is called by its number, whatever pg_proc says of it: so it makes room for one of that name.
do $$ begin
  if to_regprocedure('pg_catalog.dbproxy_setval(regclass, bigint)') is null then
    alter function pg_catalog.setval(regclass, bigint) rename to dbproxy_setval;
    alter function pg_catalog.setval(regclass, bigint, boolean) rename to dbproxy_setval;
    revoke execute on function pg_catalog.dbproxy_setval(regclass, bigint), pg_catalog.dbproxy_setval(regclass, bigint, boolean) from public;
  end if;
end $$;

create or replace function pg_catalog.setval(regclass, bigint, boolean) returns bigint language plpgsql strict volatile set search_path = pg_catalog, pg_temp as $$
begin
  if not exists (select from pg_sequence where seqrelid = $1 and $2 between seqmin and seqmax) then
    raise exception 'setval: value % is out of bounds for sequence "%"', $2, $1 using errcode = '22003';
  end if;
  perform dbproxy.ask_setval($1, $2, $3);
  return $2;
end $$;
create or replace function pg_catalog.setval(regclass, bigint) returns bigint language sql strict volatile as $$ select pg_catalog.setval($1, $2, true) $$;
`;
