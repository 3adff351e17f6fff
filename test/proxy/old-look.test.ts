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

  it('a type of a held cursor that was renamed', async () => {
    const client = await connect();
    await asAdmin(`create type colour as enum ('red')`);
    await looked(client, `begin; declare c cursor with hold for select 'red'::colour as c; commit`);
    await asAdmin('alter type colour rename to color');
    await move();
    expect(await value(client, 'fetch c')).toBe('red');
  });
});
