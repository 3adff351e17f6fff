/** `dbproxy engine` from outside: exit codes, the JSON contract, two processes at once, one that is killed. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { copyFile, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { EngineAddResult, EnginesResult } from '../../src/control/engines.js';
import type { DoctorResult } from '../../src/control/doctor.js';
import { InstanceDirectory, newInstanceRecord } from '../../src/control/instance-directory.js';
import { instancePaths } from '../../src/control/paths.js';
import { offeredEngines } from '../../src/engine/index.js';
import type { ErrorJson } from '../../src/errors/index.js';
import { BIN, Cli, freePort, type CliResult } from '../support/cli.js';
import { NpmRegistry } from '../support/npm-registry.js';
import { useProvider } from '../support/provider.js';
import { SOON } from '../support/soon.js';

// Of binaries.
useProvider('embedded');

let cli: Cli;
let registry: NpmRegistry;
let tarball: Buffer;
beforeEach(async () => {
  cli = await Cli.open();
  registry = await NpmRegistry.open();
  tarball = await registry.offer('17.91.0-beta.1');
});
afterEach(async () => {
  await registry.close();
  await cli.close();
});

const cache = (): string => join(cli.home, 'h/cache');
const run = (...args: string[]): Promise<CliResult> =>
  cli.run(['engine', ...args], { npm_config_registry: registry.url });

async function json<T>(args: string[], code = 0): Promise<T> {
  const result = await run(...args, '--json');
  expect({ code: result.code, stderr: result.stderr }, result.stdout).toEqual({ code, stderr: '' });
  return JSON.parse(result.stdout) as T;
}

/** Resolves when so much of a download is on the disk. */
const arrived = (bytes: number): Promise<void> =>
  vi.waitFor(
    async () => {
      const [part = ''] = await readdir(join(cache(), 'downloads'));
      expect((await stat(join(cache(), 'downloads', part))).size).toBe(bytes);
    },
    { ...SOON, interval: 20 },
  );

/** An instance as it is on disk when it is down. */
async function stoppedInstance(name: string, postgres: string): Promise<void> {
  const directory = new InstanceDirectory(instancePaths(name, join(cli.home, 'h')));
  await directory.create();
  const { paths } = directory;
  const engine = {
    ...{
      id: 'e1',
      provider: 'embedded' as const,
      role: 'primary' as const,
      size: 'small' as const,
      postgres,
    },
    access: { kind: 'socket' as const, directory: `${paths.runDirectory}/e1`, port: 5432 },
    ...{ superuser: 'postgres', directory: `${paths.enginesDirectory}/e1`, logFile: '/dev/null' },
    ...{ systemIdentifier: '1', process: null },
  };
  const spec = {
    ...{ name, provider: 'embedded' as const, providerReason: '', postgres, size: 'small' as const },
    ...{ host: '127.0.0.1', port: 6432, maxSessions: 10 },
  };
  const record = newInstanceRecord(spec);
  await directory.writeInstance({ ...record, wanted: 'stopped', primary: 'e1', engines: [engine] });
}

