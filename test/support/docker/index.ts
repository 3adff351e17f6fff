/**
 * Containers for tests: is there a runtime, and are the images here that `.ci/docker` builds? Where not, tests of containers
 * are skipped by name.
 */
import { execFile, execFileSync, spawnSync } from 'node:child_process';
import { promisify } from 'node:util';
import { NEWER, OLDER } from '../versions.js';

/** Without a tag: the version is the tag. Of 17 there is no pg_basebackup, of 15 there is, from Debian. */
export const IMAGE = 'dbproxy-test/postgres';
export const WITH_BASE_BACKUP = `${IMAGE}:15`;

const answers = (...args: string[]): boolean =>
  spawnSync('docker', args, { stdio: 'ignore', timeout: 20_000 }).status === 0;

/** Another minor of 17 is here, too: test/support/versions.ts. */
export const hasOlder = answers('image', 'inspect', `${IMAGE}:${OLDER}`, `${IMAGE}:${NEWER}`);

/** Both images are here. */
export const hasDocker = answers('image', 'inspect', `${IMAGE}:17`, WITH_BASE_BACKUP);

const run = promisify(execFile);

/** The command line of the runtime; what it prints. Throws when it fails. */
export const docker = async (...args: string[]): Promise<string> => (await run('docker', args)).stdout.trim();

/** Names of the containers, volumes and networks that carry the label of this directory, or of one below. */
export function leftOf(directory: string): string[] {
  const kinds: readonly (readonly string[])[] = [
    ['ps', '--all', '--format', '{{.Names}} {{.Label "dbproxy.directory"}}'],
    ['volume', 'ls', '--format', '{{.Name}} {{.Label "dbproxy.directory"}}'],
    ['network', 'ls', '--format', '{{.Name}} {{.Label "dbproxy.directory"}}'],
  ];
  return kinds.flatMap((args) =>
    execFileSync('docker', [...args], { encoding: 'utf8' })
      .split('\n')
      .filter((line) => line.includes(` ${directory}`)),
  );
}
