/** A load over TLS: what terminates it stands before a real engine. */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect, createServer, type AddressInfo, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TLSSocket } from 'node:tls';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { initialiseWorkload, PROTOCOLS, runWorkload } from '../../src/workload/index.js';
import { socketOf } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';

const SSL_REQUEST_BYTES = 8;

function makeCertificate(directory: string): boolean {
  const name = ['-subj', '/CN=localhost', '-days', '2', '-nodes', '-newkey', 'rsa:2048'];
  try {
    execFileSync('openssl', ['req', '-x509', ...name, '-keyout', 'key', '-out', 'cert'], {
      ...{ cwd: directory, stdio: 'ignore' },
    });
    return true;
  } catch {
    return false;
  }
}

const directory = await mkdtemp(join(tmpdir(), 'dbp-tls-'));
const hasCertificate = makeCertificate(directory);
if (!hasCertificate) await rm(directory, { recursive: true });

describe.skipIf(!hasCertificate)('over TLS (openssl makes the certificate)', () => {
  let engines: TestEngines;
  let server: Server;
  let url: string;

  beforeAll(async () => {
    engines = await TestEngines.open();
    const access = socketOf(await engines.primary());
    const [key, cert] = await Promise.all(['key', 'cert'].map((file) => readFile(join(directory, file))));
    server = createServer((socket) => {
      socket.on('error', () => {});
      // The manual, 53.2.11: the client asks, the answer is one byte, then the handshake begins.
      socket.once('data', (request) => {
        expect(request.length).toBe(SSL_REQUEST_BYTES);
        socket.write('S');
        const secure = new TLSSocket(socket, { isServer: true, key: key!, cert: cert! });
        const engine = connect(join(access.directory, `.s.PGSQL.${access.port}`));
        for (const one of [secure, engine])
          one.on('error', () => [secure, engine].forEach((each) => each.destroy()));
        secure.pipe(engine).pipe(secure);
      });
    });
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { port } = server.address() as AddressInfo;
    url = `postgres://postgres@127.0.0.1:${port}/postgres?sslmode=no-verify`;
    await initialiseWorkload({ url, scale: 1 });
  });
  afterAll(async () => {
    server?.close();
    await engines?.close();
    await rm(directory, { recursive: true });
  });

  test.each(PROTOCOLS)('%s: statements of ours and probes on the same connections', async (protocol) => {
    const script = ['tpcb-like@3', 'temp-table', 'listen-notify'];
    const result = await runWorkload({ url, script, protocol, clients: 3, seconds: 1, ratePerSecond: 60 });
    expect(result.errorExamples).toEqual({});
    expect(result).toMatchObject({ failed: 0, unknown: 0, disconnects: 0, ledger: { ok: true } });
    expect(result.transactions).toBeGreaterThan(10);
  });
});
