/** The verbs against real engines, from outside: what a user types, in the order in which a user would. */
import { execFileSync, spawnSync } from 'node:child_process';
import { createServer, type Server } from 'node:net';
import { access } from 'node:fs/promises';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type {
  CheckResult,
  MoveRecord,
  SessionsResult,
  StatusResult,
  UpResult,
} from '../../src/control/api.js';
import { Cli, freePort } from '../support/cli.js';
import { value } from '../support/clients.js';
import { Pause } from '../support/pause.js';

const LONG_MS = 180_000;
const hasPsql = spawnSync('psql', ['--version']).status === 0;

let cli: Cli;
let port: number;
let up: UpResult;
const clients: pg.Client[] = [];
/** What ended a connection, by application name: the first that was said. */
const endings = new Map<string, Error>();

beforeAll(async () => {
  cli = await Cli.open();
  port = await freePort();
  up = await cli.json<UpResult>(['up', '--port', String(port)]);
}, LONG_MS);

afterAll(async () => {
  await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  await cli.close(['default', 'second']);
}, LONG_MS);

async function connect(application: string, url = up.url): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: application });
  // An end that the server made shows in the next query; without a listener it would end the test run.
  client.on('error', (error) => {
    if (!endings.has(application)) endings.set(application, error);
  });
  await client.connect();
  clients.push(client);
  return client;
}

describe('up', () => {
  it('answers with the contract, ready for a query', async () => {
    expect(up).toMatchObject({
      ...{ schema: 'dbproxy.up/1', instance: 'default', host: '127.0.0.1', port, alreadyRunning: false },
      engines: [{ id: 'e1', role: 'primary', size: 'small' }],
    });
    expect(up.engines[0]?.postgres).toMatch(/^17\./);
    expect(await value(await connect('first'), 'select 1')).toBe(1);
  });

  it('again finds that it runs, and refuses other settings', async () => {
    const again = await cli.json<UpResult>(['up']);
    expect(again).toMatchObject({ alreadyRunning: true, proxy: up.proxy, url: up.url });
    const refused = await cli.json(['up', '--size', 'large'], 2);
    expect(refused).toMatchObject({ code: 'DBP_INSTANCE_SETTINGS_DIFFER' });
  });

  it(
    'on a taken port ends with 4, names the holder and leaves nothing running',
    async () => {
      const before = await cli.processes();
      const holder = await listen();
      try {
        const taken = (holder.address() as { port: number }).port;
        const result = await cli.run(['up', '--name', 'second', '--port', String(taken)]);
        expect(result.code).toBe(4);
        expect(result.stdout).toBe('');
        expect(result.stderr).toContain(`port ${taken} on 127.0.0.1 is taken by`);
        expect(result.stderr).toContain(`(pid ${process.pid})`);
        expect(result.stderr).toMatch(/dbproxy up --name second --port \d+/);
      } finally {
        holder.close();
      }
      expect(await cli.processes()).toEqual(before);
      expect(await cli.json(['status', '--name', 'second'], 4)).toMatchObject({
        code: 'DBP_INSTANCE_NOT_RUNNING',
      });
    },
    LONG_MS,
  );
});

describe('Ctrl-C during up', () => {
  it(
    'says what becomes of the instance, and so it is',
    async () => {
      const running = cli.start(['up', '--name', 'second', '--port', String(await freePort())]);
      await running.saw('supervisor: starting');
      running.child.kill('SIGINT');
      const { code, stderr } = await running.done;
      expect(stderr).toContain('the instance goes on starting; dbproxy down --name second stops it');
      expect(code).toBe(130);
      expect(await cli.json(['status', '--name', 'second'])).toMatchObject({ state: 'running' });
      await cli.json(['down', '--purge', '--yes', '--name', 'second']);
    },
    LONG_MS,
  );

  it(
    'before there is a supervisor: the next command starts the instance, and that is said',
    async () => {
      const pause = new Pause('up.wanted', cli.home);
      const up = ['up', '--name', 'second', '--port', String(await freePort())];
      const { child, done } = cli.start(up, pause.env);
      await pause.reached();
      child.kill('SIGINT');
      expect((await done).stderr).toContain(
        'the next command starts the instance; dbproxy down --name second stops it',
      );
      expect(await cli.json(['status', '--name', 'second'])).toMatchObject({ state: 'running' });
      await cli.json(['down', '--purge', '--yes', '--name', 'second']);
    },
    LONG_MS,
  );
});

