/** What a proxy gives a writer (connections to its engine), and what it answers for it on the control socket. */
import { readFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import pg from 'pg';
import { DbproxyError } from '../../errors/index.js';
import {
  WriterService,
  type Connect,
  type PeerMessage,
  type WriterApi,
  type WriterConfig,
} from '../../multiwriter/writer/index.js';
import type { RpcHandlers } from '../../rpc/index.js';
import type { EngineRoute } from '../control-api.js';
import { OWN_APPLICATION } from '../engine-admin.js';
import { ENGINE_LOGIN_TIMEOUT_MS } from '../engine-connection.js';

/** Reads the secret. Throws what reading a file throws. */
export const newWriter = (config: WriterConfig): WriterService =>
  new WriterService(config, readFileSync(config.secretFile, 'utf8').trim());

/** What was set for the database or the role is not for these connections: it would end them, or have them fail. */
const SESSION_OPTIONS = [
  'search_path=pg_catalog',
  'default_transaction_isolation=read\\ committed',
  'default_transaction_read_only=off',
  'exit_on_error=off',
  'standard_conforming_strings=on',
  ...[
    'idle_session_timeout=0',
    'idle_in_transaction_session_timeout=0',
    'statement_timeout=0',
    'lock_timeout=0',
  ],
];
/** PostgreSQL 17 has it, and an older one would turn us away for it. */
const WITHOUT_TRANSACTION_TIMEOUT = `select set_config(name, '0', false) from pg_settings where name = 'transaction_timeout'`;

export const connectTo =
  ({ access, superuser, superuserPasswordFile }: EngineRoute, database: string): Connect =>
  async () => {
    const client = new pg.Client({
      host: access.kind === 'socket' ? access.directory : access.host,
      port: access.port,
      user: superuser,
      database,
      application_name: OWN_APPLICATION,
      options: SESSION_OPTIONS.map((option) => `-c ${option}`).join(' '),
      connectionTimeoutMillis: ENGINE_LOGIN_TIMEOUT_MS,
      ...(superuserPasswordFile === undefined
        ? {}
        : { password: (await readFile(superuserPasswordFile, 'utf8')).trimEnd() }),
    });
    // Whoever asks hears of it.
    client.on('error', () => undefined);
    await client.connect();
    await client.query(WITHOUT_TRANSACTION_TIMEOUT);
    return client;
  };

interface WriterHost {
  readonly writer: WriterService | null;
  /** What another writer's proxy says. */
  hear(messages: readonly PeerMessage[]): void;
}

export const writerHandlers = (host: WriterHost): RpcHandlers<WriterApi> => {
  const here = (): WriterService => {
    const { writer } = host;
    if (!writer) throw new DbproxyError('DBP_WRITER_NONE');
    return writer;
  };
  return {
    'writer.status': () => here().status(),
    'writer.lead': ({ epoch }) => {
      here().lead(epoch);
      return null;
    },
    'writer.events': (_params, context) =>
      new Promise((resolve) => {
        const end = here().follow((event) => context.progress(event));
        context.signal.addEventListener('abort', () => {
          end();
          resolve(null);
        });
      }),
    'writer.quiet': ({ forMs }) => here().beQuiet(forMs),
    'writer.transactions': () => here().facts(),
    'writer.tell': ({ messages }) => {
      host.hear(messages);
      return null;
    },
  };
};
