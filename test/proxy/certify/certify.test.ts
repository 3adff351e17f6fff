/** What a client of one of several writers sees of the protocol: blocks, batches, refusals, and moves to another engine. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { encode } from '../../../src/protocol/index.js';
import { eventually, value } from '../../support/clients.js';
import { moveTo } from '../../support/proxies.js';
import { RawClient } from '../../support/raw-client.js';
import { TestCluster } from '../../multiwriter/writer/cluster.js';

let cluster: TestCluster;
let client: pg.Client;
let other: pg.Client;

beforeAll(async () => {
  cluster = await TestCluster.start();
  client = await cluster.members[0]!.connect();
  other = await cluster.members[1]!.connect();
  await client.query('create table t (id int primary key, v int)');
  await client.query(
    `create function writes(n int) returns int language plpgsql as $$ begin insert into t values (n, n); return n; end $$`,
  );
  await cluster.atRest();
});

afterAll(async () => {
  await client?.end();
  await other?.end();
  await cluster?.close();
});

beforeEach(async () => {
  await client.query('rollback');
  await client.query('delete from t');
  await cluster.atRest();
});

const codeOf = (work: Promise<unknown>): Promise<string | null> =>
  work.then(
    () => null,
    (error: { code?: string }) => error.code ?? 'none',
  );
const rows = async (): Promise<unknown> => {
  await cluster.atRest();
  return (await other.query({ text: 'select * from t order by id', rowMode: 'array' })).rows;
};

describe('simple queries', () => {
  it('several statements in one query are one transaction; with BEGIN and COMMIT among them, as PostgreSQL has it', async () => {
    await client.query('insert into t values (1, 1); insert into t values (2, 2)');
    expect(await codeOf(client.query('insert into t values (3, 3); insert into t values (1, 9)'))).toBe(
      '23505',
    );
    const results = (await client.query(
      'begin; insert into t values (4, 4); commit; insert into t values (5, 5)',
    )) as unknown as { command: string }[];
    expect(results.map(({ command }) => command)).toEqual(['BEGIN', 'INSERT', 'COMMIT', 'INSERT']);
    expect(await codeOf(client.query('begin; insert into t values (6, 6); select 1 / 0; commit'))).toBe(
      '22012',
    );
    expect(await codeOf(client.query('select 1'))).toBe('25P02');
    await client.query('rollback');
    expect(await rows()).toEqual([
      [1, 1],
      [2, 2],
      [4, 4],
      [5, 5],
    ]);
  });

  it('TRUNCATE of a table that its transaction has changed: by itself, among others, prepared; not in a function', async () => {
    await client.query('begin');
    await client.query('insert into t values (1, 1)');
    await client.query('truncate t');
    await client.query('insert into t values (2, 2)');
    await client.query('commit');
    expect(await rows()).toEqual([[2, 2]]);
    await client.query('insert into t values (3, 3); truncate t; insert into t values (4, 4)');
    expect(await rows()).toEqual([[4, 4]]);
    await client.query('begin');
    await client.query('insert into t values ($1, $1)', [5]);
    await client.query({ text: 'truncate t', name: 'empties', values: [] });
    await client.query('insert into t values ($1, $1)', [6]);
    await client.query('commit');
    expect(await rows()).toEqual([[6, 6]]);
    await client.query('begin');
    await client.query('insert into t values (7, 7)');
    const refused = await client.query('do $$ begin truncate t; end $$').catch((error: unknown) => error);
    expect(refused).toMatchObject({ code: '55006', hint: expect.stringContaining('DELETE') as string });
    await client.query('rollback');
  });

  it('a transaction that is too large is refused, and the session goes on', async () => {
    await client.query('create table large (id int primary key, v text)');
    const large = `insert into large select g, repeat('x', 1000000) from generate_series(1, 17) g`;
    await expect(client.query(large)).rejects.toMatchObject({
      code: '54000',
      hint: expect.stringContaining('while there is one writer') as string,
    });
    await client.query('insert into t values (1, 1)');
    expect(await rows()).toEqual([[1, 1]]);
  });

  it('savepoints, ROLLBACK, COMMIT AND CHAIN, a failed block, READ ONLY', async () => {
    await client.query('begin isolation level repeatable read');
    await client.query('insert into t values (1, 1)');
    await client.query('savepoint s');
    await client.query('insert into t values (2, 2)');
    await client.query('rollback to s');
    await client.query('commit and chain');
    expect(await value(client, 'show transaction_isolation')).toBe('repeatable read');
    await client.query('insert into t values (3, 3)');
    await client.query('rollback');
    await client.query('begin');
    expect(await codeOf(client.query('insert into t values (1, 1)'))).toBe('23505');
    expect((await client.query('commit')).command).toBe('ROLLBACK');
    await client.query('begin read only');
    expect(await codeOf(client.query('insert into t values (7, 7)'))).toBe('25006');
    await client.query('rollback');
    await client.query('begin');
    await client.query('set transaction isolation level repeatable read');
    await client.query('update t set v = 5');
    await client.query('end');
    expect(await rows()).toEqual([[1, 5]]);
  });

  it('what several writers do not offer', async () => {
    await client.query('begin isolation level serializable');
    expect(await codeOf(client.query('insert into t values (1, 1)'))).toBe('0A000');
    await client.query('rollback');
    await client.query('begin');
    await client.query('insert into t values (1, 1)');
    expect(await codeOf(client.query(`prepare transaction 'x'`))).toBe('0A000');
    expect(await codeOf(client.query('create database elsewhere'))).toBe('0A000');
    await client.query('rollback');
    const ending = client.query(`do $$ begin insert into t values (1, 1); commit; end $$`);
    await expect(ending).rejects.toMatchObject({
      code: '2D000',
      hint: expect.stringContaining('from the client') as string,
    });
    expect(await rows()).toEqual([]);
  });

  it('SERIALIZABLE, however a transaction comes to it', async () => {
    const refused = async (...statements: string[]): Promise<void> => {
      for (const sql of statements.slice(0, -1)) await client.query(sql);
      expect([statements, await codeOf(client.query(statements.at(-1)!))]).toEqual([statements, '0A000']);
      await client.query('rollback');
    };
    const write = 'insert into t values (1, 1)';
    await refused('begin', 'set transaction isolation level serializable', 'select 1');
    await refused('begin', `set transaction_isolation = 'serializable'`, write);
    await refused(`begin; set local transaction_isolation to serializable; ${write}`);
    await refused('begin isolation level serializable', 'rollback and chain', write);
    for (const makes of [
      `set default_transaction_isolation = 'serializable'`,
      'set session characteristics as transaction isolation level serializable',
      `select set_config('default_transaction_isolation', 'serializable', false)`,
    ]) {
      await client.query(makes);
      await refused(write);
      await refused('begin', 'select 1');
      await client.query('begin isolation level repeatable read');
      await client.query(write);
      await client.query('rollback');
      await client.query('reset default_transaction_isolation');
    }
    await client.query('alter role postgres set default_transaction_isolation = serializable');
    const later = await cluster.members[0]!.connect();
    expect(await codeOf(later.query(write))).toBe('0A000');
    await later.end();
    await client.query('alter role postgres reset default_transaction_isolation');
    // Where nobody can see it coming, the COMMIT is refused.
    await client.query(
      `create function hides() returns void language plpgsql as $$ begin perform set_config('default_transaction' || '_isolation', 'serializable', false); end $$`,
    );
    await client.query('select hides()');
    expect(await codeOf(client.query(write))).toBe('0A000');
    await client.query('reset all');
    expect(await rows()).toEqual([]);
    await client.query(write);
  });

  it('a deferred trigger that says RESET ALL ends nothing of ours', async () => {
    await client.query('create table ends (id int primary key)');
    await client.query(
      'create function ends() returns trigger language plpgsql as $$ begin reset all; return null; end $$',
    );
    await client.query(
      'create constraint trigger t after insert on ends deferrable initially deferred for each row execute function ends()',
    );
    const heard: unknown[] = [];
    client.on('notice', ({ message }) => heard.push(message));
    for (const [i, commit] of ['commit', 'commit and chain'].entries()) {
      await client.query('begin');
      await client.query(`insert into ends values (${i})`);
      expect((await client.query(commit)).command).toBe('COMMIT');
      await client.query(`insert into t values (${i}, ${i})`);
      if (commit === 'commit and chain') await client.query('commit');
    }
    expect(heard).toEqual([]);
    expect(await value(client, 'select count(*)::int from ends')).toBe(2);
    expect(await rows()).toEqual([
      [0, 0],
      [1, 1],
    ]);
  });

  it('functions that write are certified, also where a SELECT calls them', async () => {
    await eventually('the names of functions to be known', async () => {
      await client.query('delete from t');
      return (await codeOf(client.query('select writes(1)'))) === null;
    });
    expect(await rows()).toEqual([[1, 1]]);
  });
});

describe('the extended protocol', () => {
  const login = () => RawClient.login(cluster.members[0]!.port);
  const ask = (raw: RawClient, messages: Buffer[]) => {
    raw.send(...messages);
    return raw.answer();
  };
  const run = (name: string): Buffer[] => [encode.bind('', name, []), encode.execute()];
  const prepare = (sql: string): Buffer[] => [encode.parse('', sql), ...run('')];

  it('a batch is one transaction; BEGIN and COMMIT in a batch; what fails takes the batch with it', async () => {
    const raw = await login();
    try {
      const both = [
        ...prepare('insert into t values (1, 1)'),
        ...prepare('insert into t values (2, 2)'),
        encode.sync(),
      ];
      expect(await ask(raw, both)).toMatchObject({ errors: [], status: 'I' });
      const failing = [
        ...prepare('insert into t values (3, 3)'),
        ...prepare('insert into t values (1, 1)'),
        encode.sync(),
      ];
      expect(await ask(raw, failing)).toMatchObject({ errors: ['23505'], status: 'I' });
      const block = [
        ...prepare('begin'),
        ...prepare('insert into t values (4, 4)'),
        ...prepare('commit'),
        ...prepare('insert into t values (5, 5)'),
        encode.sync(),
      ];
      expect(await ask(raw, block)).toMatchObject({
        errors: [],
        tags: ['BEGIN', 'INSERT 0 1', 'COMMIT', 'INSERT 0 1'],
        status: 'I',
      });
      // The unnamed statement outlives what is said between.
      await ask(raw, [encode.parse('', 'update t set v = v + 1 where id = 1'), encode.sync()]);
      for (let i = 0; i < 3; i++)
        expect(await ask(raw, [...run(''), encode.sync()])).toMatchObject({ tags: ['UPDATE 1'] });
    } finally {
      raw.close();
    }
    expect(await rows()).toEqual([
      [1, 4],
      [2, 2],
      [4, 4],
      [5, 5],
    ]);
  });
});

describe('a move', () => {
  it('of one writer to another engine, while both write: nothing is lost', async () => {
    const [first] = cluster.members;
    const standby = await cluster.engines.standbyOf(first!.engine);
    await client.query('insert into t values (1, 0), (2, 0)');
    await cluster.atRest();
    let isOver = false;
    const work = async (one: pg.Client, id: number): Promise<number> => {
      let done = 0;
      while (!isOver) {
        await one.query('update t set v = v + 1 where id = $1', [id]);
        done++;
      }
      return done;
    };
    const working = Promise.all([work(client, 1), work(other, 2)]);
    const result = await moveTo(first!.proxy!, first!.engine, standby);
    isOver = true;
    const done = await working;
    expect(result).toMatchObject({ failed: [], dropped: 0 });
    first!.engine = standby;
    await client.query('update t set v = v + 1 where id = 1');
    expect(await rows()).toEqual([
      [1, done[0] + 1],
      [2, done[1]],
    ]);
  });
});