describe('a start that cannot be', () => {
  it.each([
    ['192.0.2.1', 'no interface of this machine has that address'],
    ['nosuch.invalid', 'there is no such host'],
  ])(
    'on %s says why, and what to type',
    async (host, why) => {
      const { code, stderr } = await cli.run(['up', '--name', 'second', '--host', host, '--port', '6599']);
      expect(stderr).toContain(`nothing can listen on ${host}, port 6599: ${why}  DBP_ENV_LISTEN`);
      expect(stderr).toContain('try  dbproxy up --name second --host 127.0.0.1');
      expect(stderr).not.toMatch(/\bat .+:\d+/);
      expect(code).toBe(4);
    },
    LONG_MS,
  );

  it(
    'names the instance whose port it is',
    async () => {
      const { stderr } = await cli.run(['up', '--name', 'second', '--port', String(port)]);
      expect(stderr).toContain(
        `port ${port} on 127.0.0.1 is taken by instance "default"  DBP_ENV_PORT_TAKEN`,
      );
    },
    LONG_MS,
  );

  it('with another major version points to no patch that would be refused', async () => {
    const { suggestions } = await cli.json<{ suggestions: string[] }>(['up', '--postgres', '12'], 2);
    expect(suggestions[0]).toContain('dbproxy engine ls --available');
    expect(await cli.json(['up', '--postgres', '17.1'], 2)).toMatchObject({
      suggestions: ['dbproxy patch --to 17.1', 'dbproxy up --name other'],
    });
  });
});

describe('what is for containers', () => {
  it.skipIf(process.env.DBPROXY_PROVIDER === 'docker').each([
    ['scale', '--to', 'large'],
    ['patch', '--to', '17'],
  ])('is refused by %s where the engines are none', async (...args) => {
    expect(await cli.json([...args, '--image', 'pgvector/pgvector:pg17'], 2)).toMatchObject({
      message: expect.stringContaining('is for containers') as string,
    });
  });
});

