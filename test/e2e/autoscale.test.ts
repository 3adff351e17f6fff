/** `dbproxy autoscale` as users type it, under a real load: up by itself, down by itself, and nobody notices. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AutoscaleResult, LogEvent, StatusResult, UpResult } from '../../src/control/api.js';
import { initialiseWorkload, startWorkloadProcess } from '../../src/workload/index.js';
import { until } from '../control/live.js';
import { BusyClients } from '../support/busy-clients.js';
import { Cli, freePort } from '../support/cli.js';

const LONG_MS = 180_000;
let cli: Cli;
let url: string;

beforeAll(async () => {
  cli = await Cli.open();
  ({ url } = await cli.json<UpResult>(['up', '--port', String(await freePort())]));
}, LONG_MS);

afterAll(() => cli.close(['default']), LONG_MS);

const autoscale = (): Promise<AutoscaleResult> => cli.json<AutoscaleResult>(['autoscale', 'status']);

const told = async (type: string): Promise<LogEvent[]> => {
  const { events } = await cli.json<{ events: LogEvent[] }>(['events']);
  return events.filter((event) => event.type === `autoscale.${type}`);
};

const untilSize = (wanted: string): Promise<void> =>
  until(`the size is ${wanted}`, async () => (await autoscale()).size === wanted, 90_000);

it('is off at first, and says what it would do', async () => {
  const { code, stdout } = await cli.run(['autoscale', 'status']);
  expect(code).toBe(0);
  expect(stdout).toContain('default autoscale off, small to xlarge');
  expect(await autoscale()).toMatchObject({
    ...{ schema: 'dbproxy.autoscale/1', enabled: false, size: 'small', cpus: 1, load: null, last: null },
    policy: { min: 'small', max: 'xlarge', cpuAbovePercent: 80, cpuBelowPercent: 20, queueAbove: 4 },
  });
});

it.each([
  ['a size that does not exist', ['--max', 'huge'], 'DBP_USAGE_UNKNOWN_SIZE', 'autoscale on --max large'],
  [
    'bounds that cross',
    ['--min', 'large', '--max', 'small'],
    'DBP_USAGE_AUTOSCALE',
    '--min small --max large',
  ],
  [
    'thresholds that cross',
    ['--cpu-above', '50%', '--cpu-below', '60%'],
    'DBP_USAGE_AUTOSCALE',
    '--cpu-below 12%',
  ],
  ['what is no percentage', ['--cpu-above', 'much'], 'DBP_USAGE', ''],
  ['what is no number', ['--queue-above', '-1'], 'DBP_USAGE', ''],
  ['what is no duration', ['--for', 'ever'], 'DBP_USAGE', ''],
])('refuses %s: 2', async (_what, args, code, suggestion) => {
  const error = await cli.json<{ suggestions: string[] }>(['autoscale', 'on', ...args], 2);
  expect(error).toMatchObject({ schema: 'dbproxy.error/1', code });
  expect(error.suggestions.join()).toContain(suggestion);
  expect(await autoscale()).toMatchObject({ enabled: false });
});

it(
  'goes up under load, stays while the load does, and goes down after it; TPC-B-like clients notice nothing',
  async () => {
    await initialiseWorkload({ url, scale: 1 });
    const end = new AbortController();
    const load = startWorkloadProcess({
      ...{ url, script: 'tpcb-like', clients: 4, ratePerSecond: 10, seconds: 170, seed: 4 },
      signal: end.signal,
    });
    await load.started;
    const policy = ['--min', 'small', '--max', 'medium', '--cpu-above', '300%', '--cpu-below', '60%'];
    const times = ['--queue-above', '2', '--for', '2s', '--cooldown', '3s'];
    const { code, stdout } = await cli.run(['autoscale', 'on', ...policy, ...times]);
    expect(code).toBe(0);
    expect(stdout).toContain('default autoscale on, small to medium');
    expect(await told('scale')).toEqual([]);

    const busy = await BusyClients.start(url, 8);
    await untilSize('medium');
    const [up] = await told('scale');
    expect(up).toMatchObject({
      data: { direction: 'up', from: 'small', to: 'medium', reasons: [{ figure: 'queue', threshold: 2 }] },
    });
    expect(up?.message).toMatch(/^small → medium: .*sessions wait for a cpu \(.*\), above 2; for 2 s$/);
    await until('it says that it is at its bound', async () => (await told('stay')).some(atBound), 60_000);
    const { autoscale: summary } = await cli.json<StatusResult>(['status']);
    expect(summary).toMatchObject({ enabled: true, min: 'small', max: 'medium' });
    await busy.stop();
    expect(busy.answers).toBeGreaterThan(0);

    await untilSize('small');
    const down = (await told('scale')).at(-1);
    expect(down).toMatchObject({ data: { direction: 'down', from: 'medium', to: 'small' } });
    expect(down?.message).toMatch(/^medium → small: cpu [\d.]+ % of 2 cpus \(.*\), below 60 %/);
    await until('it is done', async () => (await autoscale()).last?.outcome === 'completed');
    // Said when it began to be so, not each second.
    expect((await told('stay')).length).toBeLessThan(6);
    end.abort();
    const { failed, unknown, disconnects, ledger, transactions } = await load.result;
    expect({ failed, unknown, disconnects }).toEqual({ failed: 0, unknown: 0, disconnects: 0 });
    expect(transactions).toBeGreaterThan(0);
    expect(ledger).toMatchObject({ ok: true });
    expect((await cli.run(['status'])).stdout).toMatch(/autoscale +on, small to medium/);
  },
  LONG_MS,
);

it('off: the size stays, the policy is kept', async () => {
  expect((await cli.run(['autoscale', 'off'])).stdout).toContain('default autoscale off, small to medium');
  expect(await autoscale()).toMatchObject({ enabled: false, policy: { max: 'medium', forMs: 2_000 } });
  expect((await cli.run(['status'])).stdout).not.toContain('autoscale');
});

const atBound = ({ data }: LogEvent): boolean => data?.['why'] === 'bound';
