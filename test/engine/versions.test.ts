/** Versions on demand: from a registry over real HTTP into a cache, with everything that can go wrong on the way. */
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import npmConf from '@pnpm/npm-conf';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  addEngine,
  ensureEngine,
  findRemains,
  offeredEngines,
  packagesAtHand,
  type EnginePackage,
} from '../../src/engine/index.js';
import { partFile } from '../../src/engine/providers/embedded/versions/download.js';
import { nearestVersions } from '../../src/engine/providers/embedded/versions/version.js';
import type { EngineProgress } from '../../src/engine/types.js';
import { NpmRegistry } from '../support/npm-registry.js';
import { SOON } from '../support/soon.js';
import { failure } from './support.js';

const platform = `${process.platform}-${process.arch}`;
const NAME = `postgres-17.91.0-beta.1-${platform}`;
let home: string;
let cache: string;
let registry: NpmRegistry;
let tarball: Buffer;

beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'dbx-'));
  await chmod(home, 0o711);
  cache = join(home, 'cache');
  registry = await NpmRegistry.open();
  tarball = await registry.offer('17.91.0-beta.1');
  vi.stubEnv('npm_config_registry', registry.url);
});
afterEach(async () => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  await registry.close();
  await rm(home, { recursive: true, force: true });
});

const ensure = (version: string): Promise<EnginePackage> => ensureEngine(version, { cacheDirectory: cache });
const add = (version: string): ReturnType<typeof addEngine> => addEngine(version, { cacheDirectory: cache });
const ranges = (): (string | undefined)[] => registry.tarballRequests.map(({ range }) => range);
const list = (path: string): Promise<string[]> => readdir(path).catch(() => []);

async function integrity(): Promise<string> {
  const [offered] = await offeredEngines({ cacheDirectory: cache });
  return offered?.integrity ?? '';
}

/** What an earlier process has left of the download. */
async function leavePart(content: Buffer): Promise<string> {
  await mkdir(join(cache, 'downloads'), { recursive: true });
  const file = partFile(join(cache, 'downloads'), NAME, await integrity());
  await writeFile(file, content);
  return file;
}

/** Resolves when so many bytes of the tarball are on the disk. */
const arrived = (bytes: number): Promise<void> =>
  vi.waitFor(
    async () => {
      const [part = ''] = await list(join(cache, 'downloads'));
      expect((await stat(join(cache, 'downloads', part))).size).toBe(bytes);
    },
    { ...SOON, interval: 10 },
  );

async function breakAt(bytes: number): Promise<void> {
  await arrived(bytes);
  registry.breakConnections();
}

describe('a version that is not here', () => {
  it('is fetched, unpacked with its links, tried, and then needs no registry', async () => {
    const progress: EngineProgress[] = [];
    const found = await ensureEngine('17.91', {
      cacheDirectory: cache,
      onProgress: (each) => progress.push(each),
    });
    expect(found).toMatchObject({
      ...{ postgres: '17.91', package: '17.91.0-beta.1', platform },
      ...{ source: 'cached', root: join(cache, NAME) },
    });
    expect(await readFile(join(found.root, 'native/lib/libpq.so.5'))).toHaveLength(400_000);
    expect((await stat(join(found.root, 'native/bin/postgres'))).mode & 0o777).toBe(0o755);
    expect(await list(join(cache, 'downloads'))).toEqual([]);
    expect([...new Set(progress.map(({ step }) => step))]).toEqual(['registry', 'fetch', 'unpack']);
    expect(progress.findLast(({ step }) => step === 'fetch')?.fraction).toBe(1);
    await registry.close();
    expect(await ensure('17.91')).toMatchObject({ root: found.root });
    registry = await NpmRegistry.open();
  });

  it('is the newest package of the newest minor when only the major is given', async () => {
    await registry.offer('17.91.0-beta.2');
    await registry.offer('17.9.0-beta.17');
    await registry.offer('16.92.0-beta.1');
    expect(await add('17')).toMatchObject({ postgres: '17.91', package: '17.91.0-beta.2' });
    const offered = await offeredEngines({ cacheDirectory: cache });
    expect(offered.map(({ postgres }) => postgres)).toEqual(['17.91', '17.9']);
  });

  it('of a major of which one is at hand is not fetched for `17`', async () => {
    expect((await ensure('17')).source).toBe('bundled');
    expect(registry.seen).toEqual([]);
  });

  it('that does not exist is refused, with the nearest ones', async () => {
    await registry.offer('17.95.0-beta.1');
    const error = await failure(ensure('17.93'));
    expect(error).toMatchObject({ code: 'DBP_USAGE_UNKNOWN_VERSION', exitCode: 2 });
    expect(error.message).toMatch(/the nearest: 17\.9[15], 17\.9[15], 17\.\d+$/);
  });

  it.each(['9.6', '16', '16.4', 'latest', '17.', '17.1.0', '../17'])(
    '%s is refused without asking anybody',
    async (version) => {
      expect(await failure(ensure(version))).toMatchObject({
        code: 'DBP_USAGE_UNKNOWN_VERSION',
        exitCode: 2,
      });
      expect(registry.seen).toEqual([]);
    },
  );
});

