/**
 * Whom do our processes talk to? Asked in two ways: each Node process of ours notes every address that it connects to, looks up or
 * sends to (contacts-preload.js); of engines the kernel's tables of sockets are read.
 */
import { readdir, readFile, readlink } from 'node:fs/promises';
import { isIPv4 } from 'node:net';
import { fileURLToPath, pathToFileURL } from 'node:url';

const PRELOAD = fileURLToPath(new URL('./contacts-preload.js', import.meta.url));

/** For the environment of a command: it and every process that it starts note their contacts in the file. */
export const notingContacts = (file: string): NodeJS.ProcessEnv => ({
  DBPROXY_TEST_CONTACTS: file,
  NODE_OPTIONS: `--import ${pathToFileURL(PRELOAD).href}`,
});

/** What was noted: `127.0.0.1`, or a name that was looked up. */
export async function notedContacts(file: string): Promise<string[]> {
  return [...new Set((await readFile(file, 'utf8')).trim().split('\n'))];
}

const TABLES = ['tcp', 'tcp6', 'udp', 'udp6'] as const;

/** Peers of sockets of the network namespace of this process; ended ones stay in the table for a minute. Listening ones have none. */
export async function peersInNamespaceOf(pid: number): Promise<string[]> {
  return (await rowsOf(pid)).map(({ peer }) => peer);
}

/** Peers of this process's own sockets. */
export async function peersOf(pid: number): Promise<string[]> {
  const links = await Promise.all(
    (await readdir(`/proc/${pid}/fd`).catch(() => [])).map((fd) =>
      readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''),
    ),
  );
  const own = new Set(links.flatMap((link) => /^socket:\[(\d+)\]$/.exec(link)?.[1] ?? []));
  return (await rowsOf(pid)).filter(({ inode }) => own.has(inode)).map(({ peer }) => peer);
}

interface Row {
  readonly peer: string;
  readonly inode: string;
}

async function rowsOf(pid: number): Promise<Row[]> {
  const rows: Row[] = [];
  for (const table of TABLES) {
    const text = await readFile(`/proc/${pid}/net/${table}`, 'utf8').catch(() => '');
    for (const line of text.split('\n').slice(1)) {
      const [, , remote = '', , , , , , , inode = ''] = line.trim().split(/\s+/);
      const peer = addressOf(remote.split(':')[0] ?? '');
      if (peer !== null) rows.push({ peer, inode });
    }
  }
  return rows;
}

/** Of the kernel's hexadecimal words, each in the order of the machine; null: no address. */
function addressOf(hex: string): string | null {
  if (/^0*$/.test(hex)) return null;
  const bytes = [...(hex.match(/.{8}/g) ?? [])].flatMap((word) =>
    (word.match(/../g) ?? []).reverse().map((byte) => Number.parseInt(byte, 16)),
  );
  // ::ffff:127.0.0.1 is 127.0.0.1.
  const mapped = bytes.length === 16 && bytes.slice(0, 10).every((byte) => byte === 0) && bytes[10] === 0xff;
  if (bytes.length === 4 || mapped) return bytes.slice(-4).join('.');
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] ?? 0) << 8) | (bytes[2 * i + 1] ?? 0)).toString(16),
  );
  return groups.join(':') === '0:0:0:0:0:0:0:1' ? '::1' : groups.join(':');
}

export const isLoopback = (address: string): boolean =>
  address.startsWith('127.') || address === '::1' || address === 'localhost';

/** `172.18.0.3` in `172.18.0.0/16`. */
export function isWithin(address: string, network: string): boolean {
  const [base = '', bits = ''] = network.split('/');
  if (!isIPv4(address) || !isIPv4(base)) return false;
  const number = (text: string): number => text.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  const size = 2 ** (32 - Number(bits));
  return Math.floor(number(address) / size) === Math.floor(number(base) / size);
}
