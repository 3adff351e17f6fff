/**
 * Prepared statements sent together, with one Sync: one transaction, one answer. For `Client.query`, which takes what submits itself
 * and sends one statement at a time otherwise.
 */
import type { ClientBase, Connection, Submittable } from 'pg';

export interface Step {
  /** The statement's name on this connection. */
  readonly name: string;
  /** Where it is not prepared yet. */
  readonly text?: string;
  readonly values: readonly (string | null)[];
}

/** What they answer is dropped; the first error is thrown, and then nothing of them was kept. */
export const sendTogether = (connection: ClientBase, steps: readonly Step[]): Promise<void> =>
  new Promise((resolve, reject) => {
    connection.query(new Pipeline(steps, (error) => (error ? reject(error) : resolve())));
  });

class Pipeline implements Submittable {
  readonly #steps: readonly Step[];
  /** Replaced by `pg`, where there is a bound on how long an answer takes. */
  callback: (error: Error | null) => void;

  constructor(steps: readonly Step[], callback: (error: Error | null) => void) {
    this.#steps = steps;
    this.callback = callback;
  }

  submit(connection: Connection): void {
    const { stream } = connection;
    stream.cork();
    for (const { name, text, values } of this.#steps) {
      if (text !== undefined) connection.parse({ name, text, types: [] }, true);
      connection.bind({ statement: name, values: [...values] }, true);
      connection.execute(null, true);
    }
    connection.sync();
    stream.uncork();
  }

  // What `pg` hands on.

  handleError(error: Error): void {
    this.callback(error);
  }
  handleReadyForQuery(): void {
    this.callback(null);
  }
  handleDataRow(): void {
    // Nothing is selected.
  }
  handleCommandComplete(): void {
    // It counts when all are.
  }
}
