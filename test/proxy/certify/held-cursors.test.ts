/** Cursors WITH HOLD of a transaction that writes: run before it is proposed, and to the client what they are on an engine by itself. */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encode } from '../../../src/protocol/index.js';
import { TestCluster } from '../../multiwriter/writer/cluster.js';
import { eventually, socketOf } from '../../support/clients.js';
import { RawClient } from '../../support/raw-client.js';

let cluster: TestCluster;
let plainSocket: string;
let plain: RawClient;
let writer: RawClient;

const connect = async (): Promise<void> => {
  plain = await RawClient.login({ path: plainSocket });
  writer = await RawClient.login(cluster.members[0]!.port);
};

beforeAll(async () => {
  cluster = await TestCluster.start();
  const { directory, port } = socketOf(await cluster.engines.primary());
  plainSocket = join(directory, `.s.PGSQL.${port}`);
  await connect();
  for (const sql of [
    'create table t (id int primary key, v text)',
    'create table ran (id int primary key)',
    `create function runs(n int) returns int language plpgsql as $$ begin insert into ran values (n); return n; end $$`,
    'create view hides as select runs(g) as n from generate_series(1, 3) g',
    'create domain small as int check (value < 1000)',
    'create table of_domain (id small primary key)',
    'create schema mine',
    `create type mine.mood as enum ('well', 'not "so", well')`,
    `create table mine.moods (id int primary key, "Mood, today" mine.mood, n numeric(5, 2), c varchar(3), b bit(3), ts timestamptz, a text[])`,
    `insert into mine.moods select g, case when g % 2 = 0 then 'well' else 'not "so", well' end::mine.mood, g / 3.0, 'x', B'101', '2026-01-01 0:00+0'::timestamptz + g * interval '1 day', array['a', null, g::text] from generate_series(1, 9) g`,
  ])
    for (const raw of [plain, writer]) expect((await raw.query(sql)).errors).toEqual([]);
  await eventually('the names of functions to be known', async () => {
    await writer.query('discard all');
    await writer.query('delete from ran');
    return (await writer.query('select runs(1)')).errors.length === 0;
  });
}, 90_000);
afterAll(() => cluster?.close());

beforeEach(async () => {
  plain.close();
  writer.close();
  await connect();
  for (const raw of [plain, writer]) {
    await raw.query('delete from t');
    await raw.query('delete from ran');
    await raw.query(`insert into t select g, 'row ' || g from generate_series(1, 5) g`);
  }
});
afterEach(() => cluster.atRest());

const ask = async (raw: RawClient, messages: readonly Buffer[]) => {
  raw.send(...messages);
  const { types, rows, tags, errors, status } = await raw.answer();
  return { types, rows, tags, errors, status };
};
const same = async (...statements: (string | Buffer[])[]): Promise<void> => {
  for (const statement of statements) {
    const messages = typeof statement === 'string' ? [encode.query(statement)] : statement;
    const expected = await ask(plain, messages);
    expect(await ask(writer, messages), String(statement)).toEqual(expected);
  }
};
const prepareAndRun = (sql: string): Buffer[] => [
  encode.parse('', sql),
  encode.bind('', '', []),
  encode.execute(),
];
const WRITES = 'insert into t values (100)';
const DECLARED = 'select name, is_holdable, is_binary from pg_cursors order by name';

