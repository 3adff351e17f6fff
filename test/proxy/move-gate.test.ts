/**
 * The gate: what cannot move is named and nobody is harmed, a hold is bounded, giving up leaves everything as it was, and a
 * switch whose caller dies is finished.
 */
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import type { CommitResult, HoldResult, ProxyApi, StateKind } from '../../src/proxy/control-api.js';
import { StartupCode, encode } from '../../src/protocol/index.js';
import { RpcClient } from '../../src/rpc/index.js';
import { connectPg, directTo, eventually, socketInside, value, withPg } from '../support/clients.js';
import { PASSWORD, TestEngines, routeTo } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';
import { Switching } from '../support/switching.js';

let engines: TestEngines;
let primary: EngineRecord;
let standby: EngineRecord;
let switching: Switching;
let proxy: TestProxy;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  switching = new Switching(engines, primary);
  await withPg(directTo(primary), async (admin) => {
    for (const sql of [
      `create role app login password '${PASSWORD}'`,
      'create table t (id serial, n int)',
      'create sequence numbers',
      'create extension dblink',
    ])
      await admin.query(sql);
  });
  standby = await switching.target();
  proxy = await TestProxy.start(engines, primary);
});

afterAll(async () => {
  expect(proxy?.log).toBe('');
  await proxy?.stop();
  await engines?.close();
});

beforeEach(async () => {
  await proxy.control.call('release', {});
  await proxy.control.call('unwarm', {});
  await Promise.all(left.splice(0).map((end) => end()));
  await eventually('earlier sessions to be gone', async () =>
    (await proxy.control.call('sessions', {})).length === 0 ? true : null,
  );
});

/** Ends clients that a failed test left behind: one failure should be one. */
const left: (() => unknown)[] = [];
const connect = async (url: string): Promise<pg.Client> => {
  const client = await connectPg(url);
  left.push(() => client.end().catch(() => undefined));
  return client;
};
const logIn = async (...where: Parameters<typeof RawClient.login>): Promise<RawClient> => {
  const client = await RawClient.login(...where);
  left.push(() => client.close());
  return client;
};

/** Long enough for all that a test does meanwhile, where the machine does other things, too. */
const HOLD_MS = 20_000;
/** Nobody waits so long: a hold that does not end by itself lasts as long as its test. */
const RELEASED_MS = 15_000;

const warm = (): Promise<ProxyApi['warm']['result']> =>
  proxy.control.call('warm', { target: routeTo(standby), withinMs: 500 });

const hold = (budgetMs = HOLD_MS, unmovable: 'rollback' | 'drop' = 'rollback'): Promise<HoldResult> =>
  proxy.control.call('hold', { budgetMs, unmovable, cancelTransactions: false, operation: 'test' });

const holdAndCommit = async (): Promise<CommitResult> => {
  expect(await hold()).toMatchObject({ held: true, blockers: [] });
  return proxy.control.call('commit', {});
};

const gate = async (): Promise<string> => (await proxy.control.call('status', {})).gate;

interface Unmovable {
  readonly name: string;
  readonly kind: StateKind;
  readonly make: readonly string[];
  /** Still there afterwards. */
  readonly check: string;
  readonly rows: readonly unknown[];
  readonly reason: RegExp;
}

const unmovables: readonly Unmovable[] = [
  {
    name: 'a temporary aggregate',
    kind: 'tempObjects',
    make: ['create aggregate pg_temp.total (int) (sfunc = int4pl, stype = int)'],
    check: 'select pg_temp.total(n)::int as n from (values (3), (4)) v (n)',
    rows: [{ n: 7 }],
    reason: /total/,
  },
  {
    name: 'a temporary table with row security',
    kind: 'tempObjects',
    make: [
      'create temp table scratch (n int)',
      'insert into scratch values (5)',
      'alter table scratch enable row level security',
    ],
    check: 'select n from scratch',
    rows: [{ n: 5 }],
    reason: /scratch/,
  },
];

