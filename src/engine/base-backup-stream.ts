/**
 * A base backup over the replication protocol: what `pg_basebackup` does, for where there is no such program. The server makes
 * the copy and sends it as a tar archive (manual, "Streaming Replication Protocol", BASE_BACKUP), consistent whatever it
 * writes meanwhile; its pages are checked against their checksums.
 */
import { PassThrough, type Readable } from 'node:stream';
import type { Client, Connection, Submittable } from 'pg';
import { connectAdmin, type AdminTarget } from './admin.js';
import { END_OF_ARCHIVE } from './tar.js';
import { throwIfAborted } from './wait.js';

/** The checkpoint at the start writes out whatever is dirty, and a big copy takes its time. */
const BACKUP_BOUND_MS = 30 * 60_000;

export interface StreamOptions {
  readonly label: string;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((fraction: number) => void) | undefined;
  /** Takes in the archive: paths relative to the data directory. Resolves when it has all of it. */
  readonly consume: (archive: Readable) => Promise<unknown>;
}

/** Without WAL: a slot of the primary keeps that for the new standby. */
export async function streamBaseBackup(
  primary: AdminTarget,
  { label, signal, onProgress, consume }: StreamOptions,
): Promise<void> {
  throwIfAborted(signal);
  const major = Number(primary.postgres.split('.')[0]);
  const client = await connectAdmin(primary, { timeoutMs: BACKUP_BOUND_MS, replication: true });
  const archive = new PassThrough();
  const stop = (): void => void archive.destroy(new Error('given up'));
  signal?.addEventListener('abort', stop);
  try {
    const consumed = consume(archive);
    const backup = run(client, new BaseBackup(archive, major, label, onProgress));
    await Promise.all([
      backup.catch((error: unknown) => {
        archive.destroy(error as Error);
        throw error;
      }),
      consumed,
    ]);
  } catch (error) {
    throwIfAborted(signal);
    throw error;
  } finally {
    signal?.removeEventListener('abort', stop);
    // Not `end`: in the middle of a copy it would be waited for.
    (client as unknown as { connection: Connection }).connection.stream.destroy();
  }
}

function run(client: Client, backup: BaseBackup): Promise<void> {
  const done = new Promise<void>((resolve, reject) => {
    backup.done = resolve;
    backup.failed = reject;
    client.once('end', () => reject(new Error('the primary closed the connection')));
  });
  client.query(backup);
  return done;
}

interface CopyMessage {
  readonly chunk: Buffer;
}

/** The command as a query of node-postgres, which gives each message to it. */
class BaseBackup implements Submittable {
  done: () => void = () => undefined;
  failed: (error: Error) => void = () => undefined;
  /** node-postgres looks for a callback to call when the connection breaks. */
  readonly callback = (error: Error | null): void => void (error && this.failed(error));
  readonly #archive: PassThrough;
  readonly #major: number;
  readonly #label: string;
  readonly #onProgress: ((fraction: number) => void) | undefined;
  #totalBytes = 0;
  #sentBytes = 0;
  #error: Error | null = null;
  #waiting = false;

  constructor(archive: PassThrough, major: number, label: string, onProgress?: (fraction: number) => void) {
    this.#archive = archive;
    this.#major = major;
    this.#label = label;
    this.#onProgress = onProgress;
  }

  submit(connection: Connection): void {
    connection.query(
      this.#major >= 15
        ? `BASE_BACKUP (LABEL '${this.#label}', PROGRESS true, CHECKPOINT 'fast', WAL false, MANIFEST 'no')`
        : `BASE_BACKUP LABEL '${this.#label}' PROGRESS FAST NOWAIT${this.#major >= 13 ? " MANIFEST 'no'" : ''}`,
    );
  }

  handleRowDescription(): void {}

  /** The second result set: of each tablespace its OID, its place, and its size in kB; ours has the first two NULL. */
  handleDataRow({ fields }: { fields: (string | null)[] }): void {
    if (fields.length === 3 && fields[0] === null) this.#totalBytes = Number(fields[2] ?? 0) * 1024;
  }

  handleCopyData({ chunk }: CopyMessage, connection: Connection): void {
    if (this.#major < 15) this.#data(chunk, connection);
    // 15 and later say what each message is: d data, n a new archive, p progress, m the manifest.
    else if (chunk[0] === 0x64) this.#data(chunk.subarray(1), connection);
  }

  #data(bytes: Buffer, { stream }: Connection): void {
    this.#sentBytes += bytes.length;
    if (this.#totalBytes > 0) this.#onProgress?.(Math.min(1, this.#sentBytes / this.#totalBytes));
    // The buffer is the connection's, and used again.
    if (this.#archive.write(Buffer.from(bytes)) || this.#archive.destroyed || this.#waiting) return;
    // What the connection has parsed already still comes.
    this.#waiting = true;
    stream.pause();
    this.#archive.once('drain', () => {
      this.#waiting = false;
      stream.resume();
    });
  }

  handleCommandComplete(): void {}
  handleEmptyQuery(): void {}
  handlePortalSuspended(): void {}

  handleError(error: Error): void {
    this.#error = error;
    this.failed(error);
  }

  handleReadyForQuery(): void {
    if (this.#error) return;
    // Before version 15 the server leaves it to its client.
    this.#archive.end(END_OF_ARCHIVE);
    this.done();
  }
}
