/**
 * The transaction block that a session is in: one that its client began, or one of ours around what would commit by itself.
 *
 *   none ─ open ─▶ first ─ its base is taken ─▶ statements ─ close, over ─▶ none
 *                    └────────── doomed ───────────┘ ─ leave, fail ─▶ rolled back; `fail` leaves the client in an aborted one
 *
 * Who decides when which of these comes is elsewhere: the two protocols (simple-protocol.ts, extended-protocol.ts), certification.ts
 * at its COMMIT, make-way.ts if it stands in the way of another writer.
 */
import { ISOLATION_QUERY, SETTLE_QUERY } from '../../multiwriter/engine/index.js';
import type { TxStatus } from '../../protocol/index.js';
import type {
  Participant,
  RefusedCommit,
  Transaction,
  WriterService,
} from '../../multiwriter/writer/index.js';
import type { EngineSide } from './engine-side.js';
import { ENGINE_GONE, errorOf } from './error-messages.js';
import type { OwnQueries } from './own-queries.js';
import type { ReadMode } from './read-mode.js';

export interface BlockOptions {
  readonly service: Pick<WriterService, 'transactions' | 'quiesce' | 'passTurn'>;
  readonly participant: Participant;
  readonly engine: EngineSide;
  readonly queries: OwnQueries;
  readonly reads: ReadMode;
}

export class Block {
  readonly #service: BlockOptions['service'];
  readonly #participant: Participant;
  readonly #engine: EngineSide;
  readonly #queries: OwnQueries;
  readonly #reads: ReadMode;
  #kind: 'client' | 'implicit' | null = null;
  #readOnly = false;
  /** It may be SERIALIZABLE. */
  #isSuspect = false;
  #isFirst = false;
  #wrote = false;
  #holds = false;
  #transaction: Transaction | null = null;
  #pendingError: Buffer | null = null;
  #mustMakeWay = false;
  #isRollingBack = false;

  constructor({ service, participant, engine, queries, reads }: BlockOptions) {
    this.#service = service;
    this.#participant = participant;
    this.#engine = engine;
    this.#queries = queries;
    this.#reads = reads;
  }

  get kind(): 'client' | 'implicit' | null {
    return this.#kind;
  }
  get isReadOnly(): boolean {
    return this.#readOnly;
  }
  /** No statement of it has taken a snapshot. */
  get isFirst(): boolean {
    return this.#isFirst;
  }
  /** Null: the writer knows nothing of it, or not any more. */
  get transaction(): Transaction | null {
    return this.#transaction;
  }
  /** What the client has to be told at its next request. */
  get pendingError(): Buffer | null {
    return this.#pendingError;
  }
  /** It stands in the way of what another writer has committed, until all of it is rolled back. */
  get mustMakeWay(): boolean {
    return this.#mustMakeWay;
  }
  /** A ROLLBACK is on its way, or done: nothing is to be canceled any more. */
  get isRollingBack(): boolean {
    return this.#isRollingBack;
  }
  /** Proposed: what is left is to commit it. */
  get isCertified(): boolean {
    const state = this.#transaction?.state;
    return state === 'proposed' || state === 'accepted';
  }
  /** A cursor WITH HOLD was declared in it. */
  get holdsCursors(): boolean {
    return this.#holds;
  }
  get mustCertify(): boolean {
    return this.#wrote && !this.#readOnly && this.#transaction !== null;
  }
  /** The client's COMMIT goes to the engine: it rolls back there, or there is nothing to certify. */
  get commitsAsItIs(): boolean {
    return this.#engine.status !== 'T' || !this.mustCertify;
  }
  /** What the client is told in place of its COMMIT's ROLLBACK. */
  get failedBy(): Buffer | null {
    return this.#engine.status === 'E' ? this.#pendingError : null;
  }
  /** As the client sees it: blocks of ours are none of its own. */
  get statusForClient(): TxStatus {
    return this.#kind === 'client' ? this.#engine.status : 'I';
  }

  // --- it begins -----------------------------------------------------------------------------------------------------------

  /** On another engine; `status`: what the client believes. */
  resume(status: TxStatus): void {
    if (status === 'I') this.over();
    else this.#kind = 'client';
  }

  open(kind: 'client' | 'implicit', readOnly: boolean): void {
    this.#kind = kind;
    this.#readOnly = readOnly;
    this.#isFirst = true;
    this.#isSuspect = this.#reads.mayBeSerializable;
    this.#reads.blockEnded();
    this.#wrote = false;
    this.#holds = false;
    this.#wayIsClear();
  }

