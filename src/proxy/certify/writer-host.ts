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
import { ownSettings } from '../../own-settings.js';
import type { RpcHandlers } from '../../rpc/index.js';
import type { EngineRoute } from '../control-api.js';
import { OWN_APPLICATION } from '../engine-admin.js';
import { ENGINE_LOGIN_TIMEOUT_MS } from '../engine-connection.js';

/** Reads the secret. Throws what reading a file throws. */
export const newWriter = (config: WriterConfig): WriterService =>
  new WriterService(config, readFileSync(config.secretFile, 'utf8').trim());

export const connectTo =
  ({ postgres, access, superuser, superuserPasswordFile }: EngineRoute, database: string): Connect =>
  async () => {
    const client = new pg.Client({
      host: access.kind === 'socket' ? access.directory : access.host,
      port: access.port,
      user: superuser,
      database,
      application_name: OWN_APPLICATION,
      options: ownSettings(postgres),
      connectionTimeoutMillis: ENGINE_LOGIN_TIMEOUT_MS,
      ...(superuserPasswordFile === undefined
        ? {}
        : { password: (await readFile(superuserPasswordFile, 'utf8')).trimEnd() }),
    });
    // Whoever asks hears of it.
    client.on('error', () => undefined);
    await client.connect();
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
