/** Reading the state of a session: every kind is found, whatever the session's own settings, and nothing stays behind. */
import { afterAll, beforeAll, beforeEach, afterEach, describe, expect, it, vi } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { encode } from '../../src/protocol/index.js';
import { readExactly } from '../../src/session-state/exact.js';
import { stateKinds, type KindName } from '../../src/session-state/index.js';
import { directTo, socketInside, withPg } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { Backend } from './support.js';

let engines: TestEngines;
let engine: EngineRecord;
let backend: Backend;

beforeAll(async () => {
  engines = await TestEngines.open();
  engine = await engines.primary();
  await withPg(directTo(engine), async (admin) => {
    for (const sql of [
      'create role app login',
      'create role nobody_much',
      'grant nobody_much to app',
      'create extension dblink',
      'create sequence numbers',
      'revoke all on sequence numbers from public',
      `create function draw() returns bigint language sql security definer as $$select nextval('numbers')$$`,
      'create schema shadow',
      // Look-alikes of catalog functions in the path of the session must not be called.
      `create function shadow.count() returns bigint language plpgsql as $$begin raise 'called'; end$$`,
      `create function shadow.current_setting(text, boolean) returns text language plpgsql as $$begin raise 'called'; end$$`,
      `create function shadow.quote_ident(text) returns text language plpgsql as $$begin raise 'called'; end$$`,
    ])
      await admin.query(sql);
  });
});

afterAll(async () => {
  await engines?.close();
});

beforeEach(async () => {
  backend = await Backend.open(engine, { user: 'app' });
});

afterEach(() => {
  backend.close();
});

// plpgsql.* appear when the language is first used; lastval() is asked for in it.
const SNAPSHOT = `select name || '=' || setting || ' ' || source from pg_catalog.pg_settings
  where name not in ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable')
    and name not like 'plpgsql.%' order by name`;

/** Everything of the session that a read might change. */
const observed = async (): Promise<unknown> => {
  const rows = async (sql: string): Promise<unknown> => {
    const { sets, error } = await backend.query(`begin; set local statement_timeout = 0; ${sql}; rollback`);
    if (error) throw new Error(error.message);
    return sets[0];
  };
  return [
    await rows(SNAPSHOT),
    await rows(
      `select session_user, current_user, pg_catalog.current_setting('role'), pg_catalog.pg_my_temp_schema()`,
    ),
    await rows('select name, statement, from_sql from pg_catalog.pg_prepared_statements order by 1'),
    await rows('select name from pg_catalog.pg_cursors where is_holdable order by 1'),
    await rows(
      `select objid from pg_catalog.pg_locks where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid()`,
    ),
    await rows('select pg_catalog.pg_listening_channels()'),
  ];
};

const makes: readonly [KindName, ...string[]][] = [
  ['settings', `set work_mem = '5MB'`],
  ['customSettings', `set app.x = '1'`],
  ['tempObjects', 'create temp table scratch as select 1 as n'],
  ['sequences', 'select public.draw()'],
  ['preparedStatements', 'prepare p as select 1'],
  ['heldCursors', 'declare held cursor with hold for select 1'],
  ['advisoryLocks', 'select pg_catalog.pg_advisory_lock(7)'],
  ['listen', 'listen channel'],
  ['extensionMemory', ''],
  ['role', 'set role nobody_much'],
];

const surroundings: readonly [string, ...string[]][] = [
  ['nothing in particular'],
  ['a statement_timeout', `set statement_timeout = '300ms'`],
  ['a transaction_timeout', `set transaction_timeout = '1s'`],
  ['a role with few privileges', 'set role nobody_much'],
  [
    'serializable, read only, deferrable',
    'set session characteristics as transaction isolation level serializable, read only, deferrable',
  ],
  ['LATIN1', `set client_encoding = 'LATIN1'`],
  ['strings that are not standard-conforming', 'set standard_conforming_strings = off'],
  ['a search_path with look-alikes first', 'set search_path = shadow, pg_catalog'],
  ['an empty search_path', `set search_path = ''`],
  [
    'row_security off, and odd formats',
    `set row_security = off; set DateStyle = 'German'; set IntervalStyle = 'sql_standard'; set bytea_output = 'escape'; set quote_all_identifiers = on`,
  ],
  ['constraint_exclusion and JIT', `set jit_above_cost = 0; set jit = on; set enable_seqscan = off`],
];

describe.each(surroundings)('with %s', (...surrounding) => {
  const [, ...setUp] = surrounding;

  it('an untouched session holds nothing else, and a read leaves nothing behind', async () => {
    await backend.run(...setUp);
    const before = await observed();
    const state = await backend.look();
    const kinds = new Set(stateKinds(state));
    for (const kind of ['settings', 'role'] as const) kinds.delete(kind);
    expect([...kinds]).toEqual([]);
    expect(await observed()).toEqual(before);
    const { status } = await backend.query('select 1');
    expect(status).toBe('I');
  });

  it.each(makes.filter(([, sql]) => sql !== ''))('%s: found', async (kind, ...texts) => {
    await backend.run(...texts);
    await backend.run(...setUp);
    const before = await observed();
    expect(stateKinds(await backend.look())).toContain(kind);
    expect(await observed()).toEqual(before);
  });
});