describe('looking', () => {
  it('logs are completed with those of the instance', async () => {
    const { stdout } = await cli.run(['__complete', 'logs', '']);
    expect(stdout.split('\n')).toEqual(expect.arrayContaining(['engine', 'proxy', 'supervisor', 'e1']));
    expect((await cli.run(['__complete', 'logs', '--name', 'absent', 'e'])).stdout).toBe('engine\n');
  });

  it('status --all names the instances, and so does what finds another name', async () => {
    expect(await cli.json(['status', '--all'])).toMatchObject({
      schema: 'dbproxy.instances/1',
      instances: [{ name: 'default', state: 'running', port, engines: [{ id: 'e1', size: 'small' }] }],
    });
    expect((await cli.run(['status', '--all'])).stdout).toMatch(/default +running +\d+ +small +17\.\d+/);
    expect(await cli.json(['status', '--name', 'defualt'], 4)).toMatchObject({
      message: 'instance "defualt" is not running; others are: default',
      suggestions: ['dbproxy up --name defualt', 'dbproxy status --all'],
    });
  });

  it('status and sessions name the client', async () => {
    const client = await connect('looked-at');
    await client.query("set statement_timeout = '1h'");
    const status = await cli.json<StatusResult>(['status']);
    expect(status).toMatchObject({
      schema: 'dbproxy.status/1',
      state: 'running',
      operation: null,
      repaired: [],
    });
    expect(status.engines).toMatchObject([{ id: 'e1', state: 'running' }]);
    expect(status.engines[0]?.memoryBytes).toBeGreaterThan(0);
    const { sessions } = await cli.json<SessionsResult>(['sessions']);
    const mine = sessions.find(({ application }) => application === 'looked-at');
    expect(mine).toMatchObject({
      user: 'postgres',
      database: 'postgres',
      engine: 'e1',
      txStatus: 'I',
      moves: 0,
    });
    expect(mine?.query).toContain('statement_timeout');
    const human = (await cli.run(['status'])).stdout;
    expect(human).toContain('looked-at');
    expect(human).not.toContain(new URL(up.url).password);
  });

  it('url is one bare line, and env can be evaluated', async () => {
    expect((await cli.run(['url'])).stdout).toBe(`${up.url}\n`);
    const { stdout } = await cli.run(['env']);
    const seen = execFileSync('sh', ['-c', `${stdout}\nprintf '%s %s' "$DATABASE_URL" "$PGPORT"`], {
      encoding: 'utf8',
    });
    expect(seen).toBe(`${up.url} ${port}`);
  });

  it.skipIf(!hasPsql)('psql goes through the proxy and gives its exit code', async () => {
    const good = await cli.run(['psql', '--', '-X', '-Atc', "select 'through ' || current_user"]);
    expect(good).toMatchObject({ code: 0, stdout: 'through postgres\n' });
    const twice = await cli.run([
      'psql',
      '--',
      '-X',
      '-At',
      '-c',
      'select 1',
      '-c',
      'select 2',
      '-c',
      'select 1',
    ]);
    expect(twice).toMatchObject({ code: 0, stdout: '1\n2\n1\n' });
    const bad = await cli.run(['psql', '--', '-X', '-v', 'ON_ERROR_STOP=1', '-c', 'select nonsense']);
    expect(bad.code).toBe(1);
    const file = await cli.run(['psql', '--', '-X', '-f', '/nonexistent.sql']);
    expect(file.code).toBe(1);
  });

  it('psql that is not there is the environment, with a way out', async () => {
    const result = await cli.run(['psql'], { PATH: '/nonexistent' });
    expect(result.code).toBe(4);
    expect(result.stderr).toContain('psql is not installed here');
    expect(result.stderr).toContain('dbproxy url');
  });

  it('logs shows the end of each log', async () => {
    expect((await cli.run(['logs', '--lines', '200'])).stdout).toContain('ready to accept connections');
    expect((await cli.run(['logs', 'e1', '--lines', '1'])).stdout.trim().split('\n')).toHaveLength(1);
    expect(await cli.json(['logs', 'supervisor'])).toMatchObject({
      schema: 'dbproxy.logs/1',
      log: 'supervisor',
    });
    expect((await cli.run(['logs', 'e77'])).stderr).toContain('the logs are engine, supervisor, proxy, e1');
  });

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('events --follow goes on until %s', async (signal, code) => {
    const following = cli.start(['events', '--follow']);
    await following.saw('instance.up');
    following.child.kill(signal);
    const result = await following.done;
    expect(result.code).toBe(code);
    expect(result.stderr).toContain('no longer following');
  });
});

it.each([[['events', '--follow']], [['logs', 'engine', '--follow']], [['trace']]])(
  '%j ends without a word when its reader has gone',
  async (args) => {
    const following = cli.start(args);
    following.child.stdout?.once('data', () => following.child.stdout?.destroy());
    const client = await connect('talker');
    let ended = false;
    const done = following.done.finally(() => (ended = true));
    // Something for each of them to tell, until it has noticed.
    while (!ended) {
      await client.query('select 1/0').catch(() => undefined);
      // To say the same again would be no news.
      if (args[0] === 'events') for (const way of ['on', 'off']) await cli.run(['autoscale', way]);
    }
    await cli.run(['autoscale', 'off']);
    expect(await done).toMatchObject({ code: 0, stderr: '' });
  },
  LONG_MS,
);

