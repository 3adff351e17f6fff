/**
 * Moves of sessions that are not as they were when they logged in, and of state that the target has its own idea of: each has
 * an outcome that is named before anybody is harmed (session-state.md, issue "bad input").
 */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import type { CommitResult, MoveResult } from '../../src/proxy/control-api.js';
import { encode, errorFields } from '../../src/protocol/index.js';
import { connectPg, directTo, eventually, withPg } from '../support/clients.js';
import { PASSWORD, TestEngines, routeTo } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';
import { Switching } from '../support/switching.js';

let engines: TestEngines;
let switching: Switching;
let proxy: TestProxy;

beforeAll(async () => {
  engines = await TestEngines.open();
  switching = new Switching(engines, await engines.primary());
  proxy = await TestProxy.start(engines, switching.primary);
  await asAdmin(
    `create role app login password '${PASSWORD}'`,
    `create role gone login password '${PASSWORD}'`,
    'create database few',
    'create database closed',
    'revoke connect on database closed from public',
    'grant connect on database closed to app',
  );
});

afterAll(async () => {
  expect(proxy?.log).toBe('');
  await proxy?.stop();
  await engines?.close();
});

/** Clients of a test, gone with it whatever its outcome. */
const open: pg.Client[] = [];
const connect = async (user?: string, database?: string): Promise<pg.Client> => {
  const client = await connectPg(proxy.url(user, database));
  open.push(client);
  return client;
};

afterEach(async () => {
  await proxy.control.call('release', {});
  await proxy.control.call('unwarm', {});
  await Promise.all(open.splice(0).map((client) => client.end().catch(() => undefined)));
  await eventually('the sessions to be gone', async () =>
    (await proxy.control.call('sessions', {})).length === 0 ? true : null,
  );
});

const asAdmin = (...texts: string[]): Promise<void> =>
  withPg(directTo(switching.primary), async (admin) => {
    for (const sql of texts) await admin.query(sql);
  });

/** Until the standby has what the primary has now. */
const caughtUp = async (standby: EngineRecord): Promise<void> => {
  const lsn = await withPg(
    directTo(switching.primary),
    async (admin) =>
      (await admin.query<{ lsn: string }>('select pg_current_wal_flush_lsn()::text as lsn')).rows[0]!.lsn,
  );
  await withPg(directTo(standby), (admin) =>
    eventually('the standby to catch up', async () => {
      const { rows } = await admin.query<{ ok: boolean }>(
        'select pg_last_wal_replay_lsn() >= $1::pg_lsn as ok',
        [lsn],
      );
      return rows[0]!.ok;
    }),
  );
};

/** Warm, hold, commit, as a switchover that rolls back at what cannot move. */
const attempt = async (): Promise<CommitResult> => {
  const target = await switching.target();
  await caughtUp(target);
  await proxy.control.call('warm', { target: routeTo(target), withinMs: 500 });
  const hold = { budgetMs: 3_000, cancelTransactions: false, operation: 'test' } as const;
  expect(await proxy.control.call('hold', { ...hold, unmovable: 'rollback' })).toMatchObject({ held: true });
  return proxy.control.call('commit', {});
};

const move = async (): Promise<MoveResult> => {
  await caughtUp(await switching.target());
  const result = await switching.move(proxy);
  expect(result).toMatchObject({ failed: [], dropped: 0 });
  return result;
};

