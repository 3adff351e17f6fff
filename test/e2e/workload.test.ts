/** `dbproxy workload` as users run it: on an instance, on any other PostgreSQL, with files of their own, into a pipe. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { SessionsResult, UpResult } from '../../src/control/api.js';
import type { WorkloadResult } from '../../src/workload/index.js';
import { Cli, freePort } from '../support/cli.js';
import { eventually } from '../support/clients.js';

const LONG_MS = 120_000;
let cli: Cli;
let up: UpResult;

beforeAll(async () => {
  cli = await Cli.open();
  up = await cli.json<UpResult>(['up', '--port', String(await freePort())]);
  await cli.json(['workload', 'run', 'tpcb-like', '--init', '--for', '100ms', '--clients', '1']);
}, LONG_MS);
afterAll(() => cli.close(['default']));

describe('workload ls', () => {
  it('names scripts and probes, and the file to copy', async () => {
    const { stdout, stderr, code } = await cli.run(['workload', 'ls']);
    expect(code).toBe(0);
    expect(stdout).toMatch(/tpcb-like +script +\S/);
    expect(stdout).toMatch(/temp-table +probe +\S/);
    expect(stderr).toMatch(/cp \S+playground\/workloads\/\S+\.sql mine\.sql/);
    const { workloads } = await cli.json<{ workloads: { name: string }[] }>(['workload', 'ls']);
    expect(workloads.map(({ name }) => name)).toContain('hot-row');
  });
});

describe('workload run', () => {
  it(
    'without an instance: any PostgreSQL by its URL',
    async () => {
      // Another home knows no instance.
      const elsewhere = await Cli.open();
      try {
        const args = ['workload', 'run', 'select-only', '--for', '300ms', '--clients', '2'];
        expect(await elsewhere.json(args, 4)).toMatchObject({ code: 'DBP_INSTANCE_NOT_RUNNING' });
        const result = await elsewhere.json<WorkloadResult>([...args, '--target', up.url]);
        expect(result).toMatchObject({ script: 'select-only', failed: 0, ledger: null });
        expect(result.transactions).toBeGreaterThan(0);
      } finally {
        await elsewhere.close();
      }
    },
    LONG_MS,
  );

  it(
    'a mixture in an open loop, with the windows of a switch that somebody else ran',
    async () => {
      const running = cli.start([
        ...['workload', 'run', 'tpcb-like@2', 'temp-table', 'held-cursor', 'prepared', '--json'],
        ...['--rate', '100', '--arrivals', 'uniform', '--clients', '4', '--for', '120s'],
      ]);
      // With --json into a pipe nothing is said; its sessions show that it has begun.
      await eventually('the sessions of the load', async () => {
        const { sessions } = await cli.json<SessionsResult>(['sessions']);
        return sessions.filter(({ application }) => application === 'dbproxy workload').length === 4;
      });
      expect(await cli.json(['scale', '--to', 'medium'])).toMatchObject({
        outcome: 'completed',
        error: null,
      });
      running.child.kill('SIGINT');
      const { code, stdout } = await running.done;
      expect(code).toBe(130);
      const result = JSON.parse(stdout) as WorkloadResult;
      expect(result).toMatchObject({
        failed: 0,
        disconnects: 0,
        arrivals: 'uniform',
        ledger: { ok: true },
      });
      expect(result.errors).toEqual({});
      expect(result.works.map(({ name }) => name)).toEqual([
        'tpcb-like',
        'temp-table',
        'held-cursor',
        'prepared',
      ]);
      expect(result.stallMs.windows).toHaveLength(1);
      expect(result.stallMs.count).toBeGreaterThan(0);
    },
    LONG_MS,
  );

  it('says what is wrong with a file, and where, before a database is asked', async () => {
    const file = join(cli.home, 'mine.sql');
    await writeFile(file, '\\set aid radnom(1, 10)\nSELECT :aid;\n');
    const args = ['workload', 'run', file, '--target', 'postgres://127.0.0.1:1/nobody'];
    expect(await cli.json(args, 2)).toMatchObject({
      code: 'DBP_WORKLOAD_SCRIPT',
      message: `${file}:1: there is no function radnom; did you mean random?`,
    });
  });

  it(
    'a rate out of reach: the result says that it is not to be believed',
    async () => {
      const { stdout, code } = await cli.run([
        ...['workload', 'run', 'hot-row', '--rate', '100000', '--clients', '2', '--for', '2s'],
      ]);
      expect(code).toBe(0);
      expect(stdout).toMatch(/beware +.*was not reached/);
    },
    LONG_MS,
  );

  it(
    'into a pipe it says how it goes, line by line',
    async () => {
      const { stderr, stdout } = await cli.run([
        'workload',
        'run',
        'select-only',
        '--for',
        '6s',
        '--clients',
        '1',
      ]);
      expect(stderr).toMatch(/^measured: 1 s {2}[\d,]+ tps/m);
      expect(stderr).toMatch(/^[56] s {2}[\d,]+ tps {2}max .* 0 errors$/m);
      expect(stderr + stdout).not.toContain('\u001b');
    },
    LONG_MS,
  );

  it(
    'Ctrl-C while it makes its tables ends it at once',
    async () => {
      const running = cli.start(['workload', 'run', 'tpcb-like', '--init', '--scale', '20']);
      await running.saw('init: rows');
      running.child.kill('SIGINT');
      const { code, stderr } = await running.done;
      expect(code).toBe(130);
      expect(stderr).toContain('interrupted by SIGINT');
    },
    LONG_MS,
  );
});