it('trace of nothing says so', async () => {
  expect(await cli.run(['trace', '--for', '200ms'])).toMatchObject({
    ...{ code: 0, stdout: '' },
    stderr: expect.stringContaining('no client said anything meanwhile') as string,
  });
  expect(await cli.json(['trace', '--for', '200ms'])).toMatchObject({ messages: 0 });
});

describe('scale', () => {
  it(
    'moves a live session with what it holds',
    async () => {
      const client = await connect('mover');
      await client.query("set application.tenant = 'acme'; set search_path = pg_catalog");
      await client.query('create table if not exists public.t (n int)');
      const prepared = { name: 'mine', text: 'select $1::int + 1 as n' };
      expect((await client.query<{ n: number }>({ ...prepared, values: [1] })).rows[0]?.n).toBe(2);

      const record = await cli.json<MoveRecord>(['scale', '--to', 'medium']);
      expect(record).toMatchObject({
        ...{ schema: 'dbproxy.move/1', outcome: 'completed', error: null },
        from: { engine: 'e1', size: 'small' },
        to: { engine: 'e2', size: 'medium' },
        sessions: { failed: [], kept: 0, dropped: 0 },
      });
      expect(record.sessions.moved).toBe(record.sessions.total);
      expect(record.sessions.moved).toBeGreaterThan(0);
      expect(record.holdMs.count).toBe(record.sessions.moved);

      expect(await value(client, "select current_setting('application.tenant')")).toBe('acme');
      expect(await value(client, 'show search_path')).toBe('pg_catalog');
      expect((await client.query<{ n: number }>({ ...prepared, values: [41] })).rows[0]?.n).toBe(42);
      const status = await cli.json<StatusResult>(['status']);
      expect(status.engines).toMatchObject([{ id: 'e2', role: 'primary', size: 'medium' }]);
      expect(status.sessions.find(({ application }) => application === 'mover')).toMatchObject({
        moves: 1,
        engine: 'e2',
      });
      expect((await cli.run(['events'])).stdout).toContain('operation.completed');
    },
    LONG_MS,
  );

  it(
    'at the deadline gives up on an open transaction: 5, and the session is named',
    async () => {
      const client = await connect('lingering');
      await client.query('begin');
      const { code, stdout, stderr } = await cli.run(['scale', '--to', 'small', '--deadline', '2s']);
      expect(code).toBe(5);
      expect(stdout).toContain('rolled back, every session stays on e2');
      expect(stdout).toMatch(/session \d+ \(postgres@postgres\)/);
      expect(stderr).toContain('dbproxy sessions');
      expect(stderr).toContain('dbproxy scale --to small --on-timeout cancel');
      const record = await cli.json<MoveRecord>(['scale', '--to', 'small', '--deadline', '1s'], 5);
      expect(record).toMatchObject({ outcome: 'rolled-back', error: { code: 'DBP_SWITCH_DEADLINE' } });
      expect(await value(client, 'select 1')).toBe(1);
      await client.query('commit');
    },
    LONG_MS,
  );

  it(
    'is refused while another runs, with its progress',
    async () => {
      const client = await connect('waited-for');
      await client.query('begin');
      const first = cli.start(['scale', '--to', 'small', '--deadline', '120s']);
      await first.saw('drain');
      const second = await cli.json<{ code: string; message: string }>(['scale', '--to', 'large'], 1);
      expect(second.code).toBe('DBP_INSTANCE_BUSY');
      expect(second.message).toMatch(/another operation runs on this instance: scale scale-\d+/);
      expect((await cli.json<StatusResult>(['status'])).operation).toMatchObject({ operation: 'scale' });
      await client.query('commit');
      const result = await first.done;
      expect(result.stdout).toContain('medium → small');
      expect(result.code).toBe(0);
    },
    LONG_MS,
  );

  it(
    'goes on when the command that asked is interrupted',
    async () => {
      const asking = cli.start(['scale', '--to', 'medium']);
      await asking.saw('provision');
      asking.child.kill('SIGINT');
      const result = await asking.done;
      expect(result.code).toBe(130);
      expect(result.stderr).toContain('the operation goes on');
      await expect
        .poll(async () => (await cli.json<StatusResult>(['status'])).operation, {
          timeout: 60_000,
          interval: 200,
        })
        .toBeNull();
      expect((await cli.json<StatusResult>(['status'])).engines).toMatchObject([{ size: 'medium' }]);
    },
    LONG_MS,
  );

  it('refuses a size that does not exist before it asks anybody', async () => {
    expect(await cli.json(['scale', '--to', 'huge'], 2)).toMatchObject({ code: 'DBP_USAGE_UNKNOWN_SIZE' });
  });
});

