/** Versions of PostgreSQL (`17.10`), and those of the npm packages that carry them (`17.10.0-beta.17`). */
import compareSemver from 'semver/functions/compare.js';

/** initdb's builtin locale provider, which every cluster of ours is made with, is new in PostgreSQL 17. */
export const OLDEST_MAJOR = 17;

/** `17.10.0-beta.17` carries PostgreSQL 17.10. */
export const postgresOf = (packageVersion: string): string => packageVersion.split('.').slice(0, 2).join('.');

/** Is `17.10` what was asked for with `17.10`, or with `17`? */
export const matches = (wanted: string, postgres: string): boolean =>
  postgres === wanted || postgres.startsWith(`${wanted}.`);

/** Can dbproxy run what is asked for, if there is such a version at all? */
export const isRunnable = (wanted: string): boolean =>
  /^\d{1,3}(\.\d{1,3})?$/.test(wanted) && Number.parseInt(wanted, 10) >= OLDEST_MAJOR;

/** For sort(): the newest package first. */
export const newestFirst = (a: { readonly package: string }, b: { readonly package: string }): number =>
  compareSemver(b.package, a.package);

/** Negative when `17.9` is older than `17.10`. */
export const compareVersions = (a: string, b: string): number => compareSemver(`${a}.0`, `${b}.0`);

/** The versions that were most likely meant: those of the same major, nearest minor first, then the nearest majors. */
export function nearestVersions(wanted: string, known: readonly string[], count = 3): string[] {
  const [major = 0, minor = Number.MAX_SAFE_INTEGER] = wanted.split('.').map(Number);
  const distance = (version: string): readonly [number, number] => {
    const [itsMajor = 0, itsMinor = 0] = version.split('.').map(Number);
    return [Math.abs(itsMajor - major), Math.abs(itsMinor - minor)];
  };
  return [...new Set(known)]
    .map((version) => ({ version, distance: distance(version) }))
    .sort((a, b) => a.distance[0] - b.distance[0] || a.distance[1] - b.distance[1])
    .slice(0, count)
    .map(({ version }) => version);
}
