/** What passes through the proxy is what PostgreSQL and the client say, in order, complete, and without filling memory. */
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { Frontend, PROTOCOL_3_2, StartupCode, encode } from '../../src/protocol/index.js';
import { connectPg, directTo, eventually, socketOf, withPg } from '../support/clients.js';
import { PASSWORD, TestEngines } from '../support/engines.js';
import { residentBytes } from '../support/process-usage.js';
import { TestProxy } from '../support/proxies.js';
import { RawClient, type Answer } from '../support/raw-client.js';

const MB = 1024 * 1024;
let engines: TestEngines;
let engine: EngineRecord;
let admin: pg.Client;

beforeAll(async () => {
  engines = await TestEngines.open();
  engine = await engines.primary();
  admin = await connectPg(directTo(engine));
  for (const sql of [
    `create role app login password '${PASSWORD}'`,
    'create database second owner app',
    'create table copied (n int, t text)',
    'create table marks (t text)',
  ])
    await admin.query(sql);
});

afterAll(async () => {
  await admin?.end();
  await engines?.close();
});

/** Sends a CancelRequest and waits until the peer has closed that connection. */
const cancel = async (port: number, processId: number, secret: Buffer): Promise<void> => {
  const client = await RawClient.connect(port);
  client.send(encode.cancelRequest(StartupCode.cancel, processId, secret));
  expect((await client.end()).types).toBe('');
  client.close();
};

const running = (sql: string): Promise<true> =>
  eventually(`${sql} to run`, async () => {
    const { rows } = await admin.query<{ n: number }>(
      `select count(*)::int as n from pg_stat_activity where query = $1 and state = 'active'`,
      [sql],
    );
    return (rows[0]?.n ?? 0) > 0 ? true : null;
  });