describe('engine', () => {
  it('add, ls, rm', async () => {
    const added = await json<EngineAddResult>(['add', '17.91']);
    const path = join(cache(), `postgres-17.91.0-beta.1-${process.platform}-${process.arch}`);
    expect(added).toMatchObject({
      ...{ schema: 'dbproxy.engine-add/1', postgres: '17.91', package: '17.91.0-beta.1', path },
      ...{ alreadyHere: false, fetchedBytes: tarball.length, resumedBytes: 0 },
    });
    expect(await json(['add', '17.91'])).toMatchObject({ alreadyHere: true, path, fetchedBytes: 0 });

    const listed = await json<EnginesResult>(['ls', '--available']);
    expect(listed).toMatchObject({ schema: 'dbproxy.engines/1', cache: cache(), remains: [] });
    expect(listed.available).toEqual([{ postgres: '17.91', package: '17.91.0-beta.1', here: true }]);
    expect(listed.engines.map(({ postgres, source }) => [postgres, source])).toEqual([
      ['17.91', 'cached'],
      [listed.engines[1]?.postgres, 'bundled'],
    ]);
    expect(listed.engines[0]).toMatchObject({ path, bytes: added.bytes, usedBy: [] });
    const shown = await run('ls');
    expect(shown.stdout).toMatch(/17\.91 +cached +391 kB +– +\/.+\n/);
    expect(shown.stdout).toMatch(/17\.\d+ +bundled +\d+ MB/);

    expect(await json(['rm', '17.91'])).toEqual({
      ...{ schema: 'dbproxy.engine-rm/1', freedBytes: added.bytes },
      removed: [{ postgres: '17.91', package: '17.91.0-beta.1', path, bytes: added.bytes }],
    });
    expect((await json<EnginesResult>(['ls'])).available).toBeNull();
    expect(await readdir(cache())).toEqual(['downloads', 'locks']);
  });

  it('add says on lines of its own how far it is', async () => {
    const { stderr, stdout, code } = await run('add', '17.91');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^✔ PostgreSQL 17\.91 is here {2}391 kB fetched, /);
    expect(stderr).toMatch(
      /registry: .+\nfetch: PostgreSQL 17\.91\n(fetch: .+ MB\n)+unpack: PostgreSQL 17\.91\n/,
    );
  });

  const hasScript = spawnSync('script', ['--version']).status === 0;
  it.skipIf(!hasScript)('add draws a bar on a terminal', async () => {
    const command = `${process.execPath} ${BIN} engine add 17.91`;
    const child = spawn('script', ['-qec', command, '/dev/null'], {
      env: {
        ...{ PATH: process.env.PATH, HOME: cli.home, DBPROXY_HOME: join(cli.home, 'h') },
        TERM: 'xterm',
        npm_config_registry: registry.url,
      },
    });
    let shown = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (shown += text));
    await once(child, 'close');
    expect(shown).toMatch(/[█░]{20}.*fetch: PostgreSQL 17\.91, .* of 0\.4 MB/);
  });

  it('rm keeps what an instance uses, and names it; also one that is stopped', async () => {
    await json(['add', '17.91']);
    await stoppedInstance('shop', '17.91');
    const error = await json<ErrorJson>(['rm', '17.91'], 1);
    expect(error).toMatchObject({
      code: 'DBP_ENGINE_IN_USE',
      message: 'PostgreSQL 17.91 stays: it is used by instance "shop"',
    });
    const { engines } = await json<EnginesResult>(['ls']);
    expect(engines[0]).toMatchObject({ postgres: '17.91', usedBy: ['shop'] });
  });

  it('rm keeps what a process runs from, although no instance says so', async () => {
    const { path } = await json<EngineAddResult>(['add', '17.91']);
    await copyFile('/bin/sleep', join(path, 'native/bin/sleep'));
    const child = spawn(join(path, 'native/bin/sleep'), ['60']);
    await once(child, 'spawn');
    try {
      expect(await json<ErrorJson>(['rm', '17.91'], 1)).toMatchObject({
        code: 'DBP_ENGINE_IN_USE',
        message: `PostgreSQL 17.91 stays: it is used by process ${child.pid}`,
      });
    } finally {
      child.kill();
    }
  });

  it('rm of what is not in the cache: exit 2', async () => {
    const { engines } = await json<EnginesResult>(['ls']);
    const bundled = engines[0]?.postgres ?? '';
    expect(await json(['rm', bundled], 2)).toMatchObject({
      code: 'DBP_ENGINE_NOT_CACHED',
      message: `PostgreSQL ${bundled} is not in the cache: it came with dbproxy`,
    });
    expect(await json(['rm', '17.92'], 2)).toMatchObject({ code: 'DBP_ENGINE_NOT_CACHED' });
  });

  it('add of an unknown version: exit 2, with the nearest ones', async () => {
    expect(await json<ErrorJson>(['add', '17.93'], 2)).toMatchObject({
      code: 'DBP_USAGE_UNKNOWN_VERSION',
      suggestions: ['dbproxy engine ls --available', 'dbproxy engine add 17.91'],
    });
  });

  it('add without a network: exit 4, with what is here', async () => {
    await registry.close();
    const error = await json<ErrorJson>(['add', '17.91'], 4);
    expect(error.code).toBe('DBP_ENV_REGISTRY');
    expect(error.message).toMatch(/ECONNREFUSED.+; here without it: PostgreSQL 17\.\d+$/);
    registry = await NpmRegistry.open();
  });

  it('up with a version whose binaries are not what the registry promised starts nothing', async () => {
    registry.failNext({ kind: 'flip' });
    const { code, stdout } = await cli.run(['up', '--postgres', '17.91', '--json'], {
      npm_config_registry: registry.url,
    });
    expect(JSON.parse(stdout)).toMatchObject({ code: 'DBP_ENGINE_CORRUPT' });
    expect(code).toBe(1);
    expect(await cli.processes()).toEqual([]);
  });
});

