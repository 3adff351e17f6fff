/**
 * An operation has come to its end, and that cannot be put on record: the instance is degraded until it can. Nothing that is
 * asked for meanwhile starts from what the record still says.
 */
import { mkdir, rm } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { connectSupervisor } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { value } from '../support/clients.js';
import { Pause } from '../support/pause.js';
import { descriptorsOf } from '../support/process-usage.js';
import { events, LiveHome, pausing, pidOf, SCALE, status, until } from './live.js';
import { connect, engineOf, type Client } from './with-standby.js';

const NAME = 'unsettled';
const LONG_MS = 120_000;
let live: LiveHome;
let supervisor: Awaited<ReturnType<typeof connectSupervisor>>;
let client: Client['client'];
let letWrite: () => Promise<unknown>;

/** Its engine e2 serves; on record e1 is the primary still. */
beforeAll(async () => {
  live = await LiveHome.open();
  const { url } = await live.up(NAME);
  ({ client } = await connect(url));
  await client.query('create table written (n int)');
  const pause = new Pause('move', live.home);
  supervisor = await pausing(NAME, pause);
  const scaling = supervisor.call('scale', { ...SCALE, to: 'large' }).catch((error: unknown) => error);
  await pause.reached();
  letWrite = await keepFromWriting();
  await pause.goOn();
  expect(await scaling).toMatchObject({ message: expect.stringContaining('EISDIR') as string });
  expect(engineOf(await supervisor.call('status', {}), 'primary')?.id).toBe('e1');
  await client.query('insert into written values (1)');
}, LONG_MS);

afterAll(async () => {
  await letWrite?.();
  await client?.end();
  supervisor?.close();
  await live?.close();
}, LONG_MS);

/** Where the supervisor is about to write its record (json-file.ts) there are directories. Returns what takes them away. */
async function keepFromWriting(): Promise<() => Promise<unknown>> {
  const { instanceFile } = InstanceDirectory.of(NAME).paths;
  const pid = await pidOf(NAME);
  const inTheWay = Array.from({ length: 1_000 }, (_, n) => `${instanceFile}.${pid}.${n}.tmp`);
  await Promise.all(inTheWay.map((path) => mkdir(path)));
  return () => Promise.all(inTheWay.map((path) => rm(path, { recursive: true, force: true })));
}

/** Resolves when a repair was tried, in vain; then there is a pause before the next one that nobody asked for. */
const repairFails = (): Promise<void> => expect(supervisor.call('ready', {})).rejects.toThrow('EISDIR');

test(
  'each repair that fails closes what it has opened',
  async () => {
    await repairFails();
    const pid = await pidOf(NAME);
    const before = await descriptorsOf(pid);
    for (let n = 0; n < 3; n++) await repairFails();
    await until('nothing more is open', async () => (await descriptorsOf(pid)) <= before);
  },
  LONG_MS,
);

test(
  'the next operation begins where the one before has led to',
  async () => {
    await repairFails();
    await letWrite();
    const record = await supervisor.call('scale', { ...SCALE, to: 'medium' });
    expect(record).toMatchObject({ outcome: 'completed', from: { engine: 'e2' }, to: { engine: 'e3' } });
    expect(await value(client, 'select n from written')).toBe(1);
    const told = (await events(NAME)).filter(({ type }) => type === 'operation.completed');
    expect(told.map(({ data }) => [data?.['from'], data?.['to']])).toMatchObject([['e1', 'e2'], {}]);
    const { state, engines } = await status(NAME);
    expect({ state, engines }).toMatchObject({ state: 'running', engines: [{ id: 'e3', size: 'medium' }] });
  },
  LONG_MS,
);
