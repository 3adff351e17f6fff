/** `demo run` and real signals: however it is ended, at whatever step, its instance goes with it. */
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../control/live.js';
import { Cli, type RunningCli } from '../support/cli.js';

const LONG_MS = 180_000;
const GONE_BOUND_MS = 60_000;
let cli: Cli;
let file: string;

beforeAll(async () => {
  cli = await Cli.open();
  file = join(cli.home, 'long.yaml');
  await writeFile(
    file,
    `version: 1
name: long
workload: { script: tpcb-like, clients: 2, rate: 20/s }
steps:
  - scale: { to: medium }
  - patch: { self: true }
  - sleep: 100s
`,
  );
});
afterAll(() => cli.close());

/** As it is told on stderr when it begins. */
const STEPS = [
  'up: PostgreSQL',
  'initialise: ',
  'load: ',
  'scale to medium: provision',
  'scale to medium: ready',
  'patch --self: ',
  'sleep 100 s',
];
const play = async (at: string, ...args: readonly string[]): Promise<RunningCli> => {
  const running = cli.start(['demo', 'run', file, ...args]);
  await running.saw(at);
  return running;
};
/** Processes that were started and files of instances. */
const left = async (): Promise<string[]> => {
  const instances = await readdir(join(cli.home, 'h', 'instances')).catch(() => []);
  return [...(await cli.processes()).map((pid) => `process ${pid}`), ...instances];
};
const nothingIsLeft = (): Promise<void> =>
  until('everything is gone', async () => (await left()).length === 0, GONE_BOUND_MS);

describe.each(STEPS)('at "%s"', (at) => {
  it(
    'Ctrl-C twice: 130 without waiting, and the instance removes itself',
    async () => {
      const running = await play(at);
      running.child.kill('SIGINT');
      await running.saw('SIGINT: removing what was started (once more to force)');
      running.child.kill('SIGINT');
      const { code, stderr } = await running.done;
      expect(code).toBe(130);
      // Unless it had removed everything before the second one came.
      expect(stderr).toMatch(/not waiting: what was started removes itself|interrupted by SIGINT/);
      await nothingIsLeft();
    },
    LONG_MS,
  );
});

describe.each(['load: ', 'scale to medium: provision', 'sleep 100 s'])('at "%s"', (at) => {
  it(
    'the terminal goes (SIGHUP): as SIGTERM, 143, with a result, and nothing is left',
    async () => {
      const running = await play(at);
      running.child.kill('SIGHUP');
      const { code, stdout, stderr } = await running.done;
      expect(code).toBe(143);
      expect(stderr).toContain('terminated by SIGHUP');
      expect(stdout).toContain('Interrupted.');
      expect(await left()).toEqual([]);
    },
    LONG_MS,
  );

  it(
    'kill -9: nothing is left either',
    async () => {
      const running = await play(at);
      running.child.kill('SIGKILL');
      expect((await running.done).code).toBeNull();
      await nothingIsLeft();
    },
    LONG_MS,
  );
});

it(
  '--keep: Ctrl-C ends the load, the instance stays; also when it is forced',
  async () => {
    const running = await play('sleep 100 s', '--keep');
    running.child.kill('SIGINT');
    await running.saw('SIGINT: ending the load; the instance stays');
    running.child.kill('SIGINT');
    expect((await running.done).code).toBe(130);
    const [name = ''] = await readdir(join(cli.home, 'h', 'instances'));
    expect(await cli.json(['status', '--name', name])).toMatchObject({ state: 'running' });
    await cli.json(['down', '--purge', '--yes', '--name', name]);
    await nothingIsLeft();
  },
  LONG_MS,
);