describe('several processes', () => {
  it('that want the same version at once fetch it once', async () => {
    registry.failNext({ kind: 'stall', after: 50_000 });
    const first = cli.start(['engine', 'add', '17.91', '--json'], { npm_config_registry: registry.url });
    await arrived(50_000);
    const second = cli.start(['engine', 'add', '17.91'], { npm_config_registry: registry.url });
    await second.saw('another process fetches PostgreSQL 17.91');
    registry.breakConnections();
    const [one, other] = await Promise.all([first.done, second.done]);
    expect([one.code, other.code]).toEqual([0, 0]);
    expect(other.stdout).toContain('was here already');
    expect(registry.tarballRequests.map(({ range }) => range)).toEqual([undefined, 'bytes=50000-']);
  });

  it('go on with what one left that was killed in the middle of it', async () => {
    registry.failNext({ kind: 'stall', after: 50_000 });
    const killed = cli.start(['engine', 'add', '17.91'], { npm_config_registry: registry.url });
    await arrived(50_000);
    killed.child.kill('SIGKILL');
    await killed.done;
    const added = await json<EngineAddResult>(['add', '17.91']);
    expect(added).toMatchObject({ alreadyHere: false, resumedBytes: 50_000, fetchedBytes: tarball.length });
    expect(registry.tarballRequests.at(-1)?.range).toBe('bytes=50000-');
  });

  it.each([
    ['engine add', ['engine', 'add', '17.91'], 'goes on from there'],
    ['up', ['up', '--postgres', '17.91'], 'nothing was started'],
  ])('are not kept waiting by %s that was asked to end', async (_, args, says) => {
    registry.failNext({ kind: 'stall', after: 50_000 });
    const ended = cli.start(args, { npm_config_registry: registry.url });
    await arrived(50_000);
    ended.child.kill('SIGINT');
    const { code, stderr } = await ended.done;
    expect(code).toBe(130);
    expect(stderr).toContain(says);
    expect(await readdir(join(cache(), 'locks'))).toEqual([]);
  });
});

describe('doctor', () => {
  it('finds a download that was broken off and an entry that is damaged, and removes both', async () => {
    const { path } = await json<EngineAddResult>(['add', '17.91']);
    const library = join(path, 'native/lib/libpq.so.5.17');
    const content = await readFile(library);
    content[0] = (content[0] ?? 0) ^ 1;
    await writeFile(library, content);
    const part = join(cache(), 'downloads', `postgres-17.92.0-beta.1-linux-x64.${'0'.repeat(16)}.part`);
    await writeFile(part, 'half');

    const found = await cli.json<DoctorResult>(['doctor'], 4);
    const ofCache = found.checks.filter(({ name }) => name === 'cache');
    expect(ofCache.map(({ state }) => state)).toEqual(['warning', 'problem']);
    expect(ofCache[0]?.detail).toContain(part);
    expect(ofCache[1]?.detail).toContain('native/lib/libpq.so.5.17 has another content');

    const fixed = await cli.json<DoctorResult>(['doctor', '--fix']);
    expect(fixed.checks.filter(({ name }) => name === 'cache').map(({ state }) => state)).toEqual([
      ...['fixed', 'fixed'],
    ]);
    expect(await readdir(join(cache(), 'downloads'))).toEqual([]);
    expect((await cli.json<DoctorResult>(['doctor'])).healthy).toBe(true);
  });
});

/** The settings of whoever runs the tests, which `Cli` keeps away from the command otherwise. */
const ownSettings = Object.fromEntries(
  Object.entries(process.env).filter(([name]) =>
    /^(HOME|NODE_EXTRA_CA_CERTS|npm_config_.*|.*_proxy)$/i.test(name),
  ),
);
const reachable = await offeredEngines({ cacheDirectory: '/nonexistent' }).then(
  (offered) => offered.some(({ postgres }) => postgres === '17.9'),
  () => false,
);

describe('the real registry', () => {
  it.skipIf(!reachable)('has PostgreSQL 17.9, which comes up, is scaled, comes back and stays', async () => {
    const port = String(await freePort());
    const up = ['up', '--postgres', '17.9', '--port', port, '--json'];
    try {
      const first = await cli.run(up, ownSettings);
      expect(first, first.stdout).toMatchObject({ code: 0 });
      expect(JSON.parse(first.stdout)).toMatchObject({ engines: [{ postgres: '17.9' }] });
      expect(await cli.json(['scale', '--to', 'medium'])).toMatchObject({
        ...{ outcome: 'completed', from: { postgres: '17.9' }, to: { postgres: '17.9' } },
      });
      expect(await json<ErrorJson>(['rm', '17.9'], 1)).toMatchObject({ code: 'DBP_ENGINE_IN_USE' });
      await cli.json(['down']);
      const again = await cli.run(up, ownSettings);
      expect(JSON.parse(again.stdout)).toMatchObject({ engines: [{ postgres: '17.9', size: 'medium' }] });
    } finally {
      await cli.run(['down', '--purge', '--yes']);
    }
    await json(['rm', '17.9']);
  });
});
