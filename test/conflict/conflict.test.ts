/** `dbproxy conflict` on real writers: every kind of conflict comes about, somebody wins, nothing is lost; and what is refused. */
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { ConflictResult } from '../../src/conflict/index.js';
import type { UpResult } from '../../src/control/api.js';
import { freePort } from '../support/free-port.js';
import { Cli } from '../support/cli.js';

const LONG_MS = 180_000;
let cli: Cli;
let up: UpResult;

beforeAll(async () => {
  cli = await Cli.open();
  up = await cli.json<UpResult>([
    'up',
    '--name',
    'shop',
    '--writers',
    '2',
    '--port',
    String(await freePort()),
  ]);
}, LONG_MS);
afterAll(() => cli.close(['shop', 'one', 'two', 'three']), LONG_MS);

const conflict = (args: readonly string[], code = 0): Promise<ConflictResult> =>
  cli.json<ConflictResult>(['conflict', '--name', 'shop', ...args], code);
const holds = `select from pg_locks where locktype = 'advisory' and granted`;
const sound = { schema: 'dbproxy.conflict/1', lostUpdates: 0, diverged: false, divergedTables: [] };

async function onWriter(index: number, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: up.writers[index]!.url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

describe('conflict', () => {
  it(
    'makes every kind of it; one wins, the other is told, nothing is lost',
    async () => {
      const result = await conflict([]);
      expect(result).toMatchObject(sound);
      expect(result.scenes.map(({ scene, ok }) => [scene, ok])).toEqual([
        ['hot-row', true],
        ['unique-key', true],
        ['foreign-key', true],
        ['split-vote', true],
      ]);
      expect(result.conflicts).toBeGreaterThan(0);
      expect(result.splitVotes).toBeGreaterThan(0);
      expect(result.adjudicated).toBeGreaterThanOrEqual(result.splitVotes);
      const hot = result.scenes[0]!;
      expect(hot.committed).toBe(40);
      expect(hot.transactions - hot.committed).toBe(hot.conflicts);
      const loser = result.scenes.find(({ clientSaw }) => clientSaw !== null)?.clientSaw;
      expect(loser).toMatchObject({ sqlstate: '40001' });
    },
    LONG_MS,
  );

  it('says for people who voted, who won, and what the client saw', async () => {
    const { code, stdout } = await cli.run(['conflict', '--name', 'shop', '--only', 'split-vote']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/verdict \d+ by w[12], epoch \d+, the votes were split/);
    expect(stdout).toMatch(/s[123][✔✖]/);
    expect(stdout).toMatch(/its client saw {2}40001/);
    expect(stdout).toMatch(/lost updates +0/);
    expect(stdout).toMatch(/diverged +no/);
  });

  it('takes a writer for its instance, and says what is done before the first scene', async () => {
    const named = ['conflict', '--name', 'shop.w2', '--only', 'unique-key'];
    expect(await cli.json(named)).toMatchObject({ ...sound, instance: 'shop' });
    expect((await cli.run(named)).stderr).toMatch(/conflict: shop\.w2\nunique-key: 2 writers\n/);
    const byNumber = ['conflict', '--name', 'shop', '--writer', '2', '--only', 'unique-key'];
    expect(await cli.json(byNumber)).toMatchObject({ ...sound, instance: 'shop' });
  });

  it('counts parents and children as one does', async () => {
    const [scene] = (await conflict(['--only', 'foreign-key'])).scenes;
    expect(scene?.found).toMatch(
      /^(1 parent, 1 child|0 parents, 0 children|1 parent, 0 children) on every writer$/,
    );
  });

  it(
    'leaves a writer stopped that somebody has stopped, as url and psql do: up brings it back',
    async () => {
      const port = String(await freePort());
      await cli.json(['up', '--name', 'three', '--writers', '3', '--port', port]);
      const states = async (): Promise<string[]> =>
        (await cli.json<{ writers: { state: string }[] }>(['status', '--name', 'three'])).writers.map(
          ({ state }) => state,
        );
      await cli.json(['down', '--name', 'three', '--writer', '2']);
      const result = await cli.json<ConflictResult>(['conflict', '--name', 'three', '--rounds', '3']);
      expect(result).toMatchObject({ ...sound, writers: [{ id: 'w1' }, { id: 'w3' }] });
      expect(result.scenes.every(({ ok }) => ok)).toBe(true);
      await cli.run(['url', '--name', 'three']);
      const self = await cli.run(['patch', '--self', '--name', 'three']);
      expect(self.stderr).toMatch(/next {2}dbproxy patch --name three --self --writer 3\n/);
      expect(await states()).toEqual(['running', 'stopped', 'running']);
      await cli.json(['down', '--name', 'three', '--writer', '3']);
      expect(await cli.json(['conflict', '--name', 'three'], 2)).toMatchObject({
        code: 'DBP_WRITERS_STOPPED',
        message: 'of the writers of instance "three" w1 runs; it takes two to have a conflict',
        suggestions: ['dbproxy up --name three', 'dbproxy status --name three'],
      });
      const again = await cli.run(['up', '--name', 'three']);
      expect(again.stderr.match(/^writer: .*$/gm)).toEqual(['writer: three.w2', 'writer: three.w3']);
      expect((await cli.run(['up', '--name', 'three'])).stderr).not.toContain('writer:');
      expect(await states()).toEqual(['running', 'running', 'running']);
    },
    LONG_MS,
  );

  it('is made once at a time: two would count the same rows', async () => {
    const first = conflict(['--only', 'hot-row', '--rounds', '60']);
    await expect.poll(() => onWriter(0, holds), { timeout: LONG_MS }).not.toHaveLength(0);
    const error = await cli.json<{ code: string; suggestions: string[] }>(
      ['conflict', '--name', 'shop', '--only', 'hot-row'],
      1,
    );
    expect(error).toMatchObject({ code: 'DBP_CONFLICT_RUNS', suggestions: ['dbproxy events --name shop'] });
    expect(await first).toMatchObject({ ...sound, committed: 240 });
  });

  it(
    'takes no table of the user for one of its own, and removes no row of it',
    async () => {
      const leading = async (): Promise<number> => {
        const { writers } = await cli.json<{ writers: { leads: boolean }[] }>(['status', '--name', 'shop']);
        return writers.findIndex(({ leads }) => leads);
      };
      const primary = await leading();
      await onWriter(primary, 'drop schema if exists dbproxy_conflict cascade');
      await onWriter(primary, 'create schema dbproxy_conflict');
      await onWriter(
        primary,
        'create table dbproxy_conflict.accounts (id uuid primary key, email text unique)',
      );
      await onWriter(primary, `insert into dbproxy_conflict.accounts values (gen_random_uuid(), 'mine')`);
      await onWriter(primary, 'create view dbproxy_conflict.split as select 1 as id, 7 as n');
      const refused = await cli.json<{ code: string; message: string }>(['conflict', '--name', 'shop'], 2);
      expect(refused.code).toBe('DBP_CONFLICT_FOREIGN');
      expect(refused.message).toMatch(/^dbproxy_conflict\.accounts, dbproxy_conflict\.split /);
      const rows = 'select email from dbproxy_conflict.accounts';
      expect(await onWriter(primary, rows)).toEqual([{ email: 'mine' }]);
      await onWriter(primary, 'alter schema dbproxy_conflict rename to mine_again');
      expect(await conflict(['--only', 'unique-key'])).toMatchObject(sound);
      // What is not called as ours is may be there.
      await onWriter(primary, 'create table dbproxy_conflict.notes (id int primary key)');
      await onWriter(primary, 'insert into dbproxy_conflict.notes values (1)');
      expect(await conflict(['--only', 'unique-key'])).toMatchObject(sound);
      expect(await onWriter(primary, 'select * from dbproxy_conflict.notes')).toEqual([{ id: 1 }]);
    },
    LONG_MS,
  );

  it(
    'hears the verdicts of a new supervisor, too',
    async () => {
      const { supervisor } = await cli.json<{ supervisor: { pid: number } }>(['status', '--name', 'shop']);
      const run = conflict(['--only', 'hot-row', '--only', 'split-vote', '--rounds', '60']);
      await expect.poll(() => onWriter(0, holds), { timeout: LONG_MS }).not.toHaveLength(0);
      process.kill(supervisor.pid, 'SIGKILL');
      const result = await run;
      expect(result).toMatchObject(sound);
      expect(result.splitVotes).toBeGreaterThan(0);
    },
    LONG_MS,
  );

  it(
    'says which writer it was whose engine died, and runs again',
    async () => {
      const { engines } = await cli.json<{ engines: { pid: number }[] }>(['status', '--name', 'shop.w2']);
      const run = cli.json(['conflict', '--name', 'shop', '--only', 'hot-row', '--rounds', '1000'], 1);
      await expect.poll(() => onWriter(0, holds), { timeout: LONG_MS }).not.toHaveLength(0);
      const lines = 'select from dbproxy_conflict.ledger limit 1';
      await expect.poll(() => onWriter(1, lines), { timeout: LONG_MS }).not.toHaveLength(0);
      process.kill(engines[0]!.pid, 'SIGKILL');
      const error = await run;
      expect(error).toMatchObject({ code: 'DBP_CONFLICT_CLIENT' });
      expect(await conflict(['--only', 'unique-key'])).toMatchObject(sound);
    },
    LONG_MS,
  );

  it('knows the writers that there are', async () => {
    expect(await cli.json(['conflict', '--name', 'shop', '--writer', '3'], 2)).toMatchObject({
      code: 'DBP_WRITERS_UNKNOWN',
    });
    expect(await cli.json(['conflict', '--name', 'shop.w4'], 2)).toMatchObject({
      code: 'DBP_WRITERS_UNKNOWN',
    });
  });

  it('writes no column that PostgreSQL makes itself', async () => {
    await onWriter(
      0,
      'create table made (id int generated always as identity primary key, n int, t int generated always as (n) stored)',
    );
    await onWriter(0, 'insert into made (n) values (7)');
    expect(await conflict(['--table', 'made', '--key', '1', '--clients', '4'])).toMatchObject(sound);
    expect(await onWriter(1, 'select * from made')).toEqual([{ id: 1, n: 7, t: 7 }]);
  });

  it('fights over a row of a table of the user', async () => {
    await onWriter(0, 'create table mine (a int, b text, n int default 7, primary key (a, b))');
    await onWriter(0, `insert into mine values (1, 'x')`);
    expect(await conflict(['--table', 'mine', '--key', '1,x', '--clients', '4'])).toMatchObject(sound);
    for (const index of [0, 1])
      expect(await onWriter(index, 'select a, b, n from mine')).toEqual([{ a: 1, b: 'x', n: 7 }]);
  });

  it(
    'refuses a table without a key, a row that is not there, an instance with one writer',
    async () => {
      await onWriter(0, 'create table keyless (n int)');
      for (const [args, reason] of [
        [['--table', 'keyless', '--key', '1'], /keyless has no primary key/],
        [['--table', 'absent', '--key', '1'], /there is no table absent/],
        [['--table', 'mine', '--key', '1'], /the key of mine is \(a, b\)/],
        [['--table', 'mine', '--key', '9,x'], /mine has no row with \(a, b\) = \(9, x\)/],
        [
          ['--table', 'mine', '--key', 'nine,x'],
          /no key of mine: invalid input syntax for type integer: "nine"/,
        ],
        [['--table', 'a.b.c.d', '--key', '1'], /a\.b\.c\.d is no table's name: /],
        [['--table', 'pg_class', '--key', '1259'], /pg_class is a table of PostgreSQL or dbproxy/],
        [['--table', 'dbproxy.self', '--key', '1'], /dbproxy\.self is a table of PostgreSQL or dbproxy/],
      ] as const) {
        const error = await cli.json<{ code: string; message: string }>(
          ['conflict', '--name', 'shop', ...args],
          2,
        );
        expect(error.code).toBe('DBP_USAGE');
        expect(error.message).toMatch(reason);
      }
      await cli.json(['up', '--name', 'one', '--port', String(await freePort())]);
      const error = await cli.json<{ code: string; suggestions: string[] }>(['conflict', '--name', 'one'], 2);
      expect(error).toMatchObject({ code: 'DBP_WRITERS_SINGLE' });
      expect(error.suggestions[0]).toBe('dbproxy up --name one-2 --writers 2');
    },
    LONG_MS,
  );
});

describe('what several writers refuse, seen by a client', () => {
  const refused = async (sql: readonly string[]): Promise<string | undefined> => {
    const client = new pg.Client({ connectionString: up.writers[1]!.url });
    client.on('error', () => undefined);
    await client.connect();
    try {
      for (const each of sql) await client.query(each);
      return undefined;
    } catch (error) {
      return (error as pg.DatabaseError).code;
    } finally {
      await client.end();
    }
  };
  it.each([
    [
      'an update of a table without a key',
      ['insert into keyless values (1)', 'update keyless set n = 2'],
      '55000',
    ],
    [
      'two-phase commit',
      ['begin', 'create table p2 (i int primary key)', `prepare transaction 'x'`],
      /^(25000|0A000|25001)$/,
    ],
  ] as const)('%s', async (_what, sql, code) => {
    expect(await refused(sql)).toMatch(code);
  });
});

describe('up', () => {
  it(
    'says of a store that it takes no loss',
    async () => {
      const port = String(await freePort());
      const { code, stderr } = await cli.run([
        ...['up', '--name', 'two', '--port', port, '--writers', '2', '--storage-nodes', '2'],
      ]);
      expect(code).toBe(0);
      expect(stderr).toContain('--storage-nodes 2: one lost node stops all commits');
    },
    LONG_MS,
  );
});

describe('definitions of a workload at another writer than the primary', () => {
  it('names the primary, and a command that works', async () => {
    const { writers } = await cli.json<{ writers: { leads: boolean }[] }>(['status', '--name', 'shop']);
    const other = writers.findIndex(({ leads }) => !leads) + 1;
    const primary = writers.findIndex(({ leads }) => leads) + 1;
    const run = ['workload', 'run', 'select-only', '--init', '--for', '1s', '--name', 'shop', '--writer'];
    const error = await cli.json<{ message: string; suggestions: string[] }>([...run, String(other)], 1);
    expect(error.message).toContain(`through the primary writer, which is w${primary}`);
    const next = error.suggestions[0]!;
    expect(next).toBe(`dbproxy workload run --name shop select-only --init --writer ${primary}`);
    const again = await cli.run([...next.split(' ').slice(1), '--for', '1s']);
    expect(again).toMatchObject({ code: 0 });
  }, 60_000);
});

describe('status', () => {
  it('shows writers and storage nodes', async () => {
    const { stdout } = await cli.run(['status', '--name', 'shop']);
    expect(stdout).toMatch(/w1 primary +shop /);
    expect(stdout).toMatch(/s3 +in-service/);
    expect((await cli.json<{ writers: unknown[] }>(['status', '--name', 'shop'])).writers).toHaveLength(2);
    expect(await cli.json(['status', '--name', 'shop', '--writer', '2'])).toMatchObject({
      instance: 'shop.w2',
    });
    expect(await cli.json(['status', '--name', 'shop', '--writer', '3'], 2)).toMatchObject({
      code: 'DBP_WRITERS_UNKNOWN',
    });
  });
});
