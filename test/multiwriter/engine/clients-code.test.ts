/** What a client has defined for his types and tables is not run as a superuser, neither by capture nor where his rows are applied. */
import { beforeAll, expect, it } from 'vitest';
import { checksums } from '../../../src/multiwriter/engine/index.js';
import { useTwoWriters } from './writers.js';

/** Says who runs it, in the session; and of a superuser by what no RESET or ROLLBACK takes back. */
const noting = (returns: string) =>
  `language plpgsql as $$ begin
     perform pg_catalog.set_config('evil.ran_as', coalesce(pg_catalog.current_setting('evil.ran_as', true), '') operator(pg_catalog.||) current_user operator(pg_catalog.||) ' ', false);
     if (select rolsuper from pg_catalog.pg_roles where rolname operator(pg_catalog.=) current_user) then perform pg_catalog.nextval('public.super_ran'); end if;
     return ${returns};
   end $$`;

const { a, b, onBoth } = await useTwoWriters();
beforeAll(async () => {
  await onBoth('create role mallory', 'grant all on schema public to mallory');
  await onBoth('grant all on database postgres to mallory');
  await onBoth('create sequence super_ran');
});

/** Everybody that has run it, in the sessions of a client here and of the applier there. */
async function ranAs(): Promise<string[]> {
  const sessions = [a.client, a.watcher, b.applying, b.watcher];
  const said: string[] = [];
  for (const session of sessions) {
    const { rows } = await session.query<{ who: string | null }>(
      `select current_setting('evil.ran_as', true) as who`,
    );
    said.push(...(rows[0]?.who ?? '').split(' '));
    await session.query(`select set_config('evil.ran_as', '', false)`);
  }
  for (const { watcher } of [a, b]) {
    const { rowCount } = await watcher.query('select from public.super_ran where is_called');
    if (rowCount) said.push('a superuser');
    await watcher.query(`select dbproxy.setval('public.super_ran', 17, false)`);
  }
  return [...new Set(said.filter((who) => who !== ''))];
}

const asMallory = async (...statements: string[]): Promise<void> => {
  await a.client.query('set role mallory');
  try {
    for (const statement of statements) {
      await a.client.query('set search_path = public; reset datestyle');
      await onBoth(statement);
    }
  } finally {
    await a.client.query('reset role; set search_path = public; reset datestyle');
  }
};

it('casts of a row type, an enum, and an array of it', async () => {
  await asMallory(
    `create type mood as enum ('sad', 'ok')`,
    `create table felt (mood mood, moods mood[], n int, primary key (mood, moods))`,
    `create table feeling (felt felt primary key)`,
  );
  const casts = [
    ['felt', 'text', `'(sad,{},1)'`],
    ['text', 'felt', 'null'],
    ['mood', 'text', `'sad'`],
    ['text', 'mood', `'sad'`],
    ['mood', 'json', `'1'`],
    ['mood[]', 'text', `'{}'`],
    ['mood[]', 'json', `'1'`],
    ['text', 'mood[]', `'{}'`],
    ['feeling', 'text', `'()'`],
  ];
  for (const [i, [from, to, value]] of casts.entries())
    await asMallory(
      `create function to_${i}(${from}) returns ${to} ${noting(value!)}`,
      `create cast (${from} as ${to}) with function to_${i}(${from}) as assignment`,
    );
  await ranAs();
  await asMallory(
    `insert into felt values ('ok', '{sad,ok}', 1), ('sad', '{ok}', 2), ('sad', '{}', 3)`,
    `update felt set n = 7 where mood = 'ok'`,
    `update felt set moods = '{ok,ok}' where n = 2`,
    `delete from felt where n = 3`,
    `insert into feeling select felt from felt`,
    `delete from feeling where (felt).n = 7`,
  );
  expect(await a.rows(`select n from public.felt order by n`)).toEqual([[2], [7]]);
  expect(await checksums(a.watcher)).toEqual(await checksums(b.watcher));
  await asMallory(`alter table feeling add column drawn float default random()`);
  expect(await checksums(a.watcher)).toEqual(await checksums(b.watcher));
  expect(await ranAs()).toEqual([]);
});

