/**
 * What the suites are made of: Debian packages, of a pinned version, checked by apt's own signatures, kept in a cache. Their
 * code is never part of this repository, and nothing is installed: they are unpacked into the cache.
 */
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Engines read test data from it, as a user of their own. */
export const CACHE = process.env['TORTURE_CACHE'] ?? join(tmpdir(), 'dbproxy-torture-cache');

const apt = (tool: string, ...argv: readonly string[]): string => {
  const directory = join(CACHE, 'apt');
  for (const each of ['lists/partial', 'archives/partial'])
    mkdirSync(join(directory, each), { recursive: true });
  const sources = join(directory, 'debian.sources');
  const options = [
    `Dir::Etc::sourcelist=${sources}`,
    'Dir::Etc::sourceparts=/dev/null',
    `Dir::State::lists=${directory}/lists`,
    `Dir::Cache::archives=${directory}/archives`,
    'APT::Sandbox::User=root',
  ].flatMap((option) => ['-o', option]);
  if (!existsSync(sources)) {
    writeFileSync(sources, debianSources());
    execFileSync('apt-get', [...options, '-qq', 'update']);
  }
  return execFileSync(tool, [...options, ...argv], {
    encoding: 'utf8',
    cwd: directory,
    stdio: ['ignore', 'pipe', 'ignore'],
  });
};

/** The machine's own Debian sources, with those of source packages. */
const debianSources = (): string => {
  const parts = '/etc/apt/sources.list.d';
  const texts = readdirSync(parts)
    .filter((name) => name.endsWith('.sources'))
    .flatMap((name) => readFileSync(join(parts, name), 'utf8').split(/\n\s*\n/));
  const debian = texts.filter((stanza) => /^Signed-By:.*debian-archive/m.test(stanza));
  if (debian.length === 0) throw new Error('torture needs Debian, with its sources in *.sources files');
  return debian.map((stanza) => stanza.replace(/^Types:.*$/m, 'Types: deb deb-src')).join('\n\n');
};

/** Unpacks once; a half-done one is not taken for whole. */
const once = (name: string, unpack: (into: string) => void): string => {
  const directory = join(CACHE, name);
  if (existsSync(directory)) return directory;
  const half = `${directory}.${process.pid}`;
  mkdirSync(half, { recursive: true, mode: 0o755 });
  unpack(half);
  renameSync(half, directory);
  return directory;
};

/** A source package; returns the directory of its tree. */
export const sourcePackage = (name: string, version: string): string => {
  const directory = once(`${name}-${version}`, (into) => {
    apt('apt-get', '-qq', 'source', '--download-only', `${name}=${version}`);
    const [tarball] = readdirSync(join(CACHE, 'apt')).filter((file) =>
      file.startsWith(`${name}_${version.replace(/-[^-]*$/, '')}.orig.tar`),
    );
    execFileSync('tar', ['-xf', join(CACHE, 'apt', tarball!), '-C', into, '--strip-components=1']);
  });
  return directory;
};

/** Packages `name=version` and what they need of the same family, unpacked over each other. */
export const binaryPackages = (label: string, pinned: readonly string[], family: RegExp): string =>
  once(label, (into) => {
    const flags = ['recommends', 'suggests', 'conflicts', 'breaks', 'replaces', 'enhances'];
    const wanted = pinned.map((each) => each.split('=')[0]!);
    const all = apt('apt-cache', 'depends', '--recurse', ...flags.map((flag) => `--no-${flag}`), ...wanted);
    const needed = [...new Set(all.split('\n').filter((line) => family.test(line)))];
    const names = needed.filter((name) => !wanted.includes(name));
    apt('apt-get', '-qq', 'download', ...pinned, ...names);
    for (const file of readdirSync(join(CACHE, 'apt')).filter((each) => each.endsWith('.deb')))
      execFileSync('dpkg', ['-x', join(CACHE, 'apt', file), into]);
  });
