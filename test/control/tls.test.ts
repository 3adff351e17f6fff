/** TLS of an instance: the certificate that it makes for itself, files that it is given, what clients are told, `patch --self`. */
import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { chmod, mkdir, readFile, readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startInstance, stopInstance } from '../../src/control/client.js';
import { examine } from '../../src/control/doctor.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { instancePaths } from '../../src/control/paths.js';
import { replaceSelf } from '../../src/control/replace-self.js';
import { makeRoot, makeServer } from '../../src/control/tls/generate.js';
import { settleTls } from '../../src/control/tls/index.js';
import { ensureOwnCertificate } from '../../src/control/tls/own-certificate.js';
import { connectionEnv } from '../../src/cli/connection-env.js';
import { processIdentity } from '../../src/engine/index.js';
import { makeCertificate } from '../support/certificates.js';
import { Cli } from '../support/cli.js';
import { isRunning, killSupervisor, LiveHome, processesBelow, scale, status, until, Writer } from './live.js';

let live: LiveHome;
beforeAll(async () => {
  live = await LiveHome.open();
});
afterAll(() => live.close());

const withUrl = async <T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> => {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
};

const one = async (client: pg.Client, sql: string): Promise<unknown> =>
  Object.values((await client.query<Record<string, unknown>>(sql)).rows[0] ?? {})[0];

describe('a certificate of its own', () => {
  const paths = (name: string) => instancePaths(name, live.home);
  const served = async (name: string): Promise<X509Certificate> =>
    new X509Certificate(await readFile(paths(name).tlsServerFile));
  const fresh = async (name: string): Promise<void> => {
    await mkdir(paths(name).directory, { recursive: true });
  };

  test('is for localhost and the host, verifies against its root, and only its owner reads the keys', async () => {
    await fresh('own');
    expect(await ensureOwnCertificate(paths('own'), 'db.example.com')).toBe(true);
    const certificate = await served('own');
    const root = new X509Certificate(await readFile(paths('own').tlsRootFile));
    expect(certificate.verify(root.publicKey)).toBe(true);
    for (const name of ['localhost', 'db.example.com']) expect(certificate.checkHost(name)).toBe(name);
    for (const address of ['127.0.0.1', '::1']) expect(certificate.checkIP(address)).toBe(address);
    expect(certificate.checkHost('example.com')).toBeUndefined();
    expect((await stat(paths('own').tlsDirectory)).mode & 0o777).toBe(0o700);
    for (const name of await readdir(paths('own').tlsDirectory))
      expect((await stat(join(paths('own').tlsDirectory, name))).mode & 0o777, name).toBe(0o600);
  });

  test('stays as long as it is good, and is made anew under the same root when it is not', async () => {
    await fresh('old');
    await ensureOwnCertificate(paths('old'), '127.0.0.1');
    const first = await served('old');
    const root = await readFile(paths('old').tlsRootFile, 'utf8');
    expect(await ensureOwnCertificate(paths('old'), '127.0.0.1')).toBe(false);
    expect((await served('old')).fingerprint256).toBe(first.fingerprint256);
    // It listens somewhere else.
    expect(await ensureOwnCertificate(paths('old'), '192.0.2.7')).toBe(true);
    expect((await served('old')).checkIP('192.0.2.7')).toBe('192.0.2.7');
    // Damaged.
    await writeFile(paths('old').tlsServerFile, 'nonsense');
    expect(await ensureOwnCertificate(paths('old'), '127.0.0.1')).toBe(true);
    // In a year it is about to expire.
    const now = Date.now();
    vi.useFakeTimers({ toFake: ['Date'], now: now + 370 * 86_400_000 });
    try {
      expect(await ensureOwnCertificate(paths('old'), '127.0.0.1')).toBe(true);
      expect(Date.parse((await served('old')).validTo)).toBeGreaterThan(now + 700 * 86_400_000);
      expect(await readFile(paths('old').tlsRootFile, 'utf8')).toBe(root);
      vi.setSystemTime(now + 3_640 * 86_400_000);
      expect(await ensureOwnCertificate(paths('old'), '127.0.0.1')).toBe(true);
      expect(await readFile(paths('old').tlsRootFile, 'utf8')).not.toBe(root);
    } finally {
      vi.useRealTimers();
    }
  });
});

