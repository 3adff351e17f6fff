/** `up --standby` with engines in containers: the container dies, and the standby's takes over. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { stopInstance } from '../../src/control/client.js';
import { connectPg, eventually, value } from '../support/clients.js';
import { docker, hasDocker, IMAGE, leftOf } from '../support/docker/index.js';
import { events, LiveHome, status, until } from './live.js';
import { childOf, connect, engineOf } from './with-standby.js';

const LONG_MS = 180_000;
const CONTAINERS = { provider: 'docker', image: IMAGE } as const;

describe.skipIf(!hasDocker)('a standby in a container', () => {
  let live: LiveHome;
  beforeAll(async () => void (live = await LiveHome.open()));
  afterAll(async () => {
    await live.close();
    expect(leftOf(live.home)).toEqual([]);
  }, LONG_MS);

  const containerOf = async (name: string): Promise<string> =>
    engineOf(await status(name), 'primary')?.container ?? '';
  const completed = async (name: string) =>
    (await events(name)).find(({ type }) => type === 'failover.completed');

  test(
    'synchronous: sessions go on with their state, nothing acknowledged is missing, and there is another one',
    async () => {
      const { url } = await live.up('sync', { ...CONTAINERS, standby: 'sync' });
      expect((await status('sync')).standby).toMatchObject({ state: 'streaming', synchronous: true });
      const { client, notices } = await connect(url);
      await client.query('create table numbers (n int primary key)');
      await client.query(`set work_mem = '7MB'`);
      const writer = await connect(url);
      let [acknowledged, isOver] = [0, false];
      const codes: string[] = [];
      const writing = (async () => {
        for (let n = 1; !isOver; n++)
          await writer.client.query('insert into numbers values ($1)', [n]).then(
            () => void (acknowledged = n),
            (error: { code?: string }) => void codes.push(error.code ?? 'none'),
          );
      })();
      await until('it is at work, and the other one was read', async () => {
        const { sessions } = await status('sync');
        return acknowledged > 20 && sessions.some(({ stateKinds }) => stateKinds.includes('settings'));
      });

      await docker('kill', await containerOf('sync'));
      await until('it has failed over', async () => (await completed('sync')) !== undefined, 60_000);
      expect((await client.query('show work_mem')).rows).toEqual([{ work_mem: '7MB' }]);
      expect(notices).toEqual([]);
      const reached = acknowledged;
      await until('the writer goes on', () => acknowledged > reached + 5);
      isOver = true;
      await writing;
      const { rows } = await client.query<{ n: number }>('select n from numbers');
      const there = new Set(rows.map(({ n }) => n));
      // What had no answer may be there or not.
      expect(codes.filter((code) => code !== '08007')).toEqual([]);
      expect(there.size).toBeGreaterThanOrEqual(acknowledged - codes.length);
      expect((await completed('sync'))?.data).toMatchObject({ mode: 'sync', sessions: { failed: [] } });
      await until(
        'there is another standby',
        async () => (await status('sync')).standby?.synchronous === true,
        60_000,
      );
      await client.end();
      await writer.client.end();
      await stopInstance('sync', { purge: true });
      expect(leftOf(live.home)).toEqual([]);
    },
    LONG_MS,
  );

  test(
    'asynchronous: what the standby did not get is counted, and the volume that has it stays until down',
    async () => {
      const { url } = await live.up('async', { ...CONTAINERS, standby: 'async' });
      const { client, details } = await connect(url);
      await client.query('create table kept (n int)');
      await client.query('insert into kept values (1)');
      await until('it is there', async () => (await status('async')).standby?.lagBytes === 0);
      const old = await containerOf('async');
      const postmaster = Number(await docker('inspect', '--format', '{{.State.Pid}}', old));
      // From now on it gets nothing.
      process.kill(await childOf(postmaster, 'walsender'), 'SIGSTOP');
      await client.query('insert into kept values (2)');
      await docker('kill', old);
      await until('it has failed over', async () => (await completed('async')) !== undefined, 60_000);
      expect((await client.query('select n from kept')).rows).toEqual([{ n: 1 }]);
      const { data, message } = (await completed('async'))!;
      expect(Number(data?.['lostBytes'])).toBeGreaterThan(0);
      expect(data?.['kept']).toBe(`volume ${old}`);
      expect(message).toContain(`volume ${old}`);
      expect(details.join()).toContain('the data of e1 is kept');
      await until(
        'another one follows',
        async () => (await status('async')).standby?.state === 'streaming',
        60_000,
      );
      await client.end();
      expect(await rowsIn(old)).toBe('1 2');

      await stopInstance('async');
      // The primary's, and the standby's.
      const volumes = leftOf(live.home).map((line) => line.split(' ')[0]);
      expect(volumes).toHaveLength(2);
      expect(volumes).not.toContain(old);
      await stopInstance('async', { purge: true });
    },
    LONG_MS,
  );

  /** Of `kept`, as a server on a copy of that volume shows it (docs/reliability.md); by its socket, for the image has no psql. */
  async function rowsIn(volume: string): Promise<string> {
    const look = `dbproxy-test-look-${process.pid}`;
    const sockets = await mkdtemp(join(tmpdir(), 'dbplook-'));
    await chmod(sockets, 0o777);
    await docker('volume', 'create', look);
    try {
      const image = `${IMAGE}:17`;
      const copy = ['-v', `${volume}:/from:ro`, '-v', `${look}:/dbproxy`, '--entrypoint', 'cp'];
      await docker('run', '--rm', '--network', 'none', ...copy, image, '-a', '/from/data', '/dbproxy/');
      const server = ['-v', `${look}:/dbproxy`, '-e', 'PGDATA=/dbproxy/data', '--name', look];
      const listening = ['-c', 'unix_socket_directories=/sockets'];
      const mounts = ['-v', `${sockets}:/sockets`, '--network', 'none'];
      await docker('run', '--rm', '-d', ...server, ...mounts, image, 'postgres', ...listening);
      const client = await eventually(
        'it answers',
        () => connectPg({ host: sockets, user: 'postgres', database: 'postgres' }).catch(() => null),
        60_000,
      );
      const rows = await value(client, `select string_agg(n::text, ' ' order by n) from kept`);
      await client.end();
      return String(rows);
    } finally {
      await docker('rm', '-f', look).catch(() => undefined);
      await docker('volume', 'rm', look);
      await rm(sockets, { recursive: true, force: true });
    }
  }
});
