import { chmod, cp, lstat, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { prepareBinaries } from '../../src/engine/providers/embedded/binaries.js';
import { serverUser } from '../../src/engine/providers/embedded/server-user.js';
import { restoreLinks } from '../../src/engine/providers/embedded/versions/links.js';
import { bundledPackage, type EnginePackage } from '../../src/engine/providers/embedded/versions/package.js';
import { failure } from './support.js';

let home: string;
let bare: EnginePackage;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'dbx-'));
  await chmod(home, 0o711);
  bare = await bareCopy(join(home, 'package'));
});
afterEach(() => rm(home, { recursive: true, force: true }));

/** The package as npm packs it: without its symbolic links. */
async function bareCopy(to: string): Promise<EnginePackage> {
  const installed = await bundledPackage();
  await cp(installed.root, to, {
    recursive: true,
    filter: async (source) => !(await lstat(source)).isSymbolicLink(),
  });
  return { ...installed, root: to };
}

const cache = (): string => join(home, 'cache');
const libraries = (root: string): Promise<string[]> => readdir(join(root, 'native/lib'));

describe('the binaries', () => {
  it('get their links back in place, by several processes at once, and run', async () => {
    expect(await libraries(bare.root)).not.toContain('libicuuc.so.60');
    await Promise.all(Array.from({ length: 4 }, () => restoreLinks(bare.root)));
    await restoreLinks(bare.root);
    expect(await libraries(bare.root)).toContain('libicuuc.so.60');
    expect((await libraries(bare.root)).filter((name) => name.length > 36)).toEqual([]);
    const binaries = await prepareBinaries(cache(), await serverUser(), bare);
    expect(binaries.version).toMatch(/^17\.\d+$/);
    expect(binaries.postgres.startsWith(bare.root)).toBe(true);
    expect(await readdir(home)).toEqual(['package']);
  });

  it.skipIf(process.getuid?.() !== 0)(
    'are copied once where the user of the engines does not get to them',
    async () => {
      await chmod(bare.root, 0o700);
      const user = await serverUser();
      await mkdir(cache(), { recursive: true });
      // What a process that was killed in the middle left behind.
      await mkdir(join(cache(), `postgres-${bare.package}-${bare.platform}.999999999`));
      const both = await Promise.all([1, 2].map(() => prepareBinaries(cache(), user, bare)));
      for (const binaries of both) {
        expect(binaries.postgres).toBe(
          join(cache(), `postgres-${bare.package}-${bare.platform}`, 'native/bin/postgres'),
        );
      }
      expect(await readdir(cache())).toEqual([`postgres-${bare.package}-${bare.platform}`]);
    },
  );

  it.skipIf(process.getuid?.() !== 0)('cannot be used when the cache is out of reach too', async () => {
    await chmod(bare.root, 0o700);
    const closed = join(home, 'closed');
    await mkdir(closed, { mode: 0o700 });
    const error = await failure(prepareBinaries(join(closed, 'cache'), await serverUser(), bare));
    expect(error).toMatchObject({ code: 'DBP_ENV_DIRECTORY', exitCode: 4 });
    expect(error.message).toContain(closed);
  });

  it('that do not run are named, with what the system says', async () => {
    await restoreLinks(bare.root);
    await rm(join(bare.root, 'native/lib/libicuuc.so.60'));
    await rm(join(bare.root, 'native/lib/libicuuc.so.60.2'));
    const error = await failure(prepareBinaries(cache(), await serverUser(), bare));
    expect(error).toMatchObject({ code: 'DBP_ENV_NO_PROVIDER', exitCode: 4 });
    expect(error.message).toContain('libicuuc.so.60');
  });
});
