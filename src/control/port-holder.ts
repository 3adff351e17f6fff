/** Who holds a TCP port, and which one is free. Read from /proc (proc(5)); where there is none, the holder stays unknown. */
import { readFile, readdir, readlink } from 'node:fs/promises';
import { createServer } from 'node:net';

export { freePort } from '../engine/free-port.js';

/** State TCP_LISTEN in /proc/net/tcp (include/net/tcp_states.h). */
const LISTEN = '0A';
const PORTS_TO_TRY = 200;

/** `postgres (pid 123)`, or `another process`. */
export async function describePortHolder(port: number): Promise<string> {
  const pid = await portHolder(port);
  if (pid === null) return 'another process';
  return `${await commandOf(pid)} (pid ${pid})`;
}

/** Null: nobody, or a process of another user. */
export async function portHolder(port: number): Promise<number | null> {
  const inodes = await listeningInodes(port);
  return inodes.size > 0 ? pidWithSocket(inodes) : null;
}

/** The next port above that can be bound on this host; 0 when none of the next ones can. */
export async function findFreePort(host: string, above: number): Promise<number> {
  for (let port = above + 1; port <= Math.min(65_535, above + PORTS_TO_TRY); port++) {
    if (await canBind(host, port)) return port;
  }
  return 0;
}

async function listeningInodes(port: number): Promise<Set<string>> {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const inodes = new Set<string>();
  for (const table of ['/proc/net/tcp', '/proc/net/tcp6']) {
    const text = await readFile(table, 'utf8').catch(() => '');
    for (const line of text.split('\n').slice(1)) {
      const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
      if (local?.endsWith(suffix) && state === LISTEN && inode) inodes.add(inode);
    }
  }
  return inodes;
}

async function pidWithSocket(inodes: Set<string>): Promise<number | null> {
  const wanted = new Set([...inodes].map((inode) => `socket:[${inode}]`));
  for (const entry of await readdir('/proc').catch(() => [])) {
    if (!/^\d+$/.test(entry)) continue;
    // Processes of other users cannot be looked into: they stay `another process`.
    for (const fd of await readdir(`/proc/${entry}/fd`).catch(() => [])) {
      const target = await readlink(`/proc/${entry}/fd/${fd}`).catch(() => '');
      if (wanted.has(target)) return Number(entry);
    }
  }
  return null;
}

async function commandOf(pid: number): Promise<string> {
  const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
  const words = line.split('\0').filter((word) => word !== '');
  if (words.length === 0) return (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'process')).trim();
  const text = words.join(' ');
  return text.length > 80 ? `${text.slice(0, 79)}…` : text;
}

function canBind(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen({ host, port, exclusive: true }, () => server.close(() => resolve(true)));
  });
}
