/**
 * The log from a revision on, without a gap: what there is, then what comes. Entries stay until every writer has them, so that a
 * watch whose beginning etcd has compacted away goes on with a list.
 *
 *   listing ─ all of it is taken ─▶ watching ─ compacted ─▶ listing        away: tried again
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../../errors/index.js';
import type { EtcdClient, KeyValue } from './client.js';

const RETRY_MS = 200;
/** Values that are asked for at once, in a request each: one answer must not have much more than one of them. */
const TOGETHER = 32;

export interface Follower {
  /** Of what is listed, not all is wanted. */
  wants(key: string, revision: number): boolean;
  /** In the order of revisions. What it throws is tried again, from this one on. */
  take(found: KeyValue): Promise<void>;
  /** Nothing up to that revision is still to come. */
  reached(revision: number): void;
  /** Listed, for the first time or again. */
  reachable(isReachable: boolean, why: string): void;
}

export class Following {
  readonly #client: EtcdClient;
  readonly #prefix: string;
  readonly #follower: Follower;
  readonly #end = new AbortController();
  /** Of the present watch. */
  #watch = new AbortController();
  /** Taken without a gap. */
  #revision: number;

  /** `after`: what was changed up to there is known. Begins at once. */
  constructor(client: EtcdClient, prefix: string, after: number, follower: Follower) {
    this.#client = client;
    this.#prefix = prefix;
    this.#revision = after;
    this.#follower = follower;
    void this.#run();
  }

  /** The watch says nothing although there is something: another machine of the cluster is asked. */
  again(): void {
    this.#watch.abort();
  }

  close(): void {
    this.#end.abort();
    this.#watch.abort();
  }

  async #run(): Promise<void> {
    let isListed = false;
    while (!this.#end.signal.aborted) {
      try {
        if (!isListed) await this.#list();
        isListed = true;
        this.#follower.reachable(true, '');
        isListed = await this.#follow();
      } catch (error) {
        if (this.#end.signal.aborted) return;
        this.#follower.reachable(false, DbproxyError.from(error).message);
        await delay(RETRY_MS, undefined, { signal: this.#end.signal }).catch(() => undefined);
      }
    }
  }

  /** Keys first: what is listed may be much, and most of it known. */
  async #list(): Promise<void> {
    const wanted: KeyValue[] = [];
    let revision = 0;
    for await (const page of this.#client.pages(this.#prefix)) {
      ({ revision } = page);
      const isNew = (one: KeyValue): boolean => one.revision > this.#revision;
      wanted.push(...page.found.filter((one) => isNew(one) && this.#follower.wants(one.key, one.revision)));
    }
    const inOrder = wanted.sort((a, b) => a.revision - b.revision);
    for (let from = 0; from < inOrder.length; from += TOGETHER) {
      const some = inOrder.slice(from, from + TOGETHER);
      const values = await Promise.all(some.map(({ key }) => this.#client.get(key)));
      const whole = values.flatMap(({ found }) => found).sort((a, b) => a.revision - b.revision);
      // One that was changed since comes again in the watch.
      for (const one of whole) if (one.revision <= revision) await this.#take(one);
    }
    this.#reached(revision);
  }

  /** False: what comes next is history that is no longer there. */
  async #follow(): Promise<boolean> {
    this.#watch = new AbortController();
    const from = this.#revision + 1;
    for await (const watched of this.#client.watch(this.#prefix, from, this.#watch.signal)) {
      if ('compacted' in watched) return false;
      for (const one of watched.puts) await this.#take(one);
      this.#reached(this.#revision);
    }
    return true;
  }

  /** Not twice: where a list was broken off, its beginning comes again. */
  async #take(one: KeyValue): Promise<void> {
    if (one.revision <= this.#revision) return;
    await this.#follower.take(one);
    this.#revision = one.revision;
  }

  #reached(revision: number): void {
    this.#revision = Math.max(this.#revision, revision);
    this.#follower.reached(this.#revision);
  }
}
