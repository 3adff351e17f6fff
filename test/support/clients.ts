/** Clients of tests on the libraries people use, closed together at the end of a test. */
import { readFileSync } from 'node:fs';
import pg from 'pg';
import type { EngineRecord, SocketAccess } from '../../src/engine/index.js';

/** A connected client; losing its connection is seen by its queries, not by the process. */
export const connectPg = async (config: string | pg.ClientConfig): Promise<pg.Client> => {
  const client = new pg.Client(config);
  client.on('error', () => undefined);
  await client.connect();
  return client;
};

/** The first column of the first row. */
export const value = async (client: pg.Client, text: string): Promise<unknown> =>
  (await client.query<unknown[]>({ text, rowMode: 'array' })).rows[0]?.[0];

/** The Unix socket of an engine, also of a container, where containers run on this kernel. */
export const socketOf = ({ access, socket }: EngineRecord): SocketAccess => {
  const found = access.kind === 'socket' ? access : socket;
  if (!found) throw new Error('the engine has no socket here');
  return found;
};

/** The directory of that socket, as the server itself sees it. */
export const socketInside = (engine: EngineRecord): string =>
  engine.container ? '/dbproxy-socket' : socketOf(engine).directory;

/** Straight to an engine, past every proxy. */
export const directTo = (engine: EngineRecord, config: pg.ClientConfig = {}): pg.ClientConfig => {
  const { access } = engine;
  const where =
    access.kind === 'socket'
      ? { host: access.directory }
      : { host: access.host, password: passwordOf(engine) };
  return { ...where, port: access.port, user: engine.superuser, database: 'postgres', ...config };
};

const passwordOf = ({ superuserPasswordFile: file }: EngineRecord): string =>
  file === undefined ? '' : readFileSync(file, 'utf8').trimEnd();

/** Runs `work` with a client that is closed in any case. */
export const withPg = async <T>(
  config: string | pg.ClientConfig,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> => {
  const client = await connectPg(config);
  try {
    return await work(client);
  } finally {
    await client.end().catch(() => undefined);
  }
};

/** Waits, with a bound, until `condition` gives something other than false, null or undefined. */
export const eventually = async <T>(
  what: string,
  condition: () => T | Promise<T>,
  limitMs = 30_000,
): Promise<NonNullable<T>> => {
  const end = performance.now() + limitMs;
  for (;;) {
    const found = await condition();
    if (found !== false && found !== null && found !== undefined) return found;
    if (performance.now() > end) throw new Error(`waited ${limitMs} ms for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
};
