/**
 * What became of a transaction, asked by the name that it gave itself before its COMMIT: `w<writer>.<incarnation>.<backend>.<µs>`.
 *
 * `named` has the names of those that committed; a name goes the way of the rows, through the log, and only who asks for one pays for it.
 * What is not there was rolled back, is still on its way, or is too old: that is told by what the writers said of themselves
 * (`dbproxy.txn_facts`, set by the proxy before the statement runs, writer/outcomes.ts). All that they had committed by then is here.
 */
export const OUTCOMES = String.raw`
alter table dbproxy.self add column if not exists incarnation int not null default 0;
create table if not exists dbproxy.named (n bigint generated always as identity primary key, id text not null unique, begun bigint not null);
alter table dbproxy.named enable row level security;
-- When the youngest of those began whose names are no longer kept, µs.
create table if not exists dbproxy.forgotten (only_row boolean primary key default true check (only_row), begun bigint not null);
alter table dbproxy.forgotten enable row level security;

create or replace function dbproxy.own_name() returns text language sql stable security definer set search_path = pg_catalog, pg_temp as $$
  select format('w%s.%s.%s', writer + 1, incarnation, dbproxy.transaction()) from dbproxy.self $$;

create or replace function dbproxy.keep_name(name text) returns void language sql set search_path = pg_catalog, pg_temp as $$
  insert into dbproxy.named (id, begun) values (name, split_part(name, '.', 4)::bigint) on conflict (id) do nothing $$;

create or replace function dbproxy.forget_names(kept bigint) returns void language sql set search_path = pg_catalog, pg_temp as $$
  with gone as (delete from dbproxy.named where n <= (select max(n) from dbproxy.named) - kept returning begun)
  insert into dbproxy.forgotten select true, max(begun) from gone having count(*) > 0
    on conflict (only_row) do update set begun = greatest(forgotten.begun, excluded.begun) $$;

create or replace function dbproxy.txn_id() returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare me xid8 := pg_current_xact_id(); name text := dbproxy.own_name();
begin
  if exists (select from dbproxy.named where id = name) then return name; end if;
  perform dbproxy.keep_name(name);
  -- With its savepoint the name would be rolled back, and the transaction could still commit.
  if (select xmin <> me::xid from dbproxy.named where id = name) then
    raise exception 'dbproxy.txn_id() has to be asked outside of savepoints' using errcode = '25001', hint = 'Ask before the first SAVEPOINT, and not within a block with EXCEPTION.';
  end if;
  perform dbproxy.capture('n', name, null, null);
  return name;
end $$;

create or replace function dbproxy.txn_status(id text) returns text language plpgsql security definer set search_path = pg_catalog, pg_temp as $$
declare part text[] := regexp_match(id, '^w(\d{1,2})\.(\d{1,9})\.(\d{1,9}\.(\d{1,18}))$'); fact jsonb;
begin
  if part is null and id is not null then
    raise exception 'invalid name of a transaction: "%"', id using errcode = '22P02', hint = 'It is what dbproxy.txn_id() gave.';
  end if;
  if current_setting('transaction_isolation') not in ('read committed', 'read uncommitted') then
    raise exception 'dbproxy.txn_status() cannot be asked with this isolation level' using errcode = '25001', hint = 'In READ COMMITTED it sees what was committed since the transaction began.';
  end if;
  if coalesce(current_setting('dbproxy.txn_facts', true), '') = '' then
    raise exception 'dbproxy.txn_status() has to be named in the statement itself' using errcode = '55000', hint = 'As in SELECT dbproxy.txn_status(...): the proxy asks the other writers when it sees that.';
  end if;
  if id is null then return null; end if;
  if id = dbproxy.own_name() then return 'in progress'; end if;
  if exists (select from dbproxy.named n where n.id = txn_status.id) then return 'committed'; end if;
  if not exists (select from dbproxy.self where part[1]::int - 1 = any (writers)) then return 'unknown'; end if;
  fact := current_setting('dbproxy.txn_facts')::jsonb -> (part[1]::int - 1)::text;
  if fact is null or part[2]::int > (fact->>'incarnation')::int or
     part[2]::int = (fact->>'incarnation')::int and (fact->'open' ? part[3] or part[4]::bigint > (fact->>'at')::bigint) then
    return 'in progress';
  end if;
  if part[4]::bigint <= (select begun from dbproxy.forgotten) then return 'unknown'; end if;
  return 'aborted';
end $$;
`;