  /** The client's BEGIN: one of ours is its own from then on. */
  begin(readOnly: boolean): void {
    if (this.#kind === 'implicit') this.#kind = 'client';
    else if (this.#kind === null) this.open('client', readOnly);
  }

  /** AND CHAIN. */
  chained(readOnly = this.#readOnly): void {
    const isSuspect = this.#isSuspect;
    this.open('client', readOnly);
    if (isSuspect) this.suspect();
  }

  /** A statement may make it SERIALIZABLE, by its text. */
  suspect(): void {
    this.#isSuspect = true;
  }

  /** A snapshot is taken next. */
  passFirst(): void {
    this.#isFirst = false;
  }

  /** Its transaction begins, before its first snapshot; `sql` with it. */
  beginTransaction(...sql: string[]): void {
    this.#isFirst = false;
    this.#transaction = this.#service.transactions.begin(this.#participant);
    // Its BEGIN is answered; in a batch the engine says only at the Sync what that has come to.
    if (this.#kind === 'client' && this.#engine.status === 'I') this.#engine.status = 'T';
    const asked = this.#isSuspect ? [...sql, ISOLATION_QUERY] : sql;
    if (asked.length > 0) void this.#queries.askAll(asked, (error) => this.doom(error));
  }

  writes(): void {
    this.#wrote = true;
  }

  holdsCursor(): void {
    this.#holds = true;
  }

  /** Before a statement that is refused for tables with changes that have not fired. */
  settle(): void {
    if (this.mustCertify && this.#engine.status === 'T') void this.#queries.ask(SETTLE_QUERY);
  }

  // --- it is over ----------------------------------------------------------------------------------------------------------

  /** After its COMMIT or ROLLBACK. */
  close(chain: boolean): void {
    this.over();
    if (chain) this.chained(false);
  }

  over(): void {
    this.endTransaction();
    this.#kind = null;
    this.#isFirst = false;
    this.#wrote = false;
    this.#wayIsClear();
  }

  /** After a ReadyForQuery that the client has read: the block may be over. */
  followStatus(): void {
    if (this.#engine.status !== 'I') return;
    if (this.#kind !== null) this.over();
    else this.#wayIsClear();
  }

  /** COMMIT or ROLLBACK in a batch, of which more may come: the engine's status is known at its Sync only. */
  endInBatch(chain: boolean): void {
    this.endTransaction();
    if (chain) this.chained();
    else this.#kind = null;
  }

  /** Another statement of the batch that has ended its block. */
  goOnInBatch(): void {
    if (this.#kind === null) this.#isRollingBack = false;
  }

  endTransaction(): void {
    this.forgetTransaction();
    this.#reads.blockEnded();
  }

  /** The client is gone. */
  forgetTransaction(): void {
    if (this.#transaction) this.#service.transactions.ended(this.#transaction);
    this.#transaction = null;
    this.passTurn();
  }

  /** Before it changes definitions, or is opened for that; the turn ends with it. */
  quiesce(): Promise<void> {
    return this.#service.quiesce(this.#participant);
  }

  passTurn(): void {
    this.#service.passTurn(this.#participant);
  }

  engineGone(): void {
    const transaction = this.#transaction;
    // What was proposed is carried out by the writer, if it is to commit.
    if (transaction && this.#service.transactions.giveUp(transaction, ENGINE_GONE))
      this.#service.transactions.ended(transaction);
  }

  // --- it fails ------------------------------------------------------------------------------------------------------------

  doom(error: Buffer): void {
    this.#pendingError ??= error;
  }

  /** The client has been told. */
  told(): void {
    this.#pendingError = null;
  }

  /** Another writer's commit needs its locks. False: it was proposed, or holds nothing. */
  giveUp(error: RefusedCommit): boolean {
    const transaction = this.#transaction;
    // Without one it may hold locks all the same: those of what it has read, or of LOCK TABLE.
    if (
      transaction
        ? !this.#service.transactions.giveUp(transaction, error)
        : !this.#engine.isBusy && this.#kind === null
    )
      return false;
    this.doom(errorOf(error));
    this.#mustMakeWay = true;
    return true;
  }

  /** The client's ROLLBACK. */
  rollBack(): void {
    this.#pendingError = null;
    this.#isRollingBack = true;
    this.endTransaction();
  }

  rollsBack(): void {
    this.#isRollingBack = true;
  }

  /** ROLLBACK of ours. */
  async leave(): Promise<void> {
    this.endTransaction();
    this.#isRollingBack = true;
    await this.#queries.ask('rollback');
    this.close(false);
  }

  /** Savepoints and all, and in an aborted block again, as the client believes to be in one. */
  async fail(): Promise<void> {
    if (this.#kind === null) return;
    if (this.#kind === 'implicit') return this.leave();
    this.endTransaction();
    this.#isRollingBack = true;
    this.#isFirst = false;
    await this.#queries.ask('rollback; begin; rollback to savepoint dbproxy_overtaken');
  }

  #wayIsClear(): void {
    this.#pendingError = null;
    this.#mustMakeWay = false;
    this.#isRollingBack = false;
  }
}
