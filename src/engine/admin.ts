/**
 * Our own queries on an engine: as its superuser, over the private way in, every one bounded in time.
 * Clients of the proxy never come this way.
 */
import { readFile } from 'node:fs/promises';
import type { Client, ClientConfig } from 'pg';
import { DbproxyError } from '../errors/index.js';
import { ownSettings } from '../own-settings.js';
import type { EngineRecord } from './types.js';

/** By this name our connections are known in pg_stat_activity, and hidden from what users see. */
export const ADMIN_APPLICATION_NAME = 'dbproxy';

const CONNECT_BOUND_MS = 5_000;

/** As much of an engine's record as it takes to connect. */
export type AdminTarget = Pick<
  EngineRecord,
  'id' | 'postgres' | 'access' | 'superuser' | 'superuserPasswordFile'
>;

export interface AdminOptions {
  readonly database?: string;
  /** Bound of each query. Connecting has CONNECT_BOUND_MS, or this if it is less. */
  readonly timeoutMs?: number;
  /** Of the physical kind: it takes replication commands only. */
  readonly replication?: boolean;
}

/** Runs one statement; the rows are what the caller says they are. Throws DBP_ENGINE_QUERY. */
export type AdminQuery = <Row extends object>(sql: string, params?: readonly unknown[]) => Promise<Row[]>;

/** One statement on a connection of its own. */
export async function adminQuery<Row extends object>(
  engine: AdminTarget,
  sql: string,
  params: readonly unknown[] = [],
  options: AdminOptions = {},
): Promise<Row[]> {
  return withAdmin(engine, (query) => query<Row>(sql, params), options);
}

/** Several statements on one connection, which ends with `work`. */
export async function withAdmin<T>(
  engine: AdminTarget,
  work: (query: AdminQuery) => Promise<T>,
  options: AdminOptions = {},
): Promise<T> {
  const client = await connectAdmin(engine, options);
  try {
    return await work(async <Row extends object>(sql: string, params: readonly unknown[] = []) => {
      try {
        return (await client.query<Row>(sql, [...params])).rows;
      } catch (cause) {
        throw queryError(engine, cause);
      }
    });
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** A connection that the caller keeps and ends. Throws DBP_ENGINE_QUERY. */
export async function connectAdmin(
  engine: AdminTarget,
  { database = 'postgres', timeoutMs = 5_000, replication = false }: AdminOptions = {},
): Promise<Client> {
  // Loaded when first needed: commands that only read sizes or errors start faster without it.
  const { default: pg } = await import('pg');
  const client = new pg.Client({
    ...address(engine),
    ...(await password(engine)),
    user: engine.superuser,
    database,
    application_name: ADMIN_APPLICATION_NAME,
    ssl: false,
    // In place of PGOPTIONS.
    options: ownSettings(engine.postgres, { statement_timeout: String(timeoutMs) }),
    connectionTimeoutMillis: Math.min(timeoutMs, CONNECT_BOUND_MS),
    // The server's own bound fires first; this one is for a server that does not answer at all.
    query_timeout: timeoutMs + 500,
    ...(replication ? { replication: 'true' } : {}),
  });
  // Without a listener a connection that breaks while it is idle would end our process; the next query tells.
  client.on('error', () => undefined);
  try {
    await client.connect();
    return client;
  } catch (cause) {
    await client.end().catch(() => undefined);
    throw queryError(engine, cause);
  }
}

function address({ access }: AdminTarget): ClientConfig {
  return access.kind === 'socket'
    ? { host: access.directory, port: access.port }
    : { host: access.host, port: access.port };
}

/** Only where it is asked for; a file that is gone shows as the server's refusal. */
async function password({ superuserPasswordFile }: AdminTarget): Promise<ClientConfig> {
  if (superuserPasswordFile === undefined) return {};
  const text = await readFile(superuserPasswordFile, 'utf8').catch(() => '');
  return { password: text.trimEnd() };
}

function queryError(engine: AdminTarget, cause: unknown): DbproxyError {
  const { message, code } = cause as Error & { code?: string };
  // Errors of the operating system carry the code in the message already.
  const reason = code === undefined || message.includes(code) ? message : `${message} (${code})`;
  return new DbproxyError('DBP_ENGINE_QUERY', { engine: engine.id, reason, sqlstate: code }, { cause });
}