describe('a session that cannot move', () => {
  let holder: pg.Client;
  beforeAll(async () => {
    holder = await connect('holder');
    await holder.query('create aggregate pg_temp.total (int) (sfunc = int4pl, stype = int)');
  });

  it('makes check end with 3 and says what it holds', async () => {
    const result = await cli.json<CheckResult>(['check'], 3);
    expect(result).toMatchObject({ schema: 'dbproxy.check/1', movable: false });
    const stuck = result.sessions.filter(({ movable }) => !movable);
    expect(stuck).toMatchObject([
      { application: 'holder', state: [{ kind: 'tempObjects', movable: false }] },
    ]);
  });

  it(
    'makes scale roll back with 1',
    async () => {
      const record = await cli.json<MoveRecord>(['scale', '--to', 'large'], 1);
      expect(record).toMatchObject({ outcome: 'rolled-back', error: { code: 'DBP_SWITCH_UNMOVABLE' } });
      expect(await value(holder, 'select 1')).toBe(1);
    },
    LONG_MS,
  );

  it(
    'is ended when that was asked for, and everybody else moves',
    async () => {
      const record = await cli.json<MoveRecord>(['scale', '--to', 'large', '--unmovable', 'drop']);
      expect(record).toMatchObject({
        outcome: 'completed',
        error: null,
        sessions: { dropped: 1, failed: [] },
      });
      await expect(holder.query('select 1')).rejects.toThrow();
      expect(endings.get('holder')).toMatchObject({
        code: '57P01',
        message: expect.stringContaining('could not be moved') as string,
      });
      expect(await cli.json<CheckResult>(['check'])).toMatchObject({ movable: true });
    },
    LONG_MS,
  );
});

describe('a session that holds more than the flags allow', () => {
  it(
    'cannot move under these limits, and can under the default ones: check foretells what scale does',
    async () => {
      const client = await connect('long');
      await client.query('declare c scroll cursor with hold for select generate_series(1, 3)');
      const few = ['--max-cursor-rows', '2'];
      const stuck = await cli.json<CheckResult>(['check', ...few], 3);
      expect(stuck.sessions.filter(({ movable }) => !movable)).toMatchObject([
        { application: 'long', reasons: ['holds held cursor c: more than 2 rows'] },
      ]);
      expect(await cli.json<MoveRecord>(['scale', '--to', 'small', ...few], 1)).toMatchObject({
        error: {
          code: 'DBP_SWITCH_UNMOVABLE',
          message: expect.stringContaining('more than 2 rows') as string,
        },
      });
      expect(
        await cli.json<MoveRecord>(
          ['scale', '--to', 'small', ...few, '--unmovable', 'wait', '--deadline', '1s'],
          5,
        ),
      ).toMatchObject({ outcome: 'rolled-back', error: { code: 'DBP_SWITCH_DEADLINE' } });
      expect(await cli.json<CheckResult>(['check'])).toMatchObject({ movable: true });
      await client.end();
    },
    LONG_MS,
  );

  it('is asked for with a size, a count and a duration', async () => {
    for (const wrong of [
      ['--max-temp-bytes', '64MiB'],
      ['--max-cursor-rows', 'many'],
      ['--max-session-time', '0'],
    ])
      expect(await cli.json(['check', ...wrong], 2)).toMatchObject({ code: 'DBP_USAGE' });
  });
});