describe('files that were given', () => {
  const settle = (more: Partial<Record<'tlsCert' | 'tlsKey' | 'tlsCa', string>>, tls?: 'off' | 'on') =>
    settleTls({ tls: tls ?? 'on', ...more }, undefined, '127.0.0.1');
  const file = async (name: string, text: string, mode = 0o600): Promise<string> => {
    const path = join(live.home, name);
    await writeFile(path, text, { mode });
    await chmod(path, mode);
    return path;
  };

  test('are taken with their root, which clients are told', async () => {
    const { certificateFile, keyFile, rootFile } = await makeCertificate(live.home);
    const files = { tlsCert: certificateFile, tlsKey: keyFile };
    expect(await settle({ ...files, tlsCa: rootFile })).toEqual({
      ...{ mode: 'on', certificateFile, keyFile, rootFile, verify: 'full' },
    });
    expect(await settle(files)).toEqual({ mode: 'on', certificateFile, keyFile });
    const foreign = await makeCertificate(live.home, ['db.example.com']);
    expect(
      await settle({ tlsCert: foreign.certificateFile, tlsKey: foreign.keyFile, tlsCa: foreign.rootFile }),
    ).toMatchObject({ verify: 'ca' });
  });

  test('that cannot be used are named, with the reason', async () => {
    const { certificateFile: tlsCert, keyFile: tlsKey, root } = await makeCertificate(live.home);
    const other = await makeCertificate(live.home);
    const text = await readFile(tlsKey, 'utf8');
    const expired = await (async () => {
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 800 * 86_400_000 });
      try {
        return await makeServer(await makeRoot('past'), ['localhost']);
      } finally {
        vi.useRealTimers();
      }
    })();
    const future = await (async () => {
      vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 86_400_000 });
      try {
        return await makeServer(root, ['localhost']);
      } finally {
        vi.useRealTimers();
      }
    })();
    const cases: [Parameters<typeof settle>[0], RegExp][] = [
      [{ tlsCert: '/no/such/file', tlsKey }, /there is no such file/],
      [{ tlsCert, tlsKey: '/no/such/file' }, /there is no such file/],
      [{ tlsCert, tlsKey: live.home }, /cannot be read \(EISDIR\)/],
      [{ tlsCert: await file('no.crt', 'nonsense'), tlsKey }, /holds no PEM certificate/],
      [
        {
          tlsCert: await file('half.crt', '-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n'),
          tlsKey,
        },
        /cannot be read/,
      ],
      [{ tlsCert, tlsKey: other.keyFile }, /not the key of the certificate/],
      [
        { tlsCert, tlsKey: await file('open.key', text, 0o640) },
        /others can read it \(mode 0640\): chmod 600/,
      ],
      [{ tlsCert, tlsKey: await file('no.key', 'nonsense') }, /holds no PEM private key/],
      [
        {
          tlsCert: await file('past.crt', expired.certificate),
          tlsKey: await file('past.key', expired.key),
        },
        /it expired on/,
      ],
      [
        {
          tlsCert: await file('future.crt', future.certificate),
          tlsKey: await file('future.key', future.key),
        },
        /it is not valid before/,
      ],
      [{ tlsCert, tlsKey, tlsCa: await file('no.ca', '') }, /holds no PEM certificate/],
    ];
    for (const [files, reason] of cases)
      await expect(settle(files)).rejects.toMatchObject({
        ...{ code: 'DBP_TLS_FILE', exitCode: 2, message: expect.stringMatching(reason) as string },
      });
    await expect(settle({ tlsCert })).rejects.toThrow(/go together/);
    await expect(settle({ tlsCert, tlsKey }, 'off')).rejects.toThrow(/need --tls on/);
  });

  test('an encrypted key is said to be that', async () => {
    const { createPrivateKey } = await import('node:crypto');
    const { certificateFile, keyFile } = await makeCertificate(live.home);
    const key = createPrivateKey(await readFile(keyFile));
    const pem = key.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'x' });
    const tlsKey = await file('encrypted.key', pem.toString());
    await expect(settle({ tlsCert: certificateFile, tlsKey })).rejects.toThrow(/it is encrypted/);
  });
});

