/** What fails at the COMMIT of a transaction that was accepted already: it is committed, and its client is told both. */
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { encode } from '../../../src/protocol/index.js';
import { TestCluster } from '../../multiwriter/writer/cluster.js';
import { RawClient } from '../../support/raw-client.js';

let cluster: TestCluster;
let client: pg.Client;
let other: pg.Client;
let raw: RawClient;
const notices: { code?: string | undefined; message?: string | undefined }[] = [];

beforeAll(async () => {
  cluster = await TestCluster.start();
  client = await cluster.members[0]!.connect();
  other = await cluster.members[1]!.connect();
  raw = await RawClient.login(cluster.members[0]!.port);
  await client.query('create table t (id int primary key)');
  await client.query(
    `create function holds(query text) returns void language plpgsql as $$ begin execute 'declare hidden cursor with hold for ' || query; end $$`,
  );
  client.on('notice', (notice) => notices.push(notice));
  await cluster.atRest();
}, 60_000);
afterAll(async () => {
  raw?.close();
  await client?.end();
  await other?.end();
  await cluster?.close();
});
beforeEach(async () => {
  await client.query('delete from t');
  notices.length = 0;
});

const rows = async (): Promise<unknown> => {
  await cluster.atRest();
  return (await other.query({ text: 'select id from t order by id', rowMode: 'array' })).rows;
};
/** It cannot be seen in a text, and is run at the COMMIT. */
const FAILS = `do $$ begin insert into t values (1); perform holds('select 1 / (id - id) from t'); end $$`;
const WARNING = {
  severity: 'WARNING',
  code: '01000',
  message: expect.stringContaining('division by zero') as string,
  hint: expect.stringContaining('Do not retry') as string,
};

it('in a block of its own, and in one of ours: COMMIT, with a warning', async () => {
  await client.query('begin');
  await client.query(FAILS);
  expect((await client.query('commit')).command).toBe('COMMIT');
  expect(notices).toMatchObject([WARNING]);
  expect(await rows()).toEqual([[1]]);
  expect((await client.query('select from pg_cursors')).rowCount).toBe(0);
  await client.query('delete from t');
  expect((await client.query(FAILS)).command).toBe('DO');
  expect(notices).toMatchObject([WARNING, WARNING]);
  expect(await rows()).toEqual([[1]]);
});

it('what a hidden cursor writes at the COMMIT is nowhere, and its client is told so', async () => {
  await client.query(
    `create function writes_one() returns int language plpgsql as $$ begin insert into t values (2); return 2; end $$`,
  );
  await client.query('begin');
  await client.query(`do $$ begin insert into t values (1); perform holds('select writes_one()'); end $$`);
  await client.query('commit');
  expect(notices).toMatchObject([{ code: '01000' }]);
  expect(await rows()).toEqual([[1]]);
});

it('the warning comes before the answer, in both protocols', async () => {
  await raw.query('begin');
  await raw.query(FAILS);
  expect(await raw.query('commit')).toMatchObject({
    types: 'NCZ',
    tags: ['COMMIT'],
    errors: [],
    status: 'I',
  });
  await client.query('delete from t');
  raw.send(encode.parse('', FAILS), encode.bind('', '', []), encode.execute(), encode.sync());
  expect(await raw.answer()).toMatchObject({ types: '12CNZ', errors: [], status: 'I' });
  expect(await rows()).toEqual([[1]]);
});

it('COMMIT AND CHAIN goes on in a transaction', async () => {
  await raw.query('begin');
  await raw.query(FAILS);
  expect(await raw.query('commit and chain')).toMatchObject({ types: 'NCZ', tags: ['COMMIT'], status: 'T' });
  await raw.query('insert into t values (3)');
  await raw.query('rollback');
  expect(await rows()).toEqual([[1]]);
});

it('what a deferred trigger defers is asked for before the proposal', async () => {
  await client.query('create table d (id int primary key)');
  await client.query(
    `create function defers() returns trigger language plpgsql as $$ begin
       if new.id < 0 then set constraints all deferred; end if;
       insert into t values (new.id); return null; end $$`,
  );
  await client.query(
    'create constraint trigger d after insert on d deferrable initially deferred for each row execute function defers()',
  );
  await client.query('insert into d values (1)');
  await expect(client.query('insert into d values (-1)')).rejects.toMatchObject({ code: '0A000' });
  await client.query('begin');
  await client.query('insert into d values (-2)');
  await expect(client.query('commit')).rejects.toMatchObject({
    code: '0A000',
    hint: expect.stringContaining('SET CONSTRAINTS') as string,
  });
  expect(await rows()).toEqual([[1]]);
  expect(notices).toEqual([]);
});
