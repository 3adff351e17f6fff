/**
 * Re-creating the state of a session on another backend, before and after promotion. The last part proves that the tests of
 * moves can fail: with one kind left out of the replay, what is observed differs in just that kind.
 */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { encode } from '../../src/protocol/index.js';
import { kinds, type KindName } from '../../src/session-state/kinds.js';
import { replay, type SessionState } from '../../src/session-state/index.js';
import { promote } from '../../src/switchover/promote.js';
import { EngineLink } from '../../src/switchover/engine-link.js';
import { directTo, eventually, withPg } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { Backend } from './support.js';

let engines: TestEngines;
let primary: EngineRecord;
let standby: EngineRecord;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  standby = await engines.standbyOf(primary);
  await withPg(directTo(primary), async (admin) => {
    for (const sql of [
      'create role app login',
      'create role other',
      'grant other to app',
      'create table t (n int)',
    ])
      await admin.query(sql);
    const lsn = (await admin.query<{ l: string }>('select pg_current_wal_flush_lsn()::text as l')).rows[0]!.l;
    await withPg(directTo(standby), (client) =>
      eventually('the standby to have the roles', async () => {
        const { rows } = await client.query<{ ok: boolean }>(
          'select pg_last_wal_replay_lsn() >= $1::pg_lsn as ok',
          [lsn],
        );
        return rows[0]?.ok === true ? true : null;
      }),
    );
  });
});

afterAll(async () => {
  await engines?.close();
});

/** One observation per kind that moves. */
const observations: Record<string, (backend: Backend) => Promise<unknown>> = {
  settings: (backend) => backend.rows(`select current_setting('work_mem'), current_setting('search_path')`),
  customSettings: (backend) => backend.rows(`select current_setting('app.tenant', true)`),
  preparedStatements: (backend) =>
    backend.rows(
      'select name, statement, parameter_types::text, from_sql from pg_prepared_statements order by 1',
    ),
  role: (backend) => backend.rows('select session_user, current_user'),
  unnamedStatement: async (backend) => {
    const [reply] = await backend.connection.exchange(
      Buffer.concat([encode.bind('', '', ['4']), encode.execute(), encode.sync()]),
      1,
    );
    return reply?.error?.sqlstate ?? reply?.sets;
  },
};

/** The unnamed statement first: every simple Query of the others destroys it. */
const order = ['unnamedStatement', 'settings', 'customSettings', 'preparedStatements', 'role'] as const;

const observe = async (backend: Backend): Promise<Record<string, unknown>> => {
  const found: Record<string, unknown> = {};
  for (const kind of order) found[kind] = await observations[kind]!(backend);
  return found;
};

const makeSession = async (engine: EngineRecord): Promise<Backend> => {
  const backend = await Backend.open(engine, { user: 'app' });
  await backend.run(
    `set work_mem = '6MB'; set search_path = "$user", app`,
    `set app.tenant = 'x'`,
    'prepare by_sql (int) as select $1 + 1',
    'set role other',
  );
  await backend.send(
    Buffer.concat([
      encode.parse('named', 'select $1::int'),
      encode.parse('', 'select $1::int * 2'),
      encode.sync(),
    ]),
  );
  return backend;
};

/** Brings the state of a made session to a fresh backend of `engine`. */
const bring = async (engine: EngineRecord, promoted: boolean, wanted: SessionState): Promise<Backend> => {
  const target = await Backend.open(engine, { user: 'app' });
  const base = await target.look();
  const { postponed, broken } = await replay(target.connection, wanted, base, base, promoted);
  expect([postponed, broken.size]).toEqual([0, 0]);
  // The names a proxy has collected are those of all its sessions.
  target.names.add('app.tenant');
  return target;
};

