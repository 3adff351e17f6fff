/**
 * The proxy's process of one of several writers is replaced under its clients (`patch --self`): they stand still, its next incarnation
 * opens, and they go on there with all that they had.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { readProcessStat } from '../../../src/engine/process-identity.js';
import { eventually, value } from '../../support/clients.js';
import { encode } from '../../../src/protocol/index.js';
import { routeTo } from '../../support/engines.js';
import { Pause } from '../../support/pause.js';
import { successorsOf, THIS_BUILD } from '../../support/proxies.js';
import { RawClient } from '../../support/raw-client.js';
import type { HandoverResult } from '../../../src/proxy/control-api.js';
import { retrying, TestCluster, type Member } from './cluster.js';

const LONG_MS = 120_000;

let cluster: TestCluster;
let clients: pg.Client[] = [];

const start = async (): Promise<void> => {
  cluster = await TestCluster.start();
  const a = await connect(first());
  await a.query('create table account (id int primary key, balance int not null)');
  await a.query('insert into account select g, 100 from generate_series(1, 20) g');
  await cluster.atRest();
  await leave();
};
const first = (): Member => cluster.members[0]!;
const second = (): Member => cluster.members[1]!;
const connect = async (member: Member): Promise<pg.Client> => {
  const client = await member.connect();
  client.on('error', () => undefined);
  clients.push(client);
  return client;
};

/** The first one leads, and its process stops at that step of a handover. */
const startPausing = async (step: string): Promise<Pause> => {
  const pause = new Pause(step, cluster.engines.home);
  await first().kill();
  await first().start(pause.env);
  await cluster.lead(0);
  await first().isOpen();
  return pause;
};

const leave = async (): Promise<void> => {
  await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  clients = [];
};

describe('what sessions have', () => {
  beforeAll(start);
  afterEach(leave);
  afterAll(() => cluster?.close());

  it.each([
    ['the primary', 0],
    ['another writer', 1],
  ])(
    'of %s is there in the new process: state, prepared statements, read mode, backend',
    async (_what, at) => {
      const member = cluster.members[at]!;
      const client = await connect(member);
      const heard: string[] = [];
      client.on('notification', ({ payload }) => heard.push(payload ?? ''));
      await client.query('create temporary table kept (n int); insert into kept values (1), (2)');
      await client.query('listen news');
      await client.query('select pg_advisory_lock(7)');
      await client.query(`set dbproxy.read_mode = 'global'`);
      const begin = { name: 'b', text: 'begin' };
      const commit = { name: 'c', text: 'commit' };
      const add = { name: 'add', text: 'update account set balance = balance + $1 where id = $2' };
      // A COMMIT that is prepared: of one that the new process knew nothing of it would not know that it is one.
      const transaction = async (): Promise<void> => {
        await client.query(begin);
        await client.query({ ...add, values: [1, 1 + at] });
        await client.query(commit);
      };
      await retrying(transaction);
      await client.query('begin; declare c cursor with hold for select generate_series(1, 5); commit');
      await client.query('fetch 2 from c');
      const pid = await value(client, 'select pg_backend_pid()');
      const { incarnation } = await member.status();
      const before = member.proxy!.pid;

      const { sessions, holdMs } = await member.handOver();
      expect(sessions).toEqual({ handed: 1, lost: [] });
      expect(holdMs.max).toBeGreaterThan(0);
      expect(member.proxy!.pid).not.toBe(before);
      expect(await member.status()).toMatchObject({ incarnation: incarnation + 1, state: 'open' });

      await retrying(transaction);
      expect(await value(client, 'select pg_backend_pid()')).toBe(pid);
      expect(await value(client, 'select count(*)::int from kept')).toBe(2);
      expect((await client.query('fetch 1 from c')).rows).toEqual([{ generate_series: 3 }]);
      expect(await value(client, 'show dbproxy.read_mode')).toBe('global');
      await client.query(`notify news, 'still'`);
      await eventually('the notification', () => heard.includes('still'));
      expect(await value(client, `select count(*)::int from pg_locks where locktype = 'advisory'`)).toBe(1);
      // And what it writes is certified still: elsewhere it is there, and what is known there collides with it.
      const other = await connect(cluster.members[1 - at]!);
      await cluster.atRest();
      expect(await value(other, `select balance from account where id = ${1 + at}`)).toBe(102);
      await client.query('begin; update account set balance = 0 where id = 20');
      await other.query('begin; update account set balance = 1 where id = 20');
      const ends = await Promise.allSettled([client.query('commit'), other.query('commit')]);
      expect(ends.filter(({ status }) => status === 'rejected')).toMatchObject([
        { reason: { code: '40001' } },
      ]);
      await cluster.atRest();
    },
  );

  it('again and again, with nobody at the other writer: it leads by itself', async () => {
    await second().kill();
    const client = await connect(first());
    for (let time = 1; time <= 3; time++) {
      await first().handOver();
      await retrying(() => client.query('update account set balance = balance + 1 where id = 9'));
    }
    expect(await value(client, 'select balance from account where id = 9')).toBe(103);
    expect((await first().status()).leads).not.toBeNull();
    await second().start();
    await second().isOpen();
    await cluster.atRest();
  });

  it('a client that pipelines on and on, and whose batches fail: it goes over, and each is answered once', async () => {
    const raw = await RawClient.login(first().port);
    let [sent, answered, isOver] = [0, 0, false];
    const ask = (): void => {
      const statements = [`insert into account values (${1000 + ++sent}, 1) returning id`, 'select 1/0'];
      const batch = statements.flatMap((sql) => [
        encode.parse('', sql),
        encode.bind('', '', []),
        encode.execute(),
      ]);
      raw.send(...batch, encode.sync());
    };
    const asking = async (): Promise<void> => {
      for (let i = 0; i < 300; i++) ask();
      while (answered < sent) {
        const { rows, errors } = await raw.answer();
        expect({ rows, errors }).toEqual({ rows: [[String(1000 + ++answered)]], errors: ['22012'] });
        if (!isOver) ask();
      }
    };
    const asked = asking();
    asked.catch(() => undefined);
    await eventually('it to be at work', () => answered > 300);
    const { sessions } = await first().handOver({ deadlineMs: 10_000 });
    expect(sessions).toEqual({ handed: 1, lost: [] });
    isOver = true;
    await asked;
    raw.close();
  });

  it('the unnamed statement, between its Parse and its Bind', async () => {
    const client = await connect(first());
    // pg's own unnamed statement of the query before, which a Bind may use once more.
    await client.query('select $1::int as n', [1]);
    await first().handOver();
    expect((await client.query('select $1::int as n', [2])).rows).toEqual([{ n: 2 }]);
  });
});

