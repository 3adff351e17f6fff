/** Rows 12 and 13, what other sessions can tell apart, through whole switches: no notification is lost or doubled, no lock is free. */
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DEFAULT_LIMITS, type MoveLimits } from '../../src/session-state/index.js';
import { connectPg, directTo, eventually, value, withPg } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { isInPlace, Switching } from '../support/switching.js';

let engines: TestEngines;
let switching: Switching;
let proxy: TestProxy;
const clients: pg.Client[] = [];

beforeAll(async () => {
  engines = await TestEngines.open();
  // Eight who carry much, at the same time, are more than the memory of a small container.
  const primary = await engines.primary('medium');
  switching = new Switching(engines, primary);
  await withPg(directTo(primary), (admin) => admin.query('create table sent (sender int, n int)'));
});
beforeEach(async () => {
  proxy = await TestProxy.start(engines, switching.primary);
});
afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end().catch(() => undefined)));
  await proxy.stop();
});
afterAll(async () => {
  await engines?.close();
});

const connect = async (): Promise<pg.Client> => {
  const client = await connectPg(proxy.url());
  clients.push(client);
  return client;
};
const rows = async (client: pg.Client, sql: string): Promise<unknown[]> =>
  (await client.query({ text: sql, rowMode: 'array' })).rows as unknown[];

describe('advisory locks', () => {
  const KEYS = ['7', '-1', '9223372036854775807', '-9223372036854775808', '1, 2', '-2147483648, 2147483647'];

  it('of every form move with their counts, twice, and no other session gets one meanwhile', async () => {
    const [holder, sharer, rival] = [await connect(), await connect(), await connect()];
    for (const [i, key] of KEYS.entries())
      for (let times = 0; times <= i % 3; times++) await holder.query(`select pg_advisory_lock(${key})`);
    await holder.query('select pg_advisory_lock_shared(50), pg_advisory_lock_shared(50)');
    await holder.query('select pg_advisory_lock(51), pg_advisory_lock_shared(51)');
    await sharer.query('select pg_advisory_lock_shared(50)');
    await holder.query('begin; select pg_advisory_xact_lock(60); commit');

    let tries = 0;
    let stop = false;
    const stolen: string[] = [];
    const rivalry = (async () => {
      while (!stop) {
        for (const key of [...KEYS, '50', '51'])
          if (await value(rival, `select pg_try_advisory_lock(${key})`)) stolen.push(key);
        tries++;
      }
    })();
    for (let i = 0; i < 2; i++) {
      const before = tries;
      const { moved, failed, stateMoved } = await switching.move(proxy);
      expect({ moved, failed }).toEqual({ moved: 3, failed: [] });
      expect(stateMoved.advisoryLocks).toBe(KEYS.length + 3 + 1);
      await eventually('the rival to go on', () => tries > before + 2);
    }
    stop = true;
    await rivalry;
    expect(stolen).toEqual([]);

    for (const [i, key] of KEYS.entries()) {
      const unlocked: unknown[] = [];
      for (let times = 0; times <= (i % 3) + 1; times++)
        unlocked.push(await value(holder, `select pg_advisory_unlock(${key})`));
      expect(unlocked, key).toEqual([...Array<boolean>((i % 3) + 1).fill(true), false]);
    }
    expect(await value(holder, 'select pg_advisory_unlock_shared(51)')).toBe(true);
    expect(await value(rival, 'select pg_try_advisory_lock_shared(51)')).toBe(false);
    expect(await value(holder, 'select pg_advisory_unlock(51)')).toBe(true);
    expect(await value(rival, 'select pg_try_advisory_lock(51)')).toBe(true);
    expect(
      await value(
        holder,
        `select count(*)::int from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()`,
      ),
    ).toBe(1);
    for (const expected of [true, true, false])
      expect(await value(holder, 'select pg_advisory_unlock_shared(50)')).toBe(expected);
    expect(await value(rival, 'select pg_try_advisory_lock(50)')).toBe(false);
    await sharer.query('select pg_advisory_unlock_shared(50)');
    expect(await value(rival, 'select pg_try_advisory_lock(50)')).toBe(true);
  });

  it('taken after the warm phase, or given up after it, are as they are at the hold', async () => {
    const [taker, giver] = [await connect(), await connect()];
    await giver.query('select pg_advisory_lock(70)');
    await proxy.control.call('check', { withinMs: 2_000 });
    await giver.query('select pg_advisory_unlock_all()');
    await taker.query('select pg_advisory_lock(71), pg_advisory_lock(71)');
    const { stateMoved, failed } = await switching.move(proxy);
    expect({ locks: stateMoved.advisoryLocks, failed }).toEqual({ locks: 1, failed: [] });
    expect(await value(giver, 'select pg_try_advisory_lock(70)')).toBe(true);
    expect(await value(giver, 'select pg_try_advisory_lock(71)')).toBe(false);
    for (const expected of [true, true, false])
      expect(await value(taker, 'select pg_advisory_unlock(71)')).toBe(expected);
  });

  it('a thousand of one session move', async () => {
    const [holder, rival] = [await connect(), await connect()];
    await holder.query('select pg_advisory_lock(100, g) from generate_series(1, 1000) g');
    const { stateMoved, failed } = await switching.move(proxy);
    expect({ locks: stateMoved.advisoryLocks, failed }).toEqual({ locks: 1_000, failed: [] });
    expect(
      await value(
        rival,
        'select count(*)::int from generate_series(1, 1000) g where pg_try_advisory_lock(100, g)',
      ),
    ).toBe(0);
  });
});

