/** Logins through the proxy: what is refused is refused as PostgreSQL itself refuses it, and nobody else notices. */
import { readdir, writeFile } from 'node:fs/promises';
import { connect, createServer, type NetConnectOpts } from 'node:net';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import {
  PROTOCOL_3_0,
  PROTOCOL_3_2,
  StartupCode,
  cstrings,
  encode,
  protocolVersion,
} from '../../src/protocol/index.js';
import { connectPg, directTo, eventually, value, withPg } from '../support/clients.js';
import { PASSWORD, routeTo, TestEngines } from '../support/engines.js';
import { TestProxy } from '../support/proxies.js';
import { LoginRefused, RawClient } from '../support/raw-client.js';
import { WayToEngine } from '../support/way-to-engine.js';

let engines: TestEngines;
let engine: EngineRecord;
let admin: pg.Client;

/** The engine asks everybody but its superuser for SCRAM, so that it can be asked the same as the proxy. */
const askForPasswords = async (): Promise<void> => {
  // A container does so by its port.
  if (engine.access.kind === 'tcp') return;
  const hba = join(engine.directory, 'data', 'pg_hba.conf');
  await writeFile(hba, 'local all postgres trust\nlocal all all scram-sha-256\n');
  await admin.query('select pg_reload_conf()');
  await eventually('the engine to ask for passwords', async () => {
    const refused = await refusal(() => RawClient.login(enginePath(), { user: 'nobody_knows' }));
    return refused.sqlstate === '28P01';
  });
};

const enginePath = (): NetConnectOpts =>
  engine.access.kind === 'tcp'
    ? { host: engine.access.host, port: engine.access.port }
    : { path: `${engine.access.directory}/.s.PGSQL.${engine.access.port}` };

const refusal = async (login: () => Promise<RawClient>): Promise<LoginRefused> => {
  try {
    (await login()).close();
  } catch (error) {
    if (error instanceof LoginRefused) return error;
    throw error;
  }
  return new LoginRefused('00000', 'logged in');
};

beforeAll(async () => {
  engines = await TestEngines.open();
  engine = await engines.primary();
  admin = await connectPg(directTo(engine));
  const setUp = `
    create role good login password '${PASSWORD}';
    create role no_password login;
    create role no_login password '${PASSWORD}';
    create role expired login password '${PASSWORD}' valid until '2001-01-01';
    create role not_yet_expired login password '${PASSWORD}' valid until '2901-01-01';
    create role never login password '${PASSWORD}' valid until 'infinity';
    create role limited login password '${PASSWORD}' connection limit 0;
    create role "Ünï ""quoted""" login password '${PASSWORD}';
    create database other;
    create database closed;
    revoke connect on database closed from public;
    alter role good set work_mem = '7MB';
  `;
  for (const statement of setUp.split(';\n')) await admin.query(statement);
  await askForPasswords();
});

afterAll(async () => {
  await admin?.end();
  await engines?.close();
});