describe('whoever is at work', () => {
  beforeAll(start);
  afterEach(leave);
  afterAll(() => cluster?.close());

  it(
    'loses nothing and sees no error: transfers on both writers, with each replaced three times',
    async () => {
      let isOver = false;
      const counted = { done: 0, failed: [] as unknown[] };
      const work = async (client: pg.Client, n: number): Promise<void> => {
        for (let i = 0; !isOver; i++) {
          const [from, to] = [1 + ((n * 7 + i) % 20), 1 + ((n * 11 + i * 3 + 1) % 20)];
          // In one order, or they deadlock.
          const steps = [
            [from, -1],
            [to, 1],
          ].sort(([a = 0], [b = 0]) => a - b);
          try {
            await retrying(async () => {
              await client.query('begin');
              try {
                for (const step of steps)
                  await client.query('update account set balance = balance + $2 where id = $1', step);
                await client.query('commit');
              } catch (error) {
                await client.query('rollback');
                throw error;
              }
            });
            counted.done++;
          } catch (error) {
            counted.failed.push(error);
            return;
          }
        }
      };
      const all = await Promise.all(
        [0, 1, 2, 3, 4, 5].map((n) => connect(cluster.members[n % 2]!).then((client) => ({ client, n }))),
      );
      const working = all.map(({ client, n }) => work(client, n));
      for (const member of [first(), second(), first(), second(), first(), second()]) {
        const { sessions } = await member.handOver();
        expect(sessions.lost).toEqual([]);
        const before = counted.done;
        await eventually('work to go on', () => counted.done > before + 20);
      }
      isOver = true;
      await Promise.all(working);
      expect(counted.failed).toEqual([]);
      await cluster.atRest();
      expect(await value(all[0]!.client, 'select sum(balance)::int from account')).toBe(2_000);
    },
    LONG_MS,
  );

  it('with a transaction is waited for; and after the deadline it goes on where it is', async () => {
    const client = await connect(first());
    await client.query('begin; update account set balance = balance where id = 1');
    const before = first().proxy!.pid;
    const refused = first().handOver({ deadlineMs: 600 });
    await expect(refused).rejects.toThrow(/session \d+ has been idle in a transaction for/);
    await first().proxy!.reconnect();
    expect(first().proxy!.pid).toBe(before);
    expect(successorsOf(before)).toEqual([]);
    await client.query('commit');

    await client.query('begin; update account set balance = balance where id = 1');
    const waits: (string | undefined)[] = [];
    const handover = first().proxy!.control.call(
      'handover',
      { program: THIS_BUILD, writer: cluster.handoverOf(first()) },
      { timeoutMs: 60_000, onProgress: ({ waitsFor }) => waits.push(waitsFor) },
    );
    await eventually('somebody to be waited for', () => waits.length > 0);
    expect(waits[0]).toMatch(/^session \d+ has been idle in a transaction/);
    await client.query('commit');
    expect((await handover).sessions).toEqual({ handed: 1, lost: [] });
    await first().proxy!.reconnect();
    expect(await value(client, 'select balance from account where id = 1')).toBeTypeOf('number');
  });

  const waiting = async (): Promise<{ client: pg.Client; handover: Promise<HandoverResult> }> => {
    const client = await connect(first());
    await client.query('begin; update account set balance = balance where id = 1');
    const waits: (string | undefined)[] = [];
    const handover = first().proxy!.control.call(
      'handover',
      { program: THIS_BUILD, writer: cluster.handoverOf(first(), { deadlineMs: 60_000 }) },
      { onProgress: ({ waitsFor }) => waits.push(waitsFor) },
    );
    handover.catch(() => undefined);
    await eventually('somebody to be waited for', () => waits.length > 0);
    return { client, handover };
  };

  const goesOnAsItWas = async (client: pg.Client, pid: number): Promise<void> => {
    expect(successorsOf(pid)).toEqual([]);
    await client.query('commit');
    expect(await first().isOpen()).toMatchObject({ state: 'open' });
    await first().proxy!.reconnect();
    expect(first().proxy!.pid).toBe(pid);
    await retrying(() => client.query('update account set balance = balance where id = 1'));
    await first().handOver();
    await retrying(() => client.query('update account set balance = balance where id = 1'));
  };

  it('with a transaction that is waited for goes on when that is given up', async () => {
    const { pid } = first().proxy!;
    const { client, handover } = await waiting();
    await first().proxy!.control.call('giveUpHandover', {});
    await expect(handover).rejects.toMatchObject({ code: 'DBP_SWITCH_ROLLED_BACK' });
    await goesOnAsItWas(client, pid);
  });

  it('with a transaction is not waited for once the new process has ended', async () => {
    const { pid } = first().proxy!;
    const { client, handover } = await waiting();
    process.kill(successorsOf(pid)[0]!, 'SIGKILL');
    await expect(handover).rejects.toThrow(/the new process ended \(SIGKILL\)/);
    await goesOnAsItWas(client, pid);
  });

  it('goes on at once when that is given up while everybody stands still', async () => {
    const pause = await startPausing('handover.still');
    const { pid } = first().proxy!;
    const client = await connect(first());
    await client.query('select 1');
    const writer = cluster.handoverOf(first());
    const handover = first().proxy!.control.call('handover', { program: THIS_BUILD, writer });
    handover.catch(() => undefined);
    await pause.reached();
    const asked = retrying(() => client.query('update account set balance = balance where id = 4'));
    await first().proxy!.control.call('giveUpHandover', {});
    await pause.goOn();
    await expect(handover).rejects.toMatchObject({ code: 'DBP_SWITCH_ROLLED_BACK' });
    await asked;
    // It has not made way: the same incarnation goes on.
    expect((await first().isOpen()).incarnation).not.toBe(writer.spare);
    await first().proxy!.reconnect();
    expect(first().proxy!.pid).toBe(pid);
    expect(successorsOf(pid)).toEqual([]);
  });

  it('is not held where another process could not open: without a majority of the storage nodes', async () => {
    const client = await connect(first());
    const nodes = cluster.store!.nodes.slice(1);
    for (const node of nodes) await node.kill();
    await eventually('the writer to notice', async () => {
      const status = await first().status();
      return status.nodes.filter(({ reachable }) => reachable).length === 1;
    });
    await expect(first().handOver()).rejects.toThrow(/the writer has no majority of its storage nodes/);
    expect(await value(client, 'select count(*)::int from account')).toBe(20);
    for (const node of nodes) {
      node.spawn({ isNew: false });
      await node.is('in-service');
    }
    await eventually('them to be back', async () => {
      const status = await first().status();
      return status.nodes.every(({ reachable }) => reachable);
    });
    await first().handOver();
    await retrying(() => client.query('update account set balance = balance where id = 3'));
  });

  it('with a transaction is told so where it is canceled', async () => {
    const client = await connect(first());
    await client.query('begin; update account set balance = -5 where id = 2');
    const { sessions } = await first().handOver({ deadlineMs: 300, onTimeout: 'cancel' });
    expect(sessions).toEqual({ handed: 1, lost: [] });
    await expect(client.query('select 1')).rejects.toMatchObject({ code: '40001' });
    await client.query('rollback');
    expect(await value(client, 'select balance from account where id = 2')).not.toBe(-5);
    await retrying(() => client.query('update account set balance = balance where id = 2'));
  });
});