describe('LISTEN', () => {
  it('no notification is lost or doubled in a storm through three switches', async () => {
    const listeners = [await connect(), await connect()];
    const senders = [await connect(), await connect(), await connect()];
    const heard = listeners.map((): string[] => []);
    for (const [i, listener] of listeners.entries()) {
      await listener.query('listen storm');
      listener.on('notification', ({ payload }) => heard[i]?.push(payload?.trimEnd() ?? ''));
    }
    let stop = false;
    const storms = senders.map(async (sender, id) => {
      let n = 0;
      for (; !stop; n++) {
        const payload = `'${id} ${n}' || repeat(' ', ${n % 50 === 0 ? 7_900 : 10})`;
        await sender.query(
          `begin; insert into sent values (${id}, ${n}); select pg_notify('storm', ${payload}); commit`,
        );
        await sender.query(`begin; select pg_notify('storm', 'never'); rollback`);
      }
      return n;
    });
    for (let i = 0; i < 3; i++) {
      const { failed, stateMoved } = await switching.move(proxy);
      expect({ failed, listens: stateMoved.listens }).toEqual({ failed: [], listens: 2 });
    }
    stop = true;
    const sent = await Promise.all(storms);
    const expected = sent.map((count, id) => Array.from({ length: count }, (_, n) => `${id} ${n}`));
    await eventually('everything to be heard', () =>
      heard.every(({ length }) => length >= sent.reduce((sum, count) => sum + count, 0)),
    );
    for (const each of heard)
      expect(senders.map((_, id) => each.filter((payload) => payload.startsWith(`${id} `)))).toEqual(
        expected,
      );
    expect(heard.flat()).not.toContain('never');
    expect(await value(senders[0]!, 'select count(*)::int from sent')).toBe(expected.flat().length);
  });

  it('an old engine that dies before all is delivered: the session goes on, and the record says so; in place all was', async () => {
    const listener = await connect();
    await listener.query('listen news');
    const old = switching.primary;
    const { moved, lost } = await switching.move(proxy, () => engines.provider.stop(old, 'immediate'));
    expect(moved).toBe(1);
    expect(lost.map(({ what }) => what)).toEqual(
      isInPlace() ? [] : [expect.stringMatching(/^notifications, if there were any: /)],
    );
    expect(await rows(listener, 'select pg_listening_channels()')).toEqual([['news']]);
  });

  it('channels of any name; what was unlistened stays so; a listener of its own notifications', async () => {
    const client = await connect();
    const heard: string[] = [];
    client.on('notification', ({ channel }) => heard.push(channel));
    const names = ['plain', 'With "quotes"', 'ünïcode ✓', 'x'.repeat(63), 'a,b{}\\'];
    for (const name of names) await client.query(`listen ${client.escapeIdentifier(name)}`);
    await client.query('listen gone');
    await proxy.control.call('check', { withinMs: 2_000 });
    await client.query('unlisten gone');
    await switching.move(proxy);
    expect(await rows(client, 'select pg_listening_channels() order by 1')).toEqual(
      [...names].sort().map((name) => [name]),
    );
    for (const name of [...names, 'gone']) await client.query('select pg_notify($1, $2)', [name, '']);
    expect(heard).toEqual(names);
  });
});