describe('replay', () => {
  it.each(['standby', 'primary'] as const)('re-creates everything on a %s', async (where) => {
    const session = await makeSession(primary);
    const wanted = await session.look();
    const target = await bring(where === 'standby' ? standby : primary, where === 'primary', wanted);
    // Reading the state took the unnamed statement of the old session; the proxy gives it back, and so do we.
    await session.send(Buffer.concat([encode.parse('', 'select $1::int * 2'), encode.sync()]));
    expect(await observe(target)).toEqual(await observe(session));
    session.close();
    target.close();
  });

  it('a session without an unnamed statement is not left with one of ours', async () => {
    const session = await Backend.open(primary, { user: 'app' });
    await session.run(`set work_mem = '6MB'`);
    const target = await bring(primary, true, await session.look());
    const unnamed = Buffer.concat([encode.bind('', '', ['a', 'b']), encode.sync()]);
    const [reply] = await target.connection.exchange(unnamed, 1);
    expect(reply?.error?.sqlstate).toBe('26000');
    session.close();
    target.close();
  });

  it.each(order)('without the replay of %s just that is lost', async (missing) => {
    const session = await makeSession(primary);
    const wanted = await session.look();
    const leftOut = vi
      .spyOn(kinds[missing as KindName] as { replay: unknown }, 'replay', 'get')
      .mockReturnValue(null);
    const target = await bring(primary, true, wanted);
    leftOut.mockRestore();
    await session.send(Buffer.concat([encode.parse('', 'select $1::int * 2'), encode.sync()]));
    const [there, here] = [await observe(target), await observe(session)];
    const different = order.filter((kind) => JSON.stringify(there[kind]) !== JSON.stringify(here[kind]));
    expect(different).toEqual([missing]);
    session.close();
    target.close();
  });

  it('only what differs is replayed again; what was undone is undone there', async () => {
    const session = await makeSession(primary);
    const first = await session.look();
    const target = await bring(primary, true, first);
    await session.run(
      'reset role',
      'deallocate named',
      `reset work_mem; set statement_timeout = '5s'`,
      `set app.tenant = 'y'`,
    );
    await session.run('deallocate by_sql', 'prepare by_sql (int) as select $1 + 2');
    const second = await session.look(first);
    const base = await (await Backend.open(primary, { user: 'app' })).look();
    await replay(target.connection, second, first, base, true);
    expect(await observe(target)).toEqual(await observe(session));
    expect(await target.rows('show statement_timeout')).toEqual([['5s']]);
    expect(await target.rows('execute by_sql (1)')).toEqual([['3']]);
    session.close();
    target.close();
  });

  it('a statement that no longer parses is carried as broken, by name', async () => {
    const session = await Backend.open(primary);
    await session.run(
      'create table passing (n int)',
      'prepare lost as select n from passing',
      'prepare kept as select 1',
    );
    await session.run('drop table passing');
    const wanted = await session.look();
    const target = await Backend.open(primary);
    const base = await target.look();
    const { broken, state } = await replay(target.connection, wanted, base, base, true);
    expect([...broken].map(([name, { sqlstate }]) => [name, sqlstate])).toEqual([['lost', '42P01']]);
    expect(await target.rows('execute kept')).toEqual([['1']]);
    const again = await replay(target.connection, wanted, state, base, true);
    expect([...again.broken.keys()]).toEqual(['lost']);
    session.close();
    target.close();
  });

  it('a statement that parses under the search_path of the login only is there all the same', async () => {
    const session = await Backend.open(primary);
    await session.run('create table passing (n int)', 'create schema elsewhere');
    await session.send(
      Buffer.concat([encode.parse('of_protocol', 'select n from passing where n = $1'), encode.sync()]),
    );
    await session.run('prepare of_sql as select n from passing', 'set search_path = elsewhere');
    const wanted = await session.look();
    const target = await Backend.open(primary);
    const base = await target.look();
    const { broken } = await replay(target.connection, wanted, base, base, true);
    expect(broken).toEqual(new Map());
    for (const sql of [
      'execute of_sql',
      'execute of_protocol (1)',
      'reset search_path',
      'execute of_sql',
      'execute of_protocol (1)',
      'deallocate of_sql',
      'show search_path',
    ])
      expect([sql, await target.query(sql)]).toEqual([sql, await session.query(sql)]);
    await session.run('drop table passing', 'drop schema elsewhere');
    session.close();
    target.close();
  });

  it('a setting that cannot be set there stops the move, by name', async () => {
    const session = await Backend.open(primary);
    await session.run(`set log_statement = 'ddl'`);
    const wanted = await session.look();
    const target = await Backend.open(primary, { user: 'app' });
    const base = await target.look();
    const role = { role: base.role };
    await expect(replay(target.connection, { ...wanted, ...role }, base, base, true)).rejects.toThrow(
      /setting log_statement: .*42501/,
    );
    session.close();
    target.close();
  });

  it('what a standby refuses waits for the promotion', async () => {
    const session = await Backend.open(primary, { user: 'app' });
    await session.run(
      `set default_transaction_isolation = 'serializable'; set idle_session_timeout = '10min'; set work_mem = '9MB'`,
    );
    const wanted = await session.look();
    const target = await Backend.open(standby, { user: 'app' });
    const base = await target.look();
    const early = await replay(target.connection, wanted, base, base, false);
    expect(early.postponed).toBe(2);
    expect(await target.rows('show work_mem')).toEqual([['9MB']]);
    expect(await target.rows('show default_transaction_isolation')).toEqual([['read committed']]);
    const link = await EngineLink.open(standby);
    await promote(link);
    await link.close();
    const late = await replay(target.connection, wanted, early.state, base, true);
    expect(late.postponed).toBe(0);
    expect(
      await target.rows(
        `select current_setting('default_transaction_isolation'), current_setting('idle_session_timeout')`,
      ),
    ).toEqual([['serializable', '10min']]);
    await target.run('begin; insert into t values (1); rollback').catch((error: Error) => {
      // Only the privilege is missing: the engine is no standby any more.
      expect(error.message).toContain('permission denied');
    });
    session.close();
    target.close();
  });
});