describe.each([
  ['fast path', true],
  ['plain sockets', false],
])('login, %s', (_, fastPath) => {
  let proxy: TestProxy;
  /** A session that has nothing to do with what goes on. */
  let bystander: pg.Client;

  beforeAll(async () => {
    proxy = await TestProxy.start(engines, engine, { fastPath });
    bystander = await connectPg(proxy.url('good'));
  });

  afterAll(async () => {
    expect((await bystander?.query('select 1 as one'))?.rows).toEqual([{ one: 1 }]);
    await bystander?.end();
    await proxy?.stop();
  });

  it('what a client sends with the end of its login is answered, and so is what comes later; its end is seen', async () => {
    const client = await RawClient.connect(proxy.port);
    const parameters = new Map(Object.entries({ user: 'good', database: 'postgres' }));
    client.send(encode.startupMessage(PROTOCOL_3_0, parameters));
    await client.authenticate(PASSWORD, encode.query('select 1'));
    expect((await client.answer()).rows).toEqual([['1']]);
    expect((await client.query('select 2')).rows).toEqual([['2']]);
    const before = (await proxy.control.call('sessions', {})).length;
    client.socket.end();
    await eventually('its session to end', async () => {
      return (await proxy.control.call('sessions', {})).length === before - 1;
    });
    client.close();
  });

  it('the connection of ours is lost: one takes its place, however many log in at that moment', async () => {
    const ours = `from pg_stat_activity where application_name = 'dbproxy'`;
    await admin.query(`select pg_terminate_backend(pid) ${ours}`);
    await eventually('it to be gone', async () => (await value(admin, `select count(*)::int ${ours}`)) === 0);
    const clients = await Promise.all(Array.from({ length: 10 }, () => connectPg(proxy.url('good'))));
    expect(await value(admin, `select count(*)::int ${ours}`)).toBe(1);
    await Promise.all(clients.map((client) => client.end()));
  });

  it('runs on the path that is meant', async () => {
    expect((await proxy.control.call('status', {})).fastPath).toBe(fastPath);
  });

  it.each<[string, Parameters<typeof RawClient.login>[1], string]>([
    ['the right password', { user: 'good' }, '00000'],
    ['a name that needs quotes', { user: Buffer.from('Ünï "quoted"').toString('latin1') }, '00000'],
    ['a wrong password', { user: 'good', password: 'wrong' }, '28P01'],
    ['an empty password', { user: 'good', password: '' }, '28P01'],
    ['an unknown role', { user: 'stranger' }, '28P01'],
    ['a role without password', { user: 'no_password' }, '28P01'],
    ['a NOLOGIN role', { user: 'no_login' }, '28000'],
    ['an expired password', { user: 'expired' }, '28P01'],
    ['a password that expires later', { user: 'not_yet_expired' }, '00000'],
    ['a password that never expires', { user: 'never' }, '00000'],
    ['a role at its connection limit', { user: 'limited' }, '53300'],
    ['an unknown database', { user: 'good', database: 'nowhere' }, '3D000'],
    ['a database it may not enter', { user: 'good', database: 'closed' }, '42501'],
    ['an unknown parameter', { user: 'good', parameters: { no_such_setting: '1' } }, '42704'],
    ['an invalid value', { user: 'good', parameters: { work_mem: 'much' } }, '22023'],
    ['a parameter only a superuser may set', { user: 'good', parameters: { log_statement: 'all' } }, '42501'],
    ['options', { user: 'good', parameters: { options: '-c work_mem=3MB' } }, '00000'],
    ['a wrong password and an unknown database', { user: 'good', password: 'x', database: 'y' }, '28P01'],
  ])('%s: the answer of PostgreSQL', async (_, options, sqlstate) => {
    const direct = await refusal(() => RawClient.login(enginePath(), options));
    const through = await refusal(() => RawClient.login(proxy.port, options));
    expect({ ...through, message: through.message }).toEqual({ ...direct, message: direct.message });
    expect(through.sqlstate).toBe(sqlstate);
  });

  it('no user name', async () => {
    for (const parameters of [new Map<string, string>(), new Map([['user', '']])]) {
      const client = await RawClient.connect(proxy.port);
      client.send(encode.startupMessage(protocolVersion(3, 0), parameters));
      const { errors } = await client.end();
      expect(errors).toEqual(['28000']);
      client.close();
    }
  });

  it('the database is the user name when none is given', async () => {
    const client = await RawClient.connect(proxy.port);
    client.send(encode.startupMessage(protocolVersion(3, 0), new Map([['user', 'good']])));
    await expect(client.authenticate(PASSWORD)).rejects.toMatchObject({
      sqlstate: '3D000',
      message: 'database "good" does not exist',
    });
  });

  it.each(['true', 'database', '1', 'yes'])('replication=%s is refused', async (replication) => {
    const options = { user: 'good', parameters: { replication } };
    expect((await refusal(() => RawClient.login(proxy.port, options))).sqlstate).toBe('0A000');
  });

  it('replication=false is a normal session', async () => {
    const options = { user: 'good', parameters: { replication: 'false' } };
    expect((await refusal(() => RawClient.login(proxy.port, options))).sqlstate).toBe('00000');
  });

  it('protocol 2.0 and 4.0 are refused with the version in the message', async () => {
    for (const major of [2, 4]) {
      const client = await RawClient.connect(proxy.port);
      client.send(encode.startupMessage(protocolVersion(major, 0), new Map([['user', 'good']])));
      expect((await client.end()).errors).toEqual(['0A000']);
      client.close();
    }
  });

  it('protocol 3.0 and 3.2 hold as asked for, with keys of their lengths', async () => {
    for (const [version, bytes] of [
      [protocolVersion(3, 0), 4],
      [PROTOCOL_3_2, 32],
    ] as const) {
      const client = await RawClient.connect(proxy.port);
      const parameters = new Map([
        ['user', 'good'],
        ['database', 'postgres'],
      ]);
      client.send(encode.startupMessage(version, parameters));
      const seen = await client.authenticate(PASSWORD);
      expect(seen.some(({ type }) => type === 'v'.charCodeAt(0))).toBe(false);
      expect(client.secret).toHaveLength(bytes);
      client.close();
    }
  });

  it('a newer protocol and unknown protocol options are negotiated', async () => {
    const client = await RawClient.connect(proxy.port);
    const parameters = new Map([
      ['user', 'good'],
      ['database', 'postgres'],
      ['_pq_.future', 'x'],
      ['_pq_.other', 'y'],
    ]);
    client.send(encode.startupMessage(protocolVersion(3, 9), parameters));
    const [negotiation, ...others] = await client.authenticate(PASSWORD);
    expect(String.fromCharCode(negotiation!.type)).toBe('v');
    expect(negotiation!.body.readInt32BE(0)).toBe(PROTOCOL_3_2);
    expect(negotiation!.body.readInt32BE(4)).toBe(2);
    expect(cstrings(negotiation!.body, 8)).toEqual(['_pq_.future', '_pq_.other']);
    expect(others.length).toBeGreaterThan(5);
    expect((await client.query('select 1')).rows).toEqual([['1']]);
    client.close();
  });

  it('SSLRequest and GSSENCRequest are answered N, once each, and the login goes on', async () => {
    const client = await openAndReadByte(proxy.port, [StartupCode.gssenc, StartupCode.ssl]);
    expect(client).toBe('NN');
    expect(await openAndReadByte(proxy.port, [StartupCode.ssl, StartupCode.ssl])).toMatch(/^NE/);
  });

  it('what psql and libpq send first works', async () => {
    await withPg({ connectionString: `${proxy.url('good')}` }, async (client) => {
      expect((await client.query('show work_mem')).rows).toEqual([{ work_mem: '7MB' }]);
    });
  });

  it('a Unix socket serves as well as TCP', async () => {
    const config = { host: proxy.socketDirectory, port: proxy.port, user: 'good', password: PASSWORD };
    await withPg({ ...config, database: 'other' }, async (client) => {
      expect((await client.query('select current_database() as db, current_user as me')).rows).toEqual([
        { db: 'other', me: 'good' },
      ]);
    });
  });

  it('the session is the one of the real role, with what the engine says of it', async () => {
    const [direct, through] = [
      await RawClient.login(enginePath(), { user: 'good' }),
      await RawClient.login(proxy.port, { user: 'good' }),
    ];
    expect(Object.fromEntries(through.parameters)).toEqual(Object.fromEntries(direct.parameters));
    expect(through.parameters.get('is_superuser')).toBe('off');
    const sql = `select session_user, current_user, current_setting('is_superuser'), current_database()`;
    expect((await through.query(sql)).rows).toEqual((await direct.query(sql)).rows);
    direct.close();
    through.close();
  });

  const bad = (length: number, rest = ''): Buffer => {
    const bytes = Buffer.alloc(4);
    bytes.writeInt32BE(length);
    return Buffer.concat([bytes, Buffer.from(rest, 'latin1')]);
  };

  it.each([
    ['a start-up packet of 2 GB', bad(0x7fff_ffff, 'xxxx')],
    ['a negative length', bad(-5, 'xxxx')],
    ['a length of 0', bad(0, 'xxxx')],
    ['a start-up packet of 10 001 bytes', bad(10_001, 'x'.repeat(9_997))],
    ['HTTP', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
    ['TLS without asking', Buffer.from('160301020001000001fc0303', 'hex')],
    ['garbage', Buffer.from('\0\0\0\u0010abcdefghijkl', 'latin1')],
    ['zeros', Buffer.alloc(64)],
    ['a lot of garbage', Buffer.alloc(1_000_000, 0xff)],
  ])('%s is refused at once', async (_, bytes) => {
    const client = await RawClient.connect(proxy.port);
    client.send(bytes);
    const { errors } = await client.end();
    expect(['08P01', '0A000']).toContain(errors[0]);
    client.close();
  });

  it.each([
    ['a Query instead of a password', encode.query('select 1'), '08P01'],
    ['a password of 2 GB', Buffer.from('p\x7f\xff\xff\xff', 'latin1'), '08P01'],
    ['a negative length', Buffer.from('p\xff\xff\xff\xff', 'latin1'), '08P01'],
    ['an unknown mechanism', encode.saslInitialResponse('PLAIN', 'n,,n=,r=a'), '08P01'],
    ['a malformed first message', encode.saslInitialResponse('SCRAM-SHA-256', 'hello'), '08P01'],
    ['an empty message', encode.message('p'.charCodeAt(0)), '08P01'],
    ['a plain password', encode.message('p'.charCodeAt(0), Buffer.from(`${PASSWORD}\0`)), '08P01'],
    ['a response cut short', encode.message('p'.charCodeAt(0), Buffer.from('SCRAM-SHA-256\0\0')), '08P01'],
  ])('authentication: %s', async (_, bytes, sqlstate) => {
    const client = await RawClient.connect(proxy.port);
    client.send(encode.startupMessage(protocolVersion(3, 0), new Map([['user', 'good']])));
    expect((await client.answer('R')).types).toBe('R');
    client.send(bytes);
    expect((await client.end()).errors).toEqual([sqlstate]);
    client.close();
  });

  it('a message of 2 GB or of an unknown type ends the session with 08P01', async () => {
    for (const bytes of [Buffer.from('Q\x7f\xff\xff\xff', 'latin1'), Buffer.from('z\0\0\0\x04', 'latin1')]) {
      const client = await RawClient.login(proxy.port, { user: 'good' });
      client.send(bytes);
      expect((await client.end()).errors).toEqual(['08P01']);
      client.close();
    }
  });

  it('nothing stays behind of those that were refused or went away', async () => {
    const before = await descriptorsOf(proxy);
    const clients = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const client = await RawClient.connect(proxy.port);
        if (i % 4 === 1) client.send(Buffer.alloc(200_000, 0xff));
        if (i % 4 === 2)
          client.send(encode.startupMessage(protocolVersion(3, 0), new Map([['user', 'good']])));
        if (i % 4 === 3) client.send(Buffer.from([0, 0]));
        return client;
      }),
    );
    await clients[1]?.end();
    for (const client of clients) client.close();
    await eventually('descriptors to be closed', async () => (await descriptorsOf(proxy)) <= before);
  });
});

