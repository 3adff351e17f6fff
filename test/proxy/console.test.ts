/** The virtual database `dbproxy`: what psql, pg and the protocol by hand get from it, and who does not get there. */
import { execFile, execFileSync } from 'node:child_process';
import { promisify } from 'node:util';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { encode } from '../../src/protocol/index.js';
import { VERSION } from '../../src/version.js';
import { connectPg, directTo, eventually, withPg } from '../support/clients.js';
import { PASSWORD, TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';
import { Switching } from '../support/switching.js';

const hasPsql = ((): boolean => {
  try {
    execFileSync('psql', ['--version']);
    return true;
  } catch {
    return false;
  }
})();

let engines: TestEngines;
let engine: EngineRecord;
let proxy: TestProxy;
let client: pg.Client;

beforeAll(async () => {
  engines = await TestEngines.open();
  engine = await engines.primary();
  await withPg(directTo(engine), async (admin) => {
    await admin.query(`create role app login password '${PASSWORD}'`);
    await admin.query(`alter role postgres password '${PASSWORD}'`);
  });
  proxy = await TestProxy.start(engines, engine);
  client = await connectPg(proxy.url('app'));
});

afterAll(async () => {
  await client?.end();
  await proxy?.stop();
  expect(proxy?.log).toBe('');
  await engines?.close();
});

const ask = <Row extends pg.QueryResultRow>(sql: string): Promise<Row[]> =>
  withPg(proxy.url('postgres', 'dbproxy'), async (console) => (await console.query<Row>(sql)).rows);

describe('pg', () => {
  it('SHOW SESSIONS: the clients, with what is known of them, and not itself', async () => {
    expect(await ask('SHOW SESSIONS')).toMatchObject([
      {
        user: 'app',
        database: 'postgres',
        engine: engine.id,
        state: 'idle',
        transaction: 'I',
        tls: null,
        moves: '0',
      },
    ]);
  });

  it('SHOW ENGINES, STATS, VERSION, HELP', async () => {
    expect(await ask('show engines;')).toMatchObject([{ id: engine.id, role: 'primary', sessions: '1' }]);
    const stats = Object.fromEntries(
      (await ask<{ name: string; value: string }>('SHOW STATS')).map(({ name, value }) => [name, value]),
    );
    expect(stats).toMatchObject({ pid: String(proxy.pid), sessions: '1', gate: 'open', failed_logins: '0' });
    expect(await ask('show proxies')).toMatchObject([{ pid: String(proxy.pid), sessions: '1', held: '0' }]);
    expect(await ask(' Show   Version ; ')).toEqual([{ version: `dbproxy ${VERSION}` }]);
    const help = await ask<{ command: string }>('HELP');
    expect(help.map(({ command }) => command)).toEqual(
      ['SESSIONS', 'ENGINES', 'STATS', 'PROXIES', 'MOVES', 'VERSION', 'HELP'].map((name) => `SHOW ${name}`),
    );
  });

  it('prepared statements, and an error in one, after which it goes on', async () => {
    await withPg(proxy.url('postgres', 'dbproxy'), async (console) => {
      const version = { name: 'v', text: 'show version' };
      for (let i = 0; i < 2; i++) expect((await console.query(version)).rows).toHaveLength(1);
      await expect(console.query({ name: 'x', text: 'select 1' })).rejects.toMatchObject({ code: '42601' });
      await expect(console.query('show version', ['parameter'])).rejects.toMatchObject({ code: '0A000' });
      await expect(console.query('select * from pg_class')).rejects.toMatchObject({
        code: '42601',
        hint: /SHOW HELP/ as unknown,
      });
      expect((await console.query('set extra_float_digits = 3')).command).toBe('SET');
      expect((await console.query('')).rows).toEqual([]);
      expect((await console.query(version)).rows).toHaveLength(1);
    });
  });
});

it.runIf(hasPsql)('psql', async () => {
  const { stdout } = await promisify(execFile)(
    'psql',
    ['-XAt', '-c', 'SHOW VERSION', '-c', 'show sessions', proxy.url('postgres', 'dbproxy')],
    { env: { ...process.env, PGSSLMODE: 'disable' } },
  );
  expect(stdout).toMatch(new RegExp(`^dbproxy ${VERSION}\n\\d+\\|app\\|postgres\\|`));
});

it('the protocol by hand: many at once, in pieces, and bytes that are none', async () => {
  const console = await RawClient.login(proxy.port, { database: 'dbproxy', password: PASSWORD });
  const messages = Buffer.concat([encode.query('show version'), encode.query('nonsense'), encode.query(';')]);
  for (const byte of messages) console.send(Buffer.of(byte));
  expect((await console.answer()).types).toBe('TDCZ');
  expect((await console.answer()).errors).toEqual(['42601']);
  expect((await console.answer()).types).toBe('IZ');
  console.send(encode.bind('', 'unknown', []), encode.execute(), encode.sync());
  expect((await console.answer()).errors).toEqual(['26000']);
  console.close();
  const bad = [
    Buffer.from('z\0\0\0\x04', 'latin1'),
    Buffer.from('B\0\0\0\x06\0\0', 'latin1'),
    Buffer.from('B\0\0\0\x04', 'latin1'),
    Buffer.from('Q\x7f\xff\xff\xff', 'latin1'),
  ];
  for (const bytes of bad) {
    const broken = await RawClient.login(proxy.port, { database: 'dbproxy', password: PASSWORD });
    broken.send(encode.parse('', 'show version'), bytes);
    const { errors } = await broken.end();
    expect(errors.at(-1), bytes.toString('hex')).toMatch(/08P01|26000/);
    broken.close();
  }
});

it('only the superuser of the instance gets there; to others it is a database like any other', async () => {
  const other = RawClient.login(proxy.port, { user: 'app', database: 'dbproxy' });
  await expect(other).rejects.toMatchObject({
    sqlstate: '3D000',
    message: 'database "dbproxy" does not exist',
  });
  const wrong = RawClient.login(proxy.port, { database: 'dbproxy', password: 'wrong' });
  await expect(wrong).rejects.toMatchObject({ sqlstate: '28P01' });
});

it('SHOW MOVES tells of moves, and a console is in nobody’s way: neither of a move nor of a handover', async () => {
  const own = await TestEngines.open();
  const first = await own.primary();
  await withPg(directTo(first), (admin) => admin.query(`alter role postgres password '${PASSWORD}'`));
  const moved = await TestProxy.start(own, first);
  const session = await connectPg(moved.url('postgres'));
  const console = await RawClient.login(moved.port, { database: 'dbproxy', password: PASSWORD });
  await new Switching(own, first).move(moved);
  const { rows } = await console.query('show moves');
  expect(rows).toHaveLength(1);
  expect(rows[0]?.slice(2, 4)).toEqual([first.id, 'e2']);
  expect((await moved.handOver()).sessions).toEqual({ handed: 1, lost: [] });
  expect((await console.end()).errors).toEqual(['57P01']);
  await eventually('the session to be shown by the new process', async () => {
    const next = await RawClient.login(moved.port, { database: 'dbproxy', password: PASSWORD });
    const shown = await next.query('show sessions');
    next.close();
    return shown.rows.length === 1;
  });
  console.close();
  await session.end();
  await moved.stop();
  await own.close();
});
