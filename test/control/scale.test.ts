/** `scale` with the real supervisor, proxy and engines, under a load that would notice. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { connectSupervisor } from '../../src/control/client.js';
import { MOVE_DEFAULTS } from '../../src/control/move-defaults.js';
import { Frontend, encode } from '../../src/protocol/index.js';
import { RawClient } from '../support/raw-client.js';
import { events, LiveHome, processesBelow, scale, status, until, Writer } from './live.js';

let live: LiveHome;
let url: string;
beforeAll(async () => {
  live = await LiveHome.open();
  ({ url } = await live.up('scale'));
});
afterAll(() => live.close());

const engines = async (): Promise<string[]> =>
  (await status('scale')).engines.map(({ id, role, size, state }) => `${id} ${role} ${size} ${state}`);

test('to large and back: every session moves, nothing is lost, one engine is left', async () => {
  const writer = await Writer.start(url);
  await writer.progressed();
  const up = await scale('scale', 'large');
  expect(up).toMatchObject({
    schema: 'dbproxy.move/1',
    operation: 'scale-1',
    outcome: 'completed',
    from: { engine: 'e1', size: 'small' },
    to: { engine: 'e2', size: 'large' },
    sessions: { total: 1, moved: 1, kept: 0, failed: [], dropped: 0 },
    error: null,
  });
  expect(Object.keys(up).slice(0, 3)).toEqual(['schema', 'operation', 'outcome']);
  expect(up.stateMoved.settings).toBeGreaterThanOrEqual(1);
  expect(up.holdMs.max).toBeGreaterThan(0);
  for (const ms of Object.values(up.phasesMs)) expect(ms).toBeGreaterThan(0);
  expect(await engines()).toEqual(['e2 primary large running']);
  await writer.progressed();
  expect(await scale('scale', 'small')).toMatchObject({
    outcome: 'completed',
    error: null,
    to: { engine: 'e3' },
  });
  await writer.progressed();
  expect(await writer.finish()).toBeGreaterThan(10);
  expect(await engines()).toEqual(['e3 primary small running']);
  expect(await processesBelow(`${live.home}/instances/scale/engines/e1`)).toEqual([]);
});

test('the size it has: done, nothing is touched', async () => {
  const before = await engines();
  expect(await scale('scale', 'small')).toMatchObject({
    outcome: 'completed',
    from: { engine: 'e3' },
    to: { engine: 'e3' },
    attempts: 0,
    sessions: { total: 0, moved: 0 },
  });
  expect(await engines()).toEqual(before);
});

test('a second one meanwhile is refused, with the progress of the first', async () => {
  const supervisor = await connectSupervisor('scale');
  const steps: string[] = [];
  let refused: unknown;
  const first = supervisor.call(
    'scale',
    { ...MOVE_DEFAULTS, to: 'medium', holdBudgetMs: 1_000, deadlineMs: 20_000, pauseAt: 'warm' },
    { onProgress: ({ step }) => steps.push(step) },
  );
  await until('the first one has come to where it pauses', () => steps.includes('warm'));
  refused = await scale('scale', 'large').catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: 'DBP_INSTANCE_BUSY' });
  expect((refused as Error).message).toMatch(/scale scale-\d+, warm/);
  expect(await engines()).toContainEqual(expect.stringMatching(/^e\d+ standby medium running$/));
  expect(steps.at(-1)).toBe('warm');
  await supervisor.call('goOn', {});
  expect(await first).toMatchObject({ outcome: 'completed', error: null });
  supervisor.close();
  expect(steps).toEqual(['provision', 'warm', 'drain', 'fence', 'catchup', 'promote', 'move', 'retire']);
  refused = null;
});

describe('a client that is idle in a transaction', () => {
  const open = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('begin');
    await client.query('select 1');
    return client;
  };

  test('keeps an operation waiting that can be given up; with nothing running there is nothing to give up', async () => {
    const holder = await open();
    const before = await engines();
    const supervisor = await connectSupervisor('scale');
    const steps: string[] = [];
    const params = { ...MOVE_DEFAULTS, to: 'large', deadlineMs: 60_000 } as const;
    const moved = supervisor.call('scale', params, { onProgress: ({ step }) => steps.push(step) });
    await until('the wait for its transaction', () => steps.includes('drain'));
    const { operation } = await status('scale');
    expect(await supervisor.call('cancel', {})).toEqual({
      schema: 'dbproxy.cancel/1',
      instance: 'scale',
      operation: 'scale',
      id: operation?.id,
      outcome: 'rolled-back',
    });
    const move = await moved;
    expect(move).toMatchObject({ outcome: 'rolled-back', error: { code: 'DBP_SWITCH_ROLLED_BACK' } });
    expect(move.error?.message).toMatch(/given up/);
    expect(await engines()).toEqual(before);
    await holder.query('commit');
    await holder.end();
    expect(await supervisor.call('cancel', {})).toMatchObject({ operation: null, outcome: null });
    supervisor.close();
  });

  test('rolls the operation back at the deadline and is named; nobody else waits longer than a budget', async () => {
    const holder = await open();
    const writer = await Writer.start(url);
    const before = await engines();
    const move = await scale('scale', 'large', { holdBudgetMs: 150, deadlineMs: 2_000 });
    expect(move).toMatchObject({ outcome: 'rolled-back', error: { code: 'DBP_SWITCH_DEADLINE' } });
    expect(move.error?.message).toMatch(/session \d+ \(postgres@postgres\) .*transaction/);
    expect(move.attempts).toBeGreaterThan(1);
    await writer.progressed();
    await writer.finish();
    await holder.query('commit');
    await holder.end();
    expect(await engines()).toEqual(before);
    const slots = new pg.Client({ connectionString: url });
    await slots.connect();
    const { rows } = await slots.query<{ n: number }>('select count(*)::int as n from pg_replication_slots');
    await slots.end();
    expect(rows).toEqual([{ n: 0 }]);
    expect((await events('scale')).filter(({ type }) => type === 'operation.attempt').length).toBeGreaterThan(
      1,
    );
  });

  test('is cancelled with 40001 when that was asked for, and its session moves', async () => {
    const holder = await open();
    const move = await scale('scale', 'large', { holdBudgetMs: 300, deadlineMs: 2_500, onTimeout: 'cancel' });
    const canceled = [{ reason: expect.stringMatching(/^has been idle in a transaction for/) as string }];
    expect(move).toMatchObject({ outcome: 'completed', error: null, sessions: { moved: 1, canceled } });
    await expect(holder.query('select 1')).rejects.toMatchObject({ code: '40001' });
    await holder.query('rollback');
    expect((await holder.query<{ n: number }>('select 5 as n')).rows).toEqual([{ n: 5 }]);
    await holder.end();
  });
});

test('a canceled COPY that its engine does not notice in time: rolled back, and the record names the session', async () => {
  const { port } = new URL(url);
  const [user, password] = [
    decodeURIComponent(new URL(url).username),
    decodeURIComponent(new URL(url).password),
  ];
  const client = await RawClient.login(Number(port), { user, password });
  client.send(encode.query('create temp table mine (n int)'));
  await client.answer();
  client.send(encode.query('copy mine from stdin'));
  await client.answer('G');
  const line = encode.message(Frontend.CopyData, Buffer.from('123\n'));
  client.send(line.subarray(0, 7));
  const move = await scale('scale', 'xlarge', { holdBudgetMs: 300, deadlineMs: 2_500, onTimeout: 'cancel' });
  expect(move).toMatchObject({
    outcome: 'rolled-back',
    sessions: { canceled: [{ reason: expect.stringMatching(/^has been in COPY for [\d.]+ s$/) as string }] },
    error: {
      code: 'DBP_SWITCH_DEADLINE',
      message: expect.stringContaining('canceled, which its engine has not') as string,
    },
  });
  client.send(line.subarray(7));
  expect(await client.answer()).toMatchObject({ errors: ['40001'], status: 'I' });
  client.close();
});

describe('a session that holds more than it may', () => {
  const LIMITS = { tempBytes: 0, cursorRows: 10, sessionMs: 5_000 };
  const open = async (): Promise<pg.Client> => {
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('declare long_one scroll cursor with hold for select g from generate_series(1, 11) g');
    return client;
  };

  test('rolls the operation back at once, and is named with its limit; with the default limit it moves', async () => {
    const client = await open();
    const move = await scale('scale', 'medium', { sessionLimits: LIMITS });
    expect(move).toMatchObject({
      outcome: 'rolled-back',
      attempts: 0,
      lost: [],
      error: { code: 'DBP_SWITCH_UNMOVABLE' },
    });
    expect(move.error?.message).toMatch(/session \d+ .* holds held cursor long_one: more than 10 rows/);
    expect(await scale('scale', 'medium')).toMatchObject({
      outcome: 'completed',
      error: null,
      sessions: { moved: 1 },
    });
    expect((await client.query('fetch all from long_one')).rowCount).toBe(11);
    await client.end();
  });

  test('is waited for when that was asked for, without holding anybody, and moves when it can', async () => {
    const [client, writer] = [await open(), await Writer.start(url)];
    const waiting = scale('scale', 'small', { sessionLimits: LIMITS, unmovable: 'wait' });
    await until('an attempt was given up', async () =>
      (await events('scale')).some(
        ({ type, message }) => type === 'operation.attempt' && message.includes('long_one'),
      ),
    );
    await writer.progressed();
    await client.query('close long_one');
    expect(await waiting).toMatchObject({
      outcome: 'completed',
      error: null,
      sessions: { moved: 2, dropped: 0 },
    });
    await writer.finish();
    await client.end();
  });

  test('is waited for no longer than the deadline', async () => {
    const client = await open();
    const move = await scale('scale', 'large', {
      sessionLimits: LIMITS,
      unmovable: 'wait',
      deadlineMs: 2_000,
    });
    expect(move).toMatchObject({ outcome: 'rolled-back', error: { code: 'DBP_SWITCH_DEADLINE' } });
    expect(move.error?.message).toMatch(/held cursor long_one: more than 10 rows/);
    expect((await client.query('fetch all from long_one')).rowCount).toBe(11);
    await client.end();
  });
});

test('what a session loses is in the record and in the event log', async () => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('select setseed(0.5)');
  const { lost } = await scale('scale', 'large');
  expect(lost).toEqual([
    { id: expect.any(Number) as unknown, what: 'the position of random() after setseed()' },
  ]);
  expect((await events('scale')).filter(({ type }) => type === 'session.lost')).toMatchObject([
    { message: expect.stringMatching(/session \d+ may have lost the position of random/) as unknown },
  ]);
  await client.end();
});

test('down while it runs: both engines go, the data is that of the primary', async () => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  await client.query('create table stays as select 9 as n');
  await client.end();
  const supervisor = await connectSupervisor('scale');
  const steps: string[] = [];
  const running = supervisor
    .call(
      'scale',
      { to: 'small', holdBudgetMs: 500, deadlineMs: 20_000, onTimeout: 'rollback', unmovable: 'rollback' },
      { onProgress: ({ step }) => steps.push(step) },
    )
    .catch((error: unknown) => error);
  await until('it provisions', () => steps.length > 0);
  const { stopInstance } = await import('../../src/control/client.js');
  await stopInstance('scale');
  await running;
  supervisor.close();
  expect(await processesBelow(live.home)).toEqual([]);
  ({ url } = await live.up('scale'));
  const again = new pg.Client({ connectionString: url });
  await again.connect();
  expect((await again.query<{ n: number }>('select n from stays')).rows).toEqual([{ n: 9 }]);
  await again.end();
  expect(await engines()).toHaveLength(1);
});

test('a proxy whose sessions leave no place for a query of ours: it serves them, and is not taken for one that does not', async () => {
  const { url: full } = await live.up('full', { maxSessions: 1 });
  const client = new pg.Client({ connectionString: full });
  await client.connect();
  await client.query('begin');
  const supervisor = await connectSupervisor('full');
  const limits = { ...MOVE_DEFAULTS, deadlineMs: 1_000 };
  expect(await supervisor.call('scale', { ...limits, to: 'medium' })).toMatchObject({
    outcome: 'rolled-back',
  });
  supervisor.close();
  expect(await status('full')).toMatchObject({ state: 'running' });
  const told = (await events('full')).filter(({ message }) => message.startsWith('not repaired yet'));
  expect(told).toEqual([]);
  await client.query('commit');
  await client.end();
});