describe('a download', () => {
  it('goes on where the connection broke, as often as it has to', async () => {
    registry.failNext({ kind: 'stall', after: 50_000 }, { kind: 'stall', after: 120_000 });
    const adding = add('17.91');
    await breakAt(50_000);
    await breakAt(120_000);
    const { fetched } = await adding;
    expect(fetched).toEqual({ bytes: tarball.length, resumedBytes: 0 });
    expect(ranges()).toEqual([undefined, 'bytes=50000-', 'bytes=120000-']);
  });

  it('goes on where another process was broken off', async () => {
    await leavePart(tarball.subarray(0, 70_000));
    const { fetched } = await add('17.91');
    expect(fetched).toEqual({ bytes: tarball.length, resumedBytes: 70_000 });
    expect(ranges()).toEqual(['bytes=70000-']);
  });

  it('that was complete when its process died is not fetched again', async () => {
    await leavePart(tarball);
    await add('17.91');
    expect(ranges()).toEqual([`bytes=${tarball.length}-`]);
  });

  it.each([
    ['is longer than the tarball', () => Buffer.concat([tarball, Buffer.from('more')])],
    ['has another content', () => Buffer.alloc(70_000, 'x')],
  ])('whose beginning %s begins once more', async (_, content) => {
    await leavePart(content());
    await add('17.91');
    expect(ranges().at(-1)).toBeUndefined();
  });

  it('begins once more at a server that knows no ranges', async () => {
    registry.failNext({ kind: 'stall', after: 50_000 }, { kind: 'whole' });
    const adding = add('17.91');
    await breakAt(50_000);
    expect((await adding).fetched?.bytes).toBe(tarball.length);
    expect(ranges()).toEqual([undefined, 'bytes=50000-']);
  });

  it('that is not what the registry promised never gets into the cache', async () => {
    registry.failNext({ kind: 'flip' });
    const error = await failure(ensure('17.91'));
    expect(error).toMatchObject({ code: 'DBP_ENGINE_CORRUPT', exitCode: 1 });
    expect([await list(join(cache, 'downloads')), (await list(cache)).includes(NAME)]).toEqual([[], false]);
    await ensure('17.91');
  });

  it('whose binary is another version never gets into the cache', async () => {
    await registry.offer('17.92.0-beta.1', { says: '17.93' });
    const error = await failure(ensure('17.92'));
    expect(error).toMatchObject({ code: 'DBP_ENGINE_CORRUPT', exitCode: 1 });
    expect(error.message).toContain('its binary says that it is 17.93');
    expect((await list(cache)).filter((name) => name.startsWith('postgres-'))).toEqual([]);
  });

  it('that is given up gives its lock back', async () => {
    const controller = new AbortController();
    registry.failNext({ kind: 'stall', after: 50_000 });
    const given = ensureEngine('17.91', { cacheDirectory: cache, signal: controller.signal });
    await arrived(50_000);
    controller.abort(new Error('enough'));
    await expect(given).rejects.toThrow('enough');
    expect(await list(join(cache, 'locks'))).toEqual([]);
  });
});

