/** `import { playground } from 'dbproxy'`: real instances, made and moved by a program, and gone when that program is. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { examine } from '../../src/control/doctor.js';
import { listInstances } from '../../src/control/client.js';
import {
  DbproxyError,
  playground,
  RolledBackError,
  type LogEvent,
  type Playground,
} from '../../src/index.js';
import { freePort, LiveHome, pidOf, processesBelow, until } from '../control/live.js';

let live: LiveHome;
beforeAll(async () => {
  live = await LiveHome.open();
});
afterAll(() => live.close());

const names = async (): Promise<string[]> => (await listInstances()).map(({ name }) => name);

describe('in the process of the test', () => {
  const started: Playground[] = [];
  const start = async (...args: Parameters<typeof playground.start>): Promise<Playground> => {
    const db = await playground.start(...args);
    started.push(db);
    return db;
  };
  afterEach(async () => {
    for (const db of started.splice(0)) await db.stop();
  });

  test('two at once live side by side, and stop leaves nothing', async () => {
    const [a, b] = await Promise.all([start(), start({ size: 'medium' })]);
    expect(a.name).toMatch(/^test-[0-9a-f]{6}$/);
    expect(a.port).not.toBe(b.port);
    expect((await b.status()).engines).toMatchObject([{ role: 'primary', size: 'medium' }]);
    expect(await names()).toEqual([a.name, b.name].sort());

    await Promise.all([a.stop(), a.stop()]);
    expect(await names()).toEqual([b.name]);
    await expect(a.sessions()).rejects.toMatchObject({ code: 'DBP_INSTANCE_NOT_RUNNING' });
    await b[Symbol.asyncDispose]();
    expect(await names()).toEqual([]);
    expect(await processesBelow(live.home)).toEqual([]);
  });

  test('scale moves the sessions, check and sessions tell of them, events tell what happened', async () => {
    const db = await start({ name: 'moves' });
    const happened: LogEvent[] = [];
    const following = (async () => {
      for await (const event of db.events()) happened.push(event);
    })();
    const client = new pg.Client({ connectionString: db.url, application_name: 'till' });
    await client.connect();
    await client.query('create temp table basket as select 7 as pears');

    const { sessions } = await db.check();
    expect(sessions).toMatchObject([{ application: 'till', movable: true }]);
    const record = await db.scale('large');
    expect(record).toMatchObject({
      outcome: 'completed',
      error: null,
      sessions: { moved: 1 },
      to: { size: 'large' },
    });
    expect((await client.query('select pears from basket')).rows).toEqual([{ pears: 7 }]);
    expect(await db.sessions()).toMatchObject([{ application: 'till', moves: 1 }]);
    await client.end();

    const before: LogEvent[] = [];
    for await (const event of db.events({ follow: false })) before.push(event);
    expect(before.at(-1)).toMatchObject({ type: 'operation.completed' });
    for await (const event of db.events({ after: before.length - 1 })) {
      expect(event).toEqual(before.at(-1));
      break;
    }
    await db.stop();
    await following;
    expect(happened.slice(0, before.length)).toEqual(before);
    expect(happened.at(-1)).toMatchObject({ type: 'instance.down' });
  });

  test('events go on when the supervisor was killed', async () => {
    const db = await start({ name: 'kills' });
    const seqs: number[] = [];
    let supervisors = 0;
    const following = (async () => {
      for await (const { seq, type } of db.events()) {
        seqs.push(seq);
        if (type === 'supervisor.started' && ++supervisors === 2) break;
      }
    })();
    await until('the first events are there', () => supervisors === 1);
    process.kill(await pidOf('kills'), 'SIGKILL');
    await following;
    expect(seqs).toEqual(seqs.map((_, i) => i + 1));
  });

  test('an operation that is rolled back throws what the catalogue has, with its record', async () => {
    const db = await start();
    const client = new pg.Client({ connectionString: db.url });
    await client.connect();
    await client.query('begin');
    const error: unknown = await db.scale('large', { deadlineMs: 500 }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(RolledBackError);
    expect(error).toBeInstanceOf(DbproxyError);
    expect(error).toMatchObject({ code: 'DBP_SWITCH_DEADLINE', record: { outcome: 'rolled-back' } });
    expect((error as Error).message).toBe((error as RolledBackError).record.error?.message);
    await client.query('commit');
    await client.end();
  });

  test('what exists already is refused and left alone', async () => {
    await live.up('kept');
    await expect(start({ name: 'kept' })).rejects.toMatchObject({ code: 'DBP_INSTANCE_EXISTS' });
    const db = await start({ name: 'mine' });
    await expect(start({ name: 'mine' })).rejects.toMatchObject({ code: 'DBP_INSTANCE_EXISTS' });
    const { url } = db;
    expect(await answers(url)).toBe(true);
    expect((await listInstances()).map(({ name, state }) => [name, state])).toEqual([
      ['kept', 'running'],
      ['mine', 'running'],
    ]);
  });

  test('a start that fails leaves nothing', async () => {
    const port = await freePort();
    await start({ name: 'holder', port });
    await expect(start({ name: 'late', port })).rejects.toMatchObject({ code: 'DBP_ENV_PORT_TAKEN' });
    await expect(start({ name: 'old', postgres: '9.6', provider: 'embedded' })).rejects.toMatchObject({
      code: 'DBP_USAGE_UNKNOWN_VERSION',
    });
    await expect(start({ name: 'No Name' })).rejects.toMatchObject({ code: 'DBP_USAGE_INSTANCE_NAME' });
    expect(await names()).toEqual(expect.not.arrayContaining(['late', 'old']));
  });
});

async function answers(connectionString: string): Promise<boolean> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  const { rows } = await client.query<{ yes: boolean }>('select true as yes');
  await client.end();
  return rows[0]?.yes === true;
}

/** A program that starts a playground, says so, and goes on. */
async function program(name: string, then = 'setInterval(() => {}, 1000)'): Promise<ChildProcess> {
  const door = fileURLToPath(new URL('../../dist/index.js', import.meta.url));
  const code = `
    import { playground } from ${JSON.stringify(door)};
    await playground.start({ name: ${JSON.stringify(name)} });
    console.log('started');
    ${then}`;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

const nothingOf = (name: string): Promise<void> =>
  until(
    `nothing of ${name} is left`,
    async () =>
      !(await names()).includes(name) &&
      (await processesBelow(`${live.home}/instances/${name}`)).length === 0,
  );

describe('when the program has gone', () => {
  test.each(['SIGKILL', 'SIGINT'] as const)('by %s: its playground goes, others stay', async (signal) => {
    await live.up('stays');
    const child = await program('orphan');
    expect(await names()).toContain('orphan');
    child.kill(signal);
    await nothingOf('orphan');
    expect(await names()).toContain('stays');
  });

  test('at its ordinary end, without a stop', async () => {
    const child = await program('forgotten', 'process.exit(0)');
    if (child.exitCode === null) await once(child, 'exit');
    await nothingOf('forgotten');
  });

  test('together with the supervisor: doctor tells, and the next start removes it', async () => {
    const child = await program('both');
    const supervisor = await pidOf('both');
    const exited = once(child, 'exit');
    process.kill(supervisor, 'SIGKILL');
    child.kill('SIGKILL');
    await exited;
    await until('it is known as abandoned', async () =>
      (await listInstances()).some(({ name, state }) => name === 'both' && state === 'abandoned'),
    );
    const { checks } = await examine({ fix: false });
    expect(checks.find(({ name }) => name === 'instance both')).toMatchObject({
      state: 'problem',
      advice: 'dbproxy down --name both --purge --yes, or dbproxy doctor --fix',
    });
    const db = await playground.start();
    expect(await names()).not.toContain('both');
    await db.stop();
  });
});
