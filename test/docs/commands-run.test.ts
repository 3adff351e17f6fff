/**
 * Every command line of the documentation runs, as it stands there, against real instances. What a line needs that is not here, or what another test plays in full, is named below.
 */
import { mkdir, symlink } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { spawn } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { BIN, Cli, freePort, providerEnv } from '../support/cli.js';
import { cacheWithBoth } from '../support/versions.js';
import { distinctLines, type ShellLine } from './shell-lines.js';

/** Not run from here, and what runs it instead. */
const ELSEWHERE: readonly (readonly [pattern: RegExp, where: string])[] = [
  [
    /^npm |^npx |^bin\/dev\.js/,
    'the scripts of package.json are the development itself; their names are checked',
  ],
  [/dbproxy demo /, 'test/scenario, test/e2e'],
  [/dbproxy engine (add|rm)|--available/, 'test/cli/engine.test.ts, with a registry of its own'],
  [/dbproxy doctor$/, 'with --fix here: alone it ends with 4 where another run has left something'],
  [/dbproxy (sessions|trace) \d|mine\./, 'names what only a reader has'],
  [/dbproxy (watch|top)|--watch/, 'test/tui, in a terminal'],
  [/--store etcd:/, 'test/control/multiwriter-etcd.test.ts, with an etcd of its own'],
  [
    /ENGINE_DIRECTORY|-D look|-p 5999/,
    'test/control/standby-paths.test.ts, after a failover that lost something',
  ],
  [/docker/, 'test/engine/docker.test.ts, where there is a container runtime'],
  [/dbproxy autoscale on/, 'test/e2e/autoscale.test.ts; here it would move others by itself'],
];

/** So that a line ends soon, alone, and without a terminal. */
const FOR_A_TEST: readonly (readonly [RegExp, string])[] = [
  [/--for \d+s/, '--for 1s'],
  [/--scale \d+/, '--scale 1'],
  [/--target postgres:\S+/, '--target "$(dbproxy url)"'],
  [/--purge(?!.*--yes)/, '--purge --yes'],
  [/ --(metrics-)?port \d+/, ''],
  [/logs e\d/, 'logs proxy'],
];

/** Goes on until Ctrl-C. */
const GOES_ON = /--follow/;
const LOOK_MS = 3_000;

const lines = await distinctLines();
const isElsewhere = ({ text, needs }: ShellLine): boolean =>
  needs !== undefined || ELSEWHERE.some(([pattern]) => pattern.test(text));

describe('runs', () => {
  let cli: Cli;
  let bin: string;
  const ports = new Map<string, number>();

  beforeAll(async () => {
    cli = await Cli.open();
    bin = join(cli.home, 'bin');
    await mkdir(bin);
    await symlink(BIN, join(bin, 'dbproxy'));
    await mkdir(join(cli.home, 'h'));
    await cacheWithBoth(join(cli.home, 'h'));
  }, 120_000);
  afterAll(() => cli.close([...ports.keys()]), 120_000);

  const shell = (line: string): Promise<{ code: number | null; output: string }> =>
    run(line, {
      PATH: `${bin}${delimiter}${process.env.PATH}`,
      HOME: cli.home,
      DBPROXY_HOME: join(cli.home, 'h'),
      ...providerEnv(),
    });

  /** On a port that is free here, whatever the page says; the same one every time. */
  const up = async (name: string, line = `dbproxy up --name ${name}`): Promise<string> => {
    if (!ports.has(name)) ports.set(name, await freePort());
    return `${line} --port ${ports.get(name)}`;
  };

  test.each(lines.filter((line) => !isElsewhere(line)).map(({ text, page }) => [text, page] as const))(
    '%s (%s)',
    async (text) => {
      const name = /--name ([\w-]+)/.exec(text)?.[1] ?? 'default';
      let line = FOR_A_TEST.reduce((typed, [from, to]) => typed.replace(from, to), text);
      if (/^dbproxy up\b/.test(line)) {
        // A new one: the page begins here.
        await shell(`dbproxy down --name ${name} --purge --yes`);
        line = await up(name, line);
      } else {
        // Further writers come to an instance that is down.
        const conflicts = /^dbproxy conflict\b/.test(line);
        if (conflicts) await shell(`dbproxy down --name ${name}`);
        const started = await shell((await up(name)) + (conflicts ? ' --writers 2' : ''));
        expect(started.code, started.output).toBe(0);
      }
      if (/dbproxy workload run(?!.*--init)/.test(line))
        await shell('dbproxy workload run select-only --init --for 1s');
      if (/--table accounts\b/.test(line))
        await shell(
          `dbproxy psql --name ${name} -- -c "create table accounts (id int primary key, balance int)" -c "insert into accounts values (1, 0)"`,
        );
      const { code, output } = await shell(line);
      expect([0, ...(GOES_ON.test(line) ? [130] : [])], `${line}\n${output}`).toContain(code);
    },
    120_000,
  );
});

/** In bash, with nothing to read. A line that goes on is interrupted after a look. */
function run(line: string, env: NodeJS.ProcessEnv): Promise<{ code: number | null; output: string }> {
  const wrapped = GOES_ON.test(line) ? `timeout --preserve-status -s INT ${LOOK_MS / 1000} ${line}` : line;
  const child = spawn('bash', ['-euo', 'pipefail', '-c', wrapped], {
    cwd: env.HOME,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk: Buffer) => (output += String(chunk)));
  return new Promise((resolve) => child.once('close', (code) => resolve({ code, output })));
}