/** The process that is paused stops there; the first of three sessions goes over alone (batches of 1, 2, 3). */
const CLIENTS = 3;
const KILLS = [
  { kill: 'new', at: 'handover.prepared', survive: CLIENTS },
  { kill: 'new', at: 'handover.still', survive: CLIENTS },
  { kill: 'new', at: 'handover.listening', survive: CLIENTS },
  { kill: 'new', at: 'handover.successor.writes', survive: CLIENTS },
  { kill: 'new', at: 'handover.writes', survive: CLIENTS },
  { kill: 'new', at: 'handover.sessions', survive: CLIENTS },
  { kill: 'new', at: 'handover.adopted', survive: CLIENTS },
  { kill: 'new', at: 'handover.go', survive: CLIENTS - 1 },
  { kill: 'old', at: 'handover.still', survive: 0 },
  { kill: 'old', at: 'handover.listening', survive: 0 },
  { kill: 'old', at: 'handover.successor.writes', survive: 0 },
  { kill: 'old', at: 'handover.writes', survive: 0 },
  { kill: 'old', at: 'handover.sessions', survive: 1 },
  { kill: 'old', at: 'handover.go', survive: 1 },
] as const;

describe('kill -9 in the middle', () => {
  beforeAll(start);
  afterEach(async () => {
    await leave();
    await first().kill();
  });
  afterAll(() => cluster?.close());

  it.each(KILLS)(
    'of the $kill process at $at: $survive sessions go on, and nothing is lost',
    async ({ kill, at, survive }) => {
      const pause = await startPausing(at);
      const old = first().proxy!.pid;
      const mine = await Promise.all(Array.from({ length: CLIENTS }, () => connect(first())));
      const watcher = await connect(second());
      const sum = async (): Promise<number> =>
        (await value(watcher, 'select sum(balance)::int from account')) as number;
      await Promise.all(
        mine.map((client, n) =>
          retrying(() => client.query(`update account set balance = balance + 1 where id = ${n + 1}`)),
        ),
      );
      await cluster.atRest();
      const before = await sum();
      const asks = cluster.handoverOf(first());
      const handover = first().proxy!.control.call('handover', { program: THIS_BUILD, writer: asks });
      const outcome = handover.then(
        () => 'done',
        (error: Error) => error.message,
      );
      await pause.reached();
      const [successor] = successorsOf(old);
      expect(successor).toBeDefined();
      // Asked while everybody stands still: it is answered by whoever has them then.
      const asked = Promise.allSettled(
        mine.map((client, n) =>
          retrying(() => client.query(`update account set balance = balance + 1 where id = ${n + 1}`)),
        ),
      );
      const killed = kill === 'new' ? successor! : old;
      process.kill(killed, 'SIGKILL');
      await eventually('its end', () => readProcessStat(killed) === null);
      await pause.goOn();

      expect(await outcome).not.toBe('done');
      const isAnybodyLeft = at !== 'handover.still';
      if (kill === 'new') {
        expect(await first().call('status', {})).toMatchObject({ pid: old });
      } else if (isAnybodyLeft) {
        await first().proxy!.reconnect();
        expect(first().proxy!.pid).toBe(successor);
      } else {
        await first().kill();
        await first().start();
      }
      await cluster.lead(0);
      const { incarnation } = await first().isOpen();
      // Whoever listened before hears of the incarnation that the same process opens once more.
      if (incarnation === asks.spare)
        expect(first().events).toContainEqual(expect.objectContaining({ kind: 'opened', incarnation }));
      const alive = (await asked).filter(({ status }) => status === 'fulfilled').length;
      expect(alive).toBe(survive);
      const late = await connect(first());
      await retrying(() => late.query('update account set balance = balance + 1 where id = 10'));
      await cluster.atRest();
      // Of those that died a statement may have been committed before.
      const after = await sum();
      expect(after).toBeGreaterThanOrEqual(before + alive + 1);
      expect(after).toBeLessThanOrEqual(before + CLIENTS + 1);
    },
    LONG_MS,
  );
});