describe('a registry', () => {
  it.each([404, 403])('that answers %i for the tarball: exit 4, not tried again', async (status) => {
    registry.failNext({ kind: 'status', status });
    const error = await failure(ensure('17.91'));
    expect(error).toMatchObject({ code: 'DBP_ENV_REGISTRY', exitCode: 4 });
    expect(error.message).toContain(`it answered ${status}`);
    expect(ranges()).toHaveLength(1);
  });

  it('that is busy is asked again', async () => {
    registry.failNext({ kind: 'status', status: 503 });
    await ensure('17.91');
    expect(ranges()).toHaveLength(2);
  });

  it('that does not know the package: exit 4', async () => {
    vi.stubEnv('npm_config_registry', `${registry.url}elsewhere`);
    expect(await failure(ensure('17.91'))).toMatchObject({ code: 'DBP_ENV_REGISTRY', exitCode: 4 });
  });

  it('that cannot be reached: exit 4, with what is here without it', async () => {
    await ensure('17.91');
    await registry.close();
    const error = await failure(ensure('17.92'));
    expect(error).toMatchObject({ code: 'DBP_ENV_REGISTRY', exitCode: 4 });
    expect(error.message).toMatch(/ECONNREFUSED.*; here without it: PostgreSQL 17\.91, 17\.\d+/);
    registry = await NpmRegistry.open();
  });

  it('and its credentials are those of the .npmrc of the user, not of the directory', async () => {
    const port = new URL(registry.url).port;
    await writeFile(join(home, 'user'), `registry=${registry.url}\n//127.0.0.1:${port}/:_authToken=secret\n`);
    await mkdir(join(home, 'project'));
    await writeFile(join(home, 'project/package.json'), '{}');
    await writeFile(join(home, 'project/.npmrc'), 'registry=http://127.0.0.1:9/\n');
    vi.stubEnv('npm_config_registry', undefined);
    vi.stubEnv('npm_config_userconfig', join(home, 'user'));
    vi.spyOn(process, 'cwd').mockReturnValue(join(home, 'project'));
    await ensure('17.91');
    expect(registry.seen.map(({ authorization }) => authorization)).toEqual([
      'Bearer secret',
      'Bearer secret',
    ]);
  });

  it('cannot name a directory outside of the cache', async () => {
    await registry.offer('17.92.0/../../../outside');
    expect(await failure(ensure('17.92'))).toMatchObject({ code: 'DBP_USAGE_UNKNOWN_VERSION' });
    expect(registry.tarballRequests).toEqual([]);
  });

  it("is not asked with a configuration of npm's that makes no sense: exit 4", async () => {
    vi.stubEnv('npm_config_proxy', 'http://[');
    const error = await failure(ensure('17.91'));
    expect(error).toMatchObject({ code: 'DBP_ENV_REGISTRY', exitCode: 4 });
    expect(error.message).toContain("npm's configuration cannot be used");
  });

  it('that passes on the addresses of the public one is asked itself', async () => {
    registry.tarballsAt = npmConf.defaults.registry;
    await ensure('17.91');
    expect(ranges()).toHaveLength(1);
  });

  it("is asked through the proxy of npm's configuration", async () => {
    const asked: string[] = [];
    const proxy = createServer().on('connect', ({ url = '' }, client: Socket) => {
      asked.push(url);
      const server = connect(Number(url.split(':')[1]), '127.0.0.1', () => {
        client.write('HTTP/1.1 200 OK\r\n\r\n');
        server.pipe(client).pipe(server);
      });
      for (const socket of [client, server]) socket.on('error', () => undefined);
    });
    await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
    try {
      vi.stubEnv('npm_config_proxy', `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`);
      await ensure('17.91');
      expect(new Set(asked)).toEqual(new Set([new URL(registry.url).host]));
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  });
});

describe('the cache', () => {
  it('that cannot be made: exit 4, with what the system says', async () => {
    await writeFile(join(home, 'file'), '');
    cache = join(home, 'file/cache');
    const error = await failure(ensure('17.91'));
    expect(error).toMatchObject({ code: 'DBP_ENV_DIRECTORY', exitCode: 4 });
    expect(error.message).toContain('ENOTDIR');
  });

  it('on a full disk: exit 4, with what the system says', async () => {
    const file = await leavePart(Buffer.alloc(0));
    await rm(file);
    await symlink('/dev/full', file);
    const error = await failure(ensure('17.91'));
    expect(error).toMatchObject({ code: 'DBP_ENV_DIRECTORY', exitCode: 4 });
    expect(error.message).toContain('ENOSPC');
  });

  it('is open to the user that engines run as, whatever the umask', async () => {
    const before = process.umask(0o077);
    try {
      const { root } = await ensure('17.91');
      const modes = await Promise.all(
        [cache, root, join(root, 'native/lib/libpq.so.5.17')].map(
          async (path) => (await stat(path)).mode & 0o777,
        ),
      );
      expect(modes).toEqual([0o755, 0o755, 0o644]);
    } finally {
      process.umask(before);
    }
  });

  it('with a damaged entry fetches it anew', async () => {
    const { root } = await ensure('17.91');
    await writeFile(join(root, 'native/lib/libpq.so.5.17'), 'cut');
    expect(await findRemains(cache)).toMatchObject([{ kind: 'damaged', path: root }]);
    await ensure('17.91');
    expect(ranges()).toHaveLength(2);
    expect(await findRemains(cache, { thorough: true })).toEqual([]);
  });

  it('tells what is left in it, and finds a changed file that has kept its size', async () => {
    const { root } = await ensure('17.91');
    const library = join(root, 'native/lib/libpq.so.5.17');
    await writeFile(library, Buffer.alloc((await stat(library)).size));
    const part = await leavePart(tarball.subarray(0, 10));
    const unfinished = `${join(cache, NAME)}.999999999.${'0'.repeat(8)}-0000-4000-8000-${'0'.repeat(12)}`;
    await mkdir(unfinished);
    const cheap = await findRemains(cache);
    expect(cheap.map(({ kind, path }) => [kind, path])).toEqual([
      ['download', part],
      ['unfinished', unfinished],
    ]);
    const thorough = await findRemains(cache, { thorough: true });
    expect(thorough.at(-1)).toMatchObject({ kind: 'damaged', path: root });
  });

  it('is listed together with what npm installed, newest first', async () => {
    await ensure('17.91');
    const found = await packagesAtHand(cache);
    expect(found.map(({ source }) => source)).toEqual(['cached', 'bundled']);
    expect(found[1]?.postgres).toMatch(/^17\.\d+$/);
  });
});

describe('the nearest versions', () => {
  it.each([
    ['17.3', ['17.4', '17.2', '17.5']],
    ['17', ['17.10', '17.9', '17.5']],
    ['19.1', ['18.0', '18.4', '17.2']],
  ])('of %s', (wanted, nearest) => {
    expect(nearestVersions(wanted, ['18.4', '18.0', '17.10', '17.9', '17.5', '17.4', '17.2'])).toEqual(
      nearest,
    );
  });
});
