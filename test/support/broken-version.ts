/** A version whose server does not start: binaries in the cache and, where engines are containers, an image. */
import { execFileSync } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { makeEntry } from '../../src/engine/providers/embedded/versions/make-entry.js';
import { thisPlatform } from '../../src/engine/providers/embedded/versions/package.js';
import { engineImage, engineKind } from './provider.js';

/** Says that it is this version, and does nothing else. */
export const BROKEN = '17.8';

/** A package whose server answers `--version`, and ends at once when it is to serve. */
export async function addBroken(cache: string, script = 'exit 1'): Promise<void> {
  const of = { postgres: BROKEN, package: `${BROKEN}.0-beta.1`, platform: thisPlatform() };
  await rm(join(cache, `postgres-${of.package}-${of.platform}`), { recursive: true, force: true });
  const { root } = await makeEntry(cache, of, async (directory) => {
    await mkdir(join(directory, 'native/bin'), { recursive: true });
    await writeFile(join(directory, 'native/pg-symlinks.json'), '[]');
    const says = `[ "$1" = --version ] && echo "postgres (PostgreSQL) ${BROKEN}" && exit 0`;
    await writeFile(join(directory, 'native/bin/postgres'), `#!/bin/sh\n${says}\n${script}\n`, {
      mode: 0o755,
    });
  });
  if (engineKind() === 'docker') buildImage(join(root, 'native/bin'));
}

/** One that has this `postgres` before its own. */
const buildImage = (directory: string): string =>
  execFileSync(
    'docker',
    ['build', '--quiet', '--tag', `${engineImage()}:${BROKEN}`, '--file', '-', directory],
    {
      input: `FROM ${engineImage()}:17\nCOPY postgres /broken/\nENV PATH=/broken:$PATH\n`,
      encoding: 'utf8',
      stdio: 'pipe',
    },
  );