test('an instance with --tls required: its URL works in every client, without TLS nobody comes in', async () => {
  const { url, tls, port } = await live.up('safe', { tls: 'required' });
  const { tlsRootFile } = InstanceDirectory.of('safe').paths;
  expect(tls).toBe('required');
  expect(url).toMatch(/\?sslmode=verify-full&sslrootcert=\/.*\/tls\/root\.crt$/);
  expect(connectionEnv(url)).toMatchObject({ PGSSLMODE: 'verify-full', PGSSLROOTCERT: tlsRootFile });
  await withUrl(url, async (client) => expect(await one(client, 'select 1')).toBe(1));
  const { hostname: host, password } = new URL(url);
  const sql = postgres({
    host,
    port,
    user: 'postgres',
    pass: password,
    ssl: { ca: await readFile(tlsRootFile) },
  });
  expect(await sql`select 1 as one`).toMatchObject([{ one: 1 }]);
  await sql.end();
  await expect(withUrl(url.replace(/\?.*/, ''), () => Promise.resolve())).rejects.toMatchObject({
    code: '28000',
  });
  // Asked for again: the same; asked for otherwise: said so.
  expect(await live.up('safe', { tls: 'required' })).toMatchObject({ alreadyRunning: true });
  await expect(live.up('safe', { tls: 'off' })).rejects.toMatchObject({
    code: 'DBP_INSTANCE_SETTINGS_DIFFER',
  });
  // A load of ours goes by that URL, under a switchover.
  const writer = await Writer.start(url);
  expect(await scale('safe', 'medium')).toMatchObject({ outcome: 'completed', error: null });
  await writer.progressed();
  await writer.finish();
  // It stays so when it is stopped and started; and can be given up.
  await stopInstance('safe');
  expect(await startInstance({ name: 'safe' })).toMatchObject({ tls: 'required', url });
  await stopInstance('safe');
  expect(await startInstance({ name: 'safe', tls: 'off' })).toMatchObject({
    tls: 'off',
    url: url.replace(/\?.*/, ''),
  });
  await stopInstance('safe', { purge: true });
}, 120_000);

test('several writers: each of them asks for TLS, with a certificate that its URL knows', async () => {
  const { writers } = await live.up('both', { writers: 2, tls: 'required' });
  for (const { url, port } of writers) {
    expect(url).toContain('sslmode=verify-full');
    expect(await withUrl(url, (client) => one(client, 'select 1'))).toBe(1);
    const clear = withUrl(`${url.split('?')[0]}?sslmode=disable`, (client) => one(client, 'select 1'));
    await expect(clear, `port ${port}`).rejects.toMatchObject({ code: '28000' });
  }
  // It may change while it is down, for all of them, and so may the address.
  await stopInstance('both');
  const again = await startInstance({ name: 'both', tls: 'off', host: '127.0.0.2' });
  for (const { url } of again.writers) {
    expect(url).toContain('@127.0.0.2:');
    expect(url).not.toContain('sslmode');
    expect(await withUrl(url, (client) => one(client, 'select 1'))).toBe(1);
  }
  await stopInstance('both', { purge: true });
}, 120_000);

