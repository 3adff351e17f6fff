/**
 * On the Nodes that users have: what runs on the Node of these tests goes on on another one, by `patch --self`, under its clients.
 * The path of the bytes uses what is private to Node (raw-handle.ts), and two versions meet in the handover.
 */
import { realpath } from 'node:fs/promises';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { StatusResult, UpResult } from '../../src/control/api.js';
import { connectPg, value } from '../support/clients.js';
import { Cli, freePort } from '../support/cli.js';
import { nodeOf } from '../support/nodes.js';

const LONG_MS = 300_000;

describe.each([24, 26])('Node %i', (major) => {
  let cli: Cli;
  let other: string;
  let client: pg.Client;

  beforeAll(async () => {
    cli = await Cli.open();
    other = await nodeOf(major);
    const up = ['up', '--port', String(await freePort()), '--writers', '2'];
    const { url } = await cli.json<UpResult>(up);
    client = await connectPg(url);
    await client.query(`create temp table kept as select 'there' as word`);
  }, LONG_MS);

  afterAll(async () => {
    await client?.end();
    await cli.close(['default']);
  }, LONG_MS);

  /** The processes become those of this Node; the session is the same. */
  const becomes = async (node: string): Promise<void> => {
    cli.node = node;
    const backend = await value(client, 'select pg_backend_pid()');
    const { sessions } = await cli.json<{ sessions: unknown }>(['patch', '--self']);
    expect(sessions).toMatchObject({ handed: 1, lost: 0, failed: [] });
    expect(await value(client, 'select pg_backend_pid()')).toBe(backend);
    expect(await value(client, 'select word from kept')).toBe('there');
    const { proxy, supervisor } = await cli.json<StatusResult>(['status']);
    for (const pid of [proxy?.pid, supervisor.pid])
      expect(await realpath(`/proc/${pid}/exe`)).toBe(await realpath(node));
  };

  it('takes over from this one, with every session', () => becomes(other), LONG_MS);

  it(
    'scales, and decides conflicts',
    async () => {
      const moved = await cli.json<{ outcome: string }>(['scale', '--to', 'medium']);
      expect(moved.outcome).toBe('completed');
      expect(await value(client, 'select word from kept')).toBe('there');
      const conflict = await cli.json<{ diverged: boolean; lostUpdates: number }>(['conflict']);
      expect(conflict).toMatchObject({ diverged: false, lostUpdates: 0 });
    },
    LONG_MS,
  );

  it('gives back to this one', () => becomes(process.execPath), LONG_MS);
});