describe('while everybody stands still', () => {
  beforeAll(start);
  afterEach(async () => {
    await leave();
    await first().kill();
  });
  afterAll(() => cluster?.close());

  /** Begins it, and lets it stop there; `go` lets it go on. */
  const pausedAt = async (
    step: string,
  ): Promise<{ handover: Promise<HandoverResult>; go: () => Promise<void> }> => {
    const pause = await startPausing(step);
    await connect(first());
    const handover = first().proxy!.control.call('handover', {
      program: THIS_BUILD,
      writer: cluster.handoverOf(first()),
    });
    handover.catch(() => undefined);
    await pause.reached();
    return { handover, go: () => pause.goOn() };
  };

  it(
    'their engine dies: they are told so, and new ones are served by the next',
    async () => {
      const { handover, go } = await pausedAt('handover.still');
      const [client] = clients;
      const asked = client!.query('select 1');
      asked.catch(() => undefined);
      await first().killEngine();
      await go();
      await expect(handover).rejects.toThrow('the proxy was not replaced');
      await expect(asked).rejects.toThrow();
      await first().startEngine();
      await first().call('route', { engine: routeTo(first().engine) });
      await cluster.lead(0);
      await first().isOpen();
      const late = await connect(first());
      await retrying(() => late.query('update account set balance = balance + 1 where id = 3'));
      await cluster.atRest();
    },
    LONG_MS,
  );

  it(
    'another writer commits what the leader has to decide',
    async () => {
      const { handover, go } = await pausedAt('handover.writes');
      // Two nodes alone do not accept anything at once. What is said to nobody is said again after 6 s.
      const away = cluster.store!.nodes[2]!;
      away.child!.kill('SIGSTOP');
      try {
        const client = await connect(second());
        const written = client.query('update account set balance = balance + 1 where id = 4').then(
          () => 'committed',
          (error: Error) => error.message,
        );
        expect(await Promise.race([written, delay(5_000).then(() => 'waits')])).toBe('committed');
      } finally {
        away.child!.kill('SIGCONT');
        await go();
      }
      await handover;
      await first().proxy!.reconnect();
    },
    LONG_MS,
  );

  it(
    'the new process cannot open, and the old one dies: there is one that answers, and opens when it can',
    async () => {
      const { go } = await pausedAt('handover.still');
      const { pid } = first().proxy!;
      const [successor] = successorsOf(pid);
      const nodes = cluster.store!.nodes.slice(1);
      for (const { child } of nodes) child!.kill('SIGSTOP');
      try {
        await go();
        await eventually('the old writer to have made way', async () => {
          const { state } = await first().status();
          return state === 'stopped';
        });
        process.kill(pid, 'SIGKILL');
        await first().proxy!.reconnect();
        expect(first().proxy!.pid).toBe(successor);
      } finally {
        for (const { child } of nodes) child!.kill('SIGCONT');
      }
      await cluster.lead(0);
      await first().isOpen();
      const late = await connect(first());
      await retrying(() => late.query('update account set balance = balance + 1 where id = 3'));
      await cluster.atRest();
    },
    LONG_MS,
  );
});

describe('who logs in meanwhile', () => {
  beforeAll(start);
  afterEach(leave);
  afterAll(() => cluster?.close());

  it.each([
    'handover.still',
    'handover.listening',
    'handover.successor.writes',
    'handover.writes',
    'handover.sessions',
  ])(
    'at %s gets in, and writes',
    async (at) => {
      const pause = await startPausing(at);
      await connect(first());
      const handover = first().handOver();
      await pause.reached();
      const comes = connect(first());
      await delay(50);
      await pause.goOn();
      const client = await comes;
      expect((await handover).sessions.lost).toEqual([]);
      await retrying(() => client.query('update account set balance = balance + 1 where id = 5'));
      await cluster.atRest();
    },
    LONG_MS,
  );
});