/** Sends request codes one after the other and returns what came back, until the peer says no more or all are answered. */
const openAndReadByte = async (port: number, codes: readonly number[]): Promise<string> => {
  const { connect } = await import('node:net');
  const socket = connect(port, '127.0.0.1');
  let received = '';
  socket.on('data', (chunk) => (received += chunk.toString('latin1')));
  socket.on('error', () => undefined);
  for (const [i, code] of codes.entries()) {
    const packet = Buffer.alloc(8);
    packet.writeInt32BE(8, 0);
    packet.writeInt32BE(code, 4);
    socket.write(packet);
    await eventually('an answer', () => received.length > i);
  }
  socket.destroy();
  return received;
};

const descriptorsOf = async (proxy: TestProxy): Promise<number> =>
  (await readdir(`/proc/${proxy.process.pid}/fd`)).length;

describe('limits of logins', () => {
  it('half a message and then nothing ends with the login time-out, and costs nobody else a place', async () => {
    const proxy = await TestProxy.start(engines, engine, { loginTimeoutMs: 300 });
    const before = await descriptorsOf(proxy);
    const silent = await Promise.all(
      [Buffer.alloc(0), Buffer.from([0, 0]), Buffer.from([0, 0, 0, 50, 0, 3])].map(async (bytes) => {
        const client = await RawClient.connect(proxy.port);
        if (bytes.length > 0) client.send(bytes);
        return client;
      }),
    );
    for (const client of silent) expect((await client.end()).errors).toEqual(['08006']);
    // They keep their end open; ours is closed nevertheless.
    await eventually(
      'the proxy to let go of silent clients',
      async () => (await descriptorsOf(proxy)) <= before,
    );
    for (const client of silent) client.close();
    await withPg(proxy.url('good'), (client) => client.query('select 1'));
    await proxy.stop();
  });

  it('no more sessions than allowed, however many come at once; a place is free again when one leaves', async () => {
    const proxy = await TestProxy.start(engines, engine, { maxSessions: 3 });
    const attempts = await Promise.allSettled(
      Array.from({ length: 10 }, () => RawClient.login(proxy.port, { user: 'good' })),
    );
    const inside = attempts.flatMap((attempt) => (attempt.status === 'fulfilled' ? [attempt.value] : []));
    const refused = attempts.flatMap((attempt) =>
      attempt.status === 'rejected' ? [attempt.reason as unknown] : [],
    );
    expect(inside).toHaveLength(3);
    for (const error of refused) expect(error).toMatchObject({ sqlstate: '53300', severity: 'FATAL' });
    inside[0]?.close();
    await eventually('a free place', () =>
      RawClient.login(proxy.port, { user: 'good' }).then(
        (client) => (client.close(), true),
        () => false,
      ),
    );
    for (const client of inside) client.close();
    await proxy.stop();
  });

  it('an engine that is not there is 57P03, and one that comes later serves those who waited', async () => {
    const proxy = await TestProxy.start(engines, null);
    const waiting = RawClient.login(proxy.port, { user: 'good' });
    await eventually('the login to wait', () => true);
    await proxy.control.call('route', { engine: routeTo(engine) });
    const client = await waiting;
    expect((await client.query('select 1')).rows).toEqual([['1']]);
    client.close();
    await proxy.stop();
  });

  it.each(['before it is asked', 'while it is asked'])(
    'the connection of ours is told its end %s, and its socket stays open: another one is asked',
    async (when) => {
      const whileAsked = when === 'while it is asked';
      let ended = 0;
      let keptBack = 0;
      const way = await WayToEngine.open(
        engine,
        join(engines.home, `lingers-${whileAsked}`),
        (socket, path) => {
          const server = connect(path);
          server.pipe(socket, { end: false });
          server.on('end', () => ended++).on('error', () => undefined);
          socket.on('error', () => server.destroy()).on('end', () => server.end());
          const isFirst = sockets++ === 0;
          socket.on('data', (bytes) => {
            if (isFirst && keepsBack) keptBack++;
            else server.write(bytes);
          });
        },
      );
      let sockets = 0;
      let keepsBack = false;
      const proxy = await TestProxy.start(engines, null);
      await proxy.control.call('route', { engine: way.route });
      await (await connectPg(proxy.url('good'))).end();
      await eventually('the end of the session', () => ended === 1);
      keepsBack = whileAsked;
      const login = whileAsked ? connectPg(proxy.url('good')) : null;
      if (whileAsked) await eventually('it to be asked', () => keptBack > 0);
      await admin.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'dbproxy'`,
      );
      await eventually('it to be told', () => ended > 1);
      await (await (login ?? connectPg(proxy.url('good')))).end();
      await proxy.stop();
      await way.close();
    },
  );

  it('a taken port ends the proxy with 98', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as { port: number };
    await expect(TestProxy.start(engines, null, { port })).rejects.toThrow(/EADDRINUSE/);
    server.close();
  });
});