describe('a login that would not succeed any more', () => {
  it.each([
    ['its role was dropped', 'gone', 'postgres', ['drop role gone'], /role "gone".* does not exist/, []],
    [
      'its role lost LOGIN',
      'app',
      'postgres',
      ['alter role app nologin'],
      /role "app" is not permitted to log in/,
      ['alter role app login'],
    ],
    [
      'its role lost CONNECT',
      'app',
      'closed',
      ['revoke connect on database closed from app'],
      /permission denied for database "closed"/,
      ['grant connect on database closed to app'],
    ],
    [
      'the database takes fewer connections by now',
      'app',
      'few',
      ['alter database few connection limit 0'],
      /too many connections for database "few"/,
      ['alter database few connection limit -1'],
    ],
    [
      'its role may have fewer connections by now',
      'app',
      'postgres',
      ['alter role app connection limit 0'],
      /too many connections for role "app"/,
      ['alter role app connection limit -1'],
    ],
    [
      'its database takes no connections any more',
      'app',
      'few',
      ['alter database few allow_connections false'],
      /database "few" is not currently accepting connections/,
      ['alter database few allow_connections true'],
    ],
  ] as const)(
    '%s: named before the promotion, and everybody goes on',
    async (what, user, database, spoil, reason, mend) => {
      const [client, other] = [await connect(user, database), await connect()];
      await client.query(`set work_mem = '3MB'`);
      await asAdmin(...spoil);
      // How many connections are allowed is known on the target only.
      if (!what.includes('fewer connections')) {
        const [report] = (await proxy.control.call('check', { withinMs: 1_000 })).filter(
          (session) => session.user === user,
        );
        expect(report).toMatchObject({
          movable: false,
          reasons: expect.arrayContaining([expect.stringMatching(reason)]) as unknown,
        });
      }
      const { committed, unmovable } = await attempt();
      expect({ committed, unmovable }).toMatchObject({
        committed: false,
        unmovable: [{ user, database, reason: expect.stringMatching(reason) as unknown }],
      });
      expect((await proxy.control.call('status', {})).gate).toBe('open');
      expect((await client.query('show work_mem')).rows).toEqual([{ work_mem: '3MB' }]);
      expect((await other.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      await asAdmin(...mend);
    },
  );

  it('its password was changed, or has expired: it moves, because nobody is asked for it', async () => {
    await asAdmin(
      `create role changed login password '${PASSWORD}'`,
      `create role expired login password '${PASSWORD}'`,
    );
    const clients = [await connect('changed'), await connect('expired')];
    await asAdmin(`alter role changed password 'another'`, `alter role expired valid until '2001-01-01'`);
    expect(await move()).toMatchObject({ moved: 2, lost: [] });
    for (const client of clients) expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });

  it('the target has no connection left for it: named, and it moves when there is one', async () => {
    const client = await connect('app');
    const target = await switching.target();
    await withPg(directTo(target), (admin) =>
      admin.query('alter system set superuser_reserved_connections = 1199'),
    );
    await restart(target);
    const { committed, unmovable } = await attempt();
    expect({ committed, unmovable }).toMatchObject({
      committed: false,
      unmovable: [{ user: 'app', reason: expect.stringMatching(/connection slots are reserved/) as unknown }],
    });
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    await proxy.control.call('unwarm', {});
    await withPg(directTo(target), (admin) =>
      admin.query('alter system reset superuser_reserved_connections'),
    );
    await restart(target);
    expect(await move()).toMatchObject({ moved: 1 });
    expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  });
});

const restart = async (engine: EngineRecord): Promise<void> => {
  await engines.provider.stop(engine, 'fast');
  await engines.provider.start(engine);
};

describe('rights that are revoked while sessions are held', () => {
  it('ends the session that cannot have its state any more, with the reason; the others go on', async () => {
    const [client, renamed, other] = [await connect('app'), await connect('app'), await connect('app')];
    await asAdmin('create role hat', 'grant hat to app');
    await client.query('create temp table mine as select 1 as n');
    await renamed.query('set role hat; create temp table its as select 2 as n');
    await other.query(`set work_mem = '3MB'`);
    const ended = [client, renamed].map((each) => new Promise((resolve) => each.once('error', resolve)));
    const result = await switching.move(proxy, async () => {
      await asAdmin('revoke temp on database postgres from public', 'grant temp on database postgres to hat');
      await asAdmin('revoke hat from app');
      await caughtUp(await switching.target());
    });
    expect(result).toMatchObject({ moved: 1, dropped: 0 });
    expect(result.failed.map(({ reason }) => reason).toSorted()).toEqual([
      expect.stringMatching(/^permission denied to set role "hat"/),
      expect.stringMatching(/^temporary table mine: permission denied to create temporary tables/),
    ]);
    for (const error of await Promise.all(ended))
      expect(error).toMatchObject({
        code: '57P01',
        message: expect.stringMatching(/permission denied/) as unknown,
      });
    expect((await other.query('show work_mem')).rows).toEqual([{ work_mem: '3MB' }]);
    await asAdmin('grant temp on database postgres to public');
  });
});

describe('settings', () => {
  it('what the target does not know is lost, by name, and the rest moves', async () => {
    const [client, superuser] = [await connect('app'), await connect()];
    await superuser.query(`set auto_explain.log_min_duration = 'never'`);
    await client.query(
      `set auto_explain.bogus = 'x'; set auto_explain.log_min_duration = 'soon'; set work_mem = '3MB'`,
    );
    await client.query(`set app.tenant = '7'; set nowhere.installed = 'yes'`);
    const target = await switching.target();
    await withPg(directTo(target), async (admin) => {
      await admin.query(`alter system set session_preload_libraries = 'auto_explain'`);
      await admin.query('select pg_reload_conf()');
    });
    const { lost } = await move();
    expect(lost.map(({ what }) => what).toSorted()).toEqual([
      expect.stringMatching(/^setting auto_explain.bogus: invalid configuration parameter name/),
      expect.stringMatching(/^setting auto_explain.log_min_duration: invalid value/),
      expect.stringMatching(/^setting auto_explain.log_min_duration: permission denied/),
    ]);
    expect(
      (
        await client.query({
          text: `select current_setting('work_mem'), current_setting('app.tenant'), current_setting('nowhere.installed'),
            current_setting('auto_explain.bogus', true), current_setting('auto_explain.log_min_duration')`,
          rowMode: 'array',
        })
      ).rows,
    ).toEqual([['3MB', '7', 'yes', null, '-1']]);
    await asAdmin('alter system reset session_preload_libraries');
  });
});

describe('prepared statements', () => {
  it('whose table was dropped: their use gives the error it gave before, the others work', async () => {
    await asAdmin('create table passing (n int)', 'grant all on passing to public');
    const client = await RawClient.login(proxy.port, { user: 'app' });
    try {
      await client.query('prepare by_sql as select n from passing; prepare kept as select 5');
      client.send(encode.parse('by_parse', 'select n from passing'), encode.sync());
      await client.answer();
      await asAdmin('drop table passing');
      const use = async (): Promise<unknown[]> => {
        const errors: unknown[] = [];
        for (const messages of [
          [encode.query('execute by_sql')],
          [encode.bind('', 'by_parse', []), encode.execute(), encode.sync()],
        ]) {
          client.send(...messages);
          const { messages: answer, status } = await client.answer();
          const error = answer.find(({ type }) => type === 'E'.charCodeAt(0));
          const fields = errorFields(error?.body ?? Buffer.alloc(0));
          errors.push(
            ['S', 'C', 'M'].map((name) => fields.get(name)),
            status,
          );
        }
        return errors;
      };
      const before = await use();
      expect(before[0]).toEqual(['ERROR', '42P01', 'relation "passing" does not exist']);
      await move();
      expect(await use()).toEqual(before);
      expect((await client.query('execute kept')).rows).toEqual([['5']]);
    } finally {
      client.close();
    }
  });
});

describe('a held cursor of ten million rows', () => {
  it('is named, stays where it is, and nobody else waits for it', async () => {
    const [client, other] = [await connect(), await connect('app')];
    await client.query(
      `declare huge scroll cursor with hold for select 1 as n from generate_series(1, 10000000)`,
    );
    await client.query('move absolute 9000000 from huge');
    const [report] = await proxy.control.call('check', { withinMs: 1_000 });
    const { committed, unmovable } = await attempt();
    expect(report).toMatchObject({ movable: false, looked: true });
    expect({ committed, unmovable }).toMatchObject({
      committed: false,
      unmovable: [{ reason: expect.stringContaining('held cursor huge: more than 100000 rows') as unknown }],
    });
    expect((await other.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
    expect((await client.query('fetch relative 0 from huge')).rowCount).toBe(1);
    expect((await client.query('move forward all from huge')).rowCount).toBe(1_000_000);
    expect((await client.query('move forward all from huge')).rowCount).toBe(0);
  });
});
