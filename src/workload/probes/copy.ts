/** COPY in and out of a temporary table, in one transaction: what comes back must be what went in. */
import type pg from 'pg';
import { expectSame, type Probe } from './probe.js';

const ROWS = 500;

export const copy: Probe = {
  name: 'copy',
  summary: `COPY of ${ROWS} rows into a temporary table and out again, compared`,
  open: async ({ client, context: { random } }) => {
    await client.query('DROP TABLE IF EXISTS pg_temp.probe_copy');
    await client.query('CREATE TEMPORARY TABLE probe_copy (id int, word text) ON COMMIT DELETE ROWS');
    return async () => {
      const mark = Math.floor(random() * 2 ** 31).toString(36);
      const lines = Array.from({ length: ROWS }, (_, id) => `${id}\t${mark}-${id}\n`).join('');
      await client.query('BEGIN');
      await copyIn(client, 'COPY probe_copy FROM STDIN', lines);
      const back = await copyOut(client, 'COPY (SELECT * FROM probe_copy ORDER BY id) TO STDOUT');
      await client.query('COMMIT');
      expectSame(
        'what COPY gives back',
        back === lines ? 'the same' : `${back.length} bytes that differ`,
        'the same',
      );
    };
  },
};

type CopyConnection = pg.Connection & {
  query(text: string): void;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
};

/** What both directions have in common (pg's interface for such classes: Submittable). */
class Copy implements pg.Submittable {
  readonly #text: string;
  readonly #lines: Buffer;
  readonly #settle: (error: Error | undefined, back: string) => void;
  readonly #back: Buffer[] = [];
  #error: Error | undefined;

  constructor(text: string, lines: string, settle: (error: Error | undefined, back: string) => void) {
    this.#text = text;
    this.#lines = Buffer.from(lines);
    this.#settle = settle;
  }
  submit(connection: pg.Connection): null {
    (connection as CopyConnection).query(this.#text);
    return null;
  }
  handleCopyInResponse(connection: pg.Connection): void {
    (connection as CopyConnection).sendCopyFromChunk(this.#lines);
    (connection as CopyConnection).endCopyFrom();
  }
  handleCopyData({ chunk }: { chunk: Buffer }): void {
    this.#back.push(Buffer.from(chunk));
  }
  /** Also at the end of the connection, after which nothing comes. */
  handleError(error: Error): void {
    this.#error = error;
    this.#settle(error, '');
  }
  handleReadyForQuery(): void {
    if (!this.#error) this.#settle(undefined, Buffer.concat(this.#back).toString());
  }
  handleCommandComplete(): void {}
  handleRowDescription(): void {}
  handleDataRow(): void {}
}

const run = (client: pg.Client, text: string, lines: string): Promise<string> =>
  new Promise((resolve, reject) => {
    client.query(new Copy(text, lines, (error, back) => (error ? reject(error) : resolve(back))));
  });
const copyIn = (client: pg.Client, text: string, lines: string): Promise<string> => run(client, text, lines);
const copyOut = (client: pg.Client, text: string): Promise<string> => run(client, text, '');
