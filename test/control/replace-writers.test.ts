/** `patch --self` of several writers with the real supervisors: proxies and storage nodes are replaced under clients that work. */
import { execFile } from 'node:child_process';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { retrying } from '../multiwriter/writer/cluster.js';
import { connectPg, eventually } from '../support/clients.js';
import { BIN, Cli } from '../support/cli.js';
import { freePort } from '../support/free-port.js';

const LONG_MS = 180_000;
let cli: Cli;

beforeAll(async () => {
  cli = await Cli.open();
  await cli.json([
    'up',
    '--name',
    'shop',
    '--writers',
    '2',
    '--tls',
    'on',
    '--port',
    String(await freePort()),
  ]);
}, LONG_MS);
afterAll(() => cli.close(['shop']), LONG_MS);

const urlOf = async (name: string, writer: string): Promise<string> =>
  (await cli.run(['url', '--name', name, '--writer', writer])).stdout.trim();

interface Record {
  readonly from: { readonly pid: number };
  readonly to: { readonly pid: number };
  readonly sessions: { readonly handed: number; readonly lost: number };
  readonly holdMs: { readonly count: number; readonly max: number };
  readonly others?: readonly string[];
  readonly nodes?: { readonly node: string; readonly from: number; readonly to: number }[];
}

describe('patch --self', () => {
  it(
    'of each writer under its clients, and of the storage nodes with the first one: nobody sees an error but 40001',
    async () => {
      const urls = await Promise.all(['1', '2'].map((writer) => urlOf('shop', writer)));
      const clients = await Promise.all([...urls, ...urls].map((url) => connectPg(url)));
      const [admin] = clients;
      await admin!.query('create table patched (id int primary key, n int not null)');
      await admin!.query('insert into patched select g, 0 from generate_series(1, 4) g');
      await eventually('the rows to arrive', async () => {
        const found = await clients[1]!.query('select from patched').catch(() => null);
        return found?.rowCount === 4;
      });
      let isOver = false;
      const counts = clients.map(() => 0);
      const working = clients.map(async (client, own) => {
        while (!isOver) {
          await retrying(() => client.query('update patched set n = n + 1 where id = $1', [own + 1]));
          counts[own]!++;
        }
      });
      const goesOn = async (): Promise<void> => {
        const before = [...counts];
        await eventually('everybody to go on', () => counts.every((count, own) => count > before[own]! + 2));
      };
      await goesOn();
      const first = await cli.json<Record>(['patch', '--self', '--name', 'shop']);
      await goesOn();
      const second = await cli.json<Record>(['patch', '--self', '--name', 'shop', '--writer', '2']);
      await goesOn();
      isOver = true;
      await Promise.all(working);
      for (const { from, to, sessions, holdMs } of [first, second]) {
        expect(from.pid).not.toBe(to.pid);
        expect(sessions).toMatchObject({ handed: 2, lost: 0 });
        expect(holdMs.count).toBe(2);
      }
      expect(first.nodes?.map(({ node }) => node)).toEqual(['s1', 's2', 's3']);
      for (const { from, to } of first.nodes ?? []) expect(from).not.toBe(to);
      expect(second.nodes).toBeUndefined();
      expect(first.others).toEqual(['shop.w2']);
      expect(second.others).toBeUndefined();
      for (const client of clients.slice(0, 2)) {
        await eventually('every update, counted once', async () => {
          const { rows } = await client.query<{ n: number }>('select n from patched order by id');
          return JSON.stringify(rows.map(({ n }) => n)) === JSON.stringify(counts);
        });
      }
      await Promise.all(clients.map((client) => client.end()));
      const { writers, store } = await cli.json<{
        writers: { state: string; leads: boolean }[];
        store: { nodes: { pid: number; state: string }[] };
      }>(['status', '--name', 'shop']);
      expect(writers.map(({ state }) => state)).toEqual(['running', 'running']);
      expect(writers.filter(({ leads }) => leads)).toHaveLength(1);
      expect(store.nodes.map(({ state }) => state)).toEqual(['in-service', 'in-service', 'in-service']);
    },
    LONG_MS,
  );

  it(
    'with a client whose TLS ends in the old process: the other writers speak with the new one',
    async () => {
      const urls = await Promise.all(['1', '2'].map((writer) => urlOf('shop', writer)));
      expect(urls[0]).toContain('sslmode=verify-full');
      const [client, other] = await Promise.all(urls.map((url) => connectPg(url)));
      await cli.json(['patch', '--self', '--name', 'shop']);
      await other!.query(`set dbproxy.read_mode = 'global'`);
      expect((await other!.query('select 1 as n')).rows).toEqual([{ n: 1 }]);
      // What became of it the other writer has to ask.
      await client!.query('begin');
      const { rows } = await client!.query<{ id: string }>('select dbproxy.txn_id() as id');
      await client!.query('rollback');
      await other!.query('reset dbproxy.read_mode');
      await eventually('the other writer to be told', async () => {
        const asked = `select dbproxy.txn_status('${rows[0]!.id}') as status`;
        return (await other!.query<{ status: string }>(asked)).rows[0]!.status === 'aborted';
      });
      await Promise.all([client!.end(), other!.end()]);
    },
    LONG_MS,
  );

  it(
    'ends no storage node while another one does not vote',
    async () => {
      interface Status {
        readonly store: { readonly nodes: readonly { readonly node: string; readonly pid: number }[] };
      }
      const pids = async (): Promise<readonly number[]> =>
        (await cli.json<Status>(['status', '--name', 'shop'])).store.nodes.map(({ pid }) => pid);
      const before = await pids();
      process.kill(before[1]!, 'SIGSTOP');
      try {
        const { code, message } = await cli.json<{ code: string; message: string }>(
          ['patch', '--self', '--name', 'shop'],
          4,
        );
        expect(code).toBe('DBP_STORE_NODE_START');
        expect(message).toMatch(/s2.*; the proxy was replaced/);
      } finally {
        process.kill(before[1]!, 'SIGCONT');
      }
      expect(await pids()).toEqual(before);
    },
    LONG_MS,
  );

  it(
    'by a node that is gone since: of a storage node that ends it is said what to do, and that helps',
    async () => {
      interface Status {
        readonly store: {
          readonly nodes: readonly { readonly pid: number | null; readonly state: string }[];
        };
      }
      const nodes = async (): Promise<Status['store']['nodes']> =>
        (await cli.json<Status>(['status', '--name', 'shop'])).store.nodes;
      const node = join(cli.home, 'node');
      await cp(process.execPath, node);
      const patch = [BIN, 'patch', '--self', '--name', 'shop'];
      const env = { ...process.env, HOME: cli.home, DBPROXY_HOME: join(cli.home, 'h') };
      await promisify(execFile)(node, patch, { env });
      await rm(node);
      process.kill((await nodes())[2]!.pid!, 'SIGKILL');
      await eventually('it to be said', async () =>
        (await cli.run(['events', '--name', 'shop'])).stdout.includes(
          `not repaired yet: the processes of instance "shop" cannot be started with ${node}: spawn ${node} ENOENT`,
        ),
      );
      await cli.json(['patch', '--self', '--name', 'shop']).catch(() => undefined);
      await eventually('it to run again', async () => (await nodes()).every(({ pid }) => pid !== null));
    },
    LONG_MS,
  );

  it(
    'of another writer that leads, while the first one’s supervisor is away: that comes again, and another one leads',
    async () => {
      interface Status {
        readonly supervisor: { readonly pid: number };
        readonly proxy: { readonly pid: number };
        readonly writers: readonly { readonly leads: boolean }[];
      }
      const status = (): Promise<Status> => cli.json<Status>(['status', '--name', 'shop']);
      process.kill((await status()).proxy.pid, 'SIGKILL');
      await eventually('the other one to lead', async () => (await status()).writers[1]!.leads);
      process.kill((await status()).supervisor.pid, 'SIGKILL');
      await cli.json(['patch', '--self', '--name', 'shop', '--writer', '2']);
      await eventually('the first one to lead', async () => (await status()).writers[0]!.leads);
    },
    LONG_MS,
  );

  it('waits for a transaction that is open, and gives up at the deadline with the next step', async () => {
    const client = await connectPg(await urlOf('shop', '1'));
    await client.query('begin; select 1');
    const error = await cli.json<{ code: string; message: string; suggestions: string[] }>(
      ['patch', '--self', '--name', 'shop', '--deadline', '700ms'],
      5,
    );
    expect(error.code).toBe('DBP_PROXY_STANDSTILL');
    expect(error.message).toMatch(/session \d+ has been idle in a transaction/);
    expect(error.suggestions).toContain('dbproxy patch --self --name shop --on-timeout cancel');
    await client.query('commit');
    await client.end();
  });

  it(
    'that waits for a transaction is given up by cancel; and so it is by down',
    async () => {
      const client = await connectPg(await urlOf('shop', '1'));
      await client.query('begin; select 1');
      const following = cli.start(['events', '--follow', '--name', 'shop']);
      const waits = async (): Promise<boolean> => {
        const { operation } = await cli.json<{ operation: { step: string; detail: string } | null }>([
          ...['status', '--name', 'shop'],
        ]);
        return operation?.step === 'handover' && operation.detail.startsWith('waits: session');
      };
      const patched = cli.json<{ code: string }>(['patch', '--self', '--name', 'shop'], 1);
      await eventually('its transaction to be waited for', waits);
      expect(await cli.json(['cancel', '--name', 'shop'])).toMatchObject({
        ...{ schema: 'dbproxy.cancel/1', instance: 'shop', operation: 'patch' },
        ...{ id: expect.stringMatching(/^handover-\d+$/) as string, outcome: 'rolled-back' },
      });
      expect((await patched).code).toBe('DBP_SWITCH_ROLLED_BACK');
      expect((await client.query('select 1 as n')).rows).toEqual([{ n: 1 }]);

      client.on('error', () => undefined);
      const again = cli.json<{ code: string }>(['patch', '--self', '--name', 'shop'], 1);
      await eventually('its transaction to be waited for again', waits);
      await cli.json(['down', '--name', 'shop']);
      expect((await again).code).toBe('DBP_SWITCH_ROLLED_BACK');
      // Across two supervisors that made way, to the end of the instance.
      const { code, stdout, stderr } = await following.done;
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      expect(stdout.match(/it was given up/g)).toHaveLength(2);
    },
    LONG_MS,
  );
});