describe('workload run', () => {
  it(
    'makes its tables, runs, and adds up',
    async () => {
      const result = await cli.json([
        'workload',
        'run',
        'tpcb-like',
        '--init',
        '--for',
        '2s',
        '--clients',
        '4',
      ]);
      expect(result).toMatchObject({
        schema: 'dbproxy.workload/1',
        failed: 0,
        unknown: 0,
        ledger: { ok: true },
      });
      expect(result.transactions).toBeGreaterThan(0);
    },
    LONG_MS,
  );

  it(
    'finishes what is in flight at Ctrl-C and reports what it has',
    async () => {
      const running = cli.start(['workload', 'run', 'select-only', '--for', '120s']);
      await running.saw('measured');
      running.child.kill('SIGINT');
      const result = await running.done;
      expect(result.code).toBe(130);
      expect(result.stdout).toMatch(/select-only {2}[\d,]+ transactions in/);
    },
    LONG_MS,
  );
});

describe('two instances', () => {
  it(
    'run side by side, and down ends one of them',
    async () => {
      const second = await cli.json<UpResult>(['up', '--name', 'second', '--port', String(await freePort())]);
      const here = await connect('here');
      const there = await connect('there', second.url);
      await there.query('create table only_there (n int)');
      expect(await value(here, "select to_regclass('only_there')")).toBeNull();
      expect(await value(there, "select to_regclass('only_there')::text")).toBe('only_there');

      const down = await cli.run(['down', '--name', 'second', '--purge']);
      expect(down).toMatchObject({ code: 0 });
      expect(down.stdout).toContain('second stopped, its data removed');
      await expect(access(second.dataDir)).rejects.toThrow(/ENOENT/);
      await expect(there.query('select 1')).rejects.toThrow();
      expect(await value(here, 'select 1')).toBe(1);
    },
    LONG_MS,
  );
});

describe('down', () => {
  it(
    'leaves nothing running, keeps the data, and up brings it back',
    async () => {
      await (await connect('keeper')).query('create table kept as select 7 as n');
      expect(await cli.json(['down'])).toMatchObject({
        schema: 'dbproxy.down/1',
        wasRunning: true,
        purged: false,
      });
      expect(await cli.processes()).toEqual([]);
      // What PostgreSQL says when it is shut down: nobody's engine was lost.
      expect(endings.get('keeper')).toMatchObject({
        code: '57P01',
        message: 'terminating connection due to administrator command',
      });
      expect(await cli.json(['status'], 4)).toMatchObject({ code: 'DBP_INSTANCE_NOT_RUNNING' });
      expect(await cli.json(['doctor'])).toMatchObject({ schema: 'dbproxy.doctor/1', healthy: true });
      const { events } = await cli.json<{ events: { type: string; seq: number }[] }>(['events']);
      expect(events.map(({ type }) => type)).toContain('instance.up');
      const last = events.at(-1)!.seq;
      expect(await cli.json(['events', '--after', String(last - 1)])).toMatchObject({
        events: [{ seq: last }],
      });
      expect(await cli.json(['events', '--follow'], 4)).toMatchObject({ code: 'DBP_INSTANCE_NOT_RUNNING' });
      expect(await cli.json(['events', '--name', 'absent'], 4)).toMatchObject({
        code: 'DBP_INSTANCE_NOT_RUNNING',
      });

      expect(await cli.json<UpResult>(['up'])).toMatchObject({ port, alreadyRunning: false });
      expect(await value(await connect('again'), 'select n from kept')).toBe(7);
      expect(await cli.json(['down', '--purge'])).toMatchObject({ purged: true });
      expect(await cli.processes()).toEqual([]);
    },
    LONG_MS,
  );
});

function listen(): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => resolve(server));
  });
}
