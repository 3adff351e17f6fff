/** Around an instance with a standby: its engines by their roles, an end for one of them, clients that keep what they are told. */
import { readdir, readFile } from 'node:fs/promises';
import pg from 'pg';
import type { StatusResult } from '../../src/control/api.js';
import { events, status, until } from './live.js';

export interface Client {
  readonly client: pg.Client;
  readonly notices: string[];
  readonly details: string[];
}

export async function connect(url: string): Promise<Client> {
  const client = new pg.Client({ connectionString: url });
  const notices: string[] = [];
  const details: string[] = [];
  client.on('error', () => undefined);
  client.on('notice', ({ message = '', detail = '' }) => {
    notices.push(message);
    details.push(detail);
  });
  await client.connect();
  return { client, notices, details };
}

export const engineOf = ({ engines }: StatusResult, role: string) =>
  engines.find((engine) => engine.role === role);

/** Resolves when that was noticed: until then backends that have not may still answer. */
export async function killPrimary(name: string): Promise<void> {
  const pid = engineOf(await status(name), 'primary')?.pid;
  const failovers = async (): Promise<number> =>
    (await events(name)).filter(({ type }) => type === 'failover.started').length;
  const before = await failovers();
  process.kill(pid!, 'SIGKILL');
  await until('the failover has begun', async () => (await failovers()) > before);
}

/** A process of an engine by what it does. */
export async function childOf(postmaster: number, what: string): Promise<number> {
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid)) continue;
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const parent = Number(stat.split(') ')[1]?.split(' ')[1]);
    if (parent === postmaster && command.includes(what)) return Number(pid);
  }
  throw new Error(`engine ${postmaster} has no ${what}`);
}
