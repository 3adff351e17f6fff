/**
 * Transactions of this writer's clients, from their first snapshot to the end: who may propose, what was proposed and has no outcome, and
 * what a session could not carry out itself.
 *
 *   session ─ begin ─▶ Transaction ─ propose ─▶ Log ─ decided ─▶ the session commits it ─ committed
 *                                                            └─▶ nobody does ─ lost ─▶ it is carried out like one of another writer
 */
import { DbproxyError } from '../../errors/index.js';
import { faultPoint } from '../../fault-point.js';
import type { WriteSet } from '../engine/index.js';
import {
  type Lsn,
  lowest,
  type NodeId,
  type Outcome,
  type Proposal,
  type Refusal,
  type Ruling,
  TOO_LARGE_HINT,
  type Vector,
} from '../protocol/index.js';
import { assertFits } from '../storage/client.js';
import type { Changes } from './changes.js';
import type { Definitions } from './definitions.js';
import type { EngineLink } from './engine-link.js';
import type { Feed } from './feed.js';
import type { InEngine } from './in-engine.js';
import { KeyLocks } from './key-locks.js';
import type { Log } from './log.js';
import { describeKey, refusalOf } from './refusal.js';
import { type Participant, type RefusedCommit, Transaction, type Verdict } from './transaction.js';
import type { VolatileFunctions } from './volatile-functions.js';

/** With more to apply than this, nothing new is proposed. */
const MAX_QUEUE = 1_000;
const MAX_QUEUE_BYTES = 32 * 1024 * 1024;

/** What speaks for a transaction where others collide with it. */
export type Claim = Pick<Proposal, 'retries' | 'priority'>;

export interface TransactionsHost {
  readonly log: Pick<Log, 'submit'>;
  readonly link: EngineLink;
  readonly inEngine: InEngine;
  readonly definitions: Definitions;
  readonly volatile: VolatileFunctions;
  readonly changes: Changes;
  readonly feed: () => Feed;
  /** It takes part, and has its engine. */
  readonly isOpen: () => boolean;
  readonly isPrimary: () => boolean;
  /** DBP_WRITER_STOPPED; null: it goes on. */
  readonly stopped: () => DbproxyError | null;
}

export class Transactions {
  readonly #host: TransactionsHost;
  readonly #open = new Set<Transaction>();
  readonly #proposed = new Map<Lsn, Transaction>();
  /** Proposed by sessions that are gone: decided, they are carried out like those of another writer. */
  readonly #orphans = new Set<Lsn>();
  readonly #keys = new KeyLocks();
  #generation = 1;
  readonly totals = { committed: 0, refused: 0 };

  constructor(host: TransactionsHost) {
    this.#host = host;
  }