it('a value of the column as one of the type that a foreign key refers to', async () => {
  await asMallory(
    `create type child_key as enum ('p', 'q')`,
    `create function to_parent(child_key) returns int ${noting('5')}`,
    `create cast (child_key as int) with function to_parent(child_key) as implicit`,
    `create table parents (k int primary key, n int)`,
    `create table others (k int primary key)`,
    `create table children (id int primary key, parent child_key references parents, other int references others, name text)`,
    `create unique index on children (lower(name))`,
    `insert into others values (1)`,
    `insert into parents values (5, 1)`,
  );
  await ranAs();
  const child = await (async () => {
    await a.client.query('set role mallory');
    const written = await onBoth(`insert into children values (1, 'p', 1, 'A')`);
    await a.client.query('reset role');
    return written!;
  })();
  const parent = await onBoth(`update parents set n = 2`);
  const keyOf = (key: { key: string }) => key.key;
  const parentKeys = parent!.writeSet.keys.map(keyOf).filter((key) => key.startsWith('public.parents_pkey:'));
  expect(parentKeys).toHaveLength(1);
  const childKeys = child.writeSet.keys.map(keyOf);
  expect(childKeys).toContain(parentKeys[0]);
  expect(
    childKeys.filter((key) => /^public\.(others_pkey|children_lower_idx|children_pkey):/.test(key)),
  ).toHaveLength(3);
  expect(new Set(await ranAs())).toEqual(new Set(['mallory']));
});

it('checks, domains, generated columns and indexes of a table whose policies are forced on its owner: it is not written', async () => {
  await asMallory(
    `create function fine(int) returns boolean immutable ${noting('true')}`,
    `create domain checked as int check (fine(value))`,
    `create table forced (k int primary key, n int)`,
    `insert into forced values (1, 1)`,
    `alter table forced enable row level security`,
    `alter table forced force row level security`,
    `create policy everything on forced using (true)`,
    `insert into forced values (2, 2)`,
  );
  expect(await b.rows('select n from public.forced order by 1')).toEqual([[1], [2]]);
  const definitions = [
    [`alter table forced add check (fine(n))`, `alter table forced drop constraint forced_n_check`],
    [`alter table forced add g boolean generated always as (fine(n)) stored`, `alter table forced drop g`],
    [`create index fine_index on forced (fine(n))`, `drop index fine_index`],
    [`create index fine_index on forced (k) where fine(n)`, `drop index fine_index`],
    [`alter table forced add d checked`, `alter table forced drop d`],
    [`alter table forced add d checked[]`, `alter table forced drop d`],
  ];
  for (const [make, drop] of definitions) {
    await asMallory(make!);
    await ranAs();
    await expect(asMallory(`insert into forced (k, n) values (3, 3)`)).rejects.toMatchObject({
      code: '55000',
      hint: expect.stringContaining('NO FORCE ROW LEVEL SECURITY') as string,
    });
    await asMallory(drop!, `insert into forced (k, n) values (3, 3)`, `delete from forced where k = 3`);
    expect(await ranAs()).not.toContain('postgres');
  }
  // An owner who is not subject to them applies himself.
  await asMallory(
    `alter table forced no force row level security`,
    `alter table forced add d checked`,
    `insert into forced values (4, 4, 4)`,
  );
  expect(await b.rows('select d from public.forced where k = 4')).toEqual([[4]]);
  expect(new Set(await ranAs())).toEqual(new Set(['mallory']));
});

it('as what it was refused for changes, so does what is refused', async () => {
  await onBoth('create unlogged table changes (k int)');
  const insert = () => onBoth('insert into changes values (1)');
  await expect(insert()).rejects.toMatchObject({ message: expect.stringContaining('unlogged') as string });
  await onBoth('alter table changes set logged');
  await insert();
  await expect(onBoth('delete from changes')).rejects.toMatchObject({
    message: expect.stringContaining('no key') as string,
  });
  await onBoth('alter table changes set unlogged');
  await expect(insert()).rejects.toMatchObject({ message: expect.stringContaining('unlogged') as string });
});

/** Schema `shadow` has, for whoever looks there first, what our functions call. */
const SHADOWS = [
  'create schema shadow',
  `create function shadow.set_config(text, text, boolean) returns text ${noting('$2')}`,
  `create function shadow.current_setting(text) returns text ${noting(`''`)}`,
  `create function shadow.current_setting(text, boolean) returns text ${noting(`''`)}`,
  `create function shadow.hash_record_extended(record, int) returns bigint ${noting('1')}`,
  `create function shadow.format(text, anyelement) returns text ${noting('$1')}`,
  `create function shadow.jsonb_build_array(text) returns jsonb ${noting(`'[]'`)}`,
  `create function shadow.jsonb_array_elements(jsonb) returns setof jsonb language plpgsql as $$ begin return; end $$`,
  `create function shadow.to_regclass(text) returns regclass ${noting('null')}`,
  `create function shadow.pg_current_xact_id() returns xid8 ${noting('null')}`,
  `create function shadow.pg_trigger_depth() returns int ${noting('0')}`,
  `create function shadow.starts_with(text, text) returns boolean ${noting('true')}`,
  `create function shadow.string_agg(text, text) returns text ${noting('$1')}`,
];

