/**
 * Every kind of state that moves (session-state.md, rows 1–8 and 16–18): made by a client, moved to another engine, looked at
 * from the client again. What each test compares is what would be lost without the replay of its kind; that it is, is
 * proved in test/session-state/replay.test.ts by leaving each kind out.
 *
 * All sessions are made first and move together, so that one switch serves all tests. Only those of the tests that run: a
 * mutant (scripts/mutants.js) may make the switch itself fail for others.
 */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { MoveResult } from '../../src/proxy/control-api.js';
import { PROTOCOL_3_2, StartupCode, encode } from '../../src/protocol/index.js';
import { connectPg, directTo, withPg } from '../support/clients.js';
import { PASSWORD, TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient, type Answer } from '../support/raw-client.js';
import { Switching } from '../support/switching.js';

interface Case {
  readonly name: string;
  readonly login?: Parameters<typeof RawClient.login>[1];
  /** Makes the state. */
  make(client: RawClient): Promise<void>;
  /** Everything observable of it; compared before and after the move. */
  observe(client: RawClient): Promise<unknown>;
  /** What it must be, so that a test that compares nothing with nothing fails. */
  readonly expected: unknown;
}

const rows = async (client: RawClient, sql: string): Promise<Answer['rows']> => {
  const { rows, errors } = await client.query(sql);
  expect(errors, sql).toEqual([]);
  return rows;
};
const one = async (client: RawClient, sql: string): Promise<string | null | undefined> =>
  (await rows(client, sql))[0]?.[0];
const done = async (client: RawClient, ...texts: string[]): Promise<void> => {
  for (const sql of texts) await rows(client, sql);
};
const extended = async (client: RawClient, ...messages: Buffer[]): Promise<Answer> => {
  client.send(...messages, encode.sync());
  return client.answer();
};
const OWN_SETTINGS = `select name, setting from pg_settings where source = 'session' order by name`;