it('everything together is found in one read, and a second one finds the same', async () => {
  for (const [, sql] of makes) if (sql) await backend.run(sql);
  await backend.send(Buffer.concat([encode.parse('', 'select 1'), encode.sync()]));
  const first = await backend.look();
  expect(new Set(stateKinds(first))).toEqual(
    new Set(
      makes
        .map(([kind]) => kind)
        .filter((kind) => kind !== 'extensionMemory')
        .concat('unnamedStatement'),
    ),
  );
  const second = await backend.look(first);
  expect(second).toEqual(first);
});

it('a lock of another session is not waited for, and no value is overlooked', async () => {
  await backend.run('select public.draw()');
  await withPg(directTo(engine), async (admin) => {
    await admin.query('begin; alter sequence numbers no cycle');
    await expect(backend.look()).rejects.toThrow(/lock timeout \(55P03\)/);
    await admin.query('rollback');
  });
  expect(stateKinds(await backend.look())).toContain('sequences');
  expect((await backend.query('show lock_timeout')).sets).toEqual([[['0']]]);
});

it('short limits of the session itself do not apply', async () => {
  const many = `do $$begin
    for i in 1..900 loop execute format('create sequence many%s', i); end loop; end$$`;
  await withPg(directTo(engine), (admin) => admin.query(many));
  await backend.run('select public.draw()', `set statement_timeout = '20ms'`);
  expect(stateKinds(await backend.look())).toContain('sequences');
  expect((await backend.query('show statement_timeout')).sets).toEqual([[['20ms']]]);
  await withPg(directTo(engine), (admin) =>
    admin.query(`do $$begin for i in 1..900 loop execute format('drop sequence many%s', i); end loop; end$$`),
  );
});

it('dblink connections are found', async () => {
  const superuser = await Backend.open(engine);
  const directory = socketInside(engine);
  await superuser.run(`select dblink_connect('far', 'host=${directory} user=postgres dbname=postgres')`);
  expect(stateKinds(await superuser.look())).toContain('extensionMemory');
  superuser.close();
});

it('bytes of values and texts come out as they are', async () => {
  await backend.run(`set client_encoding = 'LATIN1'`);
  await backend.run(Buffer.from(`set app.word = 'caf\xe9'`, 'latin1'));
  await backend.run(Buffer.from(`prepare "\xfcber" as select '\xdf'`, 'latin1'));
  const state = await backend.look();
  expect(state.customSettings.values.get('app.word')).toBe('caf\xe9');
  expect(state.preparedStatements.byName.get('\xfcber')?.sql).toBe(`prepare "\xfcber" as select '\xdf'`);
});

it('what changes after a read is seen by the next one, however it changed', async () => {
  let state = await backend.look();
  const next = async (...texts: string[]): Promise<typeof state> => {
    await backend.run(...texts);
    // As after a function that sets: no tag tells of it.
    backend.tracker.settingsTouched = false;
    return (state = await backend.look(state, false));
  };
  expect(
    (await next(`select set_config('work_mem', '3MB', false)`)).settings.values.get('work_mem')?.value,
  ).toBe('3072');
  expect((await next('prepare a as select 1')).preparedStatements.byName.size).toBe(1);
  expect((await next('deallocate a', 'prepare b as select 2')).preparedStatements.byName.has('b')).toBe(true);
  expect((await next('deallocate all')).preparedStatements.byName.size).toBe(0);
  expect((await next('reset all')).settings.values.get('work_mem')?.own).not.toBe(true);
});

it('contents are read without the limits of the session, which may end it', async () => {
  await backend.run(
    `set transaction_timeout = '10min'; set statement_timeout = '10min'; set lock_timeout = '10min'`,
  );
  const names = ['transaction', 'statement', 'lock'].map((what) => `current_setting('${what}_timeout')`);
  expect(await readExactly(backend.connection, `select ${names.join()}`)).toEqual([['0', '0', '0']]);
});

it('a setting that a library has made its own counts only when the session has set it', async () => {
  const session = await Backend.open(engine, { user: 'app' });
  session.names.add('plpgsql.variable_conflict');
  await session.run('do $$begin end$$');
  expect([...(await session.look()).customSettings.values]).toEqual([]);
  await session.run(`select set_config('plpgsql.check_asserts', 'off', false)`);
  expect([...(await session.look()).customSettings.values]).toEqual([['plpgsql.check_asserts', 'off']]);
  session.close();
});

it('what is asked of temporary objects is asked without the limits of the session', async () => {
  await backend.run('create temp table t (n int)');
  const exchange = vi.spyOn(backend.connection, 'exchange');
  await backend.look();
  const texts = exchange.mock.calls.map(([messages]) => messages.toString('latin1'));
  const text = texts.find((each) => each.includes('pg_table_size')) ?? '';
  expect(text.indexOf('statement_timeout = 0')).toBeGreaterThan(0);
  expect(text.indexOf('statement_timeout = 0')).toBeLessThan(text.indexOf('pg_table_size'));
});
