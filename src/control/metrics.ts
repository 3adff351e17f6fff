/**
 * Figures for Prometheus, over HTTP on 127.0.0.1: `up --metrics-port`. They are put together when somebody asks, from what
 * `status` knows; the path of the clients' bytes counts nothing for them.
 */
import { createServer, type Server } from 'node:http';
import type { Registry } from 'prom-client';
import { DbproxyError } from '../errors/index.js';
import type { ProxyStatus } from '../proxy/control-api.js';
import type { StatusResult } from './api.js';
import { describePortHolder, findFreePort } from './port-holder.js';

/** One loopback address, and no other: whoever wants them elsewhere forwards them, and says to whom. */
const HOST = '127.0.0.1';

export interface Figures {
  readonly status: StatusResult;
  /** Null: no proxy answers. */
  readonly proxy: ProxyStatus | null;
}

export class Metrics {
  readonly #server: Server;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** Throws DBP_ENV_PORT_TAKEN. */
  static async open(port: number, look: () => Promise<Figures>): Promise<Metrics> {
    const server = createServer((request, response) => {
      const answer = (status: number, type: string, body: string): void => {
        response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
      };
      if (request.url?.split('?')[0] !== '/metrics')
        answer(404, 'text/plain', 'the figures are at /metrics\n');
      else if (request.method !== 'GET') answer(405, 'text/plain', 'GET\n');
      else {
        registryOf(look)
          .then(async (registry) => answer(200, registry.contentType, await registry.metrics()))
          .catch((error: Error) => answer(503, 'text/plain', `${error.message}\n`));
      }
    });
    try {
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject).listen({ port, host: HOST }, resolve);
      });
    } catch (cause) {
      const [holder, free] = await Promise.all([describePortHolder(port), findFreePort(HOST, port)]);
      throw new DbproxyError('DBP_ENV_METRICS_PORT', { port, holder, free }, { cause });
    }
    server.unref();
    return new Metrics(server);
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}

/** Made anew for each answer, so that engines that are gone are gone there, too. */
async function registryOf(look: () => Promise<Figures>): Promise<Registry> {
  const [{ Registry, Gauge, Counter }, { status, proxy }] = await Promise.all([
    import('prom-client'),
    look(),
  ]);
  const registry = new Registry();
  registry.setDefaultLabels({ instance_name: status.instance });
  const gauge = (name: string, help: string, labels: Record<string, string>, value: number | null): void => {
    if (value === null) return;
    const known = registry.getSingleMetric(name) as InstanceType<typeof Gauge> | undefined;
    const labelNames = Object.keys(labels);
    (known ?? new Gauge({ name, help, labelNames, registers: [registry] })).set(labels, value);
  };
  const counter = (name: string, help: string, value: number): void =>
    new Counter({ name, help, registers: [registry] }).inc(value);

  gauge(
    'dbproxy_up',
    'Clients can be served',
    {},
    status.state === 'running' || status.state === 'operating' ? 1 : 0,
  );
  gauge('dbproxy_operation_running', 'A switchover or a handover is under way', {}, status.operation ? 1 : 0);
  for (const state of ['active', 'idle', 'in tx', 'held', 'moving', 'closing'] as const) {
    const count = status.sessions.filter((session) => session.state === state).length;
    gauge('dbproxy_sessions', 'Client sessions by state', { state }, count);
  }
  for (const { id, role, size, postgres, ...engine } of status.engines) {
    const labels = { engine: id, role };
    gauge('dbproxy_engine_info', 'What an engine is', { ...labels, size, postgres }, 1);
    gauge('dbproxy_engine_up', 'The engine answers', labels, engine.state === 'running' ? 1 : 0);
    gauge(
      'dbproxy_engine_cpu_percent',
      'CPU of all its processes, 100 is one core',
      labels,
      engine.cpuPercent,
    );
    gauge('dbproxy_engine_memory_bytes', 'Memory of all its processes', labels, engine.memoryBytes);
    gauge('dbproxy_engine_connections', 'Connections of clients', labels, engine.connections);
    gauge('dbproxy_engine_transactions_per_second', 'Since the look before', labels, engine.tps);
  }
  if (!proxy) return registry;
  gauge('dbproxy_proxy_info', 'The proxy process', { version: proxy.version }, 1);
  for (const { pid, sessions } of proxy.members ?? []) {
    const help = 'Client sessions by proxy process, where there are several';
    gauge('dbproxy_proxy_sessions', help, { pid: String(pid) }, sessions);
  }
  gauge('dbproxy_proxy_generation', 'Counts the replacements of its process', {}, proxy.generation);
  gauge(
    'dbproxy_tls_clients',
    'Clients whose TLS ends in the process that serves now',
    {},
    proxy.tunnels ?? 0,
  );
  counter('dbproxy_sessions_total', 'Logins that became sessions', proxy.totals.sessions);
  counter('dbproxy_moves_total', 'Moves of all sessions to another engine', proxy.totals.moves);
  counter('dbproxy_failed_logins_total', 'Logins that were refused', proxy.totals.failedLogins);
  return registry;
}
