/**
 * What a transaction captured, and the guard: nothing that was captured commits unless the proxy closed the transaction.
 *
 * A change of a row is told while the proxy closes the transaction (closing.ts). `captured` keeps what cannot wait for that, in a
 * table like any other, so that savepoints come for free; nobody but our functions reaches it. A row has the
 * transaction's number and is gone again when the write-set is taken. The first one of a transaction queues the guard, a
 * deferred constraint trigger; if its savepoint is rolled back, so is the guard, and the next row is the first one. Changes that fire
 * at a COMMIT which is nobody's closing are kept, too: for the guard to find them.
 */
import { MAX_PROPOSAL_BYTES, TOO_LARGE_HINT } from '../../protocol/index.js';
import { FIRE_QUERY } from '../transaction.js';
import { MARK } from './markers.js';
import { isNoted } from './notes.js';
import {
  BEGIN_CLOSING,
  END_CLOSING,
  IS_CLOSING,
  TELL_OF_DEFERRING,
  TELL_OF_KEPT,
  TELL_OTHER,
} from './closing.js';
import { MAY_HAVE_CHANGED_ROLES } from './roles.js';

/** Of each writer the highest LSN that the snapshot holds; what is below it and was not void is there, too. */
const APPLIED = `select coalesce(jsonb_object_agg(w, lsn), '{}')::text
    from (select w, greatest((select max(a.lsn) from dbproxy.applied a where a.writer = w),
                             (select r.lsn from dbproxy.reached r where r.writer = w)) as lsn
            from (select unnest(writers) as w from dbproxy.self) writers offset 0) v
   where lsn is not null`;

/**
 * In PL/pgSQL, for the variables `proof` and `secret`, which is what dbproxy.self has. Not in a query: it could be planned with the proof in
 * it (transaction.ts).
 */
export const REQUIRE_PROOF = `if proof is distinct from secret then raise exception 'this is for the proxy' using errcode = '42501'; end if;`;

const REFUSE_SERIALIZABLE = `if current_setting('transaction_isolation') = 'serializable' then
    raise exception 'several writers do not offer SERIALIZABLE' using errcode = '0A000',
      hint = 'Use REPEATABLE READ, and lock what a decision rests on by updating it: default_transaction_isolation = ''repeatable read''.';
  end if;`;

/** PostgreSQL 17 has it, for superusers. */
const REFUSE_WITHOUT_EVENT_TRIGGERS = `if current_setting('event_triggers', true) = 'off' then
    raise exception 'with event_triggers = off the other writers would not be told of definitions' using errcode = '0A000',
      hint = 'RESET event_triggers; SHOW event_triggers says whether it is set for the role or the database.';
  end if;`;

/** In PL/pgSQL, for a variable `context`: the proxy is closing the transaction, and has asked itself. What it sends is nobody's function. */
const REQUIRE_CLOSING = String.raw`get diagnostics context = pg_context;
  if not (${IS_CLOSING}) or position(E'\n' in context) > 0 then
    raise exception 'this is for the proxy' using errcode = '42501';
  end if;`;

