/** Writers whose engine holds other rows than the log: they stop, say what to do, and `up` builds them again. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { StatusResult } from '../../src/control/api.js';
import { startInstance, stopInstance } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { withAdmin } from '../../src/engine/index.js';
import { events, LiveHome, processesBelow, status, until } from './live.js';
import { HotRow, rows } from './multiwriter-work.js';

const NAME = 'shop';
const SECOND = 'shop.w2';
let live: LiveHome;
let urls: readonly [string, string];

beforeAll(async () => {
  live = await LiveHome.open();
  const { writers } = await live.up(NAME, { writers: 2 });
  urls = [writers[0]!.url, writers[1]!.url];
  await rows(urls[0], 'create table t (id int primary key, n int not null)');
  await rows(urls[0], 'create table tickets (number bigserial primary key)');
  await rows(urls[0], 'insert into t select g, 0 from generate_series(1, 10) g');
  await until('the rows are on both', async () => (await sum(urls[1])) === '10/0');
}, 120_000);
afterAll(() => live.close());

const sum = async (url: string): Promise<string> =>
  String((await rows(url, `select count(*) || '/' || sum(n) as is from t`).catch(() => []))[0]?.['is']);
const engineOf = async (name: string) => {
  const record = await InstanceDirectory.of(name).readInstance();
  return record!.engines.find(({ id }) => id === record!.primary)!;
};
const stateOf = ({ writers }: StatusResult, id: string) => writers.find((writer) => writer.id === id)!;
const isWell = async (): Promise<boolean> =>
  (await status(NAME)).writers.every(({ state, reason }) => state === 'running' && reason === null);

/** Takes a row away past the guard, as a superuser who means it; then the other writer changes that row. */
async function diverge(name: string, id: number, other: string): Promise<void> {
  await withAdmin(await engineOf(name), async (query) => {
    await query('set session authorization dbproxy_apply');
    await query(`delete from public.t where id = ${id}`);
  });
  await rows(other, `update t set n = n + 1 where id = ${id}`);
}

describe('the second writer', () => {
  test('stops, serves nobody, and says how it comes back', async () => {
    await diverge(SECOND, 1, urls[0]);
    await until('it has stopped', async () => stateOf(await status(NAME), 'w2').reason !== null);
    const now = await status(NAME);
    expect(stateOf(now, 'w2')).toMatchObject({ state: 'degraded', engine: 'e2001' });
    expect(stateOf(now, 'w2').reason).toMatch(
      /^diverged: entry \d+ does not fit: update of .*t: 0 rows instead of one/,
    );
    expect(stateOf(now, 'w1')).toMatchObject({ state: 'running', reason: null });
    expect((await status(SECOND)).writers[0]?.reason).toMatch(/^diverged: /);
    await expect(rows(urls[1], 'select 1')).rejects.toMatchObject({ code: '57P03' });
    const told = (await events(NAME)).filter(({ message }) => message.includes('has stopped (diverged)'));
    expect(told[0]?.message).toContain(`dbproxy up --name ${NAME} builds it again`);
    // The others go on.
    await rows(urls[0], 'update t set n = n + 1 where id = 2');
  });

  test('a new process of its proxy serves nobody either', async () => {
    const pid = (await InstanceDirectory.of(SECOND).readProxy())!.process.pid;
    process.kill(pid, 'SIGKILL');
    await until('another one runs', async () => {
      const now = (await InstanceDirectory.of(SECOND).readProxy())?.process.pid;
      return now !== pid && now !== undefined && stateOf(await status(NAME), 'w2').reason !== null;
    });
    await expect(rows(urls[1], 'select n from t where id = 1')).rejects.toMatchObject({ code: '57P03' });
  });

  test('up builds it again while the first one is written, and it goes on writing', async () => {
    const row = await HotRow.start([urls[0]], urls[0]);
    await row.progressed(urls[0]);
    expect(await startInstance({ name: NAME })).toMatchObject({ alreadyRunning: true });
    await until('both are well', isWell);
    expect((await engineOf(SECOND)).id).toBe('e2002');
    expect((await InstanceDirectory.of(SECOND).readInstance())!.engines).toHaveLength(1);
    await rows(urls[1], 'update t set n = n + 10 where id = 3');
    await row.progressed(urls[0]);
    expect(await row.expectExact(urls)).toBeGreaterThan(0);
    await until('they are equal', async () => (await sum(urls[0])) === (await sum(urls[1])));
    expect(await sum(urls[1])).toBe('10/12');
  }, 120_000);
});

describe('the first writer', () => {
  /** Only the writer itself knows which numbers it has given out. */
  const draw = async (): Promise<void> => {
    for (let i = 0; i < 5; i++) await rows(urls[0], 'insert into tickets default values');
  };

  test('is a copy of the second one then, which leads meanwhile', async () => {
    await draw();
    await diverge(NAME, 5, urls[1]);
    await until('it has stopped, and the other one leads', async () => {
      const { writers } = await status(NAME);
      return writers[0]!.reason !== null && writers[1]!.leads;
    });
    await rows(urls[1], 'create table made_meanwhile (id int primary key)');
    await startInstance({ name: NAME });
    await until('both are well', isWell);
    expect((await engineOf(NAME)).id).toBe('e2');
    await draw();
    await rows(urls[0], 'insert into made_meanwhile values (1)');
    await rows(urls[1], 'update t set n = n + 1 where id = 6');
    await until('they are equal', async () => (await sum(urls[0])) === (await sum(urls[1])));
    expect(await sum(urls[0])).toBe('10/14');
    await until(
      'the row is on both',
      async () => (await rows(urls[1], 'select from made_meanwhile')).length === 1,
    );
  }, 120_000);

  test('is so after down and up, too', async () => {
    await diverge(NAME, 7, urls[1]);
    await until('it has stopped', async () => stateOf(await status(NAME), 'w1').reason !== null);
    await stopInstance(NAME);
    expect(await processesBelow(live.home)).toEqual([]);
    await startInstance({ name: NAME });
    await until('both are well', isWell);
    await until(
      'they are equal',
      async () => (await sum(urls[0])) === '10/15' && (await sum(urls[1])) === '10/15',
    );
    await rows(urls[0], 'update t set n = n + 1 where id = 7');
    await draw();
    await until('so many tickets', async () => {
      const counts = await Promise.all(
        urls.map((url) => rows(url, 'select count(*)::int as n from tickets')),
      );
      return counts.every(([row]) => row?.['n'] === 15);
    });
  }, 120_000);
});
