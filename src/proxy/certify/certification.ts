/**
 * COMMIT of a transaction that has written:
 *
 *   closing ─ write-set ─▶ propose ─ accepted ─▶ certified, and committed here (or replayed, if that fails)
 *                │                 └ refused ──▶ ROLLBACK
 *                └ nothing was written ─▶ COMMIT
 *
 * Before the closing its cursors WITH HOLD are run (held-cursors.ts).
 */
import {
  certified,
  closing,
  firingAgain,
  hasFiredAgain,
  readPriority,
  reassigned,
  readWriteSet,
  unused,
  WRITE_SET_QUERY,
} from '../../multiwriter/engine/index.js';
import type { Lsn } from '../../multiwriter/protocol/index.js';
import type { Transaction, WriterService } from '../../multiwriter/writer/index.js';
import { faultPoint } from '../../fault-point.js';
import type { Block } from './block.js';
import type { EngineSide } from './engine-side.js';
import {
  committedAllTheSame,
  DEFERS_AGAIN,
  ENGINE_GONE,
  errorOf,
  FORGED,
  TOO_LARGE,
  UNKNOWN_BASE,
} from './error-messages.js';
import { HeldCursors } from './held-cursors.js';
import type { CertifierHost } from './host.js';
import type { OwnQueries } from './own-queries.js';
import { reassigns, type Statement } from './statements.js';

export interface CertificationOptions {
  readonly service: Pick<WriterService, 'calls' | 'config' | 'transactions'>;
  readonly engine: EngineSide;
  readonly queries: OwnQueries;
  readonly block: Block;
  readonly host: Pick<CertifierHost, 'toClient' | 'encoding'>;
}

export class Certification {
  readonly #service: CertificationOptions['service'];
  readonly #engine: EngineSide;
  readonly #heldCursors: HeldCursors;
  readonly #queries: OwnQueries;
  readonly #block: Block;
  readonly #host: CertificationOptions['host'];
  /** COMMITs refused one after the other: what speaks for the next one. */
  retries = 0;

  constructor({ service, engine, queries, block, host }: CertificationOptions) {
    this.#service = service;
    this.#engine = engine;
    this.#heldCursors = new HeldCursors(engine, queries);
    this.#queries = queries;
    this.#block = block;
    this.#host = host;
  }

  /** COMMIT of a block that the client did not ask for; `tag` is told once it is done. False: it has failed. */
  async endImplicit(tag: Buffer | null): Promise<boolean> {
    if (this.#engine.status !== 'T') {
      await this.#block.leave();
      return false;
    }
    const error = this.#block.isFirst ? await this.#commitUnused(false) : await this.commit(false);
    if (error) this.#host.toClient(error);
    else if (tag) this.#host.toClient(tag);
    return error === null;
  }

  /** Null: it is committed, everywhere. Else what the client is to be told; it is rolled back. */
  async commit(chain: boolean): Promise<Buffer | null> {
    const { transaction } = this.#block;
    if (!transaction) return this.#leave(this.#block.pendingError ?? errorOf(UNKNOWN_BASE));
    await this.#setEncoding();
    await faultPoint('proxy.closing');
    if (this.#block.holdsCursors) {
      const error = await this.#heldCursors.hold();
      if (error) return this.#leave(this.#block.pendingError ?? error);
    }
    const asksPriority = this.#service.config.policy === 'priority';
    const closed = await this.#queries.askAll(closing(this.#service.calls, { asksPriority }));
    if (closed.error) return this.#leave(this.#block.pendingError ?? closed.error);
    if (closed.skipped) return errorOf(ENGINE_GONE);
    const { told } = closed;
    if (told.isForged) return this.#leave(errorOf(FORGED));
    if (told.isTooLarge) return this.#leave(errorOf(TOO_LARGE));
    if (told.mayDefer) {
      const again = await this.#queries.askAll(firingAgain(this.#service.calls));
      if (again.error) return this.#leave(again.error);
      if (again.skipped) return errorOf(ENGINE_GONE);
      const [, before, after] = again.sets.map(([row]) => row?.[0]);
      if (hasFiredAgain(before, after, again.told)) return this.#leave(errorOf(DEFERS_AGAIN));
    }
    const kept = told.hasKept ? await this.#queries.ask(WRITE_SET_QUERY) : null;
    if (kept?.error) return this.#leave(kept.error);
    if (kept?.skipped) return errorOf(ENGINE_GONE);
    const writeSet = readWriteSet(told.withKept(kept?.sets[0] ?? []));
    if (!writeSet) {
      this.#block.endTransaction();
      void this.#queries.askAll(unused(this.#service.calls));
      return this.#commitUnused(chain);
    }
    await faultPoint('proxy.propose');
    const priority = asksPriority ? readPriority(closed.sets[1]?.[0]) : 0;
    const claim = { retries: this.retries, priority };
    const verdict = await this.#service.transactions.propose(transaction, writeSet, claim);
    if (verdict.kind === 'refused') {
      this.retries++;
      return this.#leave(errorOf(verdict.error));
    }
    this.retries = 0;
    await this.#commitHere(transaction, verdict.lsn, chain);
    return null;
  }

  async #leave(error: Buffer): Promise<Buffer> {
    await this.#block.leave();
    return error;
  }

  /** Accepted: nothing may go wrong any more, and what does is carried out by the writer. */
  async #commitHere(transaction: Transaction, at: Lsn, chain: boolean): Promise<void> {
    await faultPoint('proxy.certify');
    const { error, skipped } = await this.#queries.askAll(certified(this.#service.calls, at, { chain }));
    await faultPoint('proxy.certified');
    if (!error && !skipped) {
      this.#service.transactions.committed(transaction);
      this.#block.close(chain);
      return;
    }
    // The locks are gone with it. Behind a COMMIT that was a ROLLBACK there is another one, if it was to be chained.
    const replayed = this.#service.transactions.lost(transaction);
    if (!skipped && this.#engine.status !== 'I') await this.#queries.ask('rollback');
    await replayed;
    if (error) this.#host.toClient(committedAllTheSame(error));
    const isChained = chain && !skipped;
    if (isChained) await this.#queries.ask('begin');
    this.#block.close(isChained);
  }

  /** Of a block that has written nothing. */
  async #commitUnused(chain: boolean): Promise<Buffer | null> {
    const { error } = await this.#queries.ask(chain ? 'commit and chain' : 'commit');
    this.#block.close(chain && !error);
    return error;
  }

  /** Write-sets are texts in UTF8. */
  async #setEncoding(): Promise<void> {
    if ((this.#host.encoding() ?? 'UTF8') === 'UTF8') return;
    await this.#queries.ask(`set local client_encoding = 'UTF8'`);
  }

  /** REASSIGN OWNED has run; the engine is told, since nothing there tells it. */
  async noteReassigned(statement: Statement): Promise<void> {
    if (!reassigns(statement) || this.#block.kind === null) return;
    const said = Buffer.from(statement.reassigns, 'latin1');
    const { error } = await this.#queries.askAll(reassigned(this.#service.calls, said));
    if (error) this.#block.doom(error);
  }
}
