/** Everything that can stand between a client and the engine: each listens on TCP loopback and uses the engine's socket. */
import { chmod, mkdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RpcClient } from '../../src/rpc/index.js';
import type { ProxyApi, ProxyConfig } from '../../src/proxy/control-api.js';
import type { BenchEngine } from './engine.js';
import { freePort, startServer, type Server } from './processes.js';

const PROXY_MAIN = fileURLToPath(new URL('../../dist/proxy/main.js', import.meta.url));
const MAX_CLIENTS = 1_100;

export interface Relay extends Server {
  readonly name: string;
  readonly port: number;
}

/** Our proxy as a supervisor starts it; SCRAM from the client, the engine's socket behind it. */
export async function startDbproxy({ home, engine }: BenchEngine): Promise<Relay> {
  const port = await freePort();
  const config: ProxyConfig = {
    instance: 'bench',
    host: '127.0.0.1',
    port,
    socketDirectory: null,
    controlSocket: join(home, 'proxy.sock'),
    generation: 1,
    maxSessions: MAX_CLIENTS,
  };
  const env = { ...process.env, DBPROXY_PROXY_CONFIG: JSON.stringify(config) };
  const server = await startServer(process.execPath, [PROXY_MAIN], config.controlSocket, { env });
  const control = await RpcClient.connect<ProxyApi>(config.controlSocket);
  const { id, access, superuser } = engine;
  await control.call('route', { engine: { id, access, superuser } }, { timeoutMs: 10_000 });
  control.close();
  return { ...server, name: 'dbproxy', port };
}

/**
 * `session`: a server connection belongs to a client as long as it is connected, as with us. `transaction`: it goes back
 * to the pool after each transaction; only there does PAUSE succeed while clients stay connected.
 */
export async function startPgbouncer(
  { home, engine, socket }: BenchEngine,
  mode: 'session' | 'transaction',
  poolSize: number,
): Promise<Relay> {
  const port = await freePort();
  const directory = join(home, `pgbouncer-${port}`);
  await mkdir(directory);
  await chmod(directory, 0o711);
  const file = join(directory, 'pgbouncer.ini');
  const login = `user=${engine.superuser}`;
  await writeFile(
    file,
    `[databases]
postgres = host=${socket.directory} port=${socket.port} dbname=postgres ${login}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
admin_users = ${engine.superuser}
pool_mode = ${mode}
max_client_conn = ${MAX_CLIENTS}
default_pool_size = ${poolSize}
ignore_startup_parameters = extra_float_digits
log_connections = 0
log_disconnections = 0
stats_period = 3600
`,
  );
  // It refuses to run as root; the engine's user can open the engine's socket.
  const server = await startServer('pgbouncer', ['-q', file], port, await ownerOf(socket.directory));
  return { ...server, name: `PgBouncer (${mode})`, port };
}

export async function startHaproxy({ home, socket }: BenchEngine): Promise<Relay> {
  const port = await freePort();
  const file = join(home, 'haproxy.cfg');
  await writeFile(
    file,
    `global
  nbthread 1
  maxconn ${MAX_CLIENTS}
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
listen postgres
  bind 127.0.0.1:${port}
  server e1 unix@${join(socket.directory, `.s.PGSQL.${socket.port}`)}
`,
  );
  const server = await startServer('haproxy', ['-db', '-q', '-f', file], port);
  return { ...server, name: 'HAProxy (TCP)', port };
}

async function ownerOf(path: string): Promise<{ uid?: number; gid?: number }> {
  if (process.getuid?.() !== 0) return {};
  const { uid, gid } = await stat(path);
  return { uid, gid };
}
