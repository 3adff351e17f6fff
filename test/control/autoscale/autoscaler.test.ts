/** The autoscaler with real instances: what it survives, what holds it back, what it does when a change fails. */
import { readFile, writeFile } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AutoscalePolicy, AutoscaleResult, LogEvent } from '../../../src/control/api.js';
import { connectSupervisor, startInstance, stopInstance } from '../../../src/control/client.js';
import { InstanceDirectory } from '../../../src/control/instance-directory.js';
import { replaceSelf } from '../../../src/control/replace-self.js';
import type { SizeName } from '../../../src/engine/types.js';
import { BusyClients } from '../../support/busy-clients.js';
import { hasDocker, IMAGE } from '../../support/docker/index.js';
import { freePort } from '../../support/free-port.js';
import { Pause } from '../../support/pause.js';
import { events, killSupervisor, LiveHome, pausing, scale, status, until, Writer } from '../live.js';

const LONG_MS = 300_000;
/** A machine that does other things, too, makes a standby in half a minute. */
const SWITCH_MS = 120_000;
/** Nothing is ever above this: only the bounds have it act. */
const CALM = { cpuAbovePercent: 10_000, cpuBelowPercent: 0, queueAbove: null, forMs: 1_000 } as const;

let live: LiveHome;
beforeAll(async () => {
  live = await LiveHome.open();
});
afterAll(() => live.close());

async function ask(
  name: string,
  method: 'autoscaleOn' | 'autoscaleOff' | 'autoscale',
  change: Partial<AutoscalePolicy> = {},
): Promise<AutoscaleResult> {
  const supervisor = await connectSupervisor(name);
  try {
    return await supervisor.call(method, change);
  } finally {
    supervisor.close();
  }
}

const on = (name: string, change: Partial<AutoscalePolicy>): Promise<AutoscaleResult> =>
  ask(name, 'autoscaleOn', change);

const sizeOf = async (name: string): Promise<SizeName | undefined> =>
  (await status(name)).engines.find(({ role }) => role === 'primary')?.size;

const told = async (name: string, type: string): Promise<LogEvent[]> =>
  (await events(name)).filter((event) => event.type === `autoscale.${type}`);

const untilSize = (name: string, size: SizeName): Promise<void> =>
  until(`${name} is ${size}`, async () => (await sizeOf(name)) === size, SWITCH_MS);

test(
  'a policy survives kill -9 of the supervisor, patch --self, down and up; again changes it',
  async () => {
    await live.up('kept');
    expect(await ask('kept', 'autoscale')).toMatchObject({ enabled: false, policy: { max: 'xlarge' } });
    expect((await status('kept')).autoscale).toBeNull();
    const policy = { ...CALM, min: 'small', max: 'large', cooldownMs: 60_000 } as const;
    expect(await on('kept', policy)).toMatchObject({ schema: 'dbproxy.autoscale/1', enabled: true, policy });
    await killSupervisor('kept');
    expect(await ask('kept', 'autoscale')).toMatchObject({ enabled: true, policy });
    await replaceSelf('kept', () => undefined);
    expect(await ask('kept', 'autoscale')).toMatchObject({ enabled: true, policy });
    await stopInstance('kept');
    await startInstance({ name: 'kept' });
    expect((await status('kept')).autoscale).toMatchObject({ enabled: true, min: 'small', max: 'large' });
    expect(await told('kept', 'on')).toHaveLength(1);

    expect(await on('kept', { max: 'medium' })).toMatchObject({ policy: { ...policy, max: 'medium' } });
    expect(await on('kept', {})).toMatchObject({ policy: { ...policy, max: 'medium' } });
    expect(await told('kept', 'on')).toHaveLength(2);
    await expect(on('kept', { min: 'large' })).rejects.toMatchObject({ code: 'DBP_USAGE_AUTOSCALE' });
    expect(await ask('kept', 'autoscaleOff')).toMatchObject({ enabled: false, load: null });
    await killSupervisor('kept');
    expect(await ask('kept', 'autoscale')).toMatchObject({ enabled: false, policy: { max: 'medium' } });
  },
  LONG_MS,
);

test(
  'a record that is damaged: off, everything else works, and it can be put on anew',
  async () => {
    await live.up('kept');
    const { autoscalerFile } = InstanceDirectory.of('kept').paths;
    await writeFile(autoscalerFile, (await readFile(autoscalerFile, 'utf8')).slice(0, 40));
    await killSupervisor('kept');
    expect(await ask('kept', 'autoscale')).toMatchObject({ enabled: false, policy: { max: 'xlarge' } });
    expect((await told('kept', 'off')).at(-1)?.message).toContain(autoscalerFile);
    expect(await on('kept', CALM)).toMatchObject({ enabled: true });
    await ask('kept', 'autoscaleOff');
  },
  LONG_MS,
);

