/** What tools for migrations and restores send to one of several writers: several definitions in one query, CONCURRENTLY, COPY. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { encode } from '../../../src/protocol/index.js';
import { eventually, value } from '../../support/clients.js';
import { RawClient } from '../../support/raw-client.js';
import { TestCluster } from '../../multiwriter/writer/cluster.js';

let cluster: TestCluster;
let client: pg.Client;
let other: pg.Client;
const notices: string[] = [];

beforeAll(async () => {
  cluster = await TestCluster.start();
  client = await cluster.members[0]!.connect();
  other = await cluster.members[1]!.connect();
  client.on('notice', ({ message }) => notices.push(message ?? ''));
}, 90_000);

afterAll(async () => {
  await client?.end();
  await other?.end();
  await cluster?.close();
});

afterEach(async () => {
  await client.query('rollback');
  await client.query('drop schema if exists m cascade');
  notices.length = 0;
});

const failure = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => null,
    (error: unknown) => error,
  );
const commandsOf = (results: unknown): string[] =>
  (results as { command: string }[]).map(({ command }) => command);
const elsewhere = async (sql: string): Promise<unknown> => {
  await cluster.atRest();
  return (await other.query({ text: sql, rowMode: 'array' })).rows;
};
const TABLES = `select relname from pg_class where relnamespace = to_regnamespace('m') and relkind = 'r' order by 1`;

describe('several definitions in one query', () => {
  it('are one transaction, which is on all writers', async () => {
    const results = await client.query(
      `create schema m; create table m.a (id int primary key); -- a; b
       insert into m.a values (1), (2);
       alter table m.a add v text default 'x;y'; create function m.f() returns int language sql begin atomic; select 1; select 2; end;
       comment on table m.a is 'one; two'; select * into m.b from m.a;`,
    );
    expect(commandsOf(results)).toEqual([
      ...['CREATE', 'CREATE', 'INSERT', 'ALTER', 'CREATE', 'COMMENT', 'SELECT'],
    ]);
    expect(await elsewhere('select * from m.b order by id')).toEqual([
      [1, 'x;y'],
      [2, 'x;y'],
    ]);
    expect(await elsewhere(`select m.f(), obj_description('m.a'::regclass)`)).toEqual([[2, 'one; two']]);
  });

  it('one that fails takes all of them with it', async () => {
    await client.query('create schema m');
    const query = 'create table m.a (id int primary key); select 1 / 0; create table m.b (id int)';
    expect(await failure(client.query(query))).toMatchObject({ code: '22012' });
    expect((await client.query(TABLES)).rows).toEqual([]);
    await client.query('create table m.c (id int); alter table m.c add v int');
    expect(await elsewhere(TABLES)).toEqual([['c']]);
  });

  it('within a block they are part of it', async () => {
    await client.query('begin');
    await client.query('create schema m; create table m.a (id int primary key)');
    await client.query('savepoint s');
    await client.query('create table m.b (id int); alter table m.a add v int');
    await client.query('rollback to s');
    await client.query('lock table m.a; alter table m.a add w int');
    await client.query('commit');
    expect(await elsewhere(TABLES)).toEqual([['a']]);
    expect(
      await elsewhere(`select attname from pg_attribute where attrelid = 'm.a'::regclass and attnum > 0`),
    ).toEqual([['id'], ['w']]);
  });

  it('LOCK TABLE may come first, as in PostgreSQL', async () => {
    await client.query('create schema m; create table m.a (id int primary key)');
    await client.query('lock table m.a; alter table m.a disable trigger user; alter table m.a add v int');
    expect(await elsewhere('select v from m.a')).toEqual([]);
  });

  it('a text with a backslash is read as the session reads it', async () => {
    await client.query('create schema m; create table m.a (v text primary key)');
    await client.query('set standard_conforming_strings = off');
    await client.query('set escape_string_warning = off');
    // Else the second one would be the DROP.
    const query = String.raw`insert into m.a values ('\'; drop table m.a; --'); create index on m.a (v)`;
    await client.query(query);
    await client.query('reset all');
    expect(await elsewhere('select v from m.a')).toEqual([[`'; drop table m.a; --`]]);
  });
});

it('a function is called as soon as it is created', async () => {
  const calls = async (created: string, called: string, id: number): Promise<void> => {
    await client.query(
      `create or replace ${created} language plpgsql as $$ begin insert into m.a values (${id}); end $$`,
    );
    await client.query(`select ${called}`);
  };
  await client.query('create schema m; create table m.a (id int primary key)');
  await calls('function m.Fills() returns void', 'm.fills()', 1);
  await calls('function "m"."Fills ""it" (n int default 1) returns void', 'm."Fills ""it"()', 2);
  await client.query('set search_path = m');
  await calls('function plainly() returns void', 'plainly()', 3);
  await client.query('reset search_path');
  expect(await elsewhere('select id from m.a order by id')).toEqual([[1], [2], [3]]);
});

describe('CONCURRENTLY', () => {
  const INDEXES = `select relname from pg_class where relnamespace = to_regnamespace('m') and relkind = 'i' order by 1`;

  it('outside of a block an index is built and dropped without it, on all writers', async () => {
    await client.query('create schema m; create table m.a (id int primary key, v int)');
    await client.query('/* one */ CREATE UNIQUE INDEX  CONCURRENTLY one ON m.a (v);');
    await client.query({ name: 'two', text: 'create index concurrently if not exists two on m.a (v)' });
    expect(await elsewhere(INDEXES)).toEqual([['a_pkey'], ['one'], ['two']]);
    await client.query({ text: 'drop index concurrently m.two', values: [] });
    await client.query('drop index concurrently if exists m.one');
    expect(await elsewhere(INDEXES)).toEqual([['a_pkey']]);
    expect(notices.filter((text) => text.includes('CONCURRENTLY'))).toHaveLength(4);
  });

  it('and a partition detached', async () => {
    await client.query(
      'create schema m; create table m.p (id int) partition by list (id); create table m.a partition of m.p for values in (1)',
    );
    await client.query('alter table m.p detach partition m.a concurrently');
    expect(await elsewhere(`select relispartition from pg_class where oid = 'm.a'::regclass`)).toEqual([
      [false],
    ]);
  });

  it('within a block, or with others in one query, it is refused as by PostgreSQL', async () => {
    await client.query('create schema m; create table m.a (id int primary key)');
    const create = 'create index concurrently on m.a (id)';
    expect(await failure(client.query(`${create}; select 1`))).toMatchObject({ code: '25001' });
    await client.query('begin');
    expect(await failure(client.query(create))).toMatchObject({ code: '25001' });
  });
});