describe('state that cannot move', () => {
  it.each(unmovables.map((test) => [test.name, test] as const))(
    '%s: is named at warm and at commit, which is refused; it stays, and nobody is harmed',
    async (_, { kind, make, check, rows, reason }) => {
      const [client, other] = await Promise.all([connect(proxy.url()), connect(proxy.url('app'))]);
      for (const sql of make) await client.query(sql);
      const { unmovable } = await warm();
      // Advisory locks are looked for among all sessions once they are held.
      expect(unmovable).toMatchObject([
        { user: 'postgres', kinds: [kind], reason: expect.stringMatching(reason) as unknown },
      ]);
      const result = await holdAndCommit();
      expect(result).toMatchObject({ committed: false });
      expect(result.unmovable.flatMap(({ kinds }) => kinds)).toContain(kind);
      expect(result.unmovable.every(({ user }) => user === 'postgres')).toBe(true);
      expect(await gate()).toBe('open');
      expect((await client.query(check)).rows).toEqual(rows);
      expect((await other.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      await Promise.all([client.end(), other.end()]);
    },
  );

  it('who leaves before its turn to be warmed leaves no connection behind', async () => {
    const clients = await Promise.all(Array.from({ length: 40 }, () => connect(proxy.url('app'))));
    // While somebody works they are warmed one after the other.
    await clients[0]?.query('begin');
    const warming = warm();
    await Promise.all(clients.slice(1).map((client) => client.end()));
    await warming;
    await withPg(directTo(standby), (admin) =>
      eventually('only the connection of who stayed', async () => {
        const sql = `select count(*)::int from pg_stat_activity where usename = 'app'`;
        return (await value(admin, sql)) === 1;
      }),
    );
    await clients[0]?.end();
  });

  it('made only after the warm phase it is found while held', async () => {
    const client = await connect(proxy.url());
    expect((await warm()).unmovable).toEqual([]);
    await client.query('create temp table late (n int)');
    await client.query('alter table late enable row level security');
    const { committed, unmovable } = await holdAndCommit();
    expect([committed, unmovable.map(({ kinds }) => kinds)]).toEqual([false, [['tempObjects']]]);
    await client.query('select * from late');
    await client.query('drop table late');
    await client.end();
  });

  it('given up in time it is no obstacle: closed, dropped, unlistened, unlocked', async () => {
    const client = await connect(proxy.url());
    for (const sql of [
      'create temp table scratch (n int)',
      'drop table scratch',
      'declare held cursor with hold for select 1',
      'close held',
      'listen x',
      'unlisten x',
      'select pg_advisory_lock(1)',
      'select pg_advisory_unlock(1)',
      'begin; select pg_advisory_xact_lock(2)',
      'commit',
      `select nextval('numbers')`,
      'discard all',
    ])
      await client.query(sql);
    expect((await warm()).unmovable).toEqual([]);
    expect(await hold()).toMatchObject({ held: true });
    await proxy.control.call('release', {});
    await client.end();
  });

  it('`check` names every kind without holding anybody up', async () => {
    const client = await connect(proxy.url());
    for (const sql of [
      ...unmovables.flatMap(({ make }) => make),
      `select dblink_connect('remote', 'host=${socketInside(primary)} user=postgres')`,
      `set work_mem = '5MB'`,
      `set app.x = '1'`,
      'prepare p as select 1',
    ])
      await client.query(sql);
    const [report] = await proxy.control.call('check', { withinMs: 2_000 });
    expect(report).toMatchObject({ looked: true, movable: false });
    const movable = new Map(report!.state.map(({ kind, movable }) => [kind, movable]));
    expect(Object.fromEntries(movable)).toEqual({
      settings: true,
      customSettings: true,
      tempObjects: false,
      preparedStatements: true,
      extensionMemory: false,
    });
    for (const { check, rows } of unmovables) expect((await client.query(check)).rows).toEqual(rows);
    await client.end();
  });
});

describe('hold and release', () => {
  it('releasing leaves a session as it was: prepared statements, the unnamed one, settings, what it sent meanwhile', async () => {
    const client = await logIn(proxy.port);
    await client.query(`set work_mem = '6MB'; set app.kept = 'yes'`);
    client.send(encode.parse('named', 'select 1'), encode.parse('', 'select $1::int + 1'), encode.sync());
    await client.answer();
    for (let i = 0; i < 3; i++) {
      await warm();
      expect(await hold()).toMatchObject({ held: true });
      client.send(encode.bind('', '', [String(i)]), encode.execute(), encode.sync());
      await proxy.control.call('release', {});
      expect((await client.answer()).rows).toEqual([[String(i + 1)]]);
      await proxy.control.call('unwarm', {});
    }
    client.send(encode.bind('', 'named', []), encode.execute(), encode.sync());
    expect((await client.answer()).rows).toEqual([['1']]);
    expect(
      (await client.query(`select current_setting('work_mem'), current_setting('app.kept')`)).rows,
    ).toEqual([['6MB', 'yes']]);
    client.close();
  });

  it('an idle transaction: everybody is released when the budget is spent, and it is named', async () => {
    const [idle, other] = await Promise.all([connect(proxy.url('app')), connect(proxy.url())]);
    await idle.query('begin');
    await warm();
    const start = performance.now();
    const holding = hold(300);
    const answered = other.query('select 1').then(() => performance.now() - start);
    const result = await holding;
    expect(result).toMatchObject({ held: false, sessions: 2 });
    expect(result.blockers).toMatchObject([
      { user: 'app', reason: expect.stringContaining('idle in a transaction') as unknown },
    ]);
    expect(result.waitedMs).toBeGreaterThanOrEqual(299);
    expect(await answered).toBeLessThan(RELEASED_MS);
    expect(await gate()).toBe('open');
    await idle.query('commit');
    expect((await hold()).held).toBe(true);
    await proxy.control.call('release', {});
    await Promise.all([idle.end(), other.end()]);
  });

  it.each([
    [
      'a running statement',
      (client: RawClient) => client.send(encode.query('select pg_sleep(1)')),
      /running a statement/,
    ],
    [
      'a batch without Sync',
      (client: RawClient) => client.send(encode.parse('', 'select 1'), encode.message('H'.charCodeAt(0))),
      /sent no Sync/,
    ],
    [
      'half a message',
      (client: RawClient) => client.send(encode.query('select 1').subarray(0, 8)),
      /half a message/,
    ],
    [
      'an aborted transaction',
      (client: RawClient) => client.send(encode.query('begin; select 1/0')),
      /transaction/,
    ],
  ])('%s is waited for, and named when it lasts', async (_, act, reason) => {
    const client = await logIn(proxy.port);
    await warm();
    act(client);
    await eventually('the bytes to have passed', async () => {
      const [session] = await proxy.control.call('sessions', {});
      return session !== undefined;
    });
    // What was sent has to reach the proxy before the hold; loopback and one event loop keep that order.
    const { held, blockers } = await hold(200);
    expect(held).toBe(false);
    expect(blockers.map((blocker) => blocker.reason)).toEqual([expect.stringMatching(reason)]);
    client.close();
  });

  it('a client that asks on and on without waiting for answers is held between two of them, and misses none', async () => {
    const client = await logIn(proxy.port);
    let [sent, answered, isOver] = [0, 0, false];
    const ask = (): boolean => client.socket.write(encode.query(`select ${++sent}, pg_sleep(0.01)`));
    const asking = async (): Promise<void> => {
      for (let i = 0; i < 200; i++) ask();
      while (answered < sent) {
        expect((await client.answer()).rows[0]?.[0]).toBe(String(++answered));
        if (!isOver) ask();
      }
    };
    const asked = asking();
    await warm();
    // What the engine has by then has to be answered first: seconds.
    const reasons: string[] = [];
    await eventually('it to be held', async () => {
      const { held, blockers } = await hold(500);
      reasons.push(...blockers.map(({ reason }) => reason));
      return held ? true : null;
    });
    for (const reason of reasons) expect(reason).toMatch(/requests? in its pipeline|running a statement/);
    await proxy.control.call('release', {});
    const before = answered;
    await eventually('it to go on', () => Promise.resolve(answered > before + 100 || null));
    expect(await hold(500)).toMatchObject({ held: true, blockers: [] });
    await proxy.control.call('release', {});
    isOver = true;
    await asked;
    client.close();
  });

  it('a statement whose client has gone keeps nobody waiting: it is cancelled within the budget', async () => {
    const client = await logIn(proxy.port);
    const running = `select state from pg_stat_activity where query = 'select pg_sleep(61)'`;
    client.send(encode.query('select pg_sleep(61)'));
    await withPg(directTo(primary), async (admin) => {
      const states = async (): Promise<unknown[]> => (await admin.query<{ state: string }>(running)).rows;
      await eventually('the statement to run', async () => ((await states()).length === 1 ? true : null));
      client.close();
      await warm();
      expect(await hold(5_000)).toMatchObject({ held: true, sessions: 1, blockers: [] });
      await proxy.control.call('release', {});
      await eventually('it to be cancelled', async () => ((await states()).length === 0 ? true : null));
    });
    expect(await proxy.control.call('sessions', {})).toEqual([]);
  });

  it('COPY IN is waited for, and goes on during the hold', async () => {
    const client = await logIn(proxy.port);
    await warm();
    client.send(encode.query('copy t (n) from stdin'));
    await client.answer('G');
    const holding = hold();
    client.send(encode.message('d'.charCodeAt(0), Buffer.from('1\n')), encode.message('c'.charCodeAt(0)));
    expect((await client.answer()).tags).toEqual(['COPY 1']);
    expect(await holding).toMatchObject({ held: true });
    await proxy.control.call('release', {});
    client.close();
  });

  it.each([
    ['a Query', () => [encode.query('copy slow (n) from stdin')], []],
    [
      'a batch',
      () => [encode.parse('', 'copy slow (n) from stdin'), encode.bind('', '', []), encode.execute()],
      [encode.sync()],
    ],
  ])(
    'COPY IN of %s whose data is sent with it: what was asked behind it is waited for',
    async (_, copy, end) => {
      const waitFor = (key: number): Buffer[] => [
        encode.parse('', `select pg_advisory_lock(${key}), ${key}`),
        encode.bind('', '', []),
        encode.execute(),
        encode.sync(),
      ];
      await withPg(directTo(primary), async (admin) => {
        await admin.query(`
        create table if not exists slow (n int);
        create or replace function slowly() returns trigger language plpgsql as
          'begin perform pg_advisory_xact_lock(1); return new; end';
        create or replace trigger slowly before insert on slow for each row execute function slowly();
        select pg_advisory_lock(key) from generate_series(1, 3) key`);
        const unlock = (key: number): Promise<unknown> => admin.query('select pg_advisory_unlock($1)', [key]);
        const client = await logIn(proxy.port);
        await warm();
        const data = encode.message('d'.charCodeAt(0), Buffer.from('1\n'));
        client.send(...copy(), data, encode.message('c'.charCodeAt(0)), ...end);
        await client.answer('G');
        client.send(...waitFor(2));
        await unlock(1);
        expect(await client.answer()).toMatchObject({ tags: ['COPY 1'] });
        client.send(...waitFor(3));
        await unlock(2);
        expect((await client.answer()).rows).toEqual([['', '2']]);
        expect(await hold(200)).toMatchObject({ held: false });
        const holding = hold();
        await unlock(3);
        expect((await client.answer()).rows).toEqual([['', '3']]);
        expect(await holding).toMatchObject({ held: true });
        await proxy.control.call('release', {});
        client.close();
      });
    },
  );

  it('a transaction under way is finished during the hold; what follows it waits', async () => {
    const client = await logIn(proxy.port);
    await warm();
    await client.query('begin');
    const holding = hold();
    await eventually('the hold to begin', async () => ((await gate()) === 'open' ? null : true));
    client.send(encode.query('select 1'), encode.query('commit'), encode.query('select 2'));
    expect((await client.answer()).rows).toEqual([['1']]);
    expect((await client.answer()).tags).toEqual(['COMMIT']);
    expect(await holding).toMatchObject({ held: true });
    await expect(client.next(150)).rejects.toThrow(/waited/);
    await proxy.control.call('release', {});
    expect((await client.answer()).rows).toEqual([['2']]);
    client.close();
  });

  it('a hold that nobody commits ends by itself, and commit then says so', async () => {
    const client = await connect(proxy.url());
    await warm();
    expect((await hold(1_000)).held).toBe(true);
    const start = performance.now();
    await client.query('select 1');
    expect(performance.now() - start).toBeLessThan(RELEASED_MS);
    expect(await proxy.control.call('commit', {})).toMatchObject({ committed: false });
    expect(await gate()).toBe('open');
    await client.end();
  });

  it('logins and cancel requests wait while held and go on afterwards', async () => {
    const client = await connect(proxy.url());
    await warm();
    expect((await hold()).held).toBe(true);
    let inside = false;
    const late = logIn(proxy.port).then((session) => {
      inside = true;
      return session;
    });
    await expect(
      Promise.race([late, new Promise((resolve) => setTimeout(resolve, 200, 'waits'))]),
    ).resolves.toBe('waits');
    expect(inside).toBe(false);
    await proxy.control.call('release', {});
    (await late).close();
    await client.end();
  });

  it('a cancel request for what was answered comes to nothing, and not to what is asked later', async () => {
    const client = await logIn(proxy.port);
    await client.query('select 1');
    await warm();
    expect((await hold()).held).toBe(true);
    const canceler = await RawClient.connect(proxy.port);
    canceler.send(encode.cancelRequest(StartupCode.cancel, client.processId, client.secret));
    // Its connection is closed when it was taken care of.
    await canceler.end();
    const later = client.query('select pg_sleep(0.3)');
    await eventually('the request to wait', async () => {
      const [session] = await proxy.control.call('sessions', {});
      return session?.state === 'held' && (session.heldMs ?? 0) > 50;
    });
    await proxy.control.call('release', {});
    expect(await later).toMatchObject({ errors: [], tags: ['SELECT 1'] });
    client.close();
  });

  it('one that is meant for what waits does cancel it', async () => {
    const client = await logIn(proxy.port);
    await warm();
    expect((await hold()).held).toBe(true);
    const waits = client.query('select pg_sleep(30)');
    await eventually('the request to wait', async () => {
      const [session] = await proxy.control.call('sessions', {});
      return (session?.heldMs ?? 0) > 50;
    });
    const canceler = await RawClient.connect(proxy.port);
    canceler.send(encode.cancelRequest(StartupCode.cancel, client.processId, client.secret));
    await proxy.control.call('release', {});
    expect((await waits).errors).toEqual(['57014']);
    canceler.close();
    client.close();
  });

  it.each([
    ['says goodbye', (client: RawClient) => client.send(encode.terminate())],
    ['vanishes', (client: RawClient) => client.close()],
  ])('a client that %s while held is gone, and no obstacle', async (_, leave) => {
    const [client, other] = await Promise.all([logIn(proxy.port), logIn(proxy.port)]);
    await warm();
    expect((await hold()).held).toBe(true);
    leave(client);
    await eventually('one session to be left', async () =>
      (await proxy.control.call('sessions', {})).length === 1 ? true : null,
    );
    await proxy.control.call('release', {});
    expect((await other.query('select 1')).rows).toEqual([['1']]);
    other.close();
  });

  it('a caller that dies while it holds stalls nobody for longer than the budget', async () => {
    const client = await connect(proxy.url());
    await warm();
    const caller = await RpcClient.connect<ProxyApi>(proxy.controlSocket);
    await caller.call('hold', {
      budgetMs: 1_000,
      unmovable: 'rollback',
      cancelTransactions: false,
      operation: 'x',
    });
    caller.close();
    const start = performance.now();
    await client.query('select 1');
    expect(performance.now() - start).toBeLessThan(RELEASED_MS);
    await client.end();
  });

  it('a caller that dies in the middle of commit leaves nobody held', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect(proxy.url())));
    await warm();
    // Much to export, so that commit has to wait for it.
    for (const client of clients) {
      for (let i = 0; i < 60; i++) await client.query(`prepare p${i} as select ${i}`);
    }
    const caller = await RpcClient.connect<ProxyApi>(proxy.controlSocket);
    const { held } = await caller.call('hold', {
      budgetMs: HOLD_MS,
      unmovable: 'rollback',
      cancelTransactions: false,
      operation: 'x',
    });
    expect(held).toBe(true);
    caller.call('commit', {}).catch(() => undefined);
    caller.close();
    await Promise.all(clients.map((client) => client.query('select 1')));
    await eventually('the gate to open', async () => ((await gate()) === 'open' ? true : null));
    // Which engine serves depends on how far commit had come; both keep the sessions.
    for (const client of clients) {
      expect((await client.query('execute p59')).rows).toHaveLength(1);
      await client.end();
    }
    const { primary: now } = await proxy.control.call('status', {});
    if (now?.id === standby.id) await switchBack();
  });
});

