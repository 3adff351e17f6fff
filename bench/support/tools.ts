/** The programs a benchmark is compared with: installed when missing, where we may (root, Debian). */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { DbproxyError } from '../../src/errors/index.js';

const run = promisify(execFile);
const INSTALL_BOUND_MS = 300_000;

const PACKAGES = { pgbench: 'postgresql-contrib', pgbouncer: 'pgbouncer', haproxy: 'haproxy' } as const;
export type Tool = keyof typeof PACKAGES;

/** Version of each, `PgBouncer 1.18.0`. Throws DBP_ENV_MISSING_TOOL when one is missing and cannot be installed. */
export async function requireTools(tools: readonly Tool[]): Promise<Record<string, string>> {
  const versions: Record<string, string> = {};
  for (const tool of tools) versions[tool] = (await versionOf(tool)) ?? (await install(tool));
  return versions;
}

async function versionOf(tool: Tool): Promise<string | null> {
  try {
    const { stdout } = await run(tool, [tool === 'haproxy' ? '-v' : '--version']);
    return (
      stdout
        .split('\n')[0]
        ?.replace(/ - .*$/, '')
        .trim() ?? ''
    );
  } catch {
    return null;
  }
}

async function install(tool: Tool): Promise<string> {
  const hint = `apt-get install ${PACKAGES[tool]}`;
  const missing = (cause?: unknown): DbproxyError =>
    new DbproxyError('DBP_ENV_MISSING_TOOL', { tool, hint }, { cause });
  if (process.getuid?.() !== 0) throw missing();
  process.stderr.write(`installing ${PACKAGES[tool]}\n`);
  try {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
    await run('apt-get', ['install', '-y', PACKAGES[tool]], { env, timeout: INSTALL_BOUND_MS });
  } catch (cause) {
    throw missing(cause);
  }
  const version = await versionOf(tool);
  if (version === null) throw missing();
  return version;
}