describe('definitions that PostgreSQL carries out by others', () => {
  it('REFRESH MATERIALIZED VIEW CONCURRENTLY is on all writers', async () => {
    await client.query(
      `create schema m; create table m.a (id int primary key); insert into m.a values (1);
       create materialized view m.v as select * from m.a; create unique index on m.v (id)`,
    );
    await client.query('insert into m.a values (2)');
    await client.query('refresh materialized view concurrently m.v');
    await client.query('delete from m.a where id = 1');
    await client.query('refresh materialized view concurrently m.v');
    expect(await elsewhere('select * from m.v')).toEqual([[2]]);
  });

  it('what the query of a REFRESH changes for good is refused all the same', async () => {
    await client.query(
      `create schema m; create table m.a (id int primary key);
       create function m.f() returns int language plpgsql as $$ begin alter table m.a add v int; return 1; end $$;
       create materialized view m.v as select m.f() with no data`,
    );
    expect(await failure(client.query('refresh materialized view m.v'))).toMatchObject({ code: '0A000' });
    expect(await elsewhere('select * from m.a')).toEqual([]);
  });

  it('several in one EXECUTE of a function are refused, and one by one they are not', async () => {
    await client.query('create schema m');
    const both = ['create table m.a (id int primary key)', 'create index on m.a (id)'];
    const inOne = `do $$ begin execute '${both.join('; ')}'; end $$`;
    expect(await failure(client.query(inOne))).toMatchObject({
      code: '0A000',
      hint: expect.stringContaining('one EXECUTE') as string,
    });
    await client.query(`do $$ begin execute '${both.join(`;'; execute '`)}'; end $$`);
    expect(await elsewhere(TABLES)).toEqual([['a']]);
  });

  it('CREATE EXTENSION whose script has ALTER EXTENSION in it', async () => {
    await client.query('create schema m');
    await client.query('create extension pg_stat_statements schema m');
    expect(
      await elsewhere(
        `select extnamespace::regnamespace::text from pg_extension where extname = 'pg_stat_statements'`,
      ),
    ).toEqual([['m']]);
    await client.query('create table m.a (id int primary key); insert into m.a values (1)');
    expect(await elsewhere('select * from m.a')).toEqual([[1]]);
  });

  it('EXPLAIN ANALYZE of CREATE TABLE AS, of which nothing tells, is refused', async () => {
    await client.query('create schema m');
    const explain = 'explain analyze create table m.a as select 1 as v';
    expect(await failure(client.query(explain))).toMatchObject({ code: '0A000' });
    expect(await failure(client.query({ text: explain, name: 'e' }))).toMatchObject({ code: '0A000' });
    expect((await client.query(TABLES)).rows).toEqual([]);
  });
});

describe('COPY from a client that goes away in the midst of it', () => {
  const COPY = 'copy m.a from stdin';
  const row = Buffer.from('d\0\0\0\x061\n');
  let watcher: pg.Client;
  beforeAll(async () => {
    watcher = await cluster.members[0]!.connect();
  });
  afterAll(() => watcher?.end());

  const copies = (how: string, count: number): Promise<unknown> =>
    eventually(`${count} that ${how}`, async () => {
      const sql = `select count(*)::int from pg_stat_activity where query like 'copy m.a%' and ${how}`;
      return (await value(watcher, sql)) === count;
    });

  it.each([
    ['a query', [encode.query(COPY)]],
    ['a query in a block', [encode.query('begin'), encode.query(COPY)]],
    ['a batch', [encode.parse('', COPY), encode.bind('', '', []), encode.execute(), encode.flush()]],
  ])('%s: it is rolled back at once', async (_how, messages) => {
    await client.query('create schema m; create table m.a (id int primary key)');
    for (const last of [[row], [row, encode.terminate()]]) {
      const raw = await RawClient.login(cluster.members[0]!.port);
      raw.send(...messages);
      await raw.answer('G');
      raw.send(...last);
      raw.close();
      await copies(`state <> 'idle'`, 0);
    }
    expect(await value(client, 'select count(*)::int from m.a')).toBe(0);
  });

  it('also where the engine asks for it only then', async () => {
    await client.query('create schema m; create table m.a (id int primary key)');
    await client.query('begin; lock table m.a');
    const raw = await RawClient.login(cluster.members[0]!.port);
    raw.send(encode.query(COPY), row);
    await copies(`wait_event_type = 'Lock'`, 1);
    raw.close();
    await client.query('commit');
    await copies(`state <> 'idle'`, 0);
    expect(await value(client, 'select count(*)::int from m.a')).toBe(0);
  });
});
