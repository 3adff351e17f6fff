/**
 * The proxy's process is replaced under its clients (patch --self): both sockets of every session are inherited, wherever the
 * session stands; nobody reconnects, logs in again or parses again.
 */
import { readdirSync } from 'node:fs';
import type pg from 'pg';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { Backend, encode, errorFields } from '../../src/protocol/index.js';
import { connectPg, directTo, eventually, withPg } from '../support/clients.js';
import { PASSWORD, TestEngines } from '../support/engines.js';
import { TestProxy, waitForExit } from '../support/proxies.js';
import { RawClient } from '../support/raw-client.js';

let engines: TestEngines;
let primary: EngineRecord;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  await withPg(directTo(primary), async (admin) => {
    await admin.query(`create role app login password '${PASSWORD}'`);
    await admin.query('create table t (n int); grant all on t to app');
  });
});

afterAll(() => engines?.close());

const backend = async (client: pg.Client): Promise<number> =>
  (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid;

describe.each([
  { path: 'fast path', fastPath: true },
  { path: 'plain sockets', fastPath: false },
])('handover, $path', ({ fastPath }) => {
  let proxy: TestProxy;

  beforeAll(async () => {
    proxy = await TestProxy.start(engines, primary, { fastPath });
  });

  afterAll(async () => {
    await proxy?.stop();
    expect(proxy?.log).toBe('');
  });

  /** What a failed test left behind. */
  afterEach(async () => {
    for (const client of opened.splice(0)) client.close();
    await eventually('the sessions to be gone', async () =>
      (await proxy.control.call('sessions', {})).length === 0 ? true : null,
    );
  });

  const opened: { close(): void }[] = [];
  const raw = async (): Promise<RawClient> => {
    const client = await RawClient.login(proxy.port, { user: 'app' });
    opened.push(client);
    return client;
  };
  const connect = async (): Promise<pg.Client> => {
    const client = await connectPg(proxy.url('app'));
    opened.push({ close: () => void client.end().catch(() => undefined) });
    return client;
  };

  it('keeps idle sessions, their backends and their state', async () => {
    const clients = await Promise.all(Array.from({ length: 20 }, () => connect()));
    for (const [i, client] of clients.entries()) {
      await client.query(`create temp table mine as select ${i} as i`);
      await client.query({ name: 'p', text: 'select i + $1::int as n from mine', values: [0] });
    }
    const before = await Promise.all(clients.map(backend));
    const old = proxy.pid;
    const { pid, sessions, holdMs } = await proxy.handOver();
    expect(sessions).toEqual({ handed: 20, lost: [] });
    expect(holdMs.count).toBe(20);
    expect(pid).not.toBe(old);
    expect(proxy.pid).toBe(pid);
    await waitForExit(old);
    expect(await Promise.all(clients.map(backend))).toEqual(before);
    for (const [i, client] of clients.entries()) {
      // The statement was parsed before: pg only binds it.
      const { rows } = await client.query({
        name: 'p',
        text: 'select i + $1::int as n from mine',
        values: [1],
      });
      expect(rows).toEqual([{ n: i + 1 }]);
    }
    await Promise.all(clients.map((client) => client.end()));
  });

  it('hands over open transactions, COPY in both directions, pipelines and half a message', async () => {
    const [open, failed, copyIn, copyOut, pipeline, half] = await Promise.all([
      raw(),
      raw(),
      raw(),
      raw(),
      raw(),
      raw(),
    ]);
    await open.query('begin; insert into t values (1)');
    await failed.query('begin');
    await failed.query('nonsense');
    copyIn.send(encode.query('copy t from stdin'), encode.message(0x64, Buffer.from('2\n3')));
    await copyIn.answer('G');
    // 40 MB that nobody reads yet: bytes are under way in every buffer there is.
    copyOut.socket.pause();
    copyOut.send(
      encode.query(`copy (select repeat('x', 1000), i from generate_series(1, 40000) i) to stdout`),
    );
    // The first statement still runs, the second has not begun.
    pipeline.send(
      encode.query(`select pg_sleep(0.5), 'first'`),
      encode.query(`select 'second'`),
      encode.parse('', `select 'third'`),
    );
    const message = encode.query(`select 'whole'`);
    half.send(message.subarray(0, 9));
    await eventually('the copy to be blocked', async () => {
      const rows = await withPg(
        directTo(primary),
        async (admin) =>
          (await admin.query(`select from pg_stat_activity where wait_event = 'ClientWrite'`)).rowCount,
      );
      return rows === 1;
    });

    const { sessions } = await proxy.handOver();
    expect(sessions).toEqual({ handed: 6, lost: [] });

    half.send(message.subarray(9));
    expect((await half.answer()).rows).toEqual([['whole']]);
    expect((await pipeline.answer()).rows).toEqual([['', 'first']]);
    expect((await pipeline.answer()).rows).toEqual([['second']]);
    pipeline.send(encode.bind('', '', []), encode.execute(), encode.sync());
    expect((await pipeline.answer()).rows).toEqual([['third']]);
    copyIn.send(encode.message(0x64, Buffer.from('\n4\n')), encode.message(0x63, Buffer.alloc(0)));
    expect((await copyIn.answer()).tags).toEqual(['COPY 3']);
    copyOut.socket.resume();
    const copied = await copyOut.answer('Z', 30_000);
    const lines = copied.messages.filter(({ type }) => type === 0x64).map(({ body }) => body.toString());
    expect(lines.length).toBe(40_000);
    expect(lines.every((line, i) => line === `${'x'.repeat(1000)}\t${i + 1}\n`)).toBe(true);
    expect((await failed.query('select 1')).errors).toEqual(['25P02']);
    expect((await open.query('commit')).tags).toEqual(['COMMIT']);
    expect((await open.query('select n from t order by n')).rows).toEqual([['1'], ['2'], ['3'], ['4']]);
    await open.query('truncate t');
    for (const client of [open, failed, copyIn, copyOut, pipeline, half]) client.close();
  });

  it('cancels a statement after the handover, and with a request that meets the wrong process', async () => {
    const client = await raw();
    client.send(encode.query('select pg_sleep(60)'));
    await proxy.handOver();
    // A cancel request that comes before the statement cancels nothing.
    await withPg(directTo(primary), (admin) =>
      eventually('the statement to run', async () => {
        const { rowCount } = await admin.query(`select from pg_stat_activity where wait_event = 'PgSleep'`);
        return rowCount === 1;
      }),
    );
    const request = await RawClient.connect(proxy.port);
    request.send(encode.cancelRequest(80877102, client.processId, client.secret));
    expect((await client.answer()).errors).toEqual(['57014']);
    client.close();
    request.close();
  });

  it('delivers every notification once', async () => {
    const listener = await connect();
    const heard: string[] = [];
    listener.on('notification', ({ payload }) => heard.push(payload ?? ''));
    await listener.query('listen news');
    await withPg(proxy.url('app'), async (notifier) => {
      let sent = 0;
      let handedOver = false;
      const handover = proxy.handOver().finally(() => (handedOver = true));
      handover.catch(() => undefined);
      while (!handedOver || sent < 200) await notifier.query(`select pg_notify('news', '${sent++}')`);
      await handover;
      await listener.query('select 1');
      expect(heard).toEqual(Array.from({ length: sent }, (_, i) => String(i)));
    });
    await listener.end();
  });

  it('lets clients log in meanwhile, those included that have said nothing yet', async () => {
    const silent = await Promise.all(Array.from({ length: 3 }, () => RawClient.connect(proxy.port)));
    const halfway = await RawClient.connect(proxy.port);
    halfway.send(
      encode.startupMessage(
        0x30000,
        new Map([
          ['user', 'app'],
          ['database', 'postgres'],
        ]),
      ),
    );
    let handedOver = false;
    const handover = proxy.handOver().finally(() => (handedOver = true));
    handover.catch(() => undefined);
    await halfway.authenticate(PASSWORD);
    let logins = 0;
    do {
      await withPg(proxy.url('app'), async (client) => {
        expect((await client.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
      });
      logins++;
    } while (!handedOver);
    expect((await handover).sessions.lost).toEqual([]);
    expect(logins).toBeGreaterThan(0);
    for (const client of silent) {
      client.send(
        encode.startupMessage(
          0x30000,
          new Map([
            ['user', 'app'],
            ['database', 'postgres'],
          ]),
        ),
      );
      await client.authenticate(PASSWORD);
      expect((await client.query('select 2')).rows).toEqual([['2']]);
    }
    expect((await halfway.query('select 3')).rows).toEqual([['3']]);
    for (const client of [...silent, halfway]) client.close();
  });

  it('tells whoever does not come to the end of a login why, and what to do', async () => {
    const halfway = await RawClient.connect(proxy.port);
    halfway.send(
      encode.startupMessage(0x30000, new Map(Object.entries({ user: 'app', database: 'postgres' }))),
    );
    expect((await halfway.next())?.type).toBe(Backend.Authentication);
    await proxy.handOver();
    const { messages } = await halfway.end();
    const said = errorFields(messages.at(-1)!.body);
    expect({ sqlstate: said.get('C'), message: said.get('M') }).toEqual({
      sqlstate: '57P03',
      message: 'dbproxy is replaced by a new process, and this login had not ended: connect again',
    });
    await withPg(proxy.url('app'), (client) => client.query('select 1'));
  });

  it('takes no harm from clients that come and go all the time', async () => {
    let stopped = false;
    const comeAndGo = async (): Promise<number> => {
      let times = 0;
      for (; !stopped; times++) {
        const client = await RawClient.login(proxy.port, { user: 'app' });
        expect((await client.query('select 1')).rows).toEqual([['1']]);
        // In every way: with a goodbye, with a FIN, with a reset.
        if (times % 3 === 0) client.send(encode.terminate());
        if (times % 3 === 1) client.socket.end();
        else client.socket.resetAndDestroy();
      }
      return times;
    };
    const churn = Promise.all(Array.from({ length: 6 }, comeAndGo));
    churn.catch(() => undefined);
    for (let i = 0; i < 8; i++) expect((await proxy.handOver()).sessions.lost).toEqual([]);
    stopped = true;
    expect(Math.min(...(await churn))).toBeGreaterThan(0);
  });

  it('tells the engine, and the client, when the other end of an inherited session goes', async () => {
    const [leaves, killed] = await Promise.all([connect(), connect()]);
    const pids = [await backend(leaves), await backend(killed)];
    await proxy.handOver();
    await leaves.end();
    const ended = new Promise((resolve) => killed.once('end', resolve));
    await withPg(directTo(primary), async (admin) => {
      await admin.query('select pg_terminate_backend($1)', [pids[1]]);
      await ended;
      await eventually('both backends to be gone', async () => {
        const { rowCount } = await admin.query('select from pg_stat_activity where pid = any ($1)', [pids]);
        return rowCount === 0;
      });
    });
    await eventually(
      'both sessions to be gone',
      async () => (await proxy.control.call('sessions', {})).length === 0,
    );
  });

  it('works ten times in a row under load, and keeps no descriptor', async () => {
    const clients = await Promise.all(Array.from({ length: 8 }, () => connect()));
    const descriptors = (): number => readdirSync(`/proc/${proxy.pid}/fd`).length;
    let old = proxy.pid;
    await proxy.handOver();
    await waitForExit(old);
    const before = descriptors();
    let stopped = false;
    const work = clients.map(async (client, own) => {
      let done = 0;
      while (!stopped) {
        await client.query('begin');
        await client.query({ name: 'add', text: 'insert into t values ($1)', values: [own] });
        await client.query('commit');
        done++;
      }
      return done;
    });
    for (let i = 0; i < 10; i++) {
      old = proxy.pid;
      expect((await proxy.handOver()).sessions).toEqual({ handed: 8, lost: [] });
    }
    stopped = true;
    const done = await Promise.all(work);
    const { rows } = await clients[0]!.query('select n, count(*)::int from t group by n order by n');
    expect(rows.map(({ count }: { count: number }) => count)).toEqual(done);
    await waitForExit(old);
    // The channel to the old process closes a moment after its end; one that is kept would be there ten times.
    await eventually('the descriptors of before', () => descriptors() <= before);
    await clients[0]!.query('truncate t');
    await Promise.all(clients.map((client) => client.end()));
  });
});
