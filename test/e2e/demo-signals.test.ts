/** `demo run` and real signals: however it is ended, at whatever step, its instance goes with it. */
import { mkdtemp, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { until } from '../control/live.js';
import { Cli, type CliResult, type RunningCli } from '../support/cli.js';

const LONG_MS = 300_000;
const BOUND_MS = 120_000;
let cli: Cli;

beforeAll(async () => {
  cli = await Cli.open();
});
afterAll(() => cli.close());

/** What is played, and the text of the event at which the signal comes. */
const SCALE = '[{ scale: { to: medium } }, { sleep: 100s }]';
const PLACES = {
  up: ['[{ sleep: 100s }]', '"name":"up"'],
  initialise: ['[{ sleep: 100s }]', '"name":"initialise"'],
  load: ['[{ sleep: 100s }]', '"name":"load"'],
  'a sleep': ['[{ sleep: 100s }]', '"name":"sleep 100 s"'],
  'a scale, its new engine being made': [SCALE, '"step":"provision"'],
  'a scale, everybody held': [SCALE, '"step":"fence"'],
  'a handover': ['[{ patch: { self: true } }, { sleep: 100s }]', '"name":"patch --self"'],
} as const;
type Place = keyof typeof PLACES;

/** Resolves when it has come to that place. */
async function play(place: Place, ...args: readonly string[]): Promise<RunningCli> {
  const [steps, mark] = PLACES[place];
  const directory = await mkdtemp(join(cli.home, 's-'));
  const [file, events] = [join(directory, 's.yaml'), join(directory, 'events.ndjson')];
  const load = '{ script: tpcb-like, clients: 2, rate: 20/s }';
  await writeFile(file, `version: 1\nname: long\nworkload: ${load}\nsteps: ${steps}\n`);
  const running = cli.start(['demo', 'run', file, '--events', events, ...args]);
  let result: CliResult | null = null;
  void running.done.then((ended) => (result = ended));
  const happened = async (): Promise<boolean> => {
    if (result) throw new Error(`it ended before ${mark}: ${result.stdout}\n${result.stderr}`);
    return (await readFile(events, 'utf8').catch(() => '')).includes(mark);
  };
  await until(`it comes to ${mark}`, happened, BOUND_MS);
  return running;
}

/** Processes that were started, and instances. */
const left = async (): Promise<string[]> => {
  const instances = await readdir(join(cli.home, 'h', 'instances')).catch(() => []);
  return [...(await cli.processes()).map((pid) => `process ${pid}`), ...instances];
};
const nothingIsLeft = (): Promise<void> =>
  until('everything is gone', async () => (await left()).length === 0, BOUND_MS);

describe('Ctrl-C twice: 130 without waiting, and the instance is removed behind it', () => {
  it.each(Object.keys(PLACES) as Place[])(
    '%s',
    async (place) => {
      const running = await play(place);
      running.child.kill('SIGINT');
      await running.saw('SIGINT: removing what was started (once more to force)');
      running.child.kill('SIGINT');
      const { code, stderr } = await running.done;
      expect(code).toBe(130);
      // Unless everything was removed before the second one came.
      expect(stderr).toMatch(
        /not waiting: what was started is removed in the background|interrupted by SIGINT/,
      );
      await nothingIsLeft();
    },
    LONG_MS,
  );
});

describe('the terminal goes (SIGHUP): as SIGTERM, 143, with a result, and nothing is left', () => {
  it.each(['load', 'a scale, its new engine being made', 'a sleep'] as const)(
    '%s',
    async (place) => {
      const running = await play(place);
      running.child.kill('SIGHUP');
      const { code, stdout, stderr } = await running.done;
      expect(code, stderr).toBe(143);
      expect(stderr).toContain('terminated by SIGHUP');
      expect(stdout).toContain('Interrupted.');
      expect(await left()).toEqual([]);
    },
    LONG_MS,
  );
});

describe('kill -9: nothing is left either', () => {
  it(
    'a scale, everybody held',
    async () => {
      const running = await play('a scale, everybody held');
      running.child.kill('SIGKILL');
      expect((await running.done).code).toBeNull();
      await nothingIsLeft();
    },
    LONG_MS,
  );

  it(
    'up; where there was no supervisor yet that could notice, by doctor --fix',
    async () => {
      const running = await play('up');
      running.child.kill('SIGKILL');
      expect((await running.done).code).toBeNull();
      let leaves: string[] = [];
      await until(
        'nobody is at work',
        async () => !(leaves = await left()).some((one) => one.startsWith('process')),
        BOUND_MS,
      );
      if (leaves.length > 0) await cli.run(['doctor', '--fix']);
      expect(await left()).toEqual([]);
    },
    LONG_MS,
  );
});

it(
  '--keep: Ctrl-C ends the load, the instance stays; also when it is forced',
  async () => {
    const running = await play('a sleep', '--keep');
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
