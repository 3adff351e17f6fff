/**
 * A session stands in the way of what another writer has committed: all of its transaction is rolled back.
 *
 *   overtaken ─┬ a statement runs ───────▶ canceled (a COPY of the client's: ended) ─▶ its error is rewritten ─▶ abort
 *              ├ the writer is waited for ▶ abort at once
 *              └ its client is at rest ───▶ abort before its next message
 *
 * The client hears of it in place of the error that the engine has for it, or at its next request.
 */
import type { Lsn } from '../../multiwriter/protocol/index.js';
import type { Block } from './block.js';
import type { ClientBatch } from './client-batch.js';
import type { EngineSide } from './engine-side.js';
import { overtakenBy } from './error-messages.js';
import type { CertifierHost } from './host.js';
import type { WriterWaits } from './writer-waits.js';

/** So long a statement may take to notice that it was canceled. */
const CANCEL_AGAIN_MS = 100;
/** In an aborted transaction; canceled; no such savepoint. */
const FOLLOWS_FROM_IT = /^(25P02|57014|3B001)$/;

/** Where the client's messages come from, one after the other. */
export interface Lane {
  /** A message is worked on. */
  isRunning(): boolean;
  /** `abort` is called before the client's next message. */
  abortNext(): void;
  /** Sends a CancelRequest. */
  cancel(): Promise<void>;
}

export interface MakeWayOptions {
  readonly engine: EngineSide;
  readonly block: Block;
  readonly waits: WriterWaits;
  readonly batch: Pick<ClientBatch, 'refuse' | 'skipToSync'>;
  readonly lane: Lane;
  readonly host: Pick<CertifierHost, 'canceling'>;
}

export class MakeWay {
  readonly #engine: EngineSide;
  readonly #block: Block;
  readonly #waits: WriterWaits;
  readonly #batch: MakeWayOptions['batch'];
  readonly #lane: Lane;
  readonly #host: MakeWayOptions['host'];
  /** A cancel of ours is on its way, or has just arrived. */
  #isCanceling = false;

  constructor({ engine, block, waits, batch, lane, host }: MakeWayOptions) {
    this.#engine = engine;
    this.#block = block;
    this.#waits = waits;
    this.#batch = batch;
    this.#lane = lane;
    this.#host = host;
  }

  /** Called again and again for as long as it stands in the way. True: it will not any more. */
  overtaken(lsn: Lsn): boolean {
    const isNew = !this.#block.mustMakeWay;
    if (isNew && !this.#block.giveUp(overtakenBy(lsn))) return false;
    this.#makeWay();
    return isNew;
  }

  #makeWay(): void {
    if (!this.#block.mustMakeWay || this.#block.isRollingBack) return;
    if (this.#engine.isBusy) this.#cancelStatement();
    else if (this.#waits.isWaiting) void this.abort();
    else if (!this.#lane.isRunning()) this.#lane.abortNext();
  }

  #cancelStatement(): void {
    // While it reads from the client it takes no cancel.
    if (this.#engine.copyIn) return this.#engine.failCopy();
    if (this.#isCanceling) return;
    this.#isCanceling = true;
    const canceled = this.#lane.cancel();
    this.#host.canceling(canceled);
    void canceled.then(() => setTimeout(() => (this.#isCanceling = false), CANCEL_AGAIN_MS).unref());
  }

  /** Between two messages: what has doomed the client's block is not rolled back yet, and can be. */
  get isDue(): boolean {
    if (this.#block.pendingError === null || this.#block.isRollingBack) return false;
    const mayAsk = this.#engine.status === 'T' || (this.#block.mustMakeWay && !this.#engine.failed);
    return mayAsk && this.#block.kind === 'client';
  }

  /** Rolls back what is doomed, if it is not rolled back yet. */
  async abort(): Promise<void> {
    const error = this.#block.pendingError;
    if (!error || this.#block.isRollingBack) return;
    if (this.#block.kind === 'implicit') return this.#abortImplicit(error);
    await this.#skipBatch();
    await this.#block.fail();
  }

  /** In a batch that waits for its client: at its Sync nobody would tell it. */
  async #abortImplicit(error: Buffer): Promise<void> {
    if (this.#engine.isBusy || this.#engine.failed) return;
    await this.#block.leave();
    await this.#batch.refuse(error);
  }

  /** A batch that has failed: the client may be slow to send its Sync. */
  async #skipBatch(): Promise<void> {
    if (!this.#engine.failed) return;
    this.#block.rollsBack();
    await this.#batch.skipToSync();
  }

  /** What the client reads in place of the engine's error; null: that. */
  errorInstead(code: string): Buffer | null {
    const makesWay = this.#block.mustMakeWay && this.#block.kind === 'client';
    // What has failed may be less than the transaction: a statement behind a savepoint.
    if (makesWay) setImmediate(() => this.#makeWay());
    const error = this.#block.pendingError;
    if (!error || !FOLLOWS_FROM_IT.test(code)) return null;
    // The client may go back to its savepoint, which is gone, too.
    if (!makesWay) this.#block.told();
    return error;
  }
}
