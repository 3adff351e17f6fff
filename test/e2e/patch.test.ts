/** `dbproxy patch` as users type it: what it prints, its exit codes, its JSON. */
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { MoveRecord, StatusResult, UpResult } from '../../src/control/api.js';
import { Cli, freePort } from '../support/cli.js';
import { engineKind } from '../support/provider.js';
import { addBroken, BROKEN } from '../support/broken-version.js';
import { cacheWithBoth, NEWER, OLDER } from '../support/versions.js';

const LONG_MS = 120_000;
let cli: Cli;
let cache: string;
let client: pg.Client;

beforeAll(async () => {
  cli = await Cli.open();
  cache = await cacheWithBoth(join(cli.home, 'h'));
  const { url } = await cli.json<UpResult>(['up', '--port', String(await freePort()), '--postgres', OLDER]);
  client = new pg.Client({ connectionString: url });
  await client.connect();
}, LONG_MS);

afterAll(async () => {
  await client.end();
  await cli.close(['default']);
}, LONG_MS);

const version = async (): Promise<string> =>
  (await client.query<{ v: string }>('select version() as v')).rows[0]?.v ?? '';

it(
  'goes to the newer minor: 0, its progress on stderr, what was done on stdout',
  async () => {
    const { code, stdout, stderr } = await cli.run(['patch', '--to', NEWER]);
    expect(code).toBe(0);
    expect(stdout).toContain(`PostgreSQL ${OLDER} → ${NEWER}  1 session moved`);
    expect(stdout).toMatch(/held for .*p99/);
    expect(stderr).toContain(`patch: to PostgreSQL ${NEWER}`);
    expect(stderr).toContain('promote: promoting e2');
    expect(await version()).toContain(`PostgreSQL ${NEWER} `);
    expect((await cli.run(['status'])).stdout).toContain(NEWER);
  },
  LONG_MS,
);

it('says so when that is what runs: 0, no session moved', async () => {
  const { code, stdout } = await cli.run(['patch', '--to', NEWER]);
  expect(code).toBe(0);
  expect(stdout).toContain(`PostgreSQL ${NEWER}, small  already, nothing to do`);
});

it(
  'goes back, and to another size in the same step',
  async () => {
    const record = await cli.json<MoveRecord>(['patch', '--to', OLDER, '--size', 'medium']);
    expect(record).toMatchObject({
      ...{ schema: 'dbproxy.move/1', outcome: 'completed', error: null },
      from: { size: 'small', postgres: NEWER },
      to: { size: 'medium', postgres: OLDER },
      sessions: { total: 1, moved: 1, kept: 0, failed: [], dropped: 0 },
    });
    expect(record.operation).toMatch(/^patch-\d+$/);
    expect(record.holdMs.count).toBe(1);
    expect(await version()).toContain(`PostgreSQL ${OLDER} `);
    const { engines } = await cli.json<StatusResult>(['status']);
    expect(engines).toMatchObject([{ role: 'primary', size: 'medium', postgres: OLDER }]);
  },
  LONG_MS,
);

it(
  'in place: the same engine, started again; 0',
  async () => {
    const before = await cli.json<StatusResult>(['status']);
    const record = await cli.json<MoveRecord>(['patch', '--to', NEWER, '--strategy', 'in-place']);
    expect(record).toMatchObject({
      ...{ outcome: 'completed', strategy: 'in-place' },
      from: { engine: before.engines[0]?.id, size: 'medium', postgres: OLDER },
      to: { engine: before.engines[0]?.id, size: 'medium', postgres: NEWER },
      sessions: { total: 1, moved: 1 },
    });
    expect(await version()).toContain(`PostgreSQL ${NEWER} `);
    const { code, stdout } = await cli.run(['patch', '--to', OLDER, '--strategy', 'in-place']);
    expect(code).toBe(0);
    expect(stdout).toContain(`PostgreSQL ${NEWER} → ${OLDER}  1 session moved`);
  },
  LONG_MS,
);

it.each([
  ['another major', ['--to', '18'], 'DBP_PATCH_MAJOR'],
  ['an older major', ['--to', '16'], 'DBP_PATCH_DOWNGRADE'],
  ['what is no version', ['--to', 'latest'], 'DBP_USAGE_UNKNOWN_VERSION'],
  ['no version', [], 'DBP_USAGE'],
  ['a strategy that does not exist', ['--to', NEWER, '--strategy', 'magic'], 'DBP_USAGE'],
  ['a size that does not exist', ['--to', NEWER, '--size', 'huge'], 'DBP_USAGE_UNKNOWN_SIZE'],
])('refuses %s: 2', async (_what, args, code) => {
  expect(await cli.json(['patch', ...args], 2)).toMatchObject({ schema: 'dbproxy.error/1', code });
});

it('names the nearest versions when there is no such one', async () => {
  const error = await cli.json<{ message: string }>(['patch', '--to', '17.9x'], 2);
  expect(error.message).toMatch(engineKind() === 'docker' ? /nearest: 17/ : /nearest: 17\.\d+, 17\.\d+/);
});

it(
  'rolls back when the new server does not start: 1, the old one serves',
  async () => {
    await addBroken(cache);
    const record = await cli.json<MoveRecord>(['patch', '--to', BROKEN], 1);
    expect(record).toMatchObject({ outcome: 'rolled-back', error: { code: 'DBP_SWITCH_ROLLED_BACK' } });
    expect(await version()).toContain(`PostgreSQL ${OLDER} `);
  },
  LONG_MS,
);

it(
  'in place, too: the old one is started again',
  async () => {
    const record = await cli.json<MoveRecord>(['patch', '--to', BROKEN, '--strategy', 'in-place'], 1);
    expect(record).toMatchObject({ outcome: 'rolled-back', sessions: { total: 1, kept: 1, failed: [] } });
    expect(await version()).toContain(`PostgreSQL ${OLDER} `);
  },
  LONG_MS,
);

it(
  'gives up at the deadline: 5, and says what to type',
  async () => {
    await client.query('begin; select 1');
    const { code, stdout, stderr } = await cli.run(['patch', '--to', NEWER, '--deadline', '1s']);
    expect(code).toBe(5);
    expect(stdout).toContain('rolled back, every session stays on');
    expect(stderr).toContain('dbproxy sessions');
    await client.query('commit');
  },
  LONG_MS,
);
