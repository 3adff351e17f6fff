/** Two real engines as writers, and what a proxy does with a transaction at its COMMIT, without a store between them. */
import type pg from 'pg';
import { afterAll, expect } from 'vitest';
import { connectAdmin, type EngineRecord } from '../../../src/engine/index.js';
import {
  checksums,
  Applier,
  type Calls,
  certified,
  closing,
  firingAgain,
  hasFiredAgain,
  install,
  isTold,
  readCalls,
  readWriteSet,
  reassigned,
  type Request,
  SETTLE_QUERY,
  type Notice,
  Told,
  unused,
  WRITE_SET_QUERY,
  type WriteSet,
} from '../../../src/multiwriter/engine/index.js';
import { commonKey, lsn, type Lsn } from '../../../src/multiwriter/protocol/index.js';
import { TestEngines } from '../../support/engines.js';
import { askAll } from '../../support/requests.js';

export const SECRET = 'a secret of this test';

export class TestWriter {
  readonly id: number;
  readonly engine: EngineRecord;
  /** A client's session. */
  readonly client: pg.Client;
  readonly applier: Applier;
  readonly applying: pg.Client;
  readonly watcher: pg.Client;
  readonly calls: Calls;
  #next: number;

  private constructor(
    id: number,
    engine: EngineRecord,
    applier: Applier,
    connections: readonly [pg.Client, pg.Client, pg.Client],
    calls: Calls,
  ) {
    this.id = id;
    this.engine = engine;
    this.applier = applier;
    [this.client, this.applying, this.watcher] = connections;
    this.calls = calls;
    // Its first block.
    this.#next = (16 + id) * 1_024;
  }

  static async open(engine: EngineRecord, id: number): Promise<TestWriter> {
    const connect = () => connectAdmin(engine, { timeoutMs: 20_000 });
    const [client, applying, watcher] = [await connect(), await connect(), await connect()];
    await install(watcher, { writer: id, writers: [0, 1], incarnation: 1, secret: SECRET });
    const applier = await Applier.on(id, applying, watcher);
    const calls = await readCalls(watcher, SECRET);
    const writer = new TestWriter(id, engine, applier, [client, applying, watcher], calls);
    await writer.client.query(`set search_path = public`);
    return writer;
  }

  /** Its session. */
  async begin(client = this.client): Promise<pg.Client> {
    await client.query('begin');
    return client;
  }

  /** Up to the write-set; an error is that of the client's COMMIT. */
  async close(client = this.client): Promise<WriteSet | null> {
    const told = new Told();
    const listen = (notice: Notice): void => {
      if (isTold(notice.code)) told.take(notice);
    };
    client.on('notice', listen);
    try {
      await askAll(client, closing(this.calls));
      if (told.isForged || told.isTooLarge) throw new Error(told.isForged ? 'forged' : 'too large');
      if (told.mayDefer) await this.#fireAgain(client);
      const kept = told.hasKept
        ? (
            await client.query<(string | boolean | null)[]>({ text: WRITE_SET_QUERY, rowMode: 'array' })
          ).rows.map((row) => row.map((one) => (typeof one === 'boolean' ? String(one)[0]! : one)))
        : [];
      const rows = told.withKept(kept);
      if (rows.length === 0) await askAll(client, unused(this.calls));
      return readWriteSet(rows);
    } finally {
      client.off('notice', listen);
    }
  }

