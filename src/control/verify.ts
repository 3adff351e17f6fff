/** The proof of readiness: a real query, by TCP, with the password, through the proxy. */
import pg from 'pg';
import { DbproxyError } from '../errors/index.js';
import { ownSettings } from '../own-settings.js';
import type { InstanceSpec } from './api.js';
import { instancePaths } from './paths.js';
import { tlsQuery } from './tls/index.js';

const BOUND_MS = 10_000;

/** Where our own clients connect to: a wildcard address is reached on loopback. */
export const connectHost = (host: string): string =>
  host === '0.0.0.0' || host === '*' ? '127.0.0.1' : host === '::' ? '::1' : host;

/** As it stands in a URL. */
export function addressOf({ host, port }: Pick<InstanceSpec, 'host' | 'port'>): string {
  const reached = connectHost(host);
  return `${reached.includes(':') ? `[${reached}]` : reached}:${port}`;
}

export function urlOf(
  { name, host, port, tls }: Pick<InstanceSpec, 'name' | 'host' | 'port' | 'tls'>,
  password: string,
): string {
  return `postgres://postgres:${password}@${addressOf({ host, port })}/postgres${tlsQuery(tls, instancePaths(name))}`;
}

/** `postgres`: the engine's version. Throws DBP_INSTANCE_START_FAILED. */
export async function queryThroughProxy(
  spec: InstanceSpec,
  password: string,
  postgres: string,
): Promise<void> {
  const client = new pg.Client({
    host: connectHost(spec.host),
    port: spec.port,
    user: 'postgres',
    database: 'postgres',
    password,
    application_name: 'dbproxy',
    options: ownSettings(postgres),
    // Whether it answers is the question, not who answers: it is our own process on this machine.
    ssl: spec.tls ? { rejectUnauthorized: false } : false,
    connectionTimeoutMillis: BOUND_MS,
    query_timeout: BOUND_MS,
  });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select 1');
  } catch (cause) {
    const reason = `no query passes through the proxy: ${cause instanceof Error ? cause.message : String(cause)}`;
    throw new DbproxyError('DBP_INSTANCE_START_FAILED', { name: spec.name, reason }, { cause });
  } finally {
    await client.end().catch(() => undefined);
  }
}