  /** Begun, and not proposed. */
  get open(): ReadonlySet<Transaction> {
    return this.#open;
  }
  get proposed(): readonly Transaction[] {
    return [...this.#proposed.values()];
  }
  get hasOrphans(): boolean {
    return this.#orphans.size > 0;
  }

  /** What all of them have seen, and the engine has on disk (`durable`). */
  horizon(durable: Vector): Vector {
    return [...this.#open, ...this.#proposed.values()].reduce(
      (least, { base }) => lowest(least, base),
      durable,
    );
  }

  /** Those whose client is gone: what they commit here now would be missing there. Orphans are replayed there. */
  async untilNobodyCommits(): Promise<void> {
    while ([...this.#proposed.keys()].some((lsn) => !this.#orphans.has(lsn))) await this.#host.changes.next();
  }

  /** A transaction begins: its first snapshot is taken next. */
  begin(participant: Participant): Transaction {
    const transaction = new Transaction(
      participant,
      this.#generation,
      this.#host.inEngine.base(this.#host.link.durable),
    );
    this.#open.add(transaction);
    return transaction;
  }

  /** It must not be proposed any more. False: it was. */
  giveUp(transaction: Transaction, error: RefusedCommit): boolean {
    if (transaction.state !== 'open') return false;
    transaction.doom = error;
    transaction.state = 'over';
    this.#host.changes.tell();
    return true;
  }

  /** It was rolled back, or has written nothing. */
  ended(transaction: Transaction): void {
    if (transaction.lsn === null) this.#over(transaction);
  }

  /**
   * Proposes it, and waits for the outcome. With `commit` the session commits it in its engine and says `committed`, or `lost`. Its
   * locks stay until then.
   */
  async propose(transaction: Transaction, writeSet: WriteSet, claim: Claim): Promise<Verdict> {
    try {
      assertFits(writeSet.payload);
    } catch (error) {
      const { sqlstate = '54000', message } = DbproxyError.from(error);
      return this.#refused(transaction, null, { sqlstate, message, hint: TOO_LARGE_HINT });
    }
    if (writeSet.ddl.length > 0 && !this.#host.isPrimary())
      return this.#refused(transaction, null, await this.#host.definitions.notThePrimary());
    const submitted = (): Promise<Verdict | null> => this.#untilSubmitted(transaction, writeSet, claim);
    const refused = await (writeSet.ddl.length > 0
      ? this.#host.definitions.submitting(submitted)
      : submitted());
    if (refused) return refused;
    const { outcome, ruling } = await transaction.decided;
    if (writeSet.ddl.length > 0) this.#host.definitions.decided();
    const { lsn } = transaction;
    if (outcome === 'commit' && lsn !== null) return { kind: 'commit', lsn };
    return this.#refused(transaction, lsn, refusalOf(writeSet, ruling, transaction.refusals));
  }

  /** Not null: it cannot be. */
  async #untilSubmitted(transaction: Transaction, writeSet: WriteSet, claim: Claim): Promise<Verdict | null> {
    for (;;) {
      if (transaction.state !== 'open') return this.#refused(transaction, null, transaction.doom ?? STALE);
      if (this.#submit(transaction, writeSet, claim)) return null;
      const stopped = this.#host.stopped();
      if (stopped) {
        const { sqlstate = '57P03', message } = stopped;
        return this.#refused(transaction, null, { sqlstate, message });
      }
      await this.#host.changes.next();
    }
  }

  #submit(transaction: Transaction, writeSet: WriteSet, claim: Claim): boolean {
    const isTooMuch = this.#host.link.queued > MAX_QUEUE || this.#host.link.queuedBytes > MAX_QUEUE_BYTES;
    if (!this.#host.isOpen() || isTooMuch) return false;
    // What its snapshot lacks of its own writer nobody else would notice.
    if (transaction.generation !== this.#generation) {
      transaction.state = 'over';
      return false;
    }
    if (!this.#host.definitions.mayPropose(writeSet.ddl.length > 0)) return false;
    if (!this.#keys.isFree(writeSet.keys)) return false;
    const { keys, payload } = writeSet;
    const lsn = this.#host.log.submit({ base: transaction.base, keys, payload, ...claim });
    if (lsn === null) return false;
    this.#keys.take(keys);
    this.#open.delete(transaction);
    transaction.state = 'proposed';
    transaction.lsn = lsn;
    transaction.writeSet = writeSet;
    this.#proposed.set(lsn, transaction);
    return true;
  }

  #refused(transaction: Transaction, lsn: Lsn | null, error: RefusedCommit): Verdict {
    this.#over(transaction);
    this.totals.refused++;
    const { sqlstate, message, detail = '' } = error;
    this.#host.feed().tell({
      kind: 'refused',
      lsn,
      session: transaction.participant.session,
      sqlstate,
      message,
      detail,
    });
    return { kind: 'refused', lsn, error };
  }

  /** Accepted, and committed in the engine. */
  committed(transaction: Transaction): void {
    const { lsn, writeSet } = transaction;
    if (lsn !== null) {
      this.#host.link.committed(lsn);
      this.#hasCommitted(lsn);
    }
    if (writeSet && writeSet.ddl.length > 0) {
      this.#redefined();
      this.#host.volatile.defined(writeSet.ddl);
    }
    this.#over(transaction);
  }

  /**
   * Proposed, but its session could not commit it, or is gone: if it is decided to commit, it is carried out like one of another
   * writer. Whoever began before that may have missed it, and is rolled back. Resolves when it is in the engine (or aborted).
   */
  async lost(transaction: Transaction): Promise<Outcome> {
    if (transaction.lsn === null) {
      this.#over(transaction);
      return 'abort';
    }
    this.#orphans.add(transaction.lsn);
    this.#generation++;
    for (const open of [...this.#open]) open.participant.overtaken(transaction.lsn);
    const { outcome } = await transaction.decided;
    const { writeSet, lsn } = transaction;
    if (outcome === 'commit' && writeSet && lsn !== null) {
      await this.#host.link.replay({ lsn, payload: writeSet.payload });
      this.#hasCommitted(lsn);
    }
    if (lsn !== null) this.#orphans.delete(lsn);
    this.#over(transaction);
    return outcome;
  }

  /** What has begun before may know a table, a type or an index by a name that it has no more; those of other writers lose by its key. */
  #redefined(): void {
    this.#generation++;
    for (const open of this.#open) open.doom ??= REDEFINED;
  }

  #hasCommitted(lsn: Lsn): void {
    this.totals.committed++;
    this.#host.inEngine.committed(lsn);
  }

  #over(transaction: Transaction): void {
    this.#open.delete(transaction);
    const { writeSet, lsn } = transaction;
    if (lsn !== null && this.#proposed.delete(lsn) && writeSet) this.#keys.release(writeSet.keys);
    transaction.state = 'over';
    this.#host.changes.tell();
  }

  /** Until now it had another name: the log has given it its LSN. */
  named(before: Lsn, lsn: Lsn): void {
    const transaction = this.#proposed.get(before);
    if (!transaction) return;
    this.#proposed.delete(before);
    this.#proposed.set(lsn, transaction);
    transaction.lsn = lsn;
    if (this.#orphans.delete(before)) this.#orphans.add(lsn);
  }

  contested(lsn: Lsn, node: NodeId, refusal: Refusal): void {
    const transaction = this.#proposed.get(lsn);
    if (transaction?.state !== 'proposed') return;
    transaction.refusals.push(refusal);
    const { writeSet, participant } = transaction;
    const about = refusal.kind === 'conflict' && writeSet ? describeKey(writeSet, refusal.key) : '';
    this.#host.feed().tell({ kind: 'contested', lsn, node, refusal, session: participant.session, about });
  }

  decided(proposal: Proposal, outcome: Outcome, ruling: Ruling | null): void {
    const transaction = this.#proposed.get(proposal.lsn);
    if (!transaction) return;
    if (outcome === 'commit') {
      transaction.state = 'accepted';
      if (!this.#orphans.has(proposal.lsn)) this.#host.link.expect(proposal);
    }
    if (ruling || transaction.refusals.length > 0) {
      const { session } = transaction.participant;
      this.#host.feed().tell({ kind: 'settled', lsn: proposal.lsn, outcome, ruling, session });
    }
    void faultPoint('writer.decided').then(() => transaction.settle(outcome, ruling));
  }

  /** Its sessions are gone, or will be: whatever they had open is. */
  engineLost(): void {
    this.#generation++;
  }
}

const REDEFINED: RefusedCommit = {
  sqlstate: '40001',
  message: 'could not serialize access: the schema was changed meanwhile',
  hint: 'Retry the transaction.',
};
const STALE: RefusedCommit = {
  sqlstate: '40001',
  message: 'could not serialize access: a transaction of this writer was carried out again meanwhile',
  hint: 'Retry the transaction.',
};
