/** TLS on the client side: who is let in how, what is refused, and what of it survives moves and handovers. */
import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { TLSSocket } from 'node:tls';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { processIdentity, type EngineRecord } from '../../src/engine/index.js';
import {
  Backend,
  CHANNEL_BINDING,
  SCRAM_MECHANISM,
  SCRAM_PLUS_MECHANISM,
  StartupCode,
  encode,
  protocolVersion,
} from '../../src/protocol/index.js';
import { makeServer } from '../../src/control/tls/generate.js';
import { makeCertificate, type TestCertificate } from '../support/certificates.js';
import { connectPg, directTo, eventually, value, withPg } from '../support/clients.js';
import { PASSWORD, TestEngines } from '../support/engines.js';
import { descriptorsOf, residentBytes } from '../support/process-usage.js';
import { TestProxy, waitForExit } from '../support/proxies.js';
import { RawClient, SSL_REQUEST } from '../support/raw-client.js';
import { Switching } from '../support/switching.js';

const run = promisify(execFile);
const hasPsql = ((): boolean => {
  try {
    execFileSync('psql', ['--version']);
    return true;
  } catch {
    return false;
  }
})();

let engines: TestEngines;
let engine: EngineRecord;
let certificate: TestCertificate;

beforeAll(async () => {
  engines = await TestEngines.open();
  engine = await engines.primary();
  certificate = await makeCertificate(engines.home);
  await withPg(directTo(engine), async (admin) => {
    await admin.query(`create role app login password '${PASSWORD}'`);
    await admin.query('create table t (n int); grant all on t to app');
  });
});

afterAll(() => engines?.close());

const tls = (mode: 'on' | 'required' = 'on') => ({ mode, ...pick(certificate) });
const pick = ({ certificateFile, keyFile }: TestCertificate) => ({ certificateFile, keyFile });

const psql = async (proxy: TestProxy, parameters: string, command = '\\conninfo'): Promise<string> => {
  const where = `hostaddr=127.0.0.1 port=${proxy.port} user=app dbname=postgres connect_timeout=10 ${parameters}`;
  const options = { env: { ...process.env, PGPASSWORD: PASSWORD, PGSSLMODE: '', PGGSSENCMODE: 'disable' } };
  const { stdout } = await run('psql', ['-XAt', '-c', command, where], options);
  return stdout;
};

const config = (proxy: TestProxy): pg.ClientConfig => ({
  ...{ host: 'localhost', port: proxy.port, user: 'app', password: PASSWORD, database: 'postgres' },
  ssl: { ca: readFileSync(certificate.rootFile) },
});

/** A cancel request that comes before the statement cancels nothing. */
async function sleepsInEngine(proxy: TestProxy): Promise<void> {
  const other = await connectPg(config(proxy));
  await eventually('the statement to run', async () => {
    const { rowCount } = await other.query(
      `select from pg_stat_activity where pid <> pg_backend_pid() and state = 'active' and wait_event = 'PgSleep'`,
    );
    return rowCount === 1;
  });
  await other.end();
}