it('an index whose function changes the session: what captures goes on as it was', async () => {
  await asMallory(
    ...SHADOWS,
    `create function pretends(int) returns int immutable language plpgsql as $$ begin
       perform pg_catalog.set_config('search_path', 'shadow, pg_catalog', false);
       perform pg_catalog.set_config('datestyle', 'German', false);
       return $1;
     end $$`,
    `create table indexed (k int primary key, n int, at date, unique (n))`,
    `create unique index on indexed (pretends(n))`,
    `insert into indexed values (1, 1, '2026-11-30')`,
    `update indexed set n = 2, at = '2026-12-01'`,
  );
  await a.client.query('set role mallory');
  const sets = [
    'set constraints all immediate',
    'update public.indexed set n = n + 1',
    'create table public.other (k int)',
  ];
  await onBoth(...sets);
  await a.client.query('reset role; set search_path = public');
  await onBoth(
    'update public.indexed set k = 3',
    'alter table public.indexed add c int',
    'delete from public.indexed where k = 4',
  );
  await a.client.query('set search_path = public; reset datestyle');
  expect(await b.rows('select k, n, at::text from public.indexed')).toEqual([[3, 3, '2026-12-01']]);
  const ran = await ranAs();
  expect(ran).not.toContain('a superuser');
});

it('a check that changes the session of the applier, or leaves something for later', async () => {
  const environment = async (): Promise<unknown> => {
    const of = (sql: string) => b.applying.query({ text: sql, rowMode: 'array' }).then(({ rows }) => rows);
    return [
      await of(
        `select name, setting from pg_catalog.pg_settings where source = 'session' and name !~ '^evil' order by 1`,
      ),
      await of('select name from pg_catalog.pg_cursors where name <> $$$$'),
      await of(`select name from pg_catalog.pg_prepared_statements`),
      await of('select * from pg_catalog.pg_listening_channels()'),
      await of(
        `select objid from pg_catalog.pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`,
      ),
      await of(`select relname from pg_catalog.pg_class where relnamespace = pg_my_temp_schema()`),
    ];
  };
  const attempts = [
    `perform pg_catalog.set_config('search_path', 'shadow, pg_catalog', false)`,
    `perform pg_catalog.set_config('intervalstyle', 'sql_standard', false)`,
    `perform pg_catalog.set_config('client_encoding', 'LATIN1', false)`,
    `execute 'declare evil_cursor cursor with hold for select public.evil()'`,
    `execute 'deallocate all'`,
    `execute 'prepare evil as select public.evil()'`,
    `execute 'prepare mark as select public.evil()'`,
    `execute 'listen evil'`,
    `perform pg_advisory_lock(4711)`,
    `execute 'create temp table evil (k int)'`,
    `execute 'create constraint trigger evil after insert on evil deferrable initially deferred for each row execute function public.evil_trigger()'`,
    `execute 'alter table evil enable always trigger evil'`,
    `execute 'insert into evil values (1)'`,
    `execute 'set session authorization postgres'`,
    `execute 'set role postgres'`,
    `execute 'create table public.evil (k int)'`,
  ];
  await asMallory(
    `create function evil() returns boolean ${noting('true')}`,
    `create function evil_trigger() returns trigger ${noting('null')}`,
    `create function checks(int) returns boolean language plpgsql as $$ begin
       if session_user operator(pg_catalog.=) 'dbproxy_apply' then
         ${attempts.map((one) => `begin ${one}; exception when others then null; end;`).join(' ')}
       end if;
       return true;
     end $$`,
    `create table victim (k int primary key, during interval, name text)`,
    `insert into victim values (1, '-1 day -02:00', 'é')`,
  );
  await b.applying.query('deallocate all');
  const before = await environment();
  await ranAs();
  // By a definition, by rows one after the other, and by those of others behind them.
  await asMallory(
    'create table held_up (k int primary key, n int check (checks(n)))',
    'insert into held_up values (0, 0)',
  );
  expect(await environment()).toEqual(before);
  await onBoth('insert into held_up values (1, 1)', `insert into victim values (2, '-1 day -02:00', 'é')`);
  expect(await environment()).toEqual(before);
  const written = [
    (await a.write('insert into held_up values (3, 3)'))!,
    (await a.write(`insert into victim values (3, '-1 day -02:00', 'é')`))!,
    (await a.write('update held_up set n = 5'))!,
    (await a.write(`update victim set name = 'ü'`))!,
  ];
  const entries = written.map(({ at, writeSet }) => ({ lsn: at, payload: writeSet.payload }));
  for (let done = 0; done < entries.length;)
    done += (await b.applier.apply(entries.slice(done), () => undefined)).length;
  await b.applying.query('deallocate all');
  expect(await environment()).toEqual(before);
  await asMallory('alter table held_up add m int default 1 check (checks(m))');
  expect(await environment()).toEqual(before);
  expect(await checksums(b.watcher)).toEqual(await checksums(a.watcher));
  expect(await b.rows(`select to_regclass('public.evil')`)).toEqual([[null]]);
  expect(await ranAs()).toEqual([]);
});

