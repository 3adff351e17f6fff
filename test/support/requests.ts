/** What the proxy says to an engine at a COMMIT, said by `pg`: all of it in one write, as the proxy does it. */
import type { ClientBase, Connection, Submittable } from 'pg';
import type { Request } from '../../src/multiwriter/engine/index.js';
import { encode } from '../../src/protocol/index.js';

/** Throws the first error. */
export const askAll = (client: ClientBase, requests: readonly Request[]): Promise<void> =>
  new Promise((resolve, reject) => {
    client.query(new Together(client, requests, (error) => (error ? reject(error) : resolve())));
  });

/** `pg` does not know the answer to a FunctionCall, and takes it for an error. */
const ANSWERED = 'received invalid response: 56';

/** Of `pg`, which has one ReadyForQuery for each query. */
interface Internals {
  _activeQuery: unknown;
  readyForQuery: boolean;
}

class Together implements Submittable {
  readonly #client: Internals;
  readonly #messages: readonly Buffer[];
  #left: number;
  #error: Error | null = null;
  callback: (error: Error | null) => void;

  constructor(client: ClientBase, requests: readonly Request[], callback: (error: Error | null) => void) {
    this.#client = client as unknown as Internals;
    this.#messages = requests.map((one) =>
      typeof one === 'string' ? encode.query(one) : encode.functionCall(one.oid, one.values),
    );
    this.#left = requests.length;
    this.callback = callback;
  }

  submit({ stream }: Connection): void {
    stream.write(Buffer.concat(this.#messages));
  }

  handleError(error: Error): void {
    if (error.message !== ANSWERED) this.#error ??= error;
    this.#client._activeQuery = this;
  }
  handleCommandComplete(): void {
    // Its ReadyForQuery follows.
  }
  handleRowDescription(): void {
    // Whoever wants rows asks for them by themselves.
  }
  handleDataRow(): void {
    // See above.
  }
  handleReadyForQuery(): void {
    if (--this.#left === 0) return this.callback(this.#error);
    this.#client._activeQuery = this;
    this.#client.readyForQuery = false;
  }
}