describe('its rows, where it is, and what it is called', () => {
  it.each([
    ['not fetched from', []],
    ['on a row', ['fetch 2 from c']],
    ['on its last row', ['fetch 5 from c']],
    ['behind its last row', ['fetch all from c']],
  ])('%s', async (_what, before) => {
    for (const [i, how] of ['', 'scroll', 'binary scroll'].entries())
      await same(
        'begin',
        `declare c ${how} cursor with hold for select id, v from t where id <= 5 order by id`,
        ...before,
        `insert into t values (${100 + i})`,
        'commit',
        ...[DECLARED, 'fetch 0 from c', 'fetch 1 from c', 'fetch prior from c', 'fetch all from c'],
        ...['fetch absolute 2 from c', 'fetch backward all from c', 'fetch absolute -1 from c'],
        'begin; delete from t where id = 5; commit',
        ...['move backward all from c', 'fetch all from c', 'close c', DECLARED],
        `insert into t values (5, 'row 5')`,
      );
  });

  it('NO SCROLL goes on from where it is', async () => {
    for (const before of ['select 1', 'fetch 2 from c', 'fetch all from c'])
      await same(
        'begin',
        'declare c no scroll cursor with hold for select id, v from t where id <= 5 order by id',
        ...[before, WRITES, 'commit', 'fetch 2 from c', 'fetch all from c', 'fetch next from c', 'close c'],
        'delete from t where id = 100',
      );
  });

  it('types, names, no columns, and several', async () => {
    await same(
      'set search_path = mine, pg_catalog',
      'begin',
      'declare "C, c" cursor with hold for select *, id as id, null as "null ""x""", row(1, id) from moods order by id',
      'declare d scroll cursor with hold for select from moods',
      'declare e cursor for select * from moods',
      'set quote_all_identifiers = on',
      'set standard_conforming_strings = off',
      'fetch 2 from "C, c"; move 3 from d',
      'insert into public.t values (100)',
      'commit',
      'fetch 2 from "C, c"',
      'fetch all from "C, c"',
      'fetch 1 from d; move all from d',
      DECLARED,
    );
  });

  it('in the extended protocol, and with a client encoding of its own', async () => {
    await same(
      `set client_encoding = 'LATIN1'`,
      [
        ...prepareAndRun('begin'),
        ...prepareAndRun(`declare "\u00e9" cursor with hold for select id as "\u00e9" from t order by id`),
        ...prepareAndRun(WRITES),
        ...prepareAndRun('commit'),
        encode.sync(),
      ].map((one) => Buffer.from(one)),
      'fetch 2 from "\u00e9"',
      DECLARED,
    );
  });

  it('goes on over several transactions, of which each writes', async () => {
    await same('begin', 'declare c cursor with hold for select id from t order by id');
    for (let i = 0; i < 5; i++)
      await same('fetch 1 from c', `update t set v = 'seen' where id = ${i + 1}`, 'commit and chain');
    await same('fetch 1 from c', 'commit', 'fetch prior from c', 'close all');
  });
});

describe('what it does when it is run', () => {
  it('it writes: once, and on all writers', async () => {
    await same(
      'begin',
      'declare c cursor with hold for select runs(g) from generate_series(1, 3) g',
      WRITES,
      'commit',
      'fetch all from c',
      'select * from ran',
    );
    await cluster.atRest();
  });

  it('it writes, by itself, and where its text does not say so', async () => {
    await same(
      'declare c cursor with hold for select runs(g) from generate_series(1, 3) g',
      'fetch all from c',
    );
    await same('delete from ran', 'close c');
    expect(await writer.query('declare c cursor with hold for select * from hides')).toMatchObject({
      errors: ['40001'],
    });
    // PostgreSQL keeps it where the COMMIT fails behind it.
    await writer.query('close c');
    await same('declare c cursor with hold for select * from hides', 'fetch all from c', 'select * from ran');
  });

  it('it fails, and the transaction with it', async () => {
    await same('begin', 'declare c cursor with hold for select 1 / (id - 3) from t', WRITES, 'commit');
    await same(DECLARED, 'select * from t');
    await same('begin', 'declare c cursor with hold for select 1 / (id - 3) from t', WRITES);
    await same([...prepareAndRun('commit'), encode.sync()], 'select * from t');
  });

  it('a domain is refused, where it was to be written', async () => {
    await same(
      'begin',
      'declare c cursor with hold for select id from of_domain',
      'commit',
      'fetch 1 from c',
      'close c',
    );
    await writer.query('begin');
    await writer.query('declare c cursor with hold for select id from of_domain');
    await writer.query(WRITES);
    expect(await writer.query('commit')).toMatchObject({ errors: ['0A000'], status: 'I' });
    expect(await writer.query('select from t where id = 100')).toMatchObject({ rows: [] });
  });
});