describe.each([
  ['fast path', true],
  ['plain sockets', false],
])('relay, %s', (_, fastPath) => {
  let proxy: TestProxy;

  beforeAll(async () => {
    proxy = await TestProxy.start(engines, engine, { fastPath });
  });
  afterAll(async () => {
    expect(proxy?.log).toBe('');
    await proxy?.stop();
  });
  beforeEach(async () => {
    await admin.query('truncate copied, marks');
  });

  const login = (options?: Parameters<typeof RawClient.login>[1]): Promise<RawClient> =>
    RawClient.login(proxy.port, options);

  it('notices, several statements, an empty query, errors: as from the engine itself', async () => {
    const texts = [
      `do $$begin raise notice 'one'; raise warning 'two'; end$$`,
      'select 1; select 2 as b, null; ',
      '',
      'select 1/0',
      'selec',
      `select 1; select 1/0; select 3`,
      'begin; select 1',
      'select nonsense',
      'select 1',
      'rollback',
      'show server_version',
      `set application_name = 'me'`,
      'listen x; notify x; unlisten *',
    ];
    const { directory, port } = socketOf(engine);
    const direct = await RawClient.login({ path: `${directory}/.s.PGSQL.${port}` });
    const through = await login();
    const bytes = ({ messages }: Answer): string[] =>
      messages
        // The process id in a notification is the backend's.
        .filter(({ type }) => type !== 'A'.charCodeAt(0))
        .map(({ type, body }) => `${String.fromCharCode(type)} ${body.toString('latin1')}`);
    for (const text of texts) {
      expect(bytes(await through.query(text)), text).toEqual(bytes(await direct.query(text)));
    }
    direct.close();
    through.close();
  });

  it('notifications reach an idle client', async () => {
    await withPg(proxy.url(), async (client) => {
      const heard = new Promise<pg.Notification>((resolve) => client.on('notification', resolve));
      await client.query('listen news');
      await admin.query(`notify news, 'hello'`);
      expect(await heard).toMatchObject({ channel: 'news', payload: 'hello' });
    });
  });

  it('FunctionCall', async () => {
    const client = await login();
    const { rows } = await client.query(`select 'pg_catalog.int4pl(int4,int4)'::regprocedure::oid`);
    const body = Buffer.alloc(4 + 2 + 2 + 2 + 8 + 8 + 2);
    let at = body.writeInt32BE(Number(rows[0]![0]), 0);
    at = body.writeInt16BE(1, at);
    at = body.writeInt16BE(1, at); // all arguments binary
    at = body.writeInt16BE(2, at);
    for (const value of [40, 2]) {
      at = body.writeInt32BE(4, at);
      at = body.writeInt32BE(value, at);
    }
    body.writeInt16BE(1, at);
    client.send(encode.message(Frontend.FunctionCall, body));
    const answer = await client.answer();
    expect(answer.types).toBe('VZ');
    expect(answer.messages[0]?.body).toEqual(Buffer.from([0, 0, 0, 4, 0, 0, 0, 42]));
    client.close();
  });

  it('a pipeline of many requests is answered in order, with one that fails in the middle', async () => {
    const client = await login();
    const requests = Array.from({ length: 200 }, (_, i) =>
      Buffer.concat([
        encode.parse('', i === 100 ? 'select 1/0' : `select ${i}`),
        encode.bind('', '', []),
        encode.execute(),
        encode.sync(),
      ]),
    );
    client.send(...requests);
    for (let i = 0; i < 200; i++) {
      const { rows, errors } = await client.answer();
      if (i === 100) expect(errors).toEqual(['22012']);
      else expect(rows).toEqual([[String(i)]]);
    }
    client.close();
  });

  it('a batch that is flushed is answered before its Sync', async () => {
    const client = await login();
    client.send(encode.parse('s', 'select 7'), encode.message(Frontend.Describe, Buffer.from('Ss\0')));
    client.send(encode.message(Frontend.Flush));
    expect((await client.answer('T')).types).toBe('1tT');
    client.send(encode.bind('', 's', []), encode.execute(), encode.sync());
    expect((await client.answer()).rows).toEqual([['7']]);
    client.close();
  });

  it('bytes that come one by one', async () => {
    const client = await login();
    const bytes = Buffer.concat([
      encode.query('select 1'),
      encode.parse('', 'select $1::int', []),
      encode.bind('', '', ['2']),
      encode.execute(),
      encode.sync(),
    ]);
    for (const byte of bytes) {
      client.socket.write(Buffer.of(byte));
      await new Promise(setImmediate);
    }
    expect((await client.answer()).rows).toEqual([['1']]);
    expect((await client.answer()).rows).toEqual([['2']]);
    client.close();
  });

  it.each(['simple', 'extended'])('COPY in and out of 20 MB, %s protocol', async (protocol) => {
    const client = await login();
    const start = (sql: string): void =>
      protocol === 'simple'
        ? client.send(encode.query(sql))
        : client.send(encode.parse('', sql), encode.bind('', '', []), encode.execute(), encode.sync());
    const rows = 20_000;
    start('copy copied from stdin');
    await client.answer('G');
    const line = 'x'.repeat(1_000);
    for (let i = 0; i < rows; i += 100) {
      const lines = Array.from({ length: 100 }, (_, j) =>
        encode.message(Frontend.CopyData, Buffer.from(`${i + j}\t${line}\n`)),
      );
      client.send(...lines);
    }
    client.send(encode.message(Frontend.CopyDone), ...(protocol === 'extended' ? [encode.sync()] : []));
    expect((await client.answer()).tags).toEqual([`COPY ${rows}`]);
    expect((await client.query('select count(*), sum(n), sum(length(t)) from copied')).rows).toEqual([
      [String(rows), String((rows * (rows - 1)) / 2), String(rows * 1_000)],
    ]);
    start('copy (select * from copied order by n) to stdout');
    const out = await client.answer();
    const data = out.messages.filter(({ type }) => type === 'd'.charCodeAt(0));
    expect(data).toHaveLength(rows);
    expect(data.at(-1)?.body.toString()).toBe(`${rows - 1}\t${line}\n`);
    // The session knows that it is at rest: it can be held.
    await eventually('the session to be idle', async () => {
      const [session] = await proxy.control.call('sessions', {});
      return session?.state === 'idle' ? true : null;
    });
    client.close();
  });

  it('a COPY that fails, and one the client gives up', async () => {
    const client = await login();
    for (const data of ['not a number\tx\n', null]) {
      client.send(encode.query('copy copied from stdin'));
      await client.answer('G');
      client.send(
        data === null
          ? encode.message(Frontend.CopyFail, Buffer.from('enough\0'))
          : encode.message(Frontend.CopyData, Buffer.from(data)),
        ...(data === null ? [] : [encode.message(Frontend.CopyDone)]),
      );
      expect((await client.answer()).errors).toEqual([data === null ? '57014' : '22P02']);
      expect((await client.query('select 1')).rows).toEqual([['1']]);
    }
    client.close();
  });

  it('a statement of 8 MB and a value of 16 MB', async () => {
    const client = await login();
    expect((await client.query(`select length('${'y'.repeat(8 * MB)}')`)).rows).toEqual([[String(8 * MB)]]);
    client.send(
      encode.parse('', 'select length($1), $1'),
      encode.bind('', '', ['z'.repeat(16 * MB)]),
      encode.execute(),
      encode.sync(),
    );
    const { rows } = await client.answer();
    expect([rows[0]?.[0], rows[0]?.[1]?.length]).toEqual([String(16 * MB), 16 * MB]);
    client.close();
  });

  it('a slow reader of 300 MB costs the proxy no memory, and the others no time', async () => {
    const client = await login();
    const before = await residentBytes(proxy.pid);
    client.socket.pause();
    client.send(encode.query(`select repeat('r', 10000) from generate_series(1, 30000)`));
    await withPg(proxy.url(), async (other) => {
      for (let i = 0; i < 200; i++) await other.query('select 1');
      await eventually('the engine to be stopped by back-pressure', async () => {
        const { rows } = await other.query(
          `select from pg_stat_activity where query like '%generate_series(1, 30000)%' and pid <> pg_backend_pid() and wait_event = 'ClientWrite'`,
        );
        return rows.length === 1;
      });
    });
    expect((await residentBytes(proxy.pid)) - before).toBeLessThan(24 * MB);
    let bytes = 0;
    client.socket.removeAllListeners('data').on('data', (chunk) => (bytes += chunk.length));
    client.socket.resume();
    await eventually('the whole result', () => (bytes > 300_000_000 ? true : null), 30_000);
    expect((await residentBytes(proxy.pid)) - before).toBeLessThan(48 * MB);
    client.close();
  });

  it('a fast writer to a slow engine is held back', async () => {
    const client = await login();
    await admin.query('begin; lock table copied');
    const before = await residentBytes(proxy.pid);
    client.send(encode.query('copy copied from stdin'));
    const chunk = encode.message(Frontend.CopyData, Buffer.from(`1\t${'w'.repeat(100_000)}\n`));
    let drained = true;
    for (let sent = 0; sent < 1_000 && drained; sent++) {
      drained = client.socket.write(chunk);
      if (!drained) {
        drained = await Promise.race([
          new Promise<true>((resolve) => client.socket.once('drain', () => resolve(true))),
          new Promise<false>((resolve) => setTimeout(resolve, 500, false)),
        ]);
      }
    }
    expect(drained).toBe(false);
    expect((await residentBytes(proxy.pid)) - before).toBeLessThan(24 * MB);
    await admin.query('commit');
    client.close();
  });

  it('several databases and users at the same time', async () => {
    const who = async (user: string, database: string): Promise<unknown> =>
      withPg(proxy.url(user, database), async (client) => {
        const { rows } = await client.query(`select current_user as u, current_database() as d`);
        return rows[0] as unknown;
      });
    const pairs = [
      ['postgres', 'postgres'],
      ['app', 'second'],
      ['app', 'postgres'],
      ['postgres', 'second'],
    ] as const;
    const found = await Promise.all(pairs.map(([user, database]) => who(user, database)));
    expect(found).toEqual(pairs.map(([u, d]) => ({ u, d })));
  });

  it('cancels with the key of the proxy, and only with it', async () => {
    for (const version of [undefined, PROTOCOL_3_2]) {
      const client = await login({ ...(version === undefined ? {} : { version }) });
      const sql = `select pg_sleep(60), ${version ?? 0}`;
      client.send(encode.query(sql));
      await running(sql);
      const wrong = Buffer.from(client.secret);
      wrong[0] = wrong[0]! ^ 1;
      await cancel(proxy.port, client.processId, wrong);
      await cancel(proxy.port, client.processId + 1, client.secret);
      await cancel(proxy.port, client.processId, Buffer.concat([client.secret, Buffer.alloc(4)]));
      await running(sql);
      await cancel(proxy.port, client.processId, client.secret);
      expect((await client.answer()).errors).toEqual(['57014']);
      client.close();
    }
  });

  it('a client that sends all and closes its side gets its answer', async () => {
    const client = await login();
    client.send(encode.query('select pg_sleep(0.2), 5'));
    client.socket.end();
    const { rows, status } = await client.answer();
    expect([rows[0]?.[1], status]).toEqual(['5', 'I']);
    expect((await client.end()).types).toBe('');
  });

  it('the backend is gone when the client is gone, whichever way it went', async () => {
    const backends = async (): Promise<number> => {
      const { rows } = await admin.query<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity where application_name = 'going'`,
      );
      return rows[0]!.n;
    };
    const parameters = { application_name: 'going' };
    for (const leave of [
      (client: RawClient) => client.send(encode.terminate()),
      (client: RawClient) => client.close(),
      (client: RawClient) => client.socket.resetAndDestroy(),
      (client: RawClient) => client.socket.end(),
      (client: RawClient) => {
        client.send(encode.query('begin; select 1'));
        client.close();
      },
    ]) {
      const client = await login({ parameters });
      expect(await backends()).toBe(1);
      leave(client);
      await eventually('the backend to go', async () => ((await backends()) === 0 ? true : null));
      client.close();
    }
    await eventually('the sessions to go', async () =>
      (await proxy.control.call('sessions', {})).length === 0 ? true : null,
    );
  });

  it.each([1, 4, 5, 9, 20])(
    'a message that was cut off after %d bytes is never carried out',
    async (bytes) => {
      const client = await login();
      const message = encode.query(`insert into marks values ('never')`);
      client.send(encode.query(`insert into marks values ('first')`));
      await client.answer();
      client.socket.write(message.subarray(0, bytes));
      await new Promise(setImmediate);
      client.socket.end();
      await client.end();
      expect((await admin.query('select t from marks')).rows).toEqual([{ t: 'first' }]);
      client.close();
    },
  );

  it('pg_terminate_backend: the client is told 57P01 by the engine, once', async () => {
    const client = await login();
    const { rows } = await client.query('select pg_backend_pid()');
    await admin.query('select pg_terminate_backend($1)', [Number(rows[0]![0])]);
    const { errors } = await client.end();
    expect(errors).toEqual(['57P01']);
    client.close();
  });
});

describe('an engine that goes away', () => {
  it('tells every session, those in the middle of a statement too, and later logins', async () => {
    const doomed = await engines.primary();
    const proxy = await TestProxy.start(engines, doomed);
    const idle = await RawClient.login(proxy.port);
    const busy = await RawClient.login(proxy.port);
    busy.send(encode.query('select pg_sleep(60)'));
    await engines.provider.stop(doomed, 'immediate');
    for (const client of [idle, busy]) {
      const { errors } = await client.end();
      // From the engine itself (immediate shutdown: 57P02), or from the proxy when it could not say anything.
      expect(['57P01', '57P02']).toContain(errors[0]);
      client.close();
    }
    await expect(RawClient.login(proxy.port)).rejects.toMatchObject({ sqlstate: '57P03' });
    await engines.provider.start(doomed);
    const again = await RawClient.login(proxy.port);
    expect((await again.query('select 1')).rows).toEqual([['1']]);
    again.close();
    await proxy.stop();
  });
});
