/**
 * An entry of the cache: one package of binaries, made usable, in `<cache>/postgres-<package>-<platform>/`.
 * Its file `entry.json` says what every other one has to be.
 */
import { createHash } from 'node:crypto';
import { chmod, lstat, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { processIdentity } from '../../../process-identity.js';
import type { EnginePackage } from './package.js';
import { newestFirst } from './version.js';

const MANIFEST = 'entry.json';

const manifest = z.object({
  schema: z.literal('dbproxy.engine-entry/1'),
  postgres: z.string(),
  package: z.string(),
  platform: z.string(),
  /** Path below the entry → its size, and its SHA-256 in hex. */
  files: z.record(z.string(), z.tuple([z.int(), z.string()])),
});
type Manifest = z.infer<typeof manifest>;

export type Identity = Pick<EnginePackage, 'postgres' | 'package' | 'platform'>;

export const entryName = (of: Pick<EnginePackage, 'package' | 'platform'>): string =>
  `postgres-${of.package}-${of.platform}`;

/** The entries of this platform, newest first; those without a readable manifest are left out. */
export async function listEntries(cache: string, platform: string): Promise<EnginePackage[]> {
  const found: EnginePackage[] = [];
  for (const root of await entryRoots(cache)) {
    const read = await readManifest(root);
    if (read?.platform === platform) found.push({ ...pick(read), source: 'cached', root });
  }
  return found.sort(newestFirst);
}

/** Where entries are, good or not. */
export async function entryRoots(cache: string): Promise<string[]> {
  const names = await readdir(cache).catch(() => []);
  // Not those that are being made: `….<pid>.<uuid>`.
  return names
    .filter((name) => /^postgres-.+-(linux|darwin)-[a-z0-9]+$/.test(name))
    .map((name) => join(cache, name));
}

/**
 * What is wrong with an entry, or null. Looks whether every file has its size, which a power cut may have changed;
 * `thorough`, whether it has its content.
 */
export async function damageOf(
  { root }: Pick<EnginePackage, 'root'>,
  { thorough = false } = {},
): Promise<string | null> {
  const expected = await readManifest(root);
  if (expected === null) return `${MANIFEST} is missing or cannot be read`;
  const findings = await Promise.all(
    Object.entries(expected.files).map(async ([path, [bytes, sha256]]) => {
      const found = await stat(join(root, path)).catch(() => null);
      if (found === null) return `${path} is missing`;
      if (found.size !== bytes) return `${path} has ${found.size} bytes, not ${bytes}`;
      return thorough && (await sha256Of(join(root, path))) !== sha256 ? `${path} has another content` : null;
    }),
  );
  return findings.find((finding) => finding !== null) ?? null;
}

/** The size of the files below a directory, links not counted. */
export async function bytesOf(root: string): Promise<number> {
  const files = await filesOf(root);
  const sizes = await Promise.all(files.map(async (path) => (await lstat(join(root, path))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

export async function writeManifest(root: string, of: Identity): Promise<void> {
  const files: Manifest['files'] = {};
  for (const path of await filesOf(root)) {
    const content = await readFile(join(root, path));
    files[path] = [content.length, createHash('sha256').update(content).digest('hex')];
  }
  const written: Manifest = { schema: 'dbproxy.engine-entry/1', ...pick(of), files };
  await writeFile(join(root, MANIFEST), JSON.stringify(written), { mode: 0o644 });
  await chmod(join(root, MANIFEST), 0o644);
}

async function readManifest(root: string): Promise<Manifest | null> {
  const text = await readFile(join(root, MANIFEST), 'utf8').catch(() => 'null');
  try {
    return manifest.safeParse(JSON.parse(text)).data ?? null;
  } catch {
    return null;
  }
}

export const pick = ({ postgres, package: version, platform }: Identity): Identity => ({
  ...{ postgres, package: version, platform },
});

const sha256Of = async (path: string): Promise<string> =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex');

async function filesOf(root: string): Promise<string[]> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(root.length + 1))
    .filter((path) => path !== MANIFEST)
    .sort();
}

/** What processes that died left of an entry they made. */
export async function abandoned(root: string): Promise<string[]> {
  const prefix = `${root}.`;
  const names = await readdir(dirname(root)).catch(() => []);
  return names
    .map((name) => join(dirname(root), name))
    .filter((path) => path.startsWith(prefix))
    .filter((path) => processIdentity(Number.parseInt(path.slice(prefix.length), 10)) === null);
}
