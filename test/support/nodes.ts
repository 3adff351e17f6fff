/** Other versions of Node, fetched once for this machine: users have theirs. */
import { execFile } from 'node:child_process';
import { mkdir, readdir, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { exists } from '../../src/exists.js';

const CACHE = join(tmpdir(), 'dbproxy-test-nodes');
const PACKAGE = `node-${process.platform}-${process.arch}`;
const FETCH_BOUND_MS = 240_000;

/** The newest of that major; its path. */
export async function nodeOf(major: number): Promise<string> {
  const home = join(CACHE, String(major));
  const binary = join(home, 'node_modules', PACKAGE, 'bin', 'node');
  if (await exists(binary)) return binary;
  const part = `${home}.part-${process.pid}`;
  await mkdir(part, { recursive: true });
  const options = ['--no-save', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel', 'error'];
  await promisify(execFile)('npm', ['install', ...options, '--prefix', part, `${PACKAGE}@${major}`], {
    cwd: part,
    timeout: FETCH_BOUND_MS,
  });
  // Another worker may have been faster.
  await rename(part, home).catch(() => rm(part, { recursive: true, force: true }));
  if (!(await exists(binary)))
    throw new Error(`no bin/node of ${PACKAGE}@${major}: ${(await readdir(home)).join()}`);
  return binary;
}