test('patch --self with TLS sessions: old proxies stay as tunnels, are known, and go with the last session or with down', async () => {
  const { url, proxy } = await live.up('self', { tls: 'on' });
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('create temp table mine as select 7 as n');
  await client.query('begin');
  const first = await replaceSelf('self', () => undefined);
  expect(first.sessions).toMatchObject({ handed: 1, lost: 0 });
  const second = await replaceSelf('self', () => undefined);
  expect(await one(client, 'select n from mine')).toBe(7);
  await client.query('commit');
  // Whose supervisor dies knows it all the same.
  await killSupervisor('self');
  expect(await status('self')).toMatchObject({
    state: 'running',
    proxy: { pid: second.to.pid, sessions: 1 },
  });
  const record = await InstanceDirectory.of('self').readProxy();
  expect(record?.tunnels?.map(({ pid }) => pid)).toContain(proxy.pid);
  await until('the process without sessions is gone', () => !isRunning(first.to.pid));
  expect(isRunning(proxy.pid)).toBe(true);
  expect(await scale('self', 'medium')).toMatchObject({
    outcome: 'completed',
    error: null,
    sessions: { moved: 1 },
  });
  expect(await one(client, 'select n from mine')).toBe(7);

  const gone = new Promise<Error>((resolve) => client.on('error', resolve));
  const { stopped } = await stopInstance('self');
  expect(stopped).toContain(`TLS tunnel ${proxy.pid}`);
  expect(await gone).toMatchObject({ code: '57P01' });
  expect(processIdentity(proxy.pid)).toBeNull();
  expect(await processesBelow(live.home)).toEqual([]);
}, 120_000);

test('doctor finds a tunnel that down did not end', async () => {
  const { url, proxy } = await live.up('left', { tls: 'on' });
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  await replaceSelf('left', () => undefined);
  const directory = InstanceDirectory.of('left');
  const record = await directory.readInstance();
  // As if `down` had been killed in the middle of it.
  await directory.writeInstance({ ...record!, wanted: 'stopped' });
  await killSupervisor('left');
  const found = (await examine({ fix: false })).checks.find(({ name }) => name === 'instance left');
  expect(found?.detail).toContain(`TLS tunnel ${proxy.pid}`);
  expect((await examine({ fix: true })).checks.find(({ name }) => name === 'instance left')?.state).toBe(
    'fixed',
  );
  expect(processIdentity(proxy.pid)).toBeNull();
}, 120_000);

test('the command: flags, files that do not fit, what it prints', async () => {
  const cli = await Cli.open();
  try {
    const { certificateFile, keyFile, rootFile } = await makeCertificate(live.home);
    const other = await makeCertificate(live.home);
    const wrong = await cli.run([
      'up',
      '--tls',
      'on',
      '--tls-cert',
      certificateFile,
      '--tls-key',
      other.keyFile,
    ]);
    expect(wrong.code).toBe(2);
    expect(wrong.stderr).toContain('it is not the key of the certificate');
    expect((await cli.run(['up', '--tls-cert', certificateFile])).code).toBe(2);
    // Nothing was left of them.
    expect((await cli.run(['status'])).code).toBe(4);
    const files = ['--tls-cert', certificateFile, '--tls-key', keyFile, '--tls-ca', rootFile];
    const port = await (await import('../support/free-port.js')).freePort();
    const up = await cli.run(['up', '--tls', 'required', ...files, '--port', String(port)]);
    expect(up.code, up.stderr).toBe(0);
    expect(up.stdout).toContain('required over TCP');
    const { stdout: url } = await cli.run(['url']);
    expect(url).toContain(`sslmode=verify-full&sslrootcert=${rootFile}`);
    expect(await withUrl(url.trim(), (client) => one(client, 'select 1'))).toBe(1);
    const psql = await cli.run(['psql', '--', '-Atc', '\\conninfo']);
    if (psql.code === 0) expect(psql.stdout).toContain('SSL connection (protocol: TLSv1.3');
    const { stdout: lines } = await cli.run(['env']);
    const evaluated = await promisify(execFile)('bash', ['-c', `${lines}\necho "$PGSSLMODE $PGSSLROOTCERT"`]);
    expect(evaluated.stdout.trim()).toBe(`verify-full ${rootFile}`);
  } finally {
    await cli.close(['default']);
  }
}, 120_000);
