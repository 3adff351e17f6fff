/** Output that cannot be written: one clear error, whatever the command; a reader that leaves early is none. */
import { execFile } from 'node:child_process';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BIN, Cli, freePort, providerEnv, type CliResult } from '../support/cli.js';

const LONG_MS = 120_000;
let cli: Cli;

beforeAll(async () => {
  cli = await Cli.open();
  await cli.json(['up', '--port', String(await freePort())]);
}, LONG_MS);
afterAll(() => cli.close(['default']));

/** `behind`: what a shell has behind the command. Its exit code is that of the command. */
const inShell = (args: string, behind: string): Promise<CliResult> =>
  new Promise((resolve) => {
    const child = execFile(
      'bash',
      ['-c', `"${process.execPath}" "${BIN}" ${args} ${behind}; exit \${PIPESTATUS[0]}`],
      { env: { PATH: process.env.PATH, HOME: cli.home, DBPROXY_HOME: `${cli.home}/h`, ...providerEnv() } },
      (_, stdout, stderr) => resolve({ code: child.exitCode, stdout, stderr }),
    );
  });

it.each([
  '--help',
  'up --help',
  'demo ls --json',
  'url',
  'status',
  'status --json',
  'events --follow',
  'events --follow --json',
  'check',
])(
  '%s, to a full disk',
  async (args) => {
    const { code, stderr } = await inShell(args, '> /dev/full');
    expect(code).toBe(4);
    expect(stderr).toContain('the output cannot be written: the disk is full  DBP_ENV_OUTPUT');
    expect(stderr.match(/DBP_ENV_OUTPUT/g)).toHaveLength(1);
    expect(stderr).not.toMatch(/\n {4}at |Error:/);
  },
  LONG_MS,
);

it('an error is told where it can be, and keeps its exit code', async () => {
  expect((await inShell('status --nope', '> /dev/full')).stderr).toMatch(/^✖ unknown flag --nope/);
  const { code, stderr } = await inShell('status --nope --json', '> /dev/full');
  expect(code).toBe(2);
  expect(stderr).toContain('DBP_ENV_OUTPUT');
});

it(
  'what is done is done, also when nothing of it can be said',
  async () => {
    expect((await inShell('scale --to medium', '2> /dev/full')).code).toBe(0);
    expect((await inShell('scale --to small', '> /dev/full')).code).toBe(4);
    expect(await cli.json(['status'])).toMatchObject({ engines: [{ size: 'small' }] });
  },
  LONG_MS,
);

it.each(['--help', 'status', 'status --json', 'events'])('%s | head -1 is quiet', async (args) => {
  const { code, stdout, stderr } = await inShell(args, '| head -1');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout.trim().split('\n')).toHaveLength(1);
});