  async #fireAgain(client: pg.Client): Promise<void> {
    const told = new Told();
    const listen = (notice: Notice): void => {
      if (isTold(notice.code)) told.take(notice);
    };
    client.on('notice', listen);
    try {
      const [call, query] = firingAgain(this.calls) as [Request, string];
      await askAll(client, [call]);
      const results = await client.query<string[]>({ text: query, rowMode: 'array' });
      const [before, , after] = (results as unknown as { rows: string[][] }[]).map(
        ({ rows }) => rows[0]?.[0],
      );
      if (hasFiredAgain(before, after, told))
        throw Object.assign(new Error('deferred again'), { code: '0A000' });
    } finally {
      client.off('notice', listen);
    }
  }

  async certify(client = this.client): Promise<Lsn> {
    const at = lsn(this.#next++);
    await askAll(client, certified(this.calls, at));
    return at;
  }

  /** A whole transaction. */
  async write(...statements: string[]): Promise<{ at: Lsn; writeSet: WriteSet } | null> {
    await this.begin();
    try {
      for (const statement of statements) {
        if (/^truncate/.test(statement)) await this.client.query(SETTLE_QUERY);
        await this.client.query(statement);
        if (/^reassign/.test(statement))
          await askAll(this.client, reassigned(this.calls, Buffer.from(statement)));
      }
      const writeSet = await this.close();
      if (writeSet) return { at: await this.certify(), writeSet };
      await this.client.query('commit');
      return null;
    } catch (error) {
      await this.client.query('rollback');
      throw error;
    }
  }

  /** Was it new? */
  async apply(at: Lsn, payload: string): Promise<boolean> {
    const [isNew] = await this.applier.apply([{ lsn: at, payload }], () => undefined);
    return isNew!;
  }

  async rows(sql: string): Promise<unknown[]> {
    return (await this.watcher.query({ text: sql, rowMode: 'array' })).rows as unknown[];
  }

  async end(): Promise<void> {
    await Promise.all([this.client, this.applying, this.watcher].map((one) => one.end()));
  }
}

interface Failure {
  readonly code: string | undefined;
  readonly hint: string | undefined;
}

/** What a client is told; null: it did not fail. */
export const failure = (work: Promise<unknown>): Promise<Failure | null> =>
  work.then(
    () => null,
    ({ code, hint }: Failure) => ({ code, hint }),
  );

/** A transaction of one writer, which the other one then has, too. Null: nothing was written. */
export async function writeOnBoth(one: TestWriter, other: TestWriter, ...statements: string[]) {
  const written = await one.write(...statements);
  if (written) expect(await other.apply(written.at, written.writeSet.payload)).toBe(true);
  return written;
}

/**
 * Writers 0 and 1 of a test file, each on an engine of its own, from here to the end of the file. `onBoth` is a transaction of writer 0,
 * which writer 1 then has, too.
 */
export async function useTwoWriters(postgres?: string) {
  const engines = await TestEngines.open(postgres);
  const writers: TestWriter[] = [];
  const close = async (): Promise<void> => {
    for (const writer of writers) await writer.end();
    await engines.close();
  };
  try {
    const [one, two] = await Promise.all([engines.primary(), engines.primary()]);
    const a = await TestWriter.open(one, 0);
    writers.push(a);
    const b = await TestWriter.open(two, 1);
    writers.push(b);
    const onBoth = (...statements: string[]) => writeOnBoth(a, b, ...statements);
    const areEqual = async (): Promise<void> =>
      expect(await checksums(b.watcher)).toEqual(await checksums(a.watcher));
    /** The same query gives the same on both. */
    const same = async (sql: string): Promise<unknown[]> => {
      const rows = await a.rows(sql);
      expect(await b.rows(sql)).toEqual(rows);
      return rows;
    };
    /** Two transactions, of each writer one, that have not seen each other and are rolled back: could only one of them commit? */
    const exclude = async (one: string, other: string): Promise<boolean> => {
      const [mine, its] = await Promise.all(
        (
          [
            [a, one],
            [b, other],
          ] as const
        ).map(async ([writer, sql]) => {
          await writer.begin();
          try {
            await writer.client.query(sql);
            return (await writer.close())!;
          } finally {
            await writer.client.query('rollback');
          }
        }),
      );
      return commonKey(mine!, its!) !== null;
    };
    /** On the one, as `role`, and on the other. */
    const by = async (role: string, ...statements: string[]): Promise<void> => {
      await a.client.query(`set role ${role}`);
      try {
        for (const statement of statements) await onBoth(statement);
      } finally {
        await a.client.query('reset role');
      }
    };
    afterAll(close);
    return { engines, a, b, onBoth, areEqual, same, by, exclude };
  } catch (error) {
    await close();
    throw error;
  }
}
