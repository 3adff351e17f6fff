/** `scale --strategy resize` with the real supervisor: a process and a container get more while they run. */
import { appendFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startInstance, stopInstance } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { sizeSettings } from '../../src/engine/index.js';
import { value } from '../support/clients.js';
import { docker, hasDocker, IMAGE } from '../support/docker/index.js';
import { Pause } from '../support/pause.js';
import { events, killSupervisor, LiveHome, pausing, SCALE, scale, status, Writer } from './live.js';

const LONG_MS = 180_000;
const LARGE = sizeSettings('large');
const SMALL = sizeSettings('small');

const resize = (name: string, to: 'small' | 'medium' | 'large') => scale(name, to, { strategy: 'resize' });
const sizeOf = async (name: string) =>
  (await status(name)).engines.map(({ id, size }) => `${id} ${size}`).join();

async function shown(url: string, ...settings: string[]): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const answers: unknown[] = [];
    for (const setting of settings) answers.push(await value(client, `show ${setting}`));
    return answers;
  } finally {
    await client.end();
  }
}

describe.each([
  { provider: 'embedded', skip: false, kind: { provider: 'embedded' } },
  { provider: 'docker', skip: !hasDocker, kind: { provider: 'docker', image: IMAGE } },
] as const)('$provider', ({ provider, skip, kind }) => {
  describe.skipIf(skip)('resize', () => {
    let live: LiveHome;
    beforeAll(async () => void (live = await LiveHome.open()));
    afterAll(() => live.close(), LONG_MS);

    const limits = async (name: string): Promise<string | null> =>
      provider === 'docker'
        ? docker(
            ...['inspect', '--format', '{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}}'],
            (await status(name)).engines[0]?.container ?? '',
          )
        : null;

    test(
      'gives the engine more as it runs; nothing moves; what waits for a start is named, and a move brings it',
      async () => {
        const { url } = await live.up('grow', kind);
        const writer = await Writer.start(url);
        const session = new pg.Client({ connectionString: url });
        await session.connect();
        await session.query(
          `create temp table held as select 7 as n; set maintenance_work_mem = '17MB'; begin`,
        );
        const backend = await value(session, 'select pg_backend_pid()');
        const before = await limits('grow');

        const record = await resize('grow', 'large');
        expect(record).toMatchObject({
          ...{ schema: 'dbproxy.move/1', outcome: 'completed', strategy: 'resize', error: null },
          from: { engine: 'e1', size: 'small' },
          to: { engine: 'e1', size: 'large' },
          sessions: { total: 2, moved: 0, kept: 2, failed: [], dropped: 0 },
          holdMs: { count: 0 },
        });
        const pending = record.pendingRestart.map(({ name, current, wanted }) => [name, current, wanted]);
        const shm = provider === 'docker' ? [['/dev/shm', '128MB', LARGE['shared_buffers']]] : [];
        expect(pending).toEqual([
          ...shm,
          ['shared_buffers', SMALL['shared_buffers'], LARGE['shared_buffers']],
        ]);
        expect(await sizeOf('grow')).toBe('e1 large');
        expect(await shown(url, 'work_mem', 'max_parallel_workers', 'shared_buffers')).toEqual([
          ...[LARGE['work_mem'], LARGE['max_parallel_workers'], SMALL['shared_buffers']],
        ]);
        // In the middle of its transaction, with what is its own.
        expect(await value(session, 'select n from held')).toBe(7);
        expect(await value(session, 'show maintenance_work_mem')).toBe('17MB');
        expect(await value(session, 'select pg_backend_pid()')).toBe(backend);
        await session.query('commit');
        expect(await value(session, 'show work_mem')).toBe(LARGE['work_mem']);
        await writer.progressed();
        if (provider === 'docker') {
          expect(before).toMatch(/^536870912 1/);
          expect(Number((await limits('grow'))?.split(' ')[0])).toBe(2 * 1024 ** 3);
        }

        const again = await resize('grow', 'large');
        expect(again).toMatchObject({
          outcome: 'completed',
          attempts: 0,
          pendingRestart: record.pendingRestart,
        });

        const move = await scale('grow', 'large');
        expect(move).toMatchObject({
          ...{ outcome: 'completed', strategy: 'standby', pendingRestart: [] },
          to: { engine: 'e2', size: 'large' },
          sessions: { total: 2, moved: 2 },
        });
        expect(await shown(url, 'shared_buffers')).toEqual([LARGE['shared_buffers']]);
        expect(await scale('grow', 'large')).toMatchObject({ attempts: 0, to: { engine: 'e2' } });
        expect(await value(session, 'select n from held')).toBe(7);
        await session.end();
        expect(await writer.finish()).toBeGreaterThan(10);
        await stopInstance('grow', { purge: true });
      },
      LONG_MS,
    );

    test(
      'down and up: started again, it has all of its size',
      async () => {
        const { url } = await live.up('again', kind);
        expect(await resize('again', 'medium')).toMatchObject({ to: { size: 'medium' } });
        await stopInstance('again');
        const back = await startInstance({ name: 'again' });
        expect(back.engines).toMatchObject([{ id: 'e1', size: 'medium' }]);
        expect(await shown(url, 'shared_buffers')).toEqual([sizeSettings('medium')['shared_buffers']]);
        expect((await resize('again', 'medium')).pendingRestart).toEqual([]);
        await stopInstance('again', { purge: true });
      },
      LONG_MS,
    );

    test(
      'to a smaller size, or elsewhere: a usage error that names the move; nothing has begun',
      async () => {
        await live.up('less', { ...kind, size: 'medium' });
        const before = (await events('less')).length;
        const shrink = resize('less', 'small');
        await expect(shrink).rejects.toMatchObject({
          ...{ code: 'DBP_USAGE_SHRINK', exitCode: 2 },
          suggestions: ['dbproxy scale --to small'],
        });
        const elsewhere = scale('less', 'large', { strategy: 'resize', provider: 'embedded' });
        await expect(elsewhere).rejects.toMatchObject({ code: 'DBP_USAGE', exitCode: 2 });
        const begun = (await events('less'))
          .slice(before)
          .filter(({ type }) => type.startsWith('operation.'));
        expect(begun).toEqual([]);
        expect(await sizeOf('less')).toBe('e1 medium');
        await stopInstance('less', { purge: true });
      },
      LONG_MS,
    );

    test.each(['provision', 'resized'])(
      'kill -9 of the supervisor at %s: the next one finishes it, and nobody notices',
      async (step) => {
        const name = `kill-${step}`;
        const { url } = await live.up(name, kind);
        const writer = await Writer.start(url);
        const pause = new Pause(step, live.home);
        const supervisor = await pausing(name, pause);
        const resizing = supervisor
          .call('scale', { ...SCALE, to: 'large', strategy: 'resize' })
          .catch((error: unknown) => error);
        await pause.reached();
        await killSupervisor(name);
        expect(await resizing).toBeInstanceOf(Error);
        expect(await sizeOf(name)).toBe('e1 large');
        expect(await shown(url, 'work_mem')).toEqual([LARGE['work_mem']]);
        const limited = await limits(name);
        if (limited !== null) expect(limited).toMatch(/^2147483648 /);
        const last = (await events(name)).filter(({ type }) => type === 'operation.completed').at(-1);
        expect(last?.message).toBe('finished scale-1: e1 is large');
        expect(await InstanceDirectory.of(name).readOperation()).toBeNull();
        await writer.progressed();
        await writer.finish();
        await stopInstance(name, { purge: true });
      },
      LONG_MS,
    );
  });
});