it('what a definition brings to run, with rows behind it in one transaction', async () => {
  await asMallory(
    'create schema seen',
    `create function seen.op(jsonb, text) returns text ${noting('pg_catalog.jsonb_extract_path_text($1, $2)')}`,
    'create operator seen.->> (leftarg = jsonb, rightarg = text, function = seen.op)',
    `create function looks_there(int) returns boolean language plpgsql as $$ begin perform pg_catalog.set_config('search_path', 'seen, pg_catalog', false); return true; end $$`,
    'create table had_none (k int primary key)',
    'create table not_twice (t text)',
    `create function writes_there(int) returns boolean language plpgsql as $$ begin insert into public.not_twice values ('x'); return true; end $$`,
  );
  await ranAs();
  await a.client.query('set role mallory');
  await onBoth(
    'create table public.comes_with (k int primary key check (public.looks_there(k)), n int check (public.writes_there(n)))',
    'alter table public.had_none add check (public.looks_there(k))',
    'insert into public.comes_with values (1, 1)',
    'insert into public.had_none values (1)',
    'insert into public.comes_with values (2, 2)',
  );
  await a.client.query('reset role; set search_path = public');
  expect(await ranAs()).not.toContain('a superuser');
  expect(await checksums(b.watcher)).toEqual(await checksums(a.watcher));
  await onBoth('drop table comes_with, had_none, not_twice');
});

it('an index that writes elsewhere: the writer on which it did so once more goes on without it, and keeps nothing of that', async () => {
  await asMallory(
    'create table noted (id serial primary key)',
    `create function notes() returns void language plpgsql as $$ begin insert into public.noted default values; end $$`,
    `create function notes(int) returns int immutable language plpgsql as $$ begin perform public.notes(); return $1; end $$`,
    'create table noting (k int primary key)',
    'create index on noting (notes(k))',
    'create table plain (k int primary key check (k > 0))',
  );
  await onBoth('insert into noting values (1)');
  expect(await checksums(a.watcher)).toEqual(await checksums(b.watcher));
  expect(await b.rows('select index::regclass::text from dbproxy.left_out')).toEqual([
    ['public.noting_notes_idx'],
  ]);
  await asMallory('insert into plain values (1)');
});

