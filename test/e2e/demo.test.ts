/** `dbproxy demo` as users run it: every bundled scenario holds, and whatever ends one, nothing of it stays. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DemoResult } from '../../src/scenario/types.js';
import { Cli } from '../support/cli.js';
import { hasOlder, IMAGE, leftOf } from '../support/docker/index.js';
import { cacheWithBoth } from '../support/versions.js';

const LONG_MS = 300_000;
let cli: Cli;

beforeAll(async () => {
  cli = await Cli.open();
  await cacheWithBoth(join(cli.home, 'h'));
}, LONG_MS);
afterAll(() => cli.close());

const scenario = async (text: string): Promise<string> => {
  const file = join(cli.home, `${Math.random().toString(36).slice(2)}.yaml`);
  await writeFile(file, `version: 1\nname: x\n${text}`);
  return file;
};
const nothingIsLeft = async (): Promise<void> => {
  expect(await cli.processes()).toEqual([]);
};

describe('the scenarios that come with dbproxy', () => {
  it.each([
    'live-scale',
    'session-state',
    'patch-under-load',
    'patch-self',
    'long-transaction',
    'autoscale',
    'engine-killed',
    'engine-crash',
    'write-conflict',
  ])(
    '%s',
    async (id) => {
      const demo = await cli.json<DemoResult>(['demo', 'run', `playground/scenarios/${id}.yaml`]);
      expect(demo.expectations.filter(({ ok }) => !ok)).toEqual([]);
      expect(demo).toMatchObject({ outcome: 'passed', error: null });
      expect(demo.expectations.length).toBeGreaterThan(0);
      await nothingIsLeft();
    },
    LONG_MS,
  );

  it('are listed, and one of them is where to begin', async () => {
    expect((await cli.run(['demo', 'ls'])).stdout).toMatch(
      /session-state +scale with every kind of session state/,
    );
    const file = join(cli.home, 'mine.yaml');
    expect(await cli.json(['demo', 'init', file])).toEqual({ schema: 'dbproxy.demo-init/1', file });
    const text = await readFile(file, 'utf8');
    const schema = /\$schema=(\S+)/.exec(text)?.[1] ?? '';
    expect(await readFile(join(cli.home, schema), 'utf8')).toContain('"title": "dbproxy scenario"');
    expect(await cli.json(['demo', 'init', file], 2)).toMatchObject({ code: 'DBP_SCENARIO_EXISTS' });
    await cli.json(['demo', 'init', file, '--force']);
  });
});

describe.skipIf(!hasOlder)('the scenarios that come with dbproxy, on containers', () => {
  it.each(['live-scale', 'session-state', 'patch-under-load', 'engine-killed', 'engine-crash'])(
    '%s',
    async (id) => {
      const where = ['--provider', 'docker', '--image', IMAGE];
      const demo = await cli.json<DemoResult>(['demo', 'run', `playground/scenarios/${id}.yaml`, ...where]);
      expect(demo).toMatchObject({ outcome: 'passed', error: null, engine: { provider: 'docker' } });
      expect(demo.expectations.length).toBeGreaterThan(0);
      await nothingIsLeft();
      expect(leftOf(cli.home)).toEqual([]);
    },
    LONG_MS,
  );
});

describe('demo run', () => {
  it(
    'an expectation that does not hold: 3, in every report, at its line',
    async () => {
      const file = await scenario(
        'steps:\n  - { sql: select 1, equals: 1 }\nexpect:\n  - { sql: select 41, equals: 42 }\n',
      );
      const [junit, markdown, events, summary] = ['j.xml', 'm.md', 'e.ndjson', 's.md'].map((name) =>
        join(cli.home, name),
      );
      const { code, stdout, stderr } = await cli.run(
        ['demo', 'run', file, '--junit', junit!, '--markdown', markdown!, '--events', events!],
        { GITHUB_ACTIONS: 'true', GITHUB_STEP_SUMMARY: summary!, GITHUB_WORKSPACE: cli.home },
      );
      expect(code).toBe(3);
      expect(stdout).toMatch(/✖ select 41 gives 42 {2}41/);
      expect(stdout).toContain('1 of 1 expectations do not hold.');
      expect(stderr).toMatch(
        /^::error file=\w+\.yaml,line=6,title=.*::expected select 41 gives 42, saw 41$/m,
      );
      expect(await readFile(junit!, 'utf8')).toContain('<failure message="select 41 gives 42: 41"');
      expect(await readFile(summary!, 'utf8')).toBe(await readFile(markdown!, 'utf8'));
      const kinds = (await readFile(events!, 'utf8'))
        .trim()
        .split('\n')
        .map((line) => (JSON.parse(line) as { kind: string }).kind);
      expect(new Set(kinds)).toEqual(new Set(['step', 'event', 'expectation']));
      await nothingIsLeft();
    },
    LONG_MS,
  );

  it(
    'one that never ends is ended by its timeout: 5',
    async () => {
      const file = await scenario('timeout: 15s\nsteps:\n  - sleep: 60min\n');
      const demo = await cli.json<DemoResult>(['demo', 'run', file], 5);
      expect(demo).toMatchObject({ outcome: 'errored', error: { code: 'DBP_SCENARIO_TIMEOUT' } });
      await nothingIsLeft();
    },
    LONG_MS,
  );

  it(
    'a step that takes too long: 5, and what comes after it is skipped',
    async () => {
      const file = await scenario('steps:\n  - { sql: select pg_sleep(600), timeout: 1s }\n  - sleep: 1s\n');
      const demo = await cli.json<DemoResult>(['demo', 'run', file], 5);
      const own = demo.steps.filter(({ line }) => line !== null).map(({ verb, outcome }) => [verb, outcome]);
      expect(own).toEqual([
        ['sql', 'failed'],
        ['sleep', 'skipped'],
      ]);
      await nothingIsLeft();
    },
    LONG_MS,
  );

  it.each(['up: ', 'initialise: ', 'load: ', 'sleep 100 s'])(
    'Ctrl-C at "%s": 130, and nothing is left',
    async (at) => {
      const file = await scenario('workload: { script: tpcb-like }\nsteps:\n  - sleep: 100s\n');
      const running = cli.start(['demo', 'run', file]);
      await running.saw(at);
      running.child.kill('SIGINT');
      const { code, stdout } = await running.done;
      expect(code).toBe(130);
      expect(stdout).toContain('Interrupted.');
      await nothingIsLeft();
    },
    LONG_MS,
  );

  it(
    '--keep leaves the instance and says how to go on',
    async () => {
      const file = await scenario('steps:\n  - { sql: create table kept (n int) }\n');
      const { kept } = await cli.json<DemoResult>(['demo', 'run', file, '--keep']);
      expect(await cli.json(['status', '--name', kept!.instance])).toMatchObject({ state: 'running' });
      await cli.run(['down', '--purge', '--yes', '--name', kept!.instance]);
      await nothingIsLeft();
    },
    LONG_MS,
  );

  it('a file that is wrong, or a report that cannot be written: nothing is started', async () => {
    const wrong = await scenario('steps:\n  - sleeep: 1s\n');
    expect(await cli.json(['demo', 'run', wrong], 2)).toMatchObject({
      code: 'DBP_SCENARIO_INVALID',
      message: expect.stringContaining(
        `${wrong}:4: steps[1]: there is no sleeep here; did you mean sleep?`,
      ) as unknown,
    });
    const worse = await scenario('engine: { size: huge }\nsteps:\n  - sleeep: 1s\n');
    const { stderr } = await cli.run(['demo', 'run', worse]);
    for (const line of ['3: engine.size: expected one of "small"|', '5: steps[1]: there is no sleeep here'])
      expect(stderr).toContain(`${worse}:${line}`);
    expect(await cli.json(['demo', 'run', worse], 2)).toMatchObject({
      details: {
        complaints: [
          { line: 3, path: 'engine.size' },
          { line: 5, path: 'steps[1]' },
        ],
      },
    });
    const right = await scenario('steps:\n  - sleep: 1s\n');
    expect(await cli.json(['demo', 'run', right, '--junit', '/nonexistent/j.xml'], 4)).toMatchObject({
      code: 'DBP_ENV_FILE',
    });
  });

  it(
    'a full disk under a report: the result is still there, and the exit code says so',
    async () => {
      const file = await scenario('steps:\n  - { sql: select 1 }\n');
      const { code, stderr } = await cli.run(['demo', 'run', file, '--markdown', '/dev/full']);
      expect(code).toBe(4);
      expect(stderr).toContain('the file /dev/full cannot be written: the disk is full');
      await nothingIsLeft();
    },
    LONG_MS,
  );
});