/** After a switch that happened by itself: the other engine becomes the standby of the new primary. */
const switchBack = async (): Promise<void> => {
  await engines.provider.remove(primary);
  primary = standby;
  switching = new Switching(engines, primary);
  standby = await switching.target();
};

describe('forward only', () => {
  it('drop: the session that cannot move ends with 57P01 and the reason, the others move', async () => {
    const stays = await logIn(proxy.port);
    await stays.query('create temp table doomed (n int)');
    await stays.query('alter table doomed enable row level security');
    const moves = await connect(proxy.url('app'));
    await moves.query(`set work_mem = '3MB'`);
    await warm();
    expect(await hold(HOLD_MS, 'drop')).toMatchObject({ held: true });
    const { committed, unmovable } = await proxy.control.call('commit', {});
    expect([committed, unmovable.length]).toEqual([true, 1]);
    await withPg(directTo(standby), (admin) => admin.query('select pg_promote()'));
    const result = await proxy.control.call('move', {});
    expect(result).toMatchObject({ total: 2, moved: 1, dropped: 1, failed: [] });
    expect(await proxy.control.call('move', {})).toEqual(result);
    const { errors, messages } = await stays.end();
    expect(errors).toEqual(['57P01']);
    expect(messages.at(-1)?.body.toString()).toContain('doomed');
    expect((await moves.query('show work_mem')).rows).toEqual([{ work_mem: '3MB' }]);
    await moves.end();
    stays.close();
    await switchBack();
  });

  it('held while it is still being warmed: what the new engine says to that does not reach the client', async () => {
    const client = await connect(proxy.url());
    // Its planning takes long, and so does the warm-up, which plans it on the target.
    await client.query(`create function slow() returns int immutable language plpgsql
      as 'begin perform pg_sleep(1); return 1; end'`);
    await client.query('prepare planned as select slow()');
    await client.query('execute planned');
    const warming = warm();
    expect(await hold()).toMatchObject({ held: true });
    expect(await proxy.control.call('commit', {})).toMatchObject({ committed: true });
    await withPg(directTo(standby), (admin) => admin.query('select pg_promote()'));
    expect(await proxy.control.call('move', {})).toMatchObject({ total: 1, moved: 1, failed: [] });
    for (let i = 0; i < 20; i++)
      expect((await client.query('select $1::int as i', [i])).rows).toEqual([{ i }]);
    await warming;
    await client.end();
    await switchBack();
  });

  it('the caller is killed between commit and move: the proxy promotes and moves by itself', async () => {
    const client = await connect(proxy.url());
    await client.query(`set work_mem = '4MB'`);
    await warm();
    const caller = await RpcClient.connect<ProxyApi>(proxy.controlSocket);
    await caller.call('hold', {
      budgetMs: HOLD_MS,
      unmovable: 'rollback',
      cancelTransactions: false,
      operation: 'x',
    });
    expect(await caller.call('commit', {})).toMatchObject({ committed: true });
    expect(await gate()).toBe('committed');
    caller.close();
    const { rows } = await client.query<{ work_mem: string; recovery: boolean }>(
      `select current_setting('work_mem') as work_mem, pg_is_in_recovery() as recovery`,
    );
    expect(rows).toEqual([{ work_mem: '4MB', recovery: false }]);
    await eventually('the gate to open', async () => ((await gate()) === 'open' ? true : null));
    expect(await proxy.control.call('status', {})).toMatchObject({
      primary: { id: standby.id },
      gate: 'open',
    });
    await client.query('create table written_after (n int)');
    await client.end();
    await switchBack();
  });

  it('sessions survive many moves in a row, and every byte they sent is answered once', async () => {
    const client = await connect(proxy.url());
    await client.query('create table counted (n int)');
    let stop = false;
    let sent = 0;
    const load = (async () => {
      const loader: pg.Client = await connect(proxy.url());
      while (!stop) {
        await loader.query({ name: 'count', text: 'insert into counted values ($1)', values: [sent++] });
      }
      await loader.end();
    })();
    for (let i = 0; i < 3; i++) {
      const result = await switching.move(proxy);
      expect(result).toMatchObject({ failed: [], dropped: 0, moved: result.total });
      expect(result.total).toBeGreaterThanOrEqual(1);
      expect(result.holdMs.max).toBeLessThan(RELEASED_MS);
    }
    stop = true;
    await load;
    const { rows } = await client.query(
      'select count(*)::int as n, count(distinct n)::int as d, max(n) + 1 as m from counted',
    );
    expect(rows).toEqual([{ n: sent, d: sent, m: sent }]);
    expect(sent).toBeGreaterThan(20);
    await client.end();
  });
});
