/**
 * The extended query protocol: what a statement is for its transaction is known from its Parse, and matters when it is bound or executed.
 *
 *   Parse ─ statements ─▶ Bind ─ portals ─▶ Execute … Sync
 *
 * A Sync commits what the client has begun no block for.
 */
import { encode, Frontend } from '../../protocol/index.js';
import { NOT_CONCURRENTLY, withoutConcurrently } from './concurrently.js';
import { errorOf } from './error-messages.js';
import { asksOutcome } from './outcome-questions.js';
import type { Waits } from './eventually.js';
import type { Prepared } from './prepared-statements.js';
import { QueryProtocol } from './query-protocol.js';
import type { ClientReply, ClientRequestOptions } from './requests.js';
import {
  droppedByRunning,
  holdsCursor,
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
  readonly #atSync: ClientRequestOptions = {
    passReady: true,
    keepTag: false,
    answered: (reply) => this.#synced(reply),
  };

  /** Parse, Bind, Describe, Execute, Close. */
  message(message: Buffer): Waits {
    switch (message[0]) {
      case Frontend.Parse:
        return this.#parse(message);
      case Frontend.Bind:
        return this.#bind(message);
      case Frontend.Execute:
        return this.#execute(message);
      case Frontend.Close:
        this.#pass(message, this.#closed(message));
        return null;
      default:
        this.#pass(message);
        return null;
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

  #parse(message: Buffer): Waits {
    const [name, text] = strings(message, 5);
    const parts = this.reader.read(text);
    const plain = this.block.kind === null ? withoutConcurrently(text, parts) : null;
    if (plain !== null) return this.#parsePlain(name, plain);
    const [only] = parts;
    const statement: Statement = only?.statement ?? { kind: 'within' };
    if (statement.kind === 'refused') return this.#refuseParse(message, errorOf(statement.error));
    const done = this.#parsed(message, name, { statement, asks: asksOutcome(text) });
    if (this.block.kind === null && statement.kind === 'write' && !this.engine.failed) {
      this.batch.keep(message, done);
      return null;
    }
    this.batch.releaseKept();
    return this.#whereItMay(this.batch.mayGoOn(statement), () => {
      this.engine.extended(message, done);
      if (name === '') this.queries.unnamedSent();
      return null;
    });
  }

  #parsePlain(name: string, plain: string): Waits {
    if (this.engine.isSettled) this.host.toClient(NOT_CONCURRENTLY);
    return this.#parse(encode.parse(name, plain));
  }

  #whereItMay(mayGoOn: true | Promise<boolean>, work: () => Waits): Waits {
    if (mayGoOn === true) return work();
    return mayGoOn.then((may) => (may ? work() : null));
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

  #bind(message: Buffer): Waits {
    const [portal, name] = strings(message, 5);
    const { statement, asks } = this.reader.prepared.get(name) ?? UNKNOWN;
    this.#portals.set(portal, statement);
    if (statement.kind === 'write' && statement.isCopy) this.#copies = true;
    return asks ? this.#bindQuestion(message, statement) : this.#bindTo(statement, message);
  }

  async #bindQuestion(message: Buffer, statement: Statement): Promise<void> {
    const canceled = await this.outcomes.tellFacts();
    await (canceled ? this.batch.refuse(errorOf(canceled)) : this.#bindTo(statement, message));
  }

  #bindTo(statement: Statement, message: Buffer): Waits {
    if (this.block.kind === null && this.reader.isWriter(statement) && !this.engine.failed)
      return this.#bindInImplicit(statement, message);
    this.batch.releaseKept();
    return this.#whereItMay(this.batch.mayGoOn(statement), () =>
      needsSettled(statement) ? this.#bindSettled(message) : this.#bound(message),
    );
  }

  /** Behind its Bind a query of ours would destroy its portal. */
  async #bindSettled(message: Buffer): Promise<void> {
    if ((await this.engine.settle()) === 'ok') this.block.settle();
    this.#bound(message);
  }

  #bindInImplicit(statement: Statement, message: Buffer): Waits {
    const waits = this.engine.isSettled
      ? this.snapshots.openImplicit([statement])
      : this.#settleAndOpen(statement);
    if (waits) return waits.then((refused) => (refused ? this.batch.refuse(refused) : this.#bound(message)));
    return this.#bound(message);
  }

  async #settleAndOpen(statement: Statement): Promise<Buffer | null> {
    return (await this.engine.settle()) === 'ok' ? this.snapshots.openImplicit([statement]) : null;
  }

  #bound(message: Buffer): null {
    this.batch.releaseKept();
    this.queries.restoreUnnamed(message);
    this.engine.extended(message);
    return null;
  }

  #execute(message: Buffer): Waits {
    this.batch.releaseKept();
    const [portal] = strings(message, 5);
    const statement = this.#portals.get(portal) ?? UNKNOWN_STATEMENT;
    if (this.engine.failed) {
      this.engine.extended(message);
      return null;
    }
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
    if (holdsCursor(statement)) this.block.holdsCursor();
    const takesPart = takesSnapshot(statement) && this.block.kind !== null;
    const mayGoOn = takesPart ? this.batch.mayGoOn(statement) : true;
    return this.#whereItMay(mayGoOn, () => this.#executed(statement, message));
  }

  #executed(statement: Statement, message: Buffer): Waits {
    this.snapshots.noteSetting(statement);
    this.engine.extended(message);
    const isToldOf = reassigns(statement) || droppedByRunning(statement) !== null;
    return isToldOf ? this.#tellOf(statement) : null;
  }

  async #tellOf(statement: Statement): Promise<void> {
    if ((await this.engine.settle()) !== 'ok') return;
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

  /** CopyData, CopyDone, CopyFail that the engine has not asked for, or not yet. */
  copyAhead(message: Buffer): Waits {
    this.batch.releaseKept();
    if (this.#mayCopy) return this.#copyWhenAsked(message);
    this.engine.plain(message);
    return null;
  }

  async #copyWhenAsked(message: Buffer): Promise<void> {
    if ((await this.engine.settle(message)) !== 'copy') this.engine.plain(message);
  }

  sync(message: Buffer): Waits {
    this.batch.releaseKept();
    if (this.batch.end()) return this.#syncSkipped(message);
    if (this.block.kind === 'implicit' || this.#mayCopy) return this.#settleAndSync(message);
    return this.engine.request(message, this.#atSync);
  }

  async #settleAndSync(message: Buffer): Promise<void> {
    const settled = await this.engine.settle(message);
    if (settled === 'copy') return;
    if (this.block.kind !== 'implicit') await this.engine.request(message, this.#atSync);
    else if (settled === 'ok') await this.#commitImplicit();
    else await this.#syncFailed(message);
  }

  async #commitImplicit(): Promise<void> {
    await this.certification.endImplicit(null);
    this.#portals.clear();
    this.sendReady();
    this.#over();
  }

  async #syncFailed(message: Buffer): Promise<void> {
    await this.engine.request(message, { passReady: false, keepTag: false });
    await this.block.leave();
    this.sendReady();
    this.#synced({ ignored: false });
  }

  async #syncSkipped(message: Buffer): Promise<void> {
    await this.engine.request(message, { passReady: false, keepTag: false });
    // What was refused before it reached the engine has failed there, too.
    await this.block.fail();
    this.sendReady();
    this.#over();
  }

  #synced({ ignored }: Pick<ClientReply, 'ignored'>): void {
    if (!ignored) {
      this.block.followStatus();
      if (this.block.kind === null) this.#portals.clear();
      this.#copies = false;
    }
    this.#over();
  }

  /** The engine has answered all of the batch that it has looked at. */
  #over(): void {
    if (this.engine.copyIn) return;
    this.reader.prepared.batchEnded();
    this.queries.batchEnded();
  }

  get #mayCopy(): boolean {
    return this.engine.hasOutstanding && this.#copies;
  }
}

/** The first two texts from there on, as latin1. */
const strings = (message: Buffer, from: number): [string, string] => {
  const first = message.indexOf(0, from);
  const second = message.indexOf(0, first + 1);
  return [message.toString('latin1', from, first), message.toString('latin1', first + 1, second)];
};
