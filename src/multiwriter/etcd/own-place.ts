/**
 * A writer's own key: which of its incarnations may commit, and how far back it still looks. Every commit compares its revision. So
 * a newer incarnation ends what the older one has under way; and so does a new horizon, which is what makes a request that was
 * lost on its way harmless, however late it comes: its entry cannot be gone before the horizon has moved.
 */
import { DbproxyError } from '../../errors/index.js';
import type { Vector, WriterId } from '../protocol/index.js';
import {
  type Compare,
  endOf,
  type EtcdClient,
  type KeyValue,
  type Operation,
  type TxnAnswer,
} from './client.js';
import type { Layout } from './layout.js';

interface Place {
  readonly incarnation: number;
  readonly horizon: Vector;
}

export const readPlace = ({ value }: KeyValue): Place => JSON.parse(value.toString('utf8')) as Place;

export class OwnPlace {
  readonly #client: EtcdClient;
  readonly #key: string;
  readonly #incarnation: number;
  /** As it was seen last; 0: there is none. */
  #revision = 0;
  /** Not empty: it was ours. */
  #told = '';
  #lost: 'newer' | 'gone' | null = null;

  constructor(client: EtcdClient, layout: Layout, writer: WriterId, incarnation: number) {
    this.#client = client;
    this.#key = layout.writer(writer);
    this.#incarnation = incarnation;
  }

  /** A newer incarnation has it; what was there is not there any more: etcd was emptied, or put back. Null: it is ours. */
  get lost(): 'newer' | 'gone' | null {
    return this.#lost;
  }

  /** It is still ours, and nothing has changed it. */
  get compare(): Compare {
    return this.#revision === 0
      ? { key: this.#key, isAbsent: true }
      : { key: this.#key, changedAt: this.#revision };
  }
  get read(): Operation {
    return { get: this.#key };
  }

  /** What `read` has found. Once it is lost nothing that compares it succeeds: the revision of somebody else's is not taken. */
  follow(found: KeyValue | undefined): void {
    const incarnation = found ? readPlace(found).incarnation : -1;
    if (incarnation > this.#incarnation) this.#lost = 'newer';
    else if (incarnation < this.#incarnation && this.#told !== '') this.#lost = 'gone';
    else this.#revision = found?.revision ?? 0;
  }

  /** From now on nothing that a former incarnation has under way can commit; unless it is lost. Throws what the client throws. */
  async take(horizon: Vector): Promise<void> {
    const { found } = await this.#client.get(this.#key);
    this.follow(found[0]);
    while (this.#lost === null && !(await this.tell(horizon)));
  }

  /** False: it was changed meanwhile. Throws what the client throws. */
  async tell(horizon: Vector): Promise<boolean> {
    const place: Place = { incarnation: this.#incarnation, horizon };
    const value = JSON.stringify(place);
    if (value === this.#told) return true;
    const { succeeded, revision, found } = await this.#client.txn({
      if: [this.compare],
      then: [{ put: this.#key, value }],
      else: [this.read],
    });
    if (succeeded) {
      this.#revision = revision;
      this.#told = value;
    } else this.follow(found[0]?.[0]);
    return succeeded;
  }
}

/**
 * Whose the prefix is: a store that is new takes it, where there is nothing below it. Throws DBP_ETCD_FOREIGN, DBP_ETCD_LOST, and what
 * the client throws.
 */
export async function claimPrefix(
  client: EtcdClient,
  layout: Layout,
  { store, isNew }: { readonly store: string; readonly isNew: boolean },
): Promise<void> {
  const prefix = layout.everything;
  const end = endOf(prefix);
  const { found } = await client.txn({
    then: [{ get: layout.store }, { get: prefix, end, keysOnly: true, limit: 1 }],
  });
  let owner = ownerIn(found);
  for (const outer of owner === undefined ? layout.outer() : []) {
    if ((await client.get(outer.store)).found.length > 0)
      throw new DbproxyError('DBP_ETCD_FOREIGN', { prefix: outer.everything });
  }
  if (isNew && found[1]?.length === 0) {
    // Only now, because etcd reads the whole range for it.
    const claim = await client.txn({
      if: [{ key: prefix, end, isAbsent: true }],
      then: [{ put: layout.store, value: store }],
      else: [{ get: layout.store }],
    });
    owner = claim.succeeded ? store : ownerIn(claim.found);
  }
  if (owner === undefined && !isNew) throw new DbproxyError('DBP_ETCD_LOST', { prefix });
  if (owner !== store) throw new DbproxyError('DBP_ETCD_FOREIGN', { prefix });
}

const ownerIn = ([store]: TxnAnswer['found']): string | undefined => store?.[0]?.value.toString('utf8');
