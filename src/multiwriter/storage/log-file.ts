/**
 * A node's log on disk: append-only, checked on every start, rewritten from a snapshot when it has grown. One process has it open.
 *
 * `append` returns when the bytes are on the disk (fdatasync), which is when a vote may be told. After a failed write or sync the
 * file is cut back to what is known to be there, and the log stays closed: what a failed sync leaves is not known, and asking
 * the kernel again would only hide that.
 */
import { fdatasyncSync, writeSync } from 'node:fs';
import { type FileHandle, open, readFile, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DbproxyError } from '../../errors/index.js';
import { frame, readFrames } from './frames.js';

/** First frame of every file: whose log this is. */
export interface LogIdentity {
  readonly format: 'dbproxy.store/1';
  readonly store: string;
  readonly node: string;
  /** Records before the snapshot that this file begins with: a position never goes back. */
  readonly before: number;
}

const FILE = 'log';
const SLOW_SYNC_MS = 20;

export class LogFile<Record> {
  readonly #path: string;
  #file: FileHandle;
  #identity: LogIdentity;
  #bytes: number;
  #position: number;
  #broken: Error | null = null;
  /** The last one's. */
  #syncMs = 0;

  private constructor(
    path: string,
    file: FileHandle,
    identity: LogIdentity,
    bytes: number,
    position: number,
  ) {
    this.#path = path;
    this.#file = file;
    this.#identity = identity;
    this.#bytes = bytes;
    this.#position = position;
  }

  /** Begins an empty log. Fails when there is one. */
  static async create<Record>(directory: string, store: string, node: string): Promise<LogFile<Record>> {
    const path = join(directory, FILE);
    const identity: LogIdentity = { format: 'dbproxy.store/1', store, node, before: 0 };
    const file = await open(path, 'wx', 0o600);
    const bytes = encode(identity);
    writeAt(file, bytes, 0);
    await file.sync();
    await syncDirectory(directory);
    return new LogFile<Record>(path, file, identity, bytes.length, 0);
  }

  /**
   * Opens the log and reads it. Null: there is none. Throws DBP_STORE_DAMAGED when something that was on disk does not check,
   * DBP_STORE_FOREIGN when it is not the log of this node.
   */
  static async open<Record>(
    directory: string,
    store: string,
    node: string,
  ): Promise<{ log: LogFile<Record>; records: Record[]; cutBytes: number } | null> {
    const path = join(directory, FILE);
    const content = await readFile(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return null;
      throw error;
    });
    if (!content) return null;
    const { payloads, end, ending } = readFrames(content, 0);
    if (ending.kind === 'damaged')
      throw new DbproxyError('DBP_STORE_DAMAGED', { file: path, reason: ending.why });
    const [first, ...records] = payloads.map((payload) => JSON.parse(payload.toString()) as unknown);
    // Its first frame is synced before anybody can vote.
    if (!first) throw new DbproxyError('DBP_STORE_DAMAGED', { file: path, reason: 'it has no beginning' });
    const identity = first as LogIdentity;
    if (identity.format !== 'dbproxy.store/1' || identity.store !== store || identity.node !== node) {
      throw new DbproxyError('DBP_STORE_FOREIGN', {
        file: path,
        found: `${identity.node} of ${identity.store}`,
        node,
        store,
      });
    }
    const file = await open(path, 'r+');
    const cutBytes = content.length - end;
    if (cutBytes > 0) await file.truncate(end);
    // What was read may not have been synced; from here on it is relied on.
    await file.sync();
    const log = new LogFile<Record>(path, file, identity, end, identity.before + records.length);
    return { log, records: records as Record[], cutBytes };
  }

  /** Records ever appended. */
  get position(): number {
    return this.#position;
  }
  get bytes(): number {
    return this.#bytes;
  }

  /** Appends and syncs. */
  async append(
    records: readonly Record[],
    synced: () => Promise<void> = async () => undefined,
  ): Promise<void> {
    if (this.#broken) throw this.#broken;
    const bytes = Buffer.concat(records.map(encode));
    try {
      writeAt(this.#file, bytes, this.#bytes);
      await synced();
      await this.#datasync();
    } catch (error) {
      this.#broken = error as Error;
      await this.#file.truncate(this.#bytes).catch(() => undefined);
      throw error;
    }
    this.#bytes += bytes.length;
    this.#position += records.length;
  }

  /** To hand it to another thread takes longer than a fast disk; a slow one would keep this one from everything else. */
  async #datasync(): Promise<void> {
    const beganAt = performance.now();
    if (this.#syncMs < SLOW_SYNC_MS) fdatasyncSync(this.#file.fd);
    else await this.#file.datasync();
    this.#syncMs = performance.now() - beganAt;
  }

  /**
   * Replaces the file by one that holds `records` alone, in one step: a crash leaves the one or the other. `more`: how many records
   * these stand for that were never appended; they count in the position, which others remember.
   */
  async rewrite(records: readonly Record[], more = 0): Promise<void> {
    if (this.#broken) throw this.#broken;
    const making = `${this.#path}.new`;
    const identity = { ...this.#identity, before: this.#position + more - records.length };
    const bytes = Buffer.concat([encode(identity), ...records.map(encode)]);
    await rm(making, { force: true });
    const file = await open(making, 'wx', 0o600);
    try {
      writeAt(file, bytes, 0);
      await file.sync();
      await rename(making, this.#path);
    } catch (error) {
      await file.close();
      await rm(making, { force: true });
      throw error;
    }
    await syncDirectory(dirname(this.#path)).catch((cause: Error) => {
      // Which of the two a crash would leave is not known; no more may be written to either.
      this.#broken = new Error(`${dirname(this.#path)} could not be synced: ${cause.message}`, { cause });
      throw this.#broken;
    });
    await this.#file.close();
    this.#file = file;
    this.#identity = identity;
    this.#bytes = bytes.length;
    this.#position += more;
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

const encode = (record: unknown): Buffer => frame(Buffer.from(JSON.stringify(record)));

/** Into the page cache: to hand that to another thread would take longer than to do it. */
const writeAt = (file: FileHandle, bytes: Buffer, position: number): void => {
  for (let written = 0; written < bytes.length;)
    written += writeSync(file.fd, bytes, written, bytes.length - written, position + written);
};

/** A new name is on disk when its directory is. */
const syncDirectory = async (directory: string): Promise<void> => {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
};
