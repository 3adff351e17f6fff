/**
 * The extended query protocol: what a statement is for its transaction is known from its Parse, and matters when it is bound or executed.
 *
 *   Parse ─ statements ─▶ Bind ─ portals ─▶ Execute … Sync
 *
 * A Sync commits what the client has begun no block for.
 */
import { encode, Frontend } from '../../protocol/index.js';
import { errorOf } from './error-messages.js';
import { asksOutcome } from './outcome-questions.js';
import type { Prepared } from './prepared-statements.js';
import { QueryProtocol } from './query-protocol.js';
import {
  droppedByRunning,
  needsSettled,
  reassigns,
  takesSnapshot,
  UNKNOWN_STATEMENT,
  type Statement,
} from './statements.js';

const OF_STATEMENT = 'S'.charCodeAt(0);
const UNKNOWN: Prepared = { statement: UNKNOWN_STATEMENT, asks: false };

export class ExtendedProtocol extends QueryProtocol {
  readonly #portals = new Map<string, Statement>();
  /** A COPY from the client may be in this batch. */
  #copies = false;

  /** Parse, Bind, Describe, Execute, Close. */
  async message(message: Buffer): Promise<void> {
    switch (message[0]) {
      case Frontend.Parse:
        return this.#parse(message);
      case Frontend.Bind:
        return this.#bind(message);
      case Frontend.Execute:
        return this.#execute(message);
      case Frontend.Close:
        return this.#pass(message, this.#closed(message));
      default:
        this.#pass(message);
    }
  }