it('what a check, a domain or a rule may run is not what its definition depends on', async () => {
  const becomes = `language plpgsql as $$ begin
    if (select rolsuper from pg_catalog.pg_roles where rolname operator(pg_catalog.=) current_user) then perform pg_catalog.nextval('public.super_ran'); end if;
    return true; end $$`;
  await asMallory(
    `create function becomes() returns boolean ${becomes}`,
    `create function holds() returns boolean language plpgsql as $$ begin
       if session_user = 'dbproxy_apply' then execute 'declare c cursor with hold for select public.becomes()'; end if; return true; end $$`,
    `create table by_xml (k int primary key check (query_to_xml('select public.holds()', false, false, '') is not null))`,
    `create view rows_of_view as select 1 as a, 2 as b`,
    `create table of_view (k int primary key, x rows_of_view)`,
    `create domain held as int check (public.holds())`,
    `create or replace view rows_of_view as select 1 as a, 2 as b, 3::held as c`,
    `create table by_setting (k int primary key check (set_config('array_nulls', 'off', false) is not null))`,
    `create table after_it (k int primary key, n text[])`,
    `insert into by_xml values (1)`,
    `insert into of_view values (1, '(1,2,3)')`,
    `insert into by_setting values (1)`,
    `insert into after_it values (1, array[null, 'a'])`,
  );
  expect(await ranAs()).not.toContain('a superuser');
  expect(await b.rows('select n from public.after_it')).toEqual([[[null, 'a']]]);
  for (const rule of ['always', 'replica']) {
    await asMallory(
      `create table ruled (k int primary key)`,
      `create rule r as on delete to ruled do also select public.becomes()`,
    );
    await expect(asMallory(`alter table ruled enable ${rule} rule r`)).rejects.toMatchObject({
      code: '0A000',
    });
    await asMallory('drop table ruled');
  }
  // Also of one that a superuser had made and given away.
  await onBoth(
    'create table given (k int primary key)',
    'alter table given enable row level security, force row level security',
  );
  await onBoth('create policy p on given using (true)');
  await onBoth('alter table given owner to mallory');
  await asMallory(
    `insert into given values (1)`,
    `alter table given add check (query_to_xml('select public.becomes()', false, false, '') is not null)`,
  );
  await expect(asMallory('insert into given values (2)')).rejects.toMatchObject({ code: '55000' });
  expect(await ranAs()).not.toContain('a superuser');
});

it('a table whose policies are forced later is applied by who sees all of its rows', async () => {
  await asMallory(
    'create table partly (k int primary key, n int)',
    'insert into partly values (1, 1)',
    'alter table partly enable row level security, force row level security',
    'create policy some_rows on partly for select using (k > 5)',
    'create policy changes on partly for update using (true)',
  );
  await onBoth('update public.partly set n = 2');
  expect(await b.rows('select n from public.partly')).toEqual([[2]]);
});

it('what is of ours is used by no definition of a client, and DROP OWNED takes along what is his', async () => {
  await asMallory('create table its_own (k int primary key)');
  const [[oid]] = (await a.rows(`select 'public.its_own'::regclass::oid`)) as [[number]];
  for (const sql of [
    `grant execute on function dbproxy.apply_${oid}(text, text[], jsonb[], text[]) to public`,
    `create view uses_it as select dbproxy.apply_${oid}('', '{}', '{}', '{}')::text as x`,
  ])
    await expect(asMallory(sql), sql).rejects.toMatchObject({ code: '42501' });
  await onBoth(
    `create function two() returns void language plpgsql as $$ begin execute 'create table by_two (k int primary key)'; end $$`,
  );
  await onBoth('do $$ begin perform two(); end $$', 'insert into by_two values (1)');
  await asMallory('drop owned by mallory cascade');
  expect(await checksums(b.watcher)).toEqual(await checksums(a.watcher));
});

it('of a superuser, who is none any more, or again', async () => {
  await onBoth('create role boss superuser');
  await onBoth(
    `create function of_boss(int) returns int immutable language sql as 'select $1'`,
    'alter function of_boss owner to boss',
    'create table by_boss (k int primary key, n int check (of_boss(n) > 0))',
    'create table forced_by_boss (k int primary key check (of_boss(k) > 0))',
    'create policy everything on forced_by_boss using (true)',
    'alter table forced_by_boss enable row level security',
    'alter table forced_by_boss force row level security',
    'grant all on by_boss, forced_by_boss to mallory',
    'alter table forced_by_boss owner to mallory',
  );
  const running = `select from dbproxy.running_code where rel in ('public.by_boss'::regclass, 'public.forced_by_boss'::regclass)`;
  const rows = async () => [(await a.rows(running)).length, (await b.rows(running)).length];
  const insert = (k: number) => onBoth(`insert into forced_by_boss values (${k})`);
  expect(await rows()).toEqual([0, 0]);
  await insert(1);
  // With changes of a table that have not fired yet.
  await onBoth(
    'insert into by_boss values (1, 1)',
    'insert into forced_by_boss values (2)',
    'alter role boss nosuperuser',
  );
  expect(await rows()).toEqual([2, 2]);
  await expect(insert(3)).rejects.toMatchObject({
    code: '55000',
    message: expect.stringContaining('not IMMUTABLE') as string,
  });
  await onBoth('insert into by_boss values (2, 2)');
  await onBoth('alter role boss superuser');
  expect(await rows()).toEqual([0, 0]);
  await insert(3);
  await onBoth('alter function of_boss volatile');
  expect(await rows()).toEqual([2, 2]);
  expect(await checksums(b.watcher)).toEqual(await checksums(a.watcher));
});