const cases: readonly Case[] = [
  {
    name: 'settings of every way to set them (row 1)',
    make: (client) =>
      done(
        client,
        `set work_mem = '7MB'; set search_path = "$user", other, public; set DateStyle = 'German, DMY'`,
        `select set_config('statement_timeout', '61s', false)`,
        `set transaction_timeout = '1h'; set idle_in_transaction_session_timeout = '10min'`,
        `set time zone 'Europe/Vienna'; set temp_buffers = 200; set random_page_cost = 1.25`,
        `begin; set enable_seqscan = off; rollback; begin; set enable_hashjoin = off; commit`,
        `begin; set local enable_mergejoin = off; commit`,
        `set application_name to 'it''s, \\ me'; set bytea_output = escape; set extra_float_digits = 0`,
      ),
    observe: async (client) => ({
      own: await rows(client, OWN_SETTINGS),
      work: await one(client, 'show work_mem'),
      date: await one(client, `select '2026-02-01'::date::text`),
      path: await one(client, 'show search_path'),
    }),
    expected: {
      work: '7MB',
      date: '01.02.2026',
      path: '"$user", other, public',
      own: expect.arrayContaining([
        ['DateStyle', 'German, DMY'],
        ['TimeZone', 'Europe/Vienna'],
        ['application_name', `it's, \\ me`],
        ['enable_hashjoin', 'off'],
        ['idle_in_transaction_session_timeout', '600000'],
        ['statement_timeout', '61000'],
        ['temp_buffers', '200'],
        ['transaction_timeout', '3600000'],
      ]) as unknown,
    },
  },
  {
    name: 'values in another encoding (row 1)',
    login: { parameters: { client_encoding: 'LATIN1' } },
    make: async (client) => {
      client.send(encode.query(Buffer.from(`set application_name = 'x'; set app.caf = 'caf\xe9'`, 'latin1')));
      await client.answer();
      client.send(encode.query(Buffer.from(`prepare latin as select 'na\xefve'::text`, 'latin1')));
      await client.answer();
    },
    observe: async (client) => [
      await one(client, `select current_setting('app.caf')`),
      await one(client, 'execute latin'),
      await one(client, 'show client_encoding'),
    ],
    expected: ['caf\xe9', 'na\xefve', 'LATIN1'],
  },
  {
    name: 'an encoding that was set in the session (row 1)',
    make: async (client) => {
      await done(client, `set client_encoding = 'LATIN1'`);
      client.send(encode.query(Buffer.from(`set app.umlaut = '\xfc'`, 'latin1')));
      await client.answer();
    },
    observe: async (client) => [
      await one(client, `select current_setting('app.umlaut')`),
      client.parameters.get('client_encoding'),
    ],
    expected: ['\xfc', 'LATIN1'],
  },
  {
    name: 'strings that are not standard-conforming (row 1)',
    make: (client) =>
      done(
        client,
        `set escape_string_warning = off; set standard_conforming_strings = off`,
        `set app.backslash = 'a\\\\b'; select 1; prepare q as select 'c\\\\d;'::text`,
      ),
    observe: async (client) => [
      await one(client, `select current_setting('app.backslash')`),
      await one(client, 'execute q'),
      client.parameters.get('standard_conforming_strings'),
    ],
    expected: ['a\\b', 'c\\d;', 'off'],
  },
  {
    name: 'start-up settings: what RESET ALL goes back to (row 2)',
    login: { parameters: { options: '-c work_mem=3MB -c app.tenant=start', application_name: 'started' } },
    make: (client) =>
      done(client, `set work_mem = '9MB'; set application_name = 'changed'; set app.tenant = 'other'`),
    observe: async (client) => [
      await rows(
        client,
        `select current_setting('work_mem'), current_setting('application_name'), current_setting('app.tenant')`,
      ),
      await rows(
        client,
        `select reset_val from pg_settings where name in ('work_mem', 'application_name') order by name`,
      ),
    ],
    expected: [[['9MB', 'changed', 'other']], [['started'], ['3072']]],
  },
  {
    name: 'custom settings, by SET, by set_config with parameters, and after SET LOCAL (row 3)',
    make: async (client) => {
      await done(client, `set app.user_id = '42'; set "App".quoted = 'q'`);
      await done(client, `begin; set local app.only_local = 'x'; commit`);
      await extended(
        client,
        encode.parse('', 'select set_config($1, $2, false)'),
        encode.bind('', '', ['app.bound', 'yes, "it is"']),
        encode.execute(),
      );
    },
    observe: (client) =>
      rows(
        client,
        `select current_setting('app.user_id', true), current_setting('app.bound', true),
           current_setting('app.only_local', true), current_setting('app.never', true), current_setting('app.quoted', true)`,
      ),
    expected: [['42', 'yes, "it is"', '', null, 'q']],
  },
  {
    name: 'custom settings that a function sets by a name only it knows (row 3)',
    make: (client) => done(client, `select become(17)`),
    observe: (client) => one(client, `select current_setting('hidden.tenant', true)`),
    expected: '17',
  },
  {
    name: 'SET ROLE, with what is prepared under it (row 4)',
    login: { user: 'app' },
    make: (client) =>
      done(
        client,
        `set role owner`,
        `prepare secret as select count(*) from private.things`,
        `set work_mem = '5MB'`,
      ),
    observe: async (client) => [
      await rows(
        client,
        `select session_user, current_user, current_setting('role'), current_setting('work_mem')`,
      ),
      await one(client, 'execute secret'),
      client.parameters.get('is_superuser'),
    ],
    expected: [[['app', 'owner', 'owner', '5MB']], '3', 'off'],
  },
  {
    name: 'SET ROLE of a role that was renamed since (row 4)',
    make: async (client) => {
      await done(client, 'drop role if exists new_name; create role old_name', 'set role old_name');
      await withPg(directTo(switching.primary), (admin) =>
        admin.query('alter role old_name rename to new_name'),
      );
    },
    observe: (client) => rows(client, 'select session_user, current_user'),
    expected: [['postgres', 'new_name']],
  },
  {
    name: 'SET SESSION AUTHORIZATION (row 5)',
    make: (client) => done(client, `set session authorization app; set role owner`),
    observe: async (client) => [
      await rows(client, 'select session_user, current_user'),
      client.parameters.get('session_authorization'),
      client.parameters.get('is_superuser'),
    ],
    expected: [[['app', 'owner']], 'app', 'off'],
  },
  {
    name: 'named prepared statements of the protocol (row 6)',
    make: async (client) => {
      await extended(client, encode.parse('s 1"', 'select $1::int + $2, $3', [0, 20, 25]));
      await extended(client, encode.parse('S_2', 'insert into moved values ($1) returning n'));
    },
    observe: async (client) => [
      (await extended(client, encode.bind('', 's 1"', ['40', '2', 'x']), encode.execute())).rows,
      (await extended(client, encode.bind('', 'S_2', ['7']), encode.execute())).rows,
      await rows(
        client,
        `select name, statement, parameter_types, from_sql from pg_prepared_statements order by 1`,
      ),
    ],
    expected: [
      [['42', 'x']],
      [['7']],
      [
        ['S_2', 'insert into moved values ($1) returning n', '{integer}', 'f'],
        ['s 1"', 'select $1::int + $2, $3', '{integer,bigint,text}', 'f'],
      ],
    ],
  },
  {
    name: 'PREPARE, alone and among other statements that must not run again (row 7)',
    make: (client) =>
      done(
        client,
        'prepare alone (int) as select $1 * 2',
        `insert into moved values (1000); prepare "Among;" as select 'a;b'; insert into moved values (1000)`,
        'prepare gone as select 1; deallocate gone',
      ),
    observe: async (client) => [
      await one(client, 'execute alone (21)'),
      await one(client, 'execute "Among;"'),
      await one(client, 'select count(*) from moved where n = 1000'),
      await rows(client, 'select name, from_sql from pg_prepared_statements order by 1'),
    ],
    expected: [
      '42',
      'a;b',
      '2',
      [
        ['Among;', 't'],
        ['alone', 't'],
      ],
    ],
  },
  {
    name: 'the unnamed statement (row 8)',
    make: async (client) => {
      await extended(client, encode.parse('', 'select $1::int * 3, current_setting($2)'));
    },
    observe: async (client) =>
      (await extended(client, encode.bind('', '', ['5', 'port']), encode.execute())).rows,
    expected: [['15', expect.any(String) as unknown]],
  },
  {
    name: 'default transaction characteristics (row 16)',
    make: (client) =>
      done(
        client,
        `set session characteristics as transaction isolation level serializable, read only, deferrable`,
      ),
    observe: async (client) =>
      rows(
        client,
        `select current_setting('default_transaction_isolation'), current_setting('default_transaction_read_only'),
           current_setting('default_transaction_deferrable'), current_setting('transaction_isolation')`,
      ),
    expected: [['serializable', 'on', 'on', 'serializable']],
  },
  {
    name: 'limits that would end the connection while it waits',
    make: (client) =>
      done(
        client,
        `set idle_session_timeout = '30s'; set statement_timeout = '300ms'; set lock_timeout = '1s'`,
      ),
    observe: (client) =>
      rows(
        client,
        `select current_setting('idle_session_timeout'), current_setting('statement_timeout'), current_setting('lock_timeout')`,
      ),
    expected: [['30s', '300ms', '1s']],
  },
  {
    name: 'settings of ALTER ROLE and ALTER DATABASE, as they were at the login',
    login: { user: 'app' },
    make: async () => undefined,
    observe: (client) =>
      rows(client, `select current_setting('work_mem'), current_setting('maintenance_work_mem')`),
    expected: [['11MB', '21MB']],
  },
];