describe.each([
  { path: 'fast path', fastPath: true },
  { path: 'plain sockets', fastPath: false },
])('TLS, $path', ({ fastPath }) => {
  let proxy: TestProxy;
  let before: number;

  beforeAll(async () => {
    proxy = await TestProxy.start(engines, engine, { fastPath, tls: tls(), maxSessions: 300 });
    // The first one opens the socket on which tunnels meet.
    (await (await RawClient.overTls(proxy.port)).start({ user: 'app' })).close();
    await nobody();
    before = await descriptorsOf(proxy.pid);
  });

  afterAll(async () => {
    await nobody();
    await eventually('descriptors to be closed', async () => (await descriptorsOf(proxy.pid)) <= before);
    expect(proxy?.log).toBe('');
    await proxy?.stop();
  });

  /** Nobody is left of the test before. */
  const nobody = (): Promise<unknown> =>
    eventually('everybody to be gone', async () => {
      const { sessions, tunnels } = await proxy.control.call('status', {});
      return sessions === 0 && tunnels === 0;
    });

  describe.runIf(hasPsql)('psql', () => {
    it.each([
      ['disable', false],
      ['allow', false],
      ['prefer', true],
      ['require', true],
      ['verify-ca', true],
      ['verify-full', true],
    ])('sslmode=%s', async (mode, secured) => {
      const told = await psql(proxy, `host=localhost sslmode=${mode} sslrootcert=${certificate.rootFile}`);
      expect(/SSL connection \(protocol: TLSv1\.3/.test(told)).toBe(secured);
    });

    it('does not take a certificate for another name, or of another root', async () => {
      const other = `host=example.org sslrootcert=${certificate.rootFile}`;
      expect(await psql(proxy, `${other} sslmode=verify-ca`)).toContain('TLSv1.3');
      await expect(psql(proxy, `${other} sslmode=verify-full`)).rejects.toThrow(/does not match host name/);
      const { rootFile } = await makeCertificate(engines.home);
      const foreign = psql(proxy, `host=localhost sslmode=verify-ca sslrootcert=${rootFile}`);
      await expect(foreign).rejects.toThrow(/certificate verify failed/);
    });

    it('channel_binding=require', async () => {
      expect(await psql(proxy, 'sslmode=require channel_binding=require', 'select 1')).toBe('1\n');
      await expect(psql(proxy, 'sslmode=disable channel_binding=require')).rejects.toThrow(/channel binding/);
      await expect(
        run(
          'psql',
          [
            '-c',
            'select 1',
            `hostaddr=127.0.0.1 port=${proxy.port} user=app dbname=postgres sslmode=require`,
          ],
          {
            env: { ...process.env, PGPASSWORD: 'wrong' },
          },
        ),
      ).rejects.toThrow(/password authentication failed for user "app"/);
    });

    it('TLS 1.2 is taken, 1.1 is not', async () => {
      const versions = (version: string): string =>
        `sslmode=require ssl_min_protocol_version=TLSv1 ssl_max_protocol_version=${version}`;
      expect(await psql(proxy, versions('TLSv1.2'))).toContain('TLSv1.2');
      await expect(psql(proxy, versions('TLSv1.1'))).rejects.toThrow(/protocol|unsupported/);
    });
  });

  it('the session is shown with the client and the protocol of its TLS', async () => {
    const client = await (await RawClient.overTls(proxy.port)).start({ user: 'app' });
    const { localPort } = client.socket;
    expect(await proxy.control.call('sessions', {})).toMatchObject([
      { client: `127.0.0.1:${localPort}`, tls: 'TLSv1.3' },
    ]);
    expect((await client.query('select 1')).rows).toEqual([['1']]);
    client.close();
    await nobody();
  });

  const start = encode.startupMessage(
    protocolVersion(3, 0),
    new Map([
      ['user', 'app'],
      ['database', 'postgres'],
    ]),
  );

  /** The SQLSTATE that answers this first message; its mechanisms are the server's. */
  const answerTo = async (mechanism: string, clientFirst: string): Promise<string[]> => {
    const client = await RawClient.overTls(proxy.port);
    client.send(start);
    const offer = await client.next();
    expect(offer?.body.toString('latin1', 4)).toBe(`${SCRAM_PLUS_MECHANISM}\0${SCRAM_MECHANISM}\0\0`);
    client.send(encode.saslInitialResponse(mechanism, clientFirst));
    const first = await client.next();
    if (first?.type === Backend.Authentication) {
      // Whatever it is, it is not the hash of the certificate.
      const nonce = /r=([^,]*)/.exec(first.body.toString('latin1', 4))?.[1] ?? '';
      const channel = Buffer.from(`p=${CHANNEL_BINDING},,${'x'.repeat(32)}`).toString('base64');
      client.send(encode.saslResponse(`c=${channel},r=${nonce},p=${randomBytes(32).toString('base64')}`));
    }
    const rest = first?.type === Backend.Authentication ? await client.next() : first;
    client.close();
    return [rest?.body.toString('latin1').match(/\0C([0-9A-Z]{5})\0/)?.[1] ?? ''];
  };

  it.each([
    ['a client that believes we know no channel binding', SCRAM_MECHANISM, 'y,,n=,r=abc', '28000'],
    ['binding data without its mechanism', SCRAM_MECHANISM, `p=${CHANNEL_BINDING},,n=,r=abc`, '08P01'],
    ['the mechanism without binding data', SCRAM_PLUS_MECHANISM, 'n,,n=,r=abc', '08P01'],
    ['the mechanism, and no belief in it', SCRAM_PLUS_MECHANISM, 'y,,n=,r=abc', '08P01'],
    ['another kind of channel binding', SCRAM_PLUS_MECHANISM, 'p=tls-unique,,n=,r=abc', '08P01'],
    ['data of another channel', SCRAM_PLUS_MECHANISM, `p=${CHANNEL_BINDING},,n=,r=abc`, '28000'],
  ])('channel binding: %s is refused', async (_, mechanism, first, sqlstate) => {
    expect(await answerTo(mechanism, first)).toEqual([sqlstate]);
  });

  it('bytes that came in the clear with SSLRequest are refused', async () => {
    for (const bytes of [start, Buffer.from([0x16, 3, 1]), Buffer.from([0])]) {
      const client = await RawClient.connect(proxy.port);
      client.send(SSL_REQUEST, bytes);
      const { errors, messages } = await client.end();
      expect(errors).toEqual(['08P01']);
      expect(messages[0]?.body.toString()).toContain('received unencrypted data after SSL request');
      client.close();
    }
  });

  it('a second SSLRequest, and one under TLS, is refused', async () => {
    const client = await RawClient.overTls(proxy.port);
    client.send(SSL_REQUEST);
    expect((await client.end()).errors).toEqual(['08P01']);
    client.close();
  });

  it('direct TLS has to name PostgreSQL by ALPN', async () => {
    const direct = (protocols: string[]): Promise<RawClient> =>
      RawClient.overTls(proxy.port, { direct: true, ALPNProtocols: protocols });
    const client = await (await direct(['postgresql'])).start({ user: 'app' });
    expect((await client.query('select 1')).rows).toEqual([['1']]);
    client.close();
    await expect(direct(['http/1.1'])).rejects.toThrow(/no application protocol|ECONNRESET/);
    const silent = await direct([]);
    silent.send(start);
    expect((await silent.end()).types).toBe('');
    silent.close();
  });

  it('a direct ClientHello that comes byte by byte', async () => {
    const { Duplex } = await import('node:stream');
    const { connect: connectTls } = await import('node:tls');
    const raw = connect(proxy.port, '127.0.0.1');
    const drip = new Duplex({
      read: () => undefined,
      write: (chunk: Buffer, _encoding, done) => {
        for (const byte of chunk) raw.write(Buffer.from([byte]));
        done();
      },
    });
    raw.setNoDelay(true);
    raw.on('data', (chunk) => drip.push(chunk)).on('end', () => drip.push(null));
    const secured = connectTls({ socket: drip, rejectUnauthorized: false, ALPNProtocols: ['postgresql'] });
    await once(secured, 'secureConnect');
    secured.write(start);
    const [answer] = (await once(secured, 'data')) as [Buffer];
    expect(answer[0]).toBe(Backend.Authentication);
    raw.destroy();
  });

  it('on the Unix socket there is none', async () => {
    const socket = connect(`${proxy.socketDirectory}/.s.PGSQL.${proxy.port}`);
    socket.write(SSL_REQUEST);
    expect((await once(socket, 'data'))[0]).toEqual(Buffer.from('N'));
    socket.destroy();
  });

  it('garbage in place of a handshake ends the connection', async () => {
    for (const bytes of [Buffer.alloc(5_000, 0xff), Buffer.from('hello'), start]) {
      const socket = connect(proxy.port, '127.0.0.1');
      socket.on('error', () => undefined);
      socket.write(SSL_REQUEST);
      expect((await once(socket, 'data'))[0]).toEqual(Buffer.from('S'));
      const ended = once(socket, 'close');
      socket.resume();
      socket.end(bytes);
      await ended;
    }
    await nobody();
  });

  it('a cancel request', async () => {
    const client = await (await RawClient.overTls(proxy.port)).start({ user: 'app' });
    client.send(encode.query('select pg_sleep(60)'));
    await sleepsInEngine(proxy);
    const canceler = await RawClient.overTls(proxy.port);
    canceler.send(encode.cancelRequest(StartupCode.cancel, client.processId, client.secret));
    expect((await canceler.end()).types).toBe('');
    expect((await client.answer()).errors).toEqual(['57014']);
    canceler.close();
    client.close();
    await nobody();
  });

  it('who ends the connection gets the answers to what it asked before', async () => {
    const client = await (await RawClient.overTls(proxy.port)).start({ user: 'app' });
    client.send(encode.query(`select repeat('x', 100000) from generate_series(1, 100)`));
    client.socket.end();
    const { rows, status } = await client.answer();
    expect(rows).toHaveLength(100);
    expect(status).toBe('I');
    client.close();
    await nobody();
  });

  it('a hundred sessions at the same time, each its own', async () => {
    const clients = await Promise.all(Array.from({ length: 100 }, () => connectPg(config(proxy))));
    const answers = await Promise.all(
      clients.map(async (client, i) => {
        await client.query(`set app.mine = '${i}'`);
        const { rows } = await client.query<{ mine: string }>(
          `select current_setting('app.mine') as mine, repeat('x', 100000)`,
        );
        return rows[0]?.mine;
      }),
    );
    expect(answers).toEqual(clients.map((_, i) => `${i}`));
    expect(await proxy.control.call('status', {})).toMatchObject({ sessions: 100, tunnels: 100 });
    await Promise.all(clients.map((client) => client.end()));
    await nobody();
  });

  it('a client that does not read costs no memory, and gets everything when it does', async () => {
    const rows = 200_000;
    const client = await (await RawClient.overTls(proxy.port)).start({ user: 'app' });
    const other = await (await RawClient.overTls(proxy.port)).start({ user: 'app' });
    client.socket.pause();
    client.send(encode.query(`copy (select repeat('x', 1000) from generate_series(1, ${rows})) to stdout`));
    const start = await residentBytes(proxy.pid);
    let most = 0;
    for (let i = 0; i < 200; i++) {
      await other.query('select 1');
      most = Math.max(most, (await residentBytes(proxy.pid)) - start);
    }
    expect(most).toBeLessThan(48 * 1024 * 1024);
    let bytes = 0;
    client.socket.removeAllListeners('data');
    const read = new Promise<void>((resolve) => {
      client.socket.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > rows * 1_006) resolve();
      });
    });
    client.socket.resume();
    await read;
    client.close();
    other.close();
    await nobody();
  });

  it('sessions move between engines', async () => {
    const own = await TestEngines.open();
    const first = await own.primary();
    await withPg(directTo(first), (admin) => admin.query(`create role app login password '${PASSWORD}'`));
    const moved = await TestProxy.start(own, first, { fastPath, tls: tls() });
    const switching = new Switching(own, first);
    const clients = await Promise.all(Array.from({ length: 5 }, () => connectPg(config(moved))));
    for (const [i, client] of clients.entries())
      await client.query(`create temp table mine as select ${i} as i`);
    expect(await switching.move(moved)).toMatchObject({ moved: 5, failed: [] });
    for (const [i, client] of clients.entries()) expect(await value(client, 'select i from mine')).toBe(i);
    await Promise.all(clients.map((client) => client.end()));
    await moved.stop();
    await own.close();
  });

  it('a stranger on the private socket is turned away', async () => {
    const names = (await readdir(proxy.socketDirectory)).filter((name) => name.startsWith('.tls.'));
    expect(names).toEqual([`.tls.${proxy.pid}`]);
    const path = join(proxy.socketDirectory, names[0]!);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    for (const bytes of [randomBytes(32), randomBytes(100)]) {
      const socket = connect(path);
      socket.on('error', () => undefined);
      const ended = once(socket, 'close');
      socket.resume();
      socket.write(bytes);
      await ended;
    }
  });
});