test(
  'a change of size by hand begins the cool-down; what it holds back is said once, and done when it is over',
  async () => {
    await live.up('rests');
    await on('rests', { ...CALM, max: 'medium', cooldownMs: 600_000 });
    await until('it has looked', async () => (await ask('rests', 'autoscale')).load !== null);
    await scale('rests', 'large');
    // While the switch is at its end that is what it waits for.
    const isHeldBack = async (): Promise<boolean> =>
      (await told('rests', 'stay')).some(({ data }) => data?.['why'] === 'cool-down');
    await until('it is held back', isHeldBack);
    const held = await ask('rests', 'autoscale');
    expect(held).toMatchObject({
      size: 'large',
      last: { decision: 'stay', why: 'cool-down', direction: 'down', from: 'large', to: 'medium' },
    });
    expect(held.coolDownMs).toBeGreaterThan(500_000);
    expect(held.last?.message).toMatch(
      /^stays large, the cool-down goes on for \d+ min: large is outside of/,
    );
    // The supervisor's death shortens nothing, and the new one says it once more at most.
    await killSupervisor('rests');
    const after = await ask('rests', 'autoscale');
    expect(after.coolDownMs).toBeGreaterThan(500_000);
    expect(after.coolDownMs).toBeLessThan(held.coolDownMs);
    await until('it has looked', async () => (await ask('rests', 'autoscale')).load !== null);
    expect(await sizeOf('rests')).toBe('large');
    await on('rests', { cooldownMs: 1_000 });
    await untilSize('rests', 'medium');
    await until('it is done', async () => (await ask('rests', 'autoscale')).last?.outcome === 'completed');
    expect((await told('rests', 'stay')).length).toBeLessThanOrEqual(3);
    expect(await told('rests', 'scale')).toMatchObject([
      {
        message: 'large → medium: large is outside of small to medium',
        data: { from: 'large', to: 'medium' },
      },
    ]);
    await ask('rests', 'autoscaleOff');
  },
  LONG_MS,
);

test(
  'what cannot move rolls it back: told with its reason, twice as long a cool-down, then it comes again',
  async () => {
    const { url } = await live.up('fails');
    const client = new pg.Client({ connectionString: url });
    client.on('error', () => undefined);
    await client.connect();
    await client.query('declare many scroll cursor with hold for select generate_series(1, 100001)');
    await on('fails', { ...CALM, min: 'medium', cooldownMs: 2_000 });
    await until('it failed twice', async () => (await told('fails', 'failed')).length >= 2, SWITCH_MS);
    const [first, second] = await told('fails', 'failed');
    expect(first?.message).toMatch(/^stays small, not again for 4 s: .*held cursor many/);
    expect(second?.data).toMatchObject({ failures: 2, from: 'small', to: 'medium' });
    const between = Date.parse(second?.at ?? '') - Date.parse(first?.at ?? '');
    expect(between).toBeGreaterThanOrEqual(4_000);
    expect(await ask('fails', 'autoscale')).toMatchObject({
      size: 'small',
      last: { outcome: 'rolled-back' },
    });
    await client.query('close many');
    await untilSize('fails', 'medium');
    await until('it is over', async () => (await ask('fails', 'autoscale')).last?.outcome === 'completed');
    expect((await client.query<{ n: number }>('select 1 as n')).rows).toEqual([{ n: 1 }]);
    await client.end();
    await ask('fails', 'autoscaleOff');
  },
  LONG_MS,
);

test(
  'kill -9 of the supervisor in the middle of it: rolled back, the cool-down holds, clients do not notice',
  async () => {
    const { url } = await live.up('dies');
    const writer = await Writer.start(url);
    const pause = new Pause('warm', live.home);
    const supervisor = await pausing('dies', pause);
    await supervisor.call('autoscaleOn', { ...CALM, min: 'medium', cooldownMs: 300_000 });
    await pause.reached(SWITCH_MS);
    await killSupervisor('dies');
    supervisor.close();
    const after = await ask('dies', 'autoscale');
    expect(after).toMatchObject({
      enabled: true,
      size: 'small',
      failures: 1,
      last: { outcome: 'rolled-back' },
    });
    expect(after.coolDownMs).toBeGreaterThan(500_000);
    await writer.progressed();
    await writer.finish();
    await ask('dies', 'autoscaleOff');
  },
  LONG_MS,
);

test(
  'an operation under way is not disturbed, and is named',
  async () => {
    const { url } = await live.up('busy');
    const busy = await BusyClients.start(url, 4);
    const holder = new pg.Client({ connectionString: url });
    holder.on('error', () => undefined);
    await holder.connect();
    await holder.query('begin; select 1');
    const moving = scale('busy', 'medium', { holdBudgetMs: 250, deadlineMs: 2 * SWITCH_MS });
    await until('it drains', async () => (await status('busy')).operation?.step === 'drain', SWITCH_MS);
    await on('busy', { ...CALM, queueAbove: 1, max: 'large', cooldownMs: 600_000 });
    await until('it is said', async () => (await told('busy', 'stay')).length > 0, SWITCH_MS);
    const [stay] = await told('busy', 'stay');
    expect(stay).toMatchObject({ data: { why: 'busy', reasons: [{ figure: 'queue', threshold: 1 }] } });
    expect(stay?.message).toMatch(/^stays small, scale-\d+ is under way: [\d.]+ sessions wait for a cpu/);
    await holder.query('commit');
    expect(await moving).toMatchObject({ outcome: 'completed', error: null });
    await holder.end();
    await busy.stop();
    await ask('busy', 'autoscaleOff');
  },
  LONG_MS,
);

test.skipIf(!hasDocker)(
  'containers: their CPU is that of the control group, and the queue has a larger one take over',
  async () => {
    const { url } = await startInstance({
      name: 'box',
      provider: 'docker',
      image: IMAGE,
      port: await freePort(),
    });
    try {
      const busy = await BusyClients.start(url, 6);
      await on('box', { ...CALM, queueAbove: 2, max: 'medium', cooldownMs: 600_000 });
      await untilSize('box', 'medium');
      expect(await told('box', 'scale')).toMatchObject([
        {
          data: {
            direction: 'up',
            from: 'small',
            to: 'medium',
            reasons: [{ figure: 'queue', threshold: 2 }],
          },
        },
      ]);
      const measured = async (): Promise<boolean> =>
        ((await ask('box', 'autoscale')).load?.cpuPercent ?? 0) > 0;
      await until('the new container is measured', measured, SWITCH_MS);
      await busy.stop();
      expect(busy.answers).toBeGreaterThan(0);
    } finally {
      await stopInstance('box', { purge: true });
    }
  },
  LONG_MS,
);