let engines: TestEngines;
let switching: Switching;

beforeAll(async () => {
  engines = await TestEngines.open();
  const engine = await engines.primary();
  switching = new Switching(engines, engine);
  await withPg(directTo(engine), async (admin) => {
    for (const sql of [
      `create role app login noinherit password '${PASSWORD}'`,
      'create role owner',
      'grant owner to app',
      'create schema private authorization owner',
      'create table private.things as select generate_series(1, 3) as n',
      'alter table private.things owner to owner',
      'create table moved (n int)',
      `alter role app set work_mem = '11MB'`,
      `alter database postgres set maintenance_work_mem = '21MB'`,
      `create function become(int) returns void language plpgsql as
         $$begin perform set_config('hidden.tenant', $1::text, false); end$$`,
    ])
      await admin.query(sql);
  });
});

afterAll(async () => {
  await engines?.close();
});

describe.each([
  ['fast path', true],
  ['plain sockets', false],
])('state that moves, %s', (_, fastPath) => {
  let proxy: TestProxy;
  let result: MoveResult;
  let lateKey: RawClient;
  const sessions = new Map<Case, { client: RawClient; before: unknown; told: ReadonlyMap<string, string> }>();

  beforeAll(async ({}, { tasks }) => {
    proxy = await TestProxy.start(engines, switching.primary, { fastPath });
    const running = new Set(tasks.filter(({ mode }) => mode === 'run').map((task) => task.name));
    const wanted = cases.filter((test) => running.has(test.name));
    await withPg(proxy.url(), (client) => client.query('truncate moved'));
    for (const test of wanted.length > 0 ? wanted : cases) {
      const client = await RawClient.login(proxy.port, test.login);
      await test.make(client);
      const before = await test.observe(client);
      // The unnamed statement is destroyed by a simple Query: it is made last.
      if (test.name.includes('unnamed')) await test.make(client);
      sessions.set(test, { client, before, told: new Map(client.parameters) });
    }
    lateKey = await RawClient.login(proxy.port, { version: PROTOCOL_3_2 });
    result = await switching.move(proxy);
  });

  afterAll(async () => {
    for (const { client } of sessions.values()) client.close();
    lateKey?.close();
    expect(proxy?.log).toBe('');
    await proxy?.stop();
  });

  it('every session has moved', async () => {
    expect(result).toMatchObject({
      total: sessions.size + 1,
      moved: sessions.size + 1,
      failed: [],
      dropped: 0,
    });
    expect(result.stateMoved.settings).toBeGreaterThan(20);
    expect(result.stateMoved.preparedStatements).toBeGreaterThanOrEqual(6);
    const engines = (await proxy.control.call('sessions', {})).map(({ engine }) => engine);
    expect(new Set(engines)).toEqual(new Set([switching.primary.id]));
  });

  it.each(cases.map((test) => [test.name, test] as const))('%s', async (_, test) => {
    const { client, before } = sessions.get(test)!;
    expect(before).toEqual(test.expected);
    expect(normalized(await test.observe(client), test)).toEqual(normalized(before, test));
  });

  it('no client was told of a parameter that did not change for it (row 17)', () => {
    for (const { client, told } of sessions.values()) {
      for (const name of ['in_hot_standby', 'default_transaction_read_only'])
        expect(client.parameters.get(name)).toBe(told.get(name));
    }
  });

  it('the key a client holds cancels on the engine it is on now (row 18)', async () => {
    lateKey.send(encode.query('select pg_sleep(60)'));
    await withPg(directTo(switching.primary), async (admin) => {
      for (let i = 0; i < 500; i++) {
        const { rowCount } = await admin.query(
          `select 1 from pg_stat_activity where query = 'select pg_sleep(60)' and state = 'active'`,
        );
        if (rowCount === 1) break;
      }
    });
    const canceler = await RawClient.connect(proxy.port);
    canceler.send(encode.cancelRequest(StartupCode.cancel, lateKey.processId, lateKey.secret));
    await canceler.end();
    canceler.close();
    expect((await lateKey.answer()).errors).toEqual(['57014']);
  });
});

/** Things that count what the test itself does, or name the engine. */
const normalized = (value: unknown, { name }: Case): unknown =>
  name.startsWith('the unnamed statement') ? [[(value as string[][])[0]![0]]] : value;

describe('roles and passwords', () => {
  it('a session moves although its password was changed, its role lost LOGIN, or its password expired', async () => {
    const proxy = await TestProxy.start(engines, switching.primary);
    const clients = await withPg(directTo(switching.primary), async (admin) => {
      for (const role of ['changed', 'expired'])
        await admin.query(`create role ${role} login password '${PASSWORD}'`);
      const made = await Promise.all([connectPg(proxy.url('changed')), connectPg(proxy.url('expired'))]);
      await admin.query(`alter role changed password 'another'`);
      await admin.query(`alter role expired valid until '2001-01-01'`);
      return made;
    });
    await switching.move(proxy);
    for (const client of clients) {
      expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      await client.end();
    }
    await expect(connectPg(proxy.url('changed'))).rejects.toMatchObject({ code: '28P01' });
    await withPg(proxy.url('changed', 'postgres', 'another'), (client: pg.Client) =>
      client.query('select 1'),
    );
    await proxy.stop();
  });
});