describe('TLS and the life of a proxy', () => {
  it('handovers: open transactions and results go on, the old processes are tunnels until their last session ends', async () => {
    const proxy = await TestProxy.start(engines, engine, { tls: tls() });
    const first = proxy.pid;
    const [open, idle, reading] = await Promise.all(
      Array.from({ length: 3 }, async () => (await RawClient.overTls(proxy.port)).start({ user: 'app' })),
    );
    await open!.query('begin; insert into t values (42)');
    await idle!.query(`prepare p as select 'prepared'`);
    reading!.socket.pause();
    reading!.send(encode.query(`select repeat('x', 1000), i from generate_series(1, 50000) i`));

    expect((await proxy.handOver()).sessions).toEqual({ handed: 3, lost: [] });
    const second = proxy.pid;
    const later = await (await RawClient.overTls(proxy.port)).start({ user: 'app' });
    await later.query('begin; insert into t values (43)');
    expect((await proxy.handOver()).sessions).toEqual({ handed: 4, lost: [] });
    const third = proxy.pid;
    expect(new Set([first, second, third]).size).toBe(3);
    expect(await proxy.control.call('status', {})).toMatchObject({ sessions: 4, tunnels: 0 });
    const shown = await proxy.control.call('sessions', {});
    expect(shown.every(({ tls, client }) => tls === 'TLSv1.3' && client.startsWith('127.0.0.1:'))).toBe(true);

    reading!.socket.resume();
    expect((await reading!.answer()).rows).toHaveLength(50_000);
    expect((await open!.query('select n from t where n = 42')).rows).toEqual([['42']]);
    expect((await open!.query('rollback')).status).toBe('I');
    expect((await idle!.query('execute p')).rows).toEqual([['prepared']]);
    // A statement that runs is canceled through the process that serves now.
    idle!.send(encode.query('select pg_sleep(60)'));
    await sleepsInEngine(proxy);
    const canceler = await RawClient.overTls(proxy.port);
    canceler.send(encode.cancelRequest(StartupCode.cancel, idle!.processId, idle!.secret));
    expect((await idle!.answer()).errors).toEqual(['57014']);
    canceler.close();

    expect([first, second].map((pid) => processIdentity(pid) !== null)).toEqual([true, true]);
    // Both are nothing but tunnels: no listener, no connection to the engine.
    await eventually('their own to be closed', async () => (await engineConnections()) === 4 + 1);
    for (const client of [open!, idle!, reading!]) client.close();
    await waitForExit(first);
    expect((await later.query('commit')).status).toBe('I');
    expect(processIdentity(second)).not.toBeNull();
    later.close();
    await waitForExit(second);
    expect(proxy.log).toBe('');
    await proxy.stop();
  });

  /** Of clients, and of the proxy itself. */
  const engineConnections = (): Promise<number> =>
    withPg(directTo(engine), async (admin) => {
      const { rows } = await admin.query<{ n: number }>(
        `select count(*)::int as n from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()`,
      );
      return rows[0]?.n ?? 0;
    });

  it('the end of the proxy is told through the tunnels of all its processes', async () => {
    const proxy = await TestProxy.start(engines, engine, { tls: tls() });
    const old = proxy.pid;
    const one = await (await RawClient.overTls(proxy.port)).start({ user: 'app' });
    await proxy.handOver();
    const two = await (await RawClient.overTls(proxy.port)).start({ user: 'app' });
    await proxy.stop();
    expect((await one.end()).errors).toEqual(['57P01']);
    expect((await two.end()).errors).toEqual(['57P01']);
    one.close();
    two.close();
    await waitForExit(old);
    expect((await readdir(proxy.socketDirectory)).filter((name) => name.startsWith('.tls.'))).toEqual([]);
  });

  it('kill -9 of a tunnel ends its sessions, and no others', async () => {
    const proxy = await TestProxy.start(engines, engine, { tls: tls() });
    const old = proxy.pid;
    const one = await (await RawClient.overTls(proxy.port)).start({ user: 'app' });
    await proxy.handOver();
    const two = await (await RawClient.overTls(proxy.port)).start({ user: 'app' });
    process.kill(old, 'SIGKILL');
    await one.end();
    await eventually(
      'its session to be gone',
      async () => (await proxy.control.call('status', {})).sessions === 1,
    );
    expect((await two.query('select 1')).rows).toEqual([['1']]);
    one.close();
    two.close();
    await proxy.stop();
  });

  it('half a handshake ends with the login time-out', async () => {
    const proxy = await TestProxy.start(engines, engine, { tls: tls(), loginTimeoutMs: 300 });
    const before = await descriptorsOf(proxy.pid);
    const sockets = await Promise.all(
      [Buffer.alloc(0), Buffer.from('160301020001000001fc0303', 'hex')].flatMap((hello) =>
        [true, false].map(async (direct) => {
          if (direct && hello.length === 0) return null;
          const socket = connect({ host: '127.0.0.1', port: proxy.port, allowHalfOpen: true });
          socket.on('error', () => undefined);
          if (!direct) {
            socket.write(SSL_REQUEST);
            await once(socket, 'data');
          }
          socket.resume();
          socket.write(hello);
          return socket;
        }),
      ),
    );
    const open = sockets.filter((socket) => socket !== null);
    expect(open).toHaveLength(3);
    // And one that has done its handshake, and then says nothing.
    const silent = await RawClient.overTls(proxy.port);
    await Promise.all(open.map(async (socket) => socket.readableEnded || once(socket, 'end')));
    expect((await silent.end()).errors).toEqual(['08006']);
    silent.close();
    // They keep their end open; ours is closed nevertheless. (The socket on which tunnels meet stays.)
    await eventually('descriptors to be closed', async () => (await descriptorsOf(proxy.pid)) <= before + 1);
    for (const socket of open) socket.destroy();
    await proxy.stop();
  });

  it('required: over TCP nobody logs in in the clear, in the words of PostgreSQL', async () => {
    const proxy = await TestProxy.start(engines, engine, { tls: tls('required') });
    await expect(RawClient.login(proxy.port, { user: 'app' })).rejects.toMatchObject({
      sqlstate: '28000',
      severity: 'FATAL',
      message: 'no pg_hba.conf entry for host "127.0.0.1", user "app", database "postgres", no encryption',
    });
    await withPg(config(proxy), async (client) => expect(await value(client, 'select 1')).toBe(1));
    const local = { host: proxy.socketDirectory, port: proxy.port, user: 'app', password: PASSWORD };
    await withPg({ ...local, database: 'postgres' }, async (client) =>
      expect(await value(client, 'select 1')).toBe(1),
    );
    if (hasPsql) {
      expect(await psql(proxy, 'sslmode=prefer')).toContain('TLSv1.3');
      expect(await psql(proxy, 'sslmode=allow')).toContain('TLSv1.3');
      await expect(psql(proxy, 'sslmode=disable')).rejects.toThrow(/no encryption[\s\S]*sslmode=require/);
    }
    await proxy.stop();
  });

  it('a certificate that was replaced is taken up; one that is damaged is not', async () => {
    const own = await makeCertificate(engines.home);
    const proxy = await TestProxy.start(engines, engine, { tls: { mode: 'on', ...pick(own) } });
    const servedNow = async (): Promise<string> => {
      const client = await RawClient.overTls(proxy.port);
      const { fingerprint256 } = (client.socket as TLSSocket).getPeerCertificate();
      client.close();
      return fingerprint256;
    };
    const first = await servedNow();
    const next = await makeServer(own.root, ['localhost', '127.0.0.1']);
    await writeFile(own.keyFile, next.key);
    await writeFile(own.certificateFile, next.certificate);
    const second = await eventually('the new certificate', async () => {
      const now = await servedNow();
      return now !== first && now;
    });
    await writeFile(own.certificateFile, 'nonsense');
    await eventually('a word in the log', async () => {
      expect(await servedNow()).toBe(second);
      return proxy.log.includes('cannot be used, the one before stays');
    });
    await proxy.stop();
  });

  it('files that cannot be used end the start', async () => {
    const other = await makeCertificate(engines.home);
    const mixed = { certificateFile: certificate.certificateFile, keyFile: other.keyFile };
    await expect(TestProxy.start(engines, engine, { tls: { mode: 'on', ...mixed } })).rejects.toThrow(
      /mismatch/,
    );
  });
});
