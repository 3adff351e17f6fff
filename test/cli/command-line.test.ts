/** The built command from outside: exit codes, what goes to which output, the JSON contract. No instance runs here. */
import { execFileSync, spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { BIN, Cli } from '../support/cli.js';

const ESCAPE = '\u001b[';
let cli: Cli;
beforeAll(async () => void (cli = await Cli.open()));
afterAll(() => cli.close());

const version = async (): Promise<string> =>
  (JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string })
    .version;

describe('what it says it is', () => {
  it.each([['--version'], ['-v'], ['version']])('%s', async (word) => {
    const { code, stdout, stderr } = await cli.run([word]);
    expect(stdout).toMatch(
      new RegExp(`^dbproxy ${await version()} \\(Node ${process.versions.node}, .+\\)\n$`),
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('--version --json', async () => {
    expect(await cli.json(['--version'])).toEqual(await cli.json(['version']));
  });

  it.each([['--version'], ['__complete', 's']])('%s on a full disk is no stack trace', (...words) => {
    const full = ['-c', 'exec "$@" > /dev/full', 'sh', process.execPath, BIN, ...words];
    const { status, stderr } = spawnSync('sh', full, { encoding: 'utf8' });
    const isForPeople = words[0] === '--version';
    expect(stderr).toMatch(isForPeople ? /the output cannot be written: the disk is full/ : /^$/);
    expect(status).toBe(isForPeople ? 4 : 0);
  });

  it('answers --version without the command framework', () => {
    const loaded = execFileSync(process.execPath, [BIN, '--version'], {
      encoding: 'utf8',
      env: { ...process.env, NODE_DEBUG: 'module' },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    expect(loaded).not.toContain('oclif');
  });

  it('version --json', async () => {
    expect(await cli.json(['version'])).toMatchObject({
      schema: 'dbproxy.version/1',
      version: await version(),
    });
  });
});

describe('help', () => {
  it.each([[[]], [['--help']], [['-h']], [['help']]])('%j begins with first steps', async (args) => {
    const { code, stdout, stderr } = await cli.run(args);
    expect(stdout).toMatch(/^FIRST STEPS\n {2}\$ dbproxy up /);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  it('has every command once', async () => {
    const { stdout } = await cli.run(['--help']);
    expect(stdout).not.toMatch(/^ {2}top /m);
    expect(stdout.match(/^ {2}scale /gm)).toHaveLength(1);
  });

  it('of a topic is no JSON', async () => {
    expect((await cli.run(['engine'])).stdout).toContain('engine ls');
    expect(await cli.json(['engine'], 2)).toMatchObject({
      message: 'engine is no command by itself',
      suggestions: ['dbproxy help engine'],
    });
  });

  it('of a command begins with examples, whichever way it is asked for', async () => {
    const { stdout } = await cli.run(['scale', '--help']);
    expect(stdout.indexOf('EXAMPLES')).toBeGreaterThan(0);
    expect(stdout.indexOf('EXAMPLES')).toBeLessThan(stdout.indexOf('USAGE'));
    expect((await cli.run(['help', 'scale'])).stdout).toBe(stdout);
  });

  it('gives every command an example that begins with a command', async () => {
    const manifest = JSON.parse(
      await readFile(new URL('../../oclif.manifest.json', import.meta.url), 'utf8'),
    ) as { commands: Record<string, { pluginName: string; examples?: string[] }> };
    for (const [id, { pluginName, examples }] of Object.entries(manifest.commands)) {
      if (pluginName !== 'dbproxy') continue;
      expect(examples?.join('\n'), id).toContain(`<%= config.bin %> ${id.replaceAll(':', ' ')}`);
    }
  });
});

/** Same exit code with and without --json, error on the right output, nothing on the other. */
const failures: readonly [args: string[], code: number, error: string, message: RegExp][] = [
  [['nosuch'], 127, 'DBP_USAGE_UNKNOWN_COMMAND', /unknown command "nosuch"/],
  [['nosuch', '--help'], 127, 'DBP_USAGE_UNKNOWN_COMMAND', /unknown command/],
  [['demo', 'nosuch'], 127, 'DBP_USAGE_UNKNOWN_COMMAND', /unknown command "demo nosuch"/],
  [
    ['scale', '--to', 'huge'],
    2,
    'DBP_USAGE_UNKNOWN_SIZE',
    /^unknown size "huge"; the sizes are small, medium, large, xlarge$/,
  ],
  [['scale'], 2, 'DBP_USAGE', /missing required flag --to/],
  [['scale', 'large'], 2, 'DBP_USAGE', /unexpected argument large/],
  [
    ['scale', '--to', 'small', '--deadline', 'soon'],
    2,
    'DBP_USAGE',
    /--deadline is a duration such as 250ms/,
  ],
  [['status', '--jsn'], 2, 'DBP_USAGE', /unknown flag --jsn \(did you mean --json\?\)/],
  [['up', '--port', 'x'], 2, 'DBP_USAGE', /--port: expected an integer/],
  [['up', '--name', 'Not a name'], 2, 'DBP_USAGE_INSTANCE_NAME', /instance name "Not a name" is not allowed/],
  [
    ['up', '--provider', 'embedded', '--postgres', '9.6'],
    2,
    'DBP_USAGE_UNKNOWN_VERSION',
    /PostgreSQL 9\.6 is not available/,
  ],
  [['up', '--writers', '5'], 2, 'DBP_USAGE', /--writers: expected an integer less than or equal to 4/],
  [['up', '--storage-nodes', '5'], 2, 'DBP_USAGE', /--storage-nodes is for several writers/],
  [
    ['up', '--writers', '2', '--storage-nodes', 'x'],
    2,
    'DBP_USAGE',
    /--storage-nodes is 1 to 9, or N\/Qf\/Qc/,
  ],
  [
    ['up', '--writers', '2', '--storage-nodes', '3/2/2'],
    2,
    'DBP_STORE_QUORUMS',
    /quorums 3\/2\/2 are refused: 2·Qf \+ Qc > 2·N does not hold/,
  ],
  [['up', '--host', ''], 2, 'DBP_USAGE', /^the value of --host is empty$/],
  [['up', '--host='], 2, 'DBP_USAGE', /^the value of --host is empty$/],
  [['sessions', ''], 2, 'DBP_USAGE', /^an argument is empty$/],
  [['up', '--standby-sync', '--no-standby'], 2, 'DBP_USAGE', /--no-standby is none/],
  [['up', '--metrics-port', '6432'], 2, 'DBP_USAGE', /--metrics-port 6432 is the port where clients connect/],
  [['workload', 'run'], 2, 'DBP_USAGE', /^missing argument: workload$/],
  [['workload', 'run', '/etc'], 2, 'DBP_WORKLOAD_UNKNOWN', /^\/etc: it is a directory$/],
  [['demo', 'run', '/etc'], 2, 'DBP_SCENARIO_INVALID', /^\/etc:1: it is a directory$/],
  [
    ['demo', 'run', 'nosuch', '/etc', 'session-state', 'other'],
    2,
    'DBP_SCENARIO_UNKNOWN',
    /^there is no scenario "nosuch".*\n\/etc:1: it is a directory\nthere is no scenario "other"/,
  ],
  [['up', '--name', 'shop.w2'], 2, 'DBP_USAGE', /dbproxy up --name shop --writers 2/],
  [['up', '--name', 'shop.w5'], 2, 'DBP_USAGE', /would be a writer of shop, of which there are 4 at most$/],
  [['conflict', '--table', 't'], 2, 'DBP_USAGE', /--key/],
  [['conflict'], 4, 'DBP_INSTANCE_NOT_RUNNING', /is not running/],
  [['workload', 'run', 'nosuch'], 2, 'DBP_WORKLOAD_UNKNOWN', /there is .*tpcb-like.*, or a file/],
  [['workload', 'run', 'tpcb-lik'], 2, 'DBP_WORKLOAD_UNKNOWN', /did you mean tpcb-like\?/],
  [['workload', 'run', 'nosuch.sql'], 2, 'DBP_WORKLOAD_UNKNOWN', /nosuch.sql: there is no such file/],
  [['workload', 'run', 'tpcb-like@0'], 2, 'DBP_USAGE', /the weight in tpcb-like@0/],
  [['demo', 'run', 'nosuch'], 2, 'DBP_SCENARIO_UNKNOWN', /there is no scenario "nosuch"/],
  [['status'], 4, 'DBP_INSTANCE_NOT_RUNNING', /instance "default" is not running/],
  [['psql'], 4, 'DBP_INSTANCE_NOT_RUNNING', /is not running/],
  [['sessions', 'abc'], 2, 'DBP_USAGE_UNKNOWN_SESSION', /there is no session abc/],
  [['sessions', '0'], 2, 'DBP_USAGE_UNKNOWN_SESSION', /there is no session 0/],
  [['trace', 'abc'], 2, 'DBP_USAGE_UNKNOWN_SESSION', /there is no session abc/],
  [['logs', '--name', 'absent'], 4, 'DBP_INSTANCE_NOT_RUNNING', /instance "absent" is not running/],
];

/** What is typed, and the first thing that is said to type instead. */
const nextSteps: readonly [args: string[], next: string][] = [
  [['nope'], 'dbproxy help'],
  [['statsu'], 'dbproxy status'],
  [['ui'], 'dbproxy watch'],
  [['ls'], 'dbproxy status --all'],
  [['stop'], 'dbproxy down'],
  [['scale'], 'dbproxy scale --to large'],
  [['scale', 'medium'], 'dbproxy scale --to medium'],
  [['patch', '17.9'], 'dbproxy patch --to 17.9'],
  [['patch'], 'dbproxy patch --to 17'],
  [['workload', 'run'], 'dbproxy workload run tpcb-like --init'],
  [['patch', '--self', '--size', 'large'], 'dbproxy help patch'],
  [['patch', '--self', '--unmovable', 'drop'], 'dbproxy help patch'],
  [['status', 'shop'], 'dbproxy status --name shop'],
  [['status', 'shop', '--name', 'other'], 'dbproxy help status'],
  [['up', 'a', 'b'], 'dbproxy help up'],
  [['psql', '-c', 'select 1'], "dbproxy psql -- -c 'select version()'"],
  [['psql', '--port', 'x'], "dbproxy psql -- -c 'select version()'"],
  [['scale', '--to', 'small', '--deadline', 'soon'], 'dbproxy help scale'],
];

describe('the next step', () => {
  it.each(nextSteps)('of %j is %s', async (args, next) => {
    const { stdout } = await cli.run([...args, '--json']);
    expect((JSON.parse(stdout) as { suggestions: string[] }).suggestions[0]).toBe(next);
  });
});

describe('a home that cannot be used', () => {
  it.each(['/proc/x', '/etc/passwd', '/dev/null/x', `/tmp/${'x'.repeat(300)}`])(
    '%s is said to be one',
    async (home) => {
      const { code, stderr } = await cli.run(['up', '--provider', 'embedded'], { DBPROXY_HOME: home });
      expect(stderr).toMatch(/the directory \/\S+ cannot be used: .*DBP_ENV_DIRECTORY/);
      expect(code).toBe(4);
    },
  );
});

// Of some of them Node says that a package is missing. Later ones open one file after the other, and so few are enough.
const NODE = Number(process.versions.node.split('.')[0]);
it.each([36, 40, 44, 64])('says how many files may be open where they are too few: %i', (limit) => {
  const few = ['-c', `ulimit -n ${limit}; exec "$@"`, 'sh', process.execPath, BIN, 'status', '--json'];
  const { status, stdout } = spawnSync('sh', few, {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, DBPROXY_HOME: `${cli.home}/h` },
  });
  const tooFew = { code: 'DBP_ENV_OPEN_FILES', suggestions: ['ulimit -n 4096, then the command again'] };
  expect(JSON.parse(stdout)).toMatchObject(NODE < 22 ? tooFew : { code: 'DBP_INSTANCE_NOT_RUNNING' });
  expect(status).toBe(4);
});

describe('which instances there are', () => {
  it('is told when there are none', async () => {
    expect((await cli.run(['status', '--all'])).stdout).toBe('no instances\n');
    expect(await cli.json(['status', '--all'])).toEqual({ schema: 'dbproxy.instances/1', instances: [] });
  });
});

describe('failures', () => {
  it.each(failures)('%j ends with %i', async (args, code, error, message) => {
    const [human, json] = await Promise.all([cli.run(args), cli.run([...args, '--json'])]);
    expect({ code: human.code, stdout: human.stdout }).toEqual({ code, stdout: '' });
    expect(human.stderr).toContain(error);
    expect(human.stderr).not.toMatch(/\bat .+\.js:\d+/);
    const printed = JSON.parse(json.stdout) as Record<string, unknown>;
    expect(Object.keys(printed)[0]).toBe('schema');
    expect(printed).toMatchObject({ schema: 'dbproxy.error/1', code: error });
    expect(printed.message).toMatch(message);
    expect({ code: json.code, stderr: json.stderr, lines: json.stdout.split('\n').length }).toEqual({
      ...{ code, stderr: '', lines: 2 },
    });
  });

  it('points to the command that was meant', async () => {
    expect((await cli.json<{ suggestions: string[] }>(['statsu'], 127)).suggestions).toEqual([
      'dbproxy status',
    ]);
  });

  it('points to the help of the command whose flags are wrong', async () => {
    const suggested = async (...args: string[]): Promise<string[]> =>
      (await cli.json<{ suggestions: string[] }>(args, 2)).suggestions;
    expect(await suggested('scale')).toEqual(['dbproxy scale --to large', 'dbproxy help scale']);
    expect(await suggested('workload', 'run', '--duration', '5s')).toEqual(['dbproxy help workload run']);
    expect(await suggested('workload', 'run', 'busy', '--for', 'x')).toEqual(['dbproxy help workload run']);
  });

  it('points to the version that was meant, in the command that was typed', async () => {
    const { suggestions } = await cli.json<{ suggestions: string[] }>(['engine', 'add', '1.2'], 2);
    expect(suggestions[1]).toMatch(/^dbproxy engine add 17\.\d+$/);
  });

  it('is annotated under GitHub Actions, each complaint at its line', async () => {
    const github = { GITHUB_ACTIONS: 'true', GITHUB_WORKSPACE: '/etc' };
    const { code, stdout, stderr } = await cli.run(
      ['demo', 'run', '/etc/passwd', 'nosuch', '--json'],
      github,
    );
    expect(stderr).toMatch(/^::error file=passwd,line=1,title=.*::.*version: 1\n::error::there is no .*\n$/);
    expect({ code, schema: (JSON.parse(stdout) as { schema: string }).schema }).toEqual({
      ...{ code: 2, schema: 'dbproxy.error/1' },
    });
  });

  it('points to the instance that was meant', async () => {
    const scale = ['scale', '--name', 'shop', '--to', 'huge'];
    expect(await cli.json(scale, 2)).toMatchObject({ suggestions: ['dbproxy scale --name shop --to large'] });
    expect((await cli.run(scale)).stderr).toContain('try  dbproxy scale --name shop --to large\n');
    expect(await cli.json(['logs', '-n', 'shop', '--writer', '2'], 4)).toMatchObject({
      suggestions: ['dbproxy up --name shop'],
    });
  });

  it('says that flags come after the command', async () => {
    const { code, stdout } = await cli.run(['--json', 'status']);
    expect(code).toBe(2);
    expect(stdout).toContain('must come after a command');
  });

  it('leaves nothing behind', async () => {
    expect(await cli.processes()).toEqual([]);
  });
});

describe('down', () => {
  it('of what does not run is done', async () => {
    const { code, stdout, stderr } = await cli.run(['down']);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '✔ default was not running\n' });
    expect(stderr).not.toContain('stopping');
    expect(await cli.json(['down'])).toMatchObject({
      schema: 'dbproxy.down/1',
      wasRunning: false,
      stopped: [],
    });
  });
});

describe('colour', () => {
  const error = ['status'];
  it('is not written into a pipe', async () => {
    const { stdout, stderr } = await cli.run(error);
    expect(stdout + stderr).not.toContain(ESCAPE);
  });
  it('is written into a pipe with FORCE_COLOR', async () => {
    expect((await cli.run(error, { FORCE_COLOR: '1' })).stderr).toContain(ESCAPE);
  });
  it.each([
    ['--no-color', [...error, '--no-color'], {}],
    ['NO_COLOR', error, { NO_COLOR: '1' }],
    ['FORCE_COLOR=0', error, { FORCE_COLOR: '0' }],
  ])('is off with %s', async (name, args, env) => {
    const forced = name === 'FORCE_COLOR=0' ? {} : { FORCE_COLOR: '1' };
    expect((await cli.run(args, { ...forced, ...env })).stderr).not.toContain(ESCAPE);
  });
  it('is not in the help that goes into a pipe', async () => {
    expect((await cli.run(['scale', '--help'])).stdout).not.toContain(ESCAPE);
  });

  const hasScript = spawnSync('script', ['--version']).status === 0;
  const onTerminal = (env: NodeJS.ProcessEnv, args: string): string =>
    execFileSync('script', ['-qec', `${process.execPath} ${BIN} ${args}`, '/dev/null'], {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, DBPROXY_HOME: `${cli.home}/h`, TERM: 'xterm', ...env },
    });
  it.skipIf(!hasScript)('is written to a terminal, where a slow command shows a sign at once', () => {
    const shown = onTerminal({}, 'down');
    expect(shown).toMatch(/^⠋ down/);
    expect(shown).toContain(`${ESCAPE}32m✔`);
  });
  it.skipIf(!hasScript)('TERM=dumb gets neither colour nor animation', () => {
    const shown = onTerminal({ TERM: 'dumb' }, 'down');
    expect(shown).not.toContain(ESCAPE);
    expect(shown).not.toContain('⠋');
  });
});
