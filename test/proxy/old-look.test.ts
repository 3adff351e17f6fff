/**
 * A session that nobody has asked anything since it was looked at is not read again, unless it holds something of others', which
 * they can have changed.
 */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { connectPg, directTo, eventually, value, withPg } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { Switching } from '../support/switching.js';

let engines: TestEngines;
let switching: Switching;
let proxy: TestProxy;
const clients: pg.Client[] = [];

beforeAll(async () => {
  engines = await TestEngines.open();
  switching = new Switching(engines, await engines.primary());
  proxy = await TestProxy.start(engines, switching.primary);
});

afterEach(async () => {
  await proxy.control.call('release', {});
  await proxy.control.call('unwarm', {});
  await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)));
  await eventually(
    'the sessions to be gone',
    async () => (await proxy.control.call('sessions', {})).length === 0,
  );
});

afterAll(async () => {
  expect(proxy?.log).toBe('');
  await proxy?.stop();
  await engines?.close();
});

const connect = async (): Promise<pg.Client> => {
  const client = await connectPg(proxy.url());
  clients.push(client);
  return client;
};
const asAdmin = (sql: string): Promise<unknown> =>
  withPg(directTo(switching.primary), (admin) => admin.query(sql));

describe('an old look, when somebody else has changed what it speaks of', () => {
  const looked = async (client: pg.Client, ...texts: readonly string[]): Promise<void> => {
    for (const sql of texts) await client.query(sql);
    expect(await proxy.control.call('check', { withinMs: 5_000 })).toMatchObject([
      { looked: true, reasons: [] },
    ]);
  };
  const bothLooked = async (): Promise<void> =>
    expect(await proxy.control.call('check', { withinMs: 5_000 })).toMatchObject([
      { looked: true, reasons: [] },
      { looked: true, reasons: [] },
    ]);
  const move = async (): Promise<void> =>
    expect(await switching.move(proxy)).toMatchObject({ moved: 1, failed: [], dropped: 0 });
  const failure = (client: pg.Client, sql: string): Promise<unknown> =>
    client.query(sql).then(
      () => null,
      ({ code }: { code: string }) => code,
    );

  it('a sequence that was dropped is undefined there, as it is here', async () => {
    const client = await connect();
    await asAdmin('create sequence going; create sequence staying');
    await looked(client, `select nextval('staying')`, `select nextval('going')`);
    await asAdmin('drop sequence going');
    await move();
    expect(await failure(client, 'select lastval()')).toBe('55000');
    expect(await value(client, `select currval('staying')`)).toBe('1');
  });

  it('a sequence that was renamed has its value', async () => {
    const client = await connect();
    await asAdmin('create sequence before_s start 7');
    await looked(client, `select nextval('before_s')`);
    await asAdmin('alter sequence before_s rename to after_s');
    await move();
    expect(await value(client, `select concat(currval('after_s'), ' ', lastval())`)).toBe('7 7');
  });

  it('a role that was renamed is the one that is set', async () => {
    const client = await connect();
    await asAdmin('create role before_r');
    await looked(client, 'set role before_r');
    await asAdmin('alter role before_r rename to after_r');
    await move();
    expect(await value(client, 'select current_user')).toBe('after_r');
  });

  it('a type of a temporary table that was renamed, or dropped with what needs it', async () => {
    const client = await connect();
    await asAdmin(`create type mood as enum ('a', 'b'); create type passing as enum ('x')`);
    await looked(client, `create temp table t (m mood, p passing)`, `insert into t values ('a', 'x')`);
    await asAdmin('alter type mood rename to spirit; drop type passing cascade');
    await move();
    expect(await value(client, 'select t::text from t')).toBe('(a)');
    expect(await value(client, 'select pg_typeof(m)::text from t')).toBe('spirit');
  });

  it('a type of a temporary table that was renamed, of a function that was moved, of a value that was renamed', async () => {
    const client = await connect();
    await asAdmin(`create type temper as enum ('calm'); create schema elsewhere;
      create function lower_bound() returns int immutable language sql return 3`);
    await looked(
      client,
      'create temp table u (m temper, n int default lower_bound())',
      `insert into u values ('calm')`,
    );
    await asAdmin(`alter type temper rename to humour; alter type humour rename value 'calm' to 'quiet';
      alter function lower_bound() set schema elsewhere`);
    await move();
    expect(await value(client, 'select u::text from u')).toBe('(quiet,3)');
    expect(await value(client, 'select pg_typeof(m)::text from u')).toBe('humour');
    await client.query('insert into u default values');
    expect(await value(client, 'select sum(n)::int from u')).toBe(6);
  });

  it('those of many sessions, of which others have changed something of some', async () => {
    const [changed, same, prepared, dropped] = [
      await connect(),
      await connect(),
      await connect(),
      await connect(),
    ];
    await asAdmin(`create type tint as enum ('red'); create type hue as enum ('blue')`);
    const tables: readonly (readonly [pg.Client, string])[] = [
      [changed, 'c tint'],
      [same, 'c int'],
      [prepared, 'c text'],
      [dropped, 'c int, h hue'],
    ];
    for (const [client, columns] of tables) await client.query(`create temp table t (id serial, ${columns})`);
    await changed.query(`insert into t (c) values ('red')`);
    await same.query('insert into t (c) values (7)');
    await prepared.query('prepare p as select count(*)::int as n from t');
    await dropped.query('insert into t (c) values (8)');
    for (let round = 1; round <= 2; round++) {
      const reports = await proxy.control.call('check', { withinMs: 5_000 });
      expect(reports).toMatchObject(tables.map(() => ({ looked: true, reasons: [] })));
      await asAdmin(round === 1 ? 'alter type tint rename to shade' : 'drop type hue cascade');
      // Without a word of the clients in between, the second time.
      expect(await switching.move(proxy)).toMatchObject({ moved: 4, failed: [], dropped: 0 });
    }
    expect(await value(changed, 'select pg_typeof(c)::text from t')).toBe('shade');
    expect(await value(changed, 'insert into t default values returning id')).toBe(2);
    expect(await value(same, 'select sum(c)::int from t')).toBe(7);
    expect(await value(prepared, 'execute p')).toBe(0);
    expect(await value(dropped, 'select t::text from t')).toBe('(1,8)');
    expect(await value(same, `select lastval()::int`)).toBe(1);
  });

  it('a superuser has dropped a temporary table of another session', async () => {
    const [client, other] = [await connect(), await connect()];
    for (const each of [client, other]) await each.query('create temp table mine (n int)');
    await bothLooked();
    const schema = await value(client, 'select nspname from pg_namespace where oid = pg_my_temp_schema()');
    await bothLooked();
    await asAdmin(`drop table ${String(schema)}.mine`);
    expect(await switching.move(proxy)).toMatchObject({ moved: 2, failed: [], dropped: 0 });
    expect(await failure(client, 'select from mine')).toBe('42P01');
    expect(await failure(other, 'select from mine')).toBe(null);
  });

  it('a type of a held cursor that was renamed', async () => {
    const client = await connect();
    await asAdmin(`create type colour as enum ('red')`);
    await looked(client, `begin; declare c cursor with hold for select 'red'::colour as c; commit`);
    await asAdmin('alter type colour rename to color');
    await move();
    expect(await value(client, 'fetch c')).toBe('red');
  });
});
