/** Schema, who the engine is, and the markers: which LSN is in it. */

/** In PL/pgSQL, for the variable `at`. Not FOUND: it is in this engine already. Two that write one marker wait for each other at its key. */
export const MARK = `insert into dbproxy.applied select dbproxy.writer_of(at), at
    where not exists (select from dbproxy.reached r where r.writer = dbproxy.writer_of(at) and r.lsn >= at) on conflict do nothing;`;

export const MARKERS = String.raw`
create schema if not exists dbproxy;
grant usage on schema dbproxy to public;

create table if not exists dbproxy.self (
  only_row boolean primary key default true check (only_row),
  writer int not null, writers int[] not null, secret text not null
);
-- Whoever has pg_read_all_data reads every table, and with pg_write_all_data writes it, but for those with policies that let nobody.
-- So it is with all tables here: only superusers, and functions of theirs, come by.
alter table dbproxy.self enable row level security;
-- Why it is not what the log says: every proxy that comes is told so, until it is built again.
alter table dbproxy.self add column if not exists diverged text;
-- By which SQL it was made a writer's (install.ts).
alter table dbproxy.self add column if not exists installed text;
-- There are deferred triggers of clients (refresh.ts).
alter table dbproxy.self add column if not exists defers boolean not null default false;

create table if not exists dbproxy.reached (writer int primary key, lsn bigint not null);
alter table dbproxy.reached enable row level security;
create table if not exists dbproxy.applied (writer int, lsn bigint, primary key (writer, lsn));
alter table dbproxy.applied enable row level security;

-- As writerOf() in protocol/lsn.ts.
create or replace function dbproxy.writer_of(lsn bigint) returns int
  language sql immutable as $$ select ((lsn / 1024) % 16)::int $$;

create or replace function dbproxy.reached() returns jsonb language sql stable
  as $$ select coalesce(jsonb_object_agg(writer, lsn), '{}') from dbproxy.reached $$;

create or replace function dbproxy.compact(vector jsonb) returns void language sql
  set search_path = pg_catalog, pg_temp as $$
  insert into dbproxy.reached select key::int, value::bigint from jsonb_each_text(vector)
    on conflict (writer) do update set lsn = greatest(reached.lsn, excluded.lsn);
  delete from dbproxy.applied a using dbproxy.reached r where a.writer = r.writer and a.lsn <= r.lsn;
$$;

drop function if exists dbproxy.mark(bigint);

do $$ begin
  if not exists (select from pg_roles where rolname = 'dbproxy_apply') then
    create role dbproxy_apply superuser nologin;
  end if;
end $$;
`;
