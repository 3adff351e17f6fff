/**
 * One of several proxy processes starts another one: the listening sockets that it accepts on are inherited as descriptors, so
 * that the port stays bound as long as one of them lives, whoever looks after them dies meanwhile. The kernel gives each new
 * connection to one of those that wait for it.
 */
import { spawn } from 'node:child_process';
import { spawned } from '../../errors/spawned.js';
import type { Program, ProxyConfig, ProxyGroup } from '../control-api.js';
import type { Listeners } from '../listeners.js';

/** Beside stdin, stdout and stderr. */
const FIRST_FD = 3;

/** Throws DBP_ENV_NODE, and when there is nothing to be inherited. `mockSecret`: what this one makes salts of (logins.ts). */
export const startMember = async (
  { node, main }: Program,
  config: ProxyConfig,
  listeners: Listeners['inheritable'],
  mockSecret: Buffer,
): Promise<{ pid: number }> => {
  const { group } = config;
  if (!group || listeners.length === 0) throw new Error('there is no listening socket to share');
  const inherited: ProxyGroup['inherited'] = {
    listeners: listeners.map(({ name }, index) => ({ name, fd: FIRST_FD + index })),
    mockSecret: mockSecret.toString('base64'),
  };
  const child = spawn(node, [main], {
    detached: true,
    cwd: '/',
    stdio: ['ignore', 'inherit', 'inherit', ...listeners.map(({ handle }) => handle.fd)],
    env: {
      ...process.env,
      DBPROXY_PROXY_CONFIG: JSON.stringify({ ...config, group: { ...group, inherited } }),
    },
  });
  await spawned(child, config.instance);
  return { pid: child.pid ?? 0 };
};
