/** Which binaries engines are made, started and cleaned up with, when several versions are at hand. */
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { addEngine } from '../../src/engine/index.js';
import { Toolbox } from '../../src/engine/providers/embedded/tools.js';
import { bundledPackage } from '../../src/engine/providers/embedded/versions/package.js';
import { NpmRegistry } from '../support/npm-registry.js';
import { failure } from './support.js';

let home: string;
let cacheDirectory: string;
let registry: NpmRegistry;
let bundled: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'dbx-'));
  await chmod(home, 0o711);
  cacheDirectory = join(home, 'cache');
  registry = await NpmRegistry.open();
  await registry.offer('17.91.0-beta.1');
  vi.stubEnv('npm_config_registry', registry.url);
  bundled = (await bundledPackage()).postgres;
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await registry.close();
  await rm(home, { recursive: true, force: true });
});

const versionFor = async (use: (toolbox: Toolbox) => ReturnType<Toolbox['here']>): Promise<string> =>
  (await use(new Toolbox(cacheDirectory))).binaries.version;

describe('a new engine', () => {
  it('has the newest version at hand, and the one that was added last does not change one that was named', async () => {
    const toolbox = new Toolbox(cacheDirectory);
    const version = async (wanted: string): Promise<string> =>
      (await toolbox.fetch(wanted, {})).binaries.version;
    expect(await version('17')).toBe(bundled);
    await addEngine('17.91', { cacheDirectory });
    expect([await version('17'), await version(bundled), await version('17.91')]).toEqual([
      ...['17.91', bundled, '17.91'],
    ]);
  });

  it('gets its version again after it was removed from the cache', async () => {
    const toolbox = new Toolbox(cacheDirectory);
    await toolbox.fetch('17.91', {});
    await rm(cacheDirectory, { recursive: true });
    expect((await toolbox.fetch('17.91', {})).binaries.version).toBe('17.91');
    expect(registry.tarballRequests).toHaveLength(2);
  });
});

describe('data', () => {
  it('is started with the version that wrote it, which is fetched if need be', async () => {
    expect(await versionFor((toolbox) => toolbox.forData('17.91', {}))).toBe('17.91');
  });

  it('is started with a newer minor when its own cannot be had', async () => {
    expect(await versionFor((toolbox) => toolbox.forData('17.0', {}))).toBe(bundled);
    await registry.close();
    expect(await versionFor((toolbox) => toolbox.forData('17.0', {}))).toBe(bundled);
    registry = await NpmRegistry.open();
  });

  it('is not started with an older minor, nor with another major', async () => {
    await registry.close();
    for (const version of ['17.91', '18.0']) {
      const error = await failure(new Toolbox(cacheDirectory).forData(version, {}));
      expect(error).toMatchObject({ code: 'DBP_ENV_REGISTRY' });
    }
    registry = await NpmRegistry.open();
  });

  it('is cleaned up with what is here: nothing is fetched for it', async () => {
    expect(await versionFor((toolbox) => toolbox.here('17.91'))).toBe(bundled);
    expect(registry.seen).toEqual([]);
  });
});