describe('a resize that cannot be', () => {
  let live: LiveHome;
  beforeAll(async () => void (live = await LiveHome.open()));
  afterAll(() => live.close(), LONG_MS);

  test(
    'a configuration that the server does not take: rolled back, with the line that is wrong',
    async () => {
      const { url, dataDir } = await live.up('broken', { provider: 'embedded' });
      const data = join(dataDir, 'engines/e1/data');
      const file = join(data, 'postgresql.conf');
      const good = await readFile(file, 'utf8');
      await appendFile(file, 'no_such_setting = 1\n');
      const record = await resize('broken', 'large');
      expect(record).toMatchObject({
        ...{ outcome: 'rolled-back', strategy: 'resize', to: { engine: 'e1', size: 'small' } },
        error: { code: 'DBP_ENGINE_QUERY' },
      });
      expect(record.error?.message).toMatch(/postgresql\.conf, line \d+/);
      expect(await sizeOf('broken')).toBe('e1 small');
      expect(await readFile(join(data, 'dbproxy.conf'), 'utf8')).toContain(
        `shared_buffers = '${SMALL['shared_buffers']}'`,
      );
      expect(await InstanceDirectory.of('broken').readOperation()).toBeNull();
      await writeFile(file, good);
      expect(await resize('broken', 'large')).toMatchObject({ outcome: 'completed', error: null });
      expect(await shown(url, 'work_mem')).toEqual([LARGE['work_mem']]);
    },
    LONG_MS,
  );
});
