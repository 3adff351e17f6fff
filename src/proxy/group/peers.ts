/**
 * The other processes of a group (`up --proxies`), as one of them sees them: where the session of a cancel key is, and
 * what it takes to answer for all.
 */
import { RpcClient } from '../../rpc/index.js';
import type { ProxyApi, ProxyGroup } from '../control-api.js';

/** Of one question, ms. */
const ANSWER_BOUND_MS = 2_000;
/** Passing on a cancel request: the session may be held, and then it waits; ms. */
const CANCEL_BOUND_MS = 10_000;

export class Peers {
  readonly #group: ProxyGroup;
  /** By number. */
  readonly #connections = new Map<number, Promise<RpcClient<ProxyApi>>>();

  constructor(group: ProxyGroup) {
    this.#group = group;
  }

  /** Number of the process whose session has the key (cancel.ts); null: it is this one. */
  ownerOf(processId: number): number | null {
    const owner = (processId % this.#group.controlSockets.length) + 1;
    return owner === this.#group.number ? null : owner;
  }

  /** Resolves when the request was carried out, or nobody could be asked to. */
  async cancel(owner: number, processId: number, secret: Buffer): Promise<void> {
    const request = { processId, secret: secret.toString('base64') };
    await this.#call(owner, 'cancel', request, { timeoutMs: CANCEL_BOUND_MS }).catch(() => undefined);
  }

  /** What all others that can be reached say. */
  async views(): Promise<ProxyApi['view']['result'][]> {
    const asked = this.#others.map((other) =>
      this.#call(other, 'view', {}, { timeoutMs: ANSWER_BOUND_MS }).catch(() => null),
    );
    return (await Promise.all(asked)).filter((view) => view !== null);
  }

  /** Connects ahead of time: while sessions are held every ms counts. */
  async warm(): Promise<void> {
    await Promise.allSettled(this.#others.map((other) => this.#connect(other)));
  }

  /** Resolves when nobody of the others has sessions on the old engine whose state others can see; bounded. */
  async movedShared(boundMs: number): Promise<void> {
    await Promise.allSettled(
      this.#others.map((other) => this.#call(other, 'movedShared', {}, { timeoutMs: boundMs })),
    );
  }

  close(): void {
    for (const connection of this.#connections.values())
      connection.then((rpc) => rpc.close()).catch(() => undefined);
  }

  get #others(): number[] {
    const { number, controlSockets } = this.#group;
    return controlSockets.map((_, index) => index + 1).filter((each) => each !== number);
  }

  async #call<M extends 'cancel' | 'view' | 'movedShared'>(
    other: number,
    method: M,
    params: ProxyApi[M]['params'],
    options: { readonly timeoutMs: number },
  ): Promise<ProxyApi[M]['result']> {
    return (await this.#connect(other)).call(method, params, options);
  }

  #connect(other: number): Promise<RpcClient<ProxyApi>> {
    const known = this.#connections.get(other);
    if (known) return known;
    const connection = RpcClient.connect<ProxyApi>(this.#group.controlSockets[other - 1] ?? '');
    this.#connections.set(other, connection);
    const forget = (): boolean =>
      this.#connections.get(other) === connection && this.#connections.delete(other);
    connection.then(
      (rpc) => rpc.closed.then(forget),
      () => forget(),
    );
    return connection;
  }
}