describe('while sessions with much to carry move in the background', () => {
  const gate = async (): Promise<string> => (await proxy.control.call('status', {})).gate;
  /** Four of them, and the move that has begun. */
  const begin = async (
    count = 4,
    last: () => Promise<unknown> = () => Promise.resolve(),
    limits?: MoveLimits,
  ): Promise<{ slow: pg.Client[]; move: ReturnType<Switching['move']> }> => {
    const slow: pg.Client[] = [];
    for (let i = 0; i < count; i++) slow.push(await connect());
    for (const client of slow)
      await client.query(
        `declare long cursor with hold for select repeat('x', 200) from generate_series(1, 90000)`,
      );
    await last();
    const move = switching.move(proxy, undefined, limits);
    // What makes it fail is the reason, not that it did not begin.
    const failed = move.then(
      () => null,
      (error: unknown) => Promise.reject(error as Error),
    );
    await Promise.race([eventually('the move', async () => (await gate()) === 'moving', 30_000), failed]);
    return { slow, move };
  };

  it('a login need not wait until the last one has moved', async () => {
    const { move } = await begin();
    await withPg(proxy.url(), async (late) => {
      await late.query('create table early ()');
      expect(await gate()).toBe('moving');
    });
    expect((await move).failed).toEqual([]);
  });

  // The same queue in place; with a restart of the server on top it only takes longer.
  it.skipIf(isInPlace())('a client that sends is served at once, however many are before it', async () => {
    let light: pg.Client | undefined;
    const { move } = await begin(12, async () => (light = await connect()));
    expect(await value(light!, 'select 1')).toBe(1);
    expect(await gate()).toBe('moving');
    expect((await move).failed).toEqual([]);
  });

  it('each may take as long as all of them together do: they share the processors', async () => {
    // One of them is estimated at less than that.
    const { move } = await begin(16, undefined, { ...DEFAULT_LIMITS, sessionMs: 900 });
    expect(await move).toMatchObject({ failed: [], moved: 16 });
  });

  it('a client that vanishes is gone, with both of its backends, and no obstacle', async () => {
    const { slow, move } = await begin();
    for (const client of slow.slice(0, 2))
      (client as unknown as { connection: { stream: { destroy(): void } } }).connection.stream.destroy();
    expect(await move).toMatchObject({ failed: [], moved: 2 });
    for (const client of slow.slice(2)) expect(await value(client, 'fetch from long')).toBe('x'.repeat(200));
    await withPg(directTo(switching.primary), (admin) =>
      eventually('their backends to end', async () => {
        const backends = `select count(*)::int from pg_stat_activity where backend_type = 'client backend'
          and pid <> pg_backend_pid() and application_name <> 'dbproxy'`;
        return (await value(admin, backends)) === 2;
      }),
    );
  });

  // In place there is no other engine.
  it.skipIf(isInPlace())(
    'an old engine that dies takes what it alone knew with it: those sessions end with the reason, the others go on',
    async () => {
      const light = await connect();
      await light.query(`set app.kept = 'yes'`);
      const old = switching.primary;
      const { slow, move } = await begin();
      await engines.provider.stop(old, 'immediate');
      const { failed, moved } = await move;
      expect(moved + failed.length).toBe(5);
      expect(failed.length).toBeGreaterThan(0);
      expect(failed.every(({ reason }) => /terminating connection|closed the connection/.test(reason))).toBe(
        true,
      );
      expect(await value(light, `select current_setting('app.kept')`)).toBe('yes');
      const outcomes = await Promise.allSettled(slow.map((client) => client.query('fetch from long')));
      expect(outcomes.filter(({ status }) => status === 'rejected')).toHaveLength(failed.length);
    },
  );
});
