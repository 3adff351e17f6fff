/** kill -9 at every step of a switchover: of the supervisor, of the target, of the proxy. Under a load that would notice. */
import { access } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startInstance } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { SWITCHOVER_STEPS, type SwitchoverStep } from '../../src/switchover/index.js';
import { Pause } from '../support/pause.js';
import {
  crashEngine,
  events,
  killSupervisor,
  LiveHome,
  pausing,
  SCALE,
  status,
  until,
  Writer,
} from './live.js';

const NAME = 'crash';
let live: LiveHome;
let url: string;
beforeAll(async () => {
  live = await LiveHome.open();
  ({ url } = await live.up(NAME));
});
afterAll(() => live.close());

/** Has a new supervisor that pauses at this step; then begins a scale, and waits until it is there. */
async function scaleUntil(step: SwitchoverStep): Promise<{ ended: Promise<unknown> }> {
  const pause = new Pause(step, live.home);
  const supervisor = await pausing(NAME, pause);
  const size = (await supervisor.call('status', {})).engines.find(({ role }) => role === 'primary')?.size;
  const running = supervisor
    .call('scale', { ...SCALE, holdBudgetMs: 3_000, to: size === 'large' ? 'small' : 'large' })
    .catch((error: unknown) => error)
    .finally(() => supervisor.close());
  await pause.reached();
  return { ended: running };
}

/** What must be true after any crash and repair. */
async function expectHealthy(): Promise<string> {
  const now = await status(NAME);
  expect(now.state).toBe('running');
  expect(now.operation).toBeNull();
  expect(now.engines.map(({ role, state }) => `${role} ${state}`)).toEqual(['primary running']);
  await expect(access(InstanceDirectory.of(NAME).paths.operationFile)).rejects.toThrow('ENOENT');
  return now.engines[0]?.id ?? '';
}

describe.each(SWITCHOVER_STEPS)('supervisor killed at %s', (step) => {
  const committed = step === 'promote' || step === 'move' || step === 'retire';

  test(`clients do not notice; the next command ${committed ? 'finishes it' : 'rolls it back'}`, async () => {
    const before = await expectHealthy();
    const writer = await Writer.start(url);
    await writer.progressed();
    const running = await scaleUntil(step);
    await killSupervisor(NAME);
    await running.ended;
    // Without anybody's help: a hold runs out by itself, a commit is finished by the proxy.
    await writer.progressed();
    const after = await expectHealthy();
    await writer.progressed();
    await writer.finish();
    expect(after === before).toBe(!committed);
    const last = (await events(NAME)).findLast(({ type }) =>
      /^operation\.(completed|rolled-back)$/.test(type),
    );
    expect(last?.type).toBe(committed ? 'operation.completed' : 'operation.rolled-back');
    expect(last?.data).toMatchObject({ repaired: true });
  });
});

describe('target killed', () => {
  test.each(['warm', 'drain', 'catchup'] as const)(
    'at %s, before promotion: rolled back, nobody notices',
    async (step) => {
      const before = await expectHealthy();
      const writer = await Writer.start(url);
      const pause = new Pause(step, live.home);
      const supervisor = await pausing(NAME, pause);
      const running = supervisor.call('scale', { ...SCALE, holdBudgetMs: 3_000, to: 'xlarge' });
      await pause.reached();
      const target = (await supervisor.call('status', {})).engines.find(({ role }) => role === 'standby');
      await crashEngine(target!);
      await pause.goOn();
      const move = await running;
      supervisor.close();
      expect(move).toMatchObject({ outcome: 'rolled-back', error: { code: 'DBP_SWITCH_ROLLED_BACK' } });
      await writer.progressed();
      await writer.finish();
      expect(await expectHealthy()).toBe(before);
    },
  );
});

test('supervisor and proxy killed between commit and promotion: one primary, no acknowledged row lost', async () => {
  const writer = await Writer.start(url);
  await writer.progressed();
  const running = await scaleUntil('promote');
  const proxy = await InstanceDirectory.of(NAME).readProxy();
  await killSupervisor(NAME);
  process.kill(proxy!.process.pid, 'SIGKILL');
  await running.ended;
  await until('the writer saw its connection break', () => writer.error !== null);
  expect(await startInstance({ name: NAME })).toMatchObject({ alreadyRunning: false });
  await expectHealthy();
  const again = await Writer.count(url);
  // The row that was under way may have been committed or not; none that was acknowledged is missing.
  expect(again - writer.acknowledged).toBeGreaterThanOrEqual(0);
  expect(again - writer.acknowledged).toBeLessThanOrEqual(1);
  const fresh = await Writer.start(url);
  await fresh.progressed();
  await fresh.finish();
});

test('proxy killed in the middle of statements: none of them keeps its locks', async () => {
  const writer = await Writer.start(url);
  await writer.progressed();
  await writer.finish();
  const holder = new pg.Client({ connectionString: url });
  holder.on('error', () => undefined);
  await holder.connect();
  const runs = holder.query('begin; lock table written; select pg_sleep(600)');
  runs.catch(() => undefined);
  await until('it runs', async () =>
    (await status(NAME)).sessions.some(({ query }) => query?.includes('pg_sleep')),
  );
  const before = (await status(NAME)).proxy?.pid ?? 0;
  process.kill(before, 'SIGKILL');
  await expect(runs).rejects.toThrow();
  await until('another proxy runs', async () => {
    const { state, proxy } = await status(NAME);
    return state === 'running' && proxy?.pid !== before;
  });
  await expectHealthy();
  await until('the lock is free', () =>
    Writer.count(url).then(
      () => true,
      () => false,
    ),
  );
});