  /** Describe, Close. */
  #pass(message: Buffer, done?: () => void): void {
    if (this.batch.keeps) return this.batch.keep(message, done);
    this.queries.restoreUnnamed(message);
    this.engine.extended(message, done);
  }

  #closed(message: Buffer): (() => void) | undefined {
    if (message[5] !== OF_STATEMENT) return undefined;
    const [name = ''] = strings(message, 6);
    const done = this.reader.prepared.close(name);
    if (name !== '') return done;
    return () => {
      done();
      this.queries.unnamedForgotten();
    };
  }

  async #parse(message: Buffer): Promise<void> {
    const [name = '', text = ''] = strings(message, 5);
    const [only] = this.reader.read(text);
    const statement: Statement = only?.statement ?? { kind: 'within' };
    if (statement.kind === 'refused') return this.#refuseParse(message, errorOf(statement.error));
    const done = this.#parsed(message, name, { statement, asks: asksOutcome(text) });
    if (this.block.kind === null && statement.kind === 'write' && !this.engine.failed)
      return this.batch.keep(message, done);
    this.batch.releaseKept();
    if (!(await this.batch.mayGoOn(statement))) return;
    this.engine.extended(message, done);
    if (name === '') this.queries.unnamedSent();
  }

  #parsed(message: Buffer, name: string, prepared: Prepared): () => void {
    const done = this.reader.prepared.parse(name, prepared);
    if (name !== '') return done;
    return () => {
      done();
      this.queries.unnamedParsed(message);
    };
  }

  /** Where the engine would not get to it, it has the word: skipped, or within a COPY. */
  async #refuseParse(message: Buffer, error: Buffer): Promise<void> {
    this.batch.releaseKept();
    if ((await this.engine.settle()) === 'ok') return this.batch.refuse(error);
    this.engine.extended(message);
  }

  async #bind(message: Buffer): Promise<void> {
    const [portal = '', name = ''] = strings(message, 5);
    const { statement, asks } = this.reader.prepared.get(name) ?? UNKNOWN;
    this.#portals.set(portal, statement);
    if (statement.kind === 'write' && statement.isCopy) this.#copies = true;
    const canceled = asks ? await this.outcomes.tellFacts() : null;
    if (canceled) return this.batch.refuse(errorOf(canceled));
    if (this.block.kind === null && this.reader.isWriter(statement) && !this.engine.failed) {
      if ((await this.engine.settle()) === 'ok') {
        const refused = await this.snapshots.openImplicit([statement]);
        if (refused) return this.batch.refuse(refused);
      }
      this.batch.releaseKept();
    } else {
      this.batch.releaseKept();
      if (!(await this.batch.mayGoOn(statement))) return;
      // Behind its Bind a query of ours would destroy its portal.
      if (needsSettled(statement) && (await this.engine.settle()) === 'ok') this.block.settle();
    }
    this.queries.restoreUnnamed(message);
    this.engine.extended(message);
  }

  async #execute(message: Buffer): Promise<void> {
    this.batch.releaseKept();
    const [portal = ''] = strings(message, 5);
    const statement = this.#portals.get(portal) ?? UNKNOWN_STATEMENT;
    if (this.engine.failed) return this.engine.extended(message);
    this.block.goOnInBatch();
    switch (statement.kind) {
      case 'begin':
        this.block.begin(statement.readOnly);
        break;
      case 'commit':
        if (this.block.kind !== null) return this.#commit(message, statement.chain);
        break;
      case 'rollback':
        this.block.rollBack();
        this.block.endInBatch(statement.chain);
        break;
      default:
        if (this.reader.isWriter(statement)) this.block.writes();
    }
    if (takesSnapshot(statement) && this.block.kind !== null && !(await this.batch.mayGoOn(statement)))
      return;
    this.snapshots.noteSetting(statement);
    this.engine.extended(message);
    const isToldOf = reassigns(statement) || droppedByRunning(statement) !== null;
    if (!isToldOf || (await this.engine.settle()) !== 'ok') return;
    this.reader.ran(statement);
    await this.certification.noteReassigned(statement);
  }

  async #commit(message: Buffer, chain: boolean): Promise<void> {
    if ((await this.engine.settle()) !== 'ok') return this.engine.extended(message);
    const failure = this.block.failedBy;
    if (failure) {
      await this.block.leave();
      return this.batch.refuse(failure);
    }
    if (this.block.commitsAsItIs) {
      this.block.endInBatch(chain);
      return this.engine.extended(message);
    }
    const error = await this.certification.commit(chain);
    if (error) await this.batch.refuse(error);
    else this.host.toClient(encode.commandComplete('COMMIT'));
  }

  async sync(message: Buffer): Promise<void> {
    this.batch.releaseKept();
    await (this.batch.end() ? this.#syncSkipped(message) : this.#sync(message));
    // The engine has answered all that it has looked at.
    if (this.engine.copyIn) return;
    this.reader.prepared.batchEnded();
    this.queries.batchEnded();
  }

  async #sync(message: Buffer): Promise<void> {
    const settled = this.block.kind === 'implicit' || this.#mayCopy ? await this.engine.settle() : 'ok';
    // The engine reads it as part of the COPY, and does not answer.
    if (settled === 'copy') return;
    if (this.block.kind === 'implicit' && settled === 'ok') {
      await this.certification.endImplicit(null);
      this.#portals.clear();
      return this.sendReady();
    }
    const passReady = this.block.kind !== 'implicit';
    const { ignored } = await this.engine.request(message, { passReady, keepTag: false });
    if (ignored) return;
    if (this.block.kind === 'implicit') {
      await this.block.leave();
      this.sendReady();
    }
    this.block.followStatus();
    if (this.block.kind === null) this.#portals.clear();
    this.#copies = false;
  }

  async #syncSkipped(message: Buffer): Promise<void> {
    await this.engine.request(message, { passReady: false, keepTag: false });
    // What was refused before it reached the engine has failed there, too.
    await this.block.fail();
    this.sendReady();
  }

  get #mayCopy(): boolean {
    return this.engine.hasOutstanding && this.#copies;
  }
}

/** The first two texts from there on, as latin1. */
const strings = (message: Buffer, from: number): string[] => {
  const first = message.indexOf(0, from);
  const second = message.indexOf(0, first + 1);
  return [message.toString('latin1', from, first), message.toString('latin1', first + 1, second)];
};