export const GUARD = String.raw`
create unlogged table if not exists dbproxy.captured (
  xid xid8 not null,
  operation "char" not null,   -- i, u, d, t(runcate), s(etval), x: DDL; a: roles; n: its name; e: a table's rows follow;
                               -- z: it is to be rolled back; g: the guard again; others: notes while a definition is at work (notes.ts)
  about text,                  -- the table's shape (capture.ts); the table; the sequence
  hashes bigint[], old_hashes bigint[],
  key jsonb, new_row text,
  is_first boolean not null
);
-- Where the old row was, and where the new one is, in which file of the table. Kept while the transaction was being closed: behind what was told.
alter table dbproxy.captured add column if not exists old_at tid, add column if not exists new_at tid, add column if not exists is_late boolean not null default false,
  add column if not exists file oid;
alter table dbproxy.captured enable row level security;
alter table dbproxy.captured alter new_row set storage external;
alter table dbproxy.captured set (autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_cost_delay = 0);
create index if not exists captured_xid on dbproxy.captured (xid);

-- Whoever reads captured does so by its index, also with a plan that was made while the table was empty.
drop function if exists dbproxy.keep("char", text, bigint[], bigint[], jsonb, text, tid, tid);
create or replace function dbproxy.keep(operation "char", about text, hashes bigint[], old_hashes bigint[], key jsonb, new_row text, old_at tid default null, new_at tid default null, file oid default null) returns void language plpgsql
  security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
  if current_setting('transaction_read_only')::boolean then
    raise exception 'the transaction was made READ ONLY after it had written' using errcode = '25006';
  end if;
  insert into dbproxy.captured values (pg_current_xact_id(), operation, about, hashes, old_hashes, key, new_row,
    not exists (select from dbproxy.captured where xid = pg_current_xact_id() and is_first), old_at, new_at, ${IS_CLOSING}, file);
end $$;

-- What is no change of a row, and may come also from the closing.
create or replace function dbproxy.capture(operation "char", about text, key jsonb, new_row text) returns void language plpgsql
  security definer set search_path = pg_catalog, pg_temp as $$
begin
  if ${IS_CLOSING} and pg_trigger_depth() = 0 then
    ${TELL_OTHER}
  else
    perform dbproxy.keep(operation, about, null, null, key, new_row);
  end if;
end $$;

-- Names the transaction. Without settings of its own, so that it is put into its callers, which have them.
create or replace function dbproxy.transaction() returns text language sql stable
  as $$ select pg_backend_pid() || '.' || (extract(epoch from transaction_timestamp()) * 1000000)::bigint $$;

drop function if exists dbproxy.begun();
create or replace function dbproxy.check_isolation() returns void language plpgsql stable
  security definer set search_path = pg_catalog, pg_temp as $$
begin
  ${REFUSE_SERIALIZABLE}
end $$;

-- For a client that goes on at another writer: there it is what dbproxy.read_after is set to.
create or replace function dbproxy.position() returns text language sql stable
  security definer set search_path = pg_catalog, pg_temp as $$ ${APPLIED} $$;

drop function if exists dbproxy.require_proof(text, text);

drop function if exists dbproxy.require_caller(text, text), dbproxy.require_caller(text, text, text);

-- There is something of this transaction in captured.
create or replace function dbproxy.has_kept() returns boolean language plpgsql set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
  return exists (select from dbproxy.captured where xid = pg_current_xact_id());
end $$;

-- Before the deferred constraints fire, and capture and the guard with them. As few statements and settings as will do: each costs every
-- COMMIT some µs.
create or replace function dbproxy.closing(proof text) returns void language plpgsql
  security definer set search_path = pg_catalog, pg_temp as $$
declare secret text; may_defer boolean; was text;
begin
  select s.secret, s.defers into secret, may_defer from dbproxy.self s;
  ${REQUIRE_PROOF}
  ${REFUSE_SERIALIZABLE}
  if pg_current_xact_id_if_assigned() is null then return; end if;
  ${REFUSE_WITHOUT_EVENT_TRIGGERS}
  if current_setting('transaction_read_only')::boolean then
    -- Temporary tables may be written, and nothing else can have been before it became so.
    if dbproxy.has_kept() then
      raise exception 'the transaction was made READ ONLY after it had written' using errcode = '25006';
    end if;
    return;
  end if;
  was := ${BEGIN_CLOSING};
  -- What was written until now comes before what deferred triggers of a client write.
  if may_defer then perform dbproxy.expect_deferring(); ${TELL_OF_DEFERRING} end if;
  if ${MAY_HAVE_CHANGED_ROLES} then perform dbproxy.note_roles(); end if;
  -- As the session counts: it has made a table, an index, a sequence, also a temporary one.
  if pg_stat_get_xact_tuples_inserted('pg_class'::regclass) > 0 then perform dbproxy.require_captured(); end if;
end $$;

-- EXPLAIN ANALYZE makes tables and materialized views, too, and no event trigger hears of it. By this transaction, that is: of those that were there
-- before it age() is more than 0, and to look each of them up would be dear where every transaction makes a temporary one. What makes a
-- materialized view one is its rule, which is as old as it is; after_ddl has noted those that it was told of.
create or replace function dbproxy.require_captured() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
declare made regclass := (select oid from pg_class where relkind in ('r', 'm') and relpersistence <> 't' and age(xmin) <= 0 and dbproxy.is_ours(relnamespace)
                             and case relkind when 'r' then not exists (select from pg_trigger where tgrelid = pg_class.oid and tgname = 'dbproxy_capture')
                               else exists (select from pg_rewrite r where ev_class = pg_class.oid and age(r.xmin) <= 0) and not ${isNoted('v', 'pg_class.oid::text')} end limit 1);
begin
  if made is not null then
    raise exception '% was made in a way that the other writers cannot be told of', made using errcode = '0A000',
      hint = 'EXPLAIN ANALYZE its query; then CREATE TABLE AS, or CREATE MATERIALIZED VIEW, by itself.';
  end if;
end $$;

create or replace function dbproxy.expect_deferring() returns void language plpgsql set search_path = pg_catalog, pg_temp as $$
begin
  perform dbproxy.settle();
  -- For fired(). Only superusers can change it.
  perform set_config('track_functions', 'all', true);
end $$;

-- How often functions of clients have been called in this transaction. What a SET CONSTRAINTS ALL IMMEDIATE fires without one cannot have
-- deferred anything: captures, and checks of keys.
create or replace function dbproxy.fired() returns numeric language plpgsql
  security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare context text;
begin
  ${REQUIRE_CLOSING}
  return (select coalesce(sum(pg_stat_get_xact_function_calls(oid)), 0) from pg_proc where oid >= 16384 and pronamespace <> 'dbproxy'::regnamespace);
end $$;

-- Nothing was told: what would come only at the COMMIT is not to be missed.
create or replace function dbproxy.closed() returns void language plpgsql
  security definer set search_path = pg_catalog, pg_temp as $$
declare was text;
begin
  was := ${END_CLOSING};
end $$;

-- Of the session's transactions, for the policy priority: what it was set to (by SET, ALTER ROLE, PGOPTIONS), or what its application
-- has in the list dbproxy.application_priorities, as in 'checkout = 10, report = -5'. Null: neither, or it is no number.
create or replace function dbproxy.priority() returns integer language sql stable set search_path = pg_catalog, pg_temp as $$
  select case when given ~ '^\s*[+-]?\d{1,6}\s*$' then given::integer end
    from (select coalesce(nullif(current_setting('dbproxy.priority', true), ''),
            (select split_part(pair, '=', 2) from unnest(string_to_array(current_setting('dbproxy.application_priorities', true), ',')) pair
              where btrim(split_part(pair, '=', 1)) = current_setting('application_name') limit 1)) as given) s $$;

drop function if exists dbproxy.write_set();
create or replace function dbproxy.write_set(out operation text, out about text, out hashes text, out old_hashes text,
                                             out key text, out new_row text, out old_at text, out new_at text, out is_late boolean)
  returns setof record language plpgsql security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
declare me xid8 := pg_current_xact_id_if_assigned();
  size bigint; is_to_be_rolled_back boolean; context text;
begin
  ${REQUIRE_CLOSING}
  select sum(coalesce(length(c.new_row), 0) + coalesce(pg_column_size(c.key), 0)), bool_or(c.operation = 'z') into size, is_to_be_rolled_back
    from dbproxy.captured c where c.xid = me;
  if is_to_be_rolled_back then
    raise exception 'a transaction that gives a session back what it knew of a sequence cannot be committed' using errcode = '25000';
  end if;
  if size > ${MAX_PROPOSAL_BYTES} then
    raise exception 'a transaction of % bytes is too large for several writers: at most ${MAX_PROPOSAL_BYTES}', size
      using errcode = '54000', hint = '${TOO_LARGE_HINT}';
  end if;
  -- The command that made a row, cmin, is the order of the rows. What is told has its places in the files of now.
  return query select c.operation::text, c.about, c.hashes::text, c.old_hashes::text, c.key::text, c.new_row, former || c.old_at::text, former || c.new_at::text, c.is_late
    from dbproxy.captured c cross join lateral (select case when c.file in (select relfilenode from pg_class) then '' else c.file || ' ' end as former) f
   where c.xid = me and c.operation not in ('g', 'v') order by c.cmin::text::bigint;
  delete from dbproxy.captured c where c.xid = me;
end $$;

-- Without a proof of its own: since the closing nobody but the proxy has said anything, and what ran within it was called by something.
drop function if exists dbproxy.certify(bigint, text);
create or replace function dbproxy.certify(at bigint) returns void language plpgsql
  security definer set search_path = pg_catalog, pg_temp as $$
declare context text; was text;
begin
  ${REQUIRE_CLOSING}
  -- What would fire only now is not to be missed.
  was := ${END_CLOSING};
  ${MARK}
  if not found then
    raise exception 'transaction % is in this engine already', at using errcode = '23505';
  end if;
end $$;

create or replace function dbproxy.guard() returns trigger language plpgsql
  security definer set search_path = pg_catalog, pg_temp set enable_seqscan = off as $$
begin
  if ${IS_CLOSING} then
    ${TELL_OF_KEPT}
    return null;
  end if;
  -- A client may well say SET CONSTRAINTS ALL IMMEDIATE: the guard stays for the COMMIT. But not twice in one statement, as at the
  -- COMMIT, or where that is in the same query: that is refused. So is what has ended the closing from within.
  if coalesce(new.key->>0, '') <> statement_timestamp()::text and coalesce(current_query(), '') <> '${FIRE_QUERY}' then
    set constraints dbproxy.guard deferred;
    insert into dbproxy.captured values (new.xid, 'g', null, null, null, jsonb_build_array(statement_timestamp()::text), null, true);
  else
    raise exception 'this commit was not certified by the other writers' using errcode = '25000',
      hint = 'Connect through dbproxy, and end transactions by COMMIT there: not in a procedure, not by PREPARE TRANSACTION, and alone in its query.';
  end if;
  return null;
end $$;
do $$ begin
  if not exists (select from pg_trigger where tgrelid = 'dbproxy.captured'::regclass and tgname = 'guard') then
    create constraint trigger guard after insert on dbproxy.captured deferrable initially deferred
      for each row when (new.is_first) execute function dbproxy.guard();
    alter table dbproxy.captured enable always trigger guard;
  end if;
end $$;
`;
