/**
 * The simple query protocol: a Query is answered by all that its statements give, and one ReadyForQuery.
 *
 *   Query ─ as a whole ──────────────────────────────────────────────────────────▶ engine
 *       └── BEGIN, COMMIT or definitions among several ─ one after the other ─▶ engine      what commits by itself and writes: in a block of ours
 */
import { encode } from '../../protocol/index.js';
import type { RefusedCommit } from '../../multiwriter/writer/index.js';
import { NOT_CONCURRENTLY, withoutConcurrently } from './concurrently.js';
import { errorOf } from './error-messages.js';
import { asksOutcome } from './outcome-questions.js';
import type { Eventually, Waits } from './eventually.js';
import { QueryProtocol } from './query-protocol.js';
import type { ClientReply, ClientRequestOptions } from './requests.js';
import {
  holdsCursor,
  isByItself,
  isDdl,
  needsSettled,
  reassigns,
  takesSnapshot,
  UNKNOWN_STATEMENT,
  type Part,
  type Statement,
} from './statements.js';

type Begin = Extract<Statement, { kind: 'begin' }>;
type Commit = Extract<Statement, { kind: 'commit' }>;

interface Done {
  readonly failed: boolean;
}
const DONE: Done = { failed: false };
const FAILED: Done = { failed: true };

export class SimpleProtocol extends QueryProtocol {
  /** The engine's ReadyForQuery is the client's. */
  #readyPassed = false;
  /** What the engine works on. */
  #statements: readonly Statement[] = [];
  readonly #answered = (reply: ClientReply): void => this.#ran(reply);
  readonly #whole: ClientRequestOptions = { passReady: true, keepTag: false, answered: this.#answered };
  readonly #part: ClientRequestOptions = { passReady: false, keepTag: false, answered: this.#answered };

  query(message: Buffer): Waits {
    this.batch.releaseKept();
    return this.engine.isSettled ? this.#query(message) : this.#unlessSkipped(() => this.#query(message));
  }

  functionCall(message: Buffer): Waits {
    this.batch.releaseKept();
    return this.#unlessSkipped(() => {
      this.#readyPassed = false;
      return this.#thenReady(this.#statement(message, [UNKNOWN_STATEMENT], true));
    });
  }

  /** Within a batch that fails: the engine looks at nothing before its Sync, and answers nothing (PostgresMain, ignore_till_sync). */
  async #unlessSkipped(work: () => Waits): Promise<void> {
    if ((await this.engine.settle()) !== 'failed') await work();
  }

  #query(message: Buffer): Waits {
    this.queries.unnamedForgotten();
    const sql = message.toString('latin1', 5, message.length - 1);
    this.#readyPassed = false;
    const parts = this.reader.read(sql);
    const plain = this.block.kind === null ? withoutConcurrently(sql, parts) : null;
    if (plain === null) return this.#thenReady(this.#answer(message, sql, parts));
    this.host.toClient(NOT_CONCURRENTLY);
    return this.#thenReady(this.#answer(encode.query(plain), plain, this.reader.read(plain)));
  }

  #thenReady(done: Eventually<unknown>): Waits {
    return this.#readyPassed ? done : this.#readyAfter(done);
  }

  async #readyAfter(done: Eventually<unknown>): Promise<void> {
    await done;
    if (!this.#readyPassed) this.sendReady();
  }

  #answer(message: Buffer, sql: string, parts: readonly Part[]): Eventually<unknown> {
    for (const { statement } of parts)
      if (statement.kind === 'refused') return this.#refuse(statement.error, statement.endsBlock);
    return asksOutcome(sql) ? this.#outcome(message, parts) : this.#parts(message, parts);
  }

  async #outcome(message: Buffer, parts: readonly Part[]): Promise<void> {
    const canceled = await this.outcomes.tellFacts();
    await (canceled ? this.#refuse(canceled, false) : this.#parts(message, parts));
  }

  #parts(message: Buffer, parts: readonly Part[]): Eventually<unknown> {
    if (parts.length > 1 && parts.some(({ statement }) => isByItself(statement)))
      return this.#sequence(parts);
    return this.#statement(
      message,
      parts.map(({ statement }) => statement),
      true,
    );
  }

  /**
   * Several statements with BEGIN or COMMIT among them: one after the other, as the engine does it. So are definitions, each of which has
   * to be told to the other writers as it is; what no BEGIN or COMMIT of the client's divides is one transaction all the same.
   */
  async #sequence(parts: readonly Part[]): Promise<void> {
    if (this.block.kind === null && parts.some(({ statement }) => isDdl(statement)))
      await this.snapshots.beforeDdl();
    await this.#oneByOne(parts);
    if (this.block.kind === null) this.block.passTurn();
  }

  async #oneByOne(parts: readonly Part[]): Promise<void> {
    for (const { text, statement } of parts) {
      const { failed } = await this.#statement(encode.query(text), [statement], false);
      if (!failed) continue;
      if (this.block.kind === 'implicit') await this.block.leave();
      return;
    }
    if (this.block.kind === 'implicit') await this.certification.endImplicit(null);
  }

  /** `isLast`: the engine's ReadyForQuery may be the client's. */
  #statement(message: Buffer, parts: readonly Statement[], isLast: boolean): Eventually<Done> {
    return this.block.kind === null
      ? this.#outside(message, parts, isLast)
      : this.#inBlock(message, parts, isLast);
  }

  #outside(message: Buffer, parts: readonly Statement[], isLast: boolean): Eventually<Done> {
    const [first] = parts;
    switch (first?.kind) {
      case 'begin':
        return this.snapshots.areFree
          ? this.#begin(message, first, isLast)
          : this.#learnAndBegin(message, first, isLast);
      case 'setting':
      case 'write':
      case 'read':
      case 'maintenance':
      case 'within':
        if (first.kind === 'within' && isLast) break;
        if (first.kind === 'setting' && first.sql !== null) return this.#set(message, first, isLast);
        if (!isLast || this.#areWriters(parts)) return this.#implicit(message, parts, isLast);
        if (!this.snapshots.areFree && parts.some(takesSnapshot)) return this.#read(message, parts);
        break;
      default:
    }
    return this.#plain(message, isLast, parts);
  }

  #inBlock(message: Buffer, parts: readonly Statement[], isLast: boolean): Eventually<Done> {
    const [first] = parts;
    switch (first?.kind) {
      case 'begin':
        return this.#begin(message, first, isLast);
      case 'commit':
        return this.#commit(message, first, isLast);
      case 'rollback':
        this.block.rollBack();
        return this.#plain(message, isLast, parts);
      case 'set-transaction':
        return this.#plain(message, isLast, parts);
      case 'setting':
        if (!parts.some(takesSnapshot)) return this.#plain(message, isLast, parts);
        break;
      default:
    }
    if (parts.some(needsSettled)) this.block.settle();
    this.#note(parts);
    const waits = this.snapshots.beforeFirst(parts);
    return waits ? this.#afterFirst(waits, message, parts, isLast) : this.#plain(message, isLast, parts);
  }

  /** What the block has to know at its COMMIT. */
  #note(parts: readonly Statement[]): void {
    if (this.#areWriters(parts)) this.block.writes();
    if (parts.some(holdsCursor)) this.block.holdsCursor();
  }

  #areWriters(parts: readonly Statement[]): boolean {
    return parts.some((part) => this.reader.isWriter(part));
  }

  async #afterFirst(
    waits: Promise<Buffer | null>,
    message: Buffer,
    parts: readonly Statement[],
    isLast: boolean,
  ): Promise<Done> {
    const refused = await waits;
    if (!refused) return this.#plain(message, isLast, parts);
    await this.block.fail();
    this.host.toClient(refused);
    return FAILED;
  }

  /** As it is. */
  #plain(message: Buffer, isLast: boolean, parts: readonly Statement[]): Eventually<Done> {
    const passReady = isLast && this.block.kind !== 'implicit';
    this.#readyPassed = passReady;
    this.#statements = parts;
    for (const part of parts) this.snapshots.noteSetting(part);
    const reply = this.engine.request(message, passReady ? this.#whole : this.#part);
    return parts.some(reassigns) ? this.#noteReassigned(reply, parts) : reply;
  }

  #ran({ failed }: Done): void {
    this.block.followStatus();
    if (failed) return;
    for (const part of this.#statements) {
      this.reader.ran(part);
      if ('chain' in part && part.chain) this.block.chained();
    }
  }

  async #noteReassigned(reply: Eventually<Done>, parts: readonly Statement[]): Promise<Done> {
    const done = await reply;
    if (!done.failed) for (const part of parts) await this.certification.noteReassigned(part);
    return done;
  }

  #begin(message: Buffer, statement: Begin, isLast: boolean): Eventually<Done> {
    this.block.begin(statement.readOnly);
    this.snapshots.noteSetting(statement);
    return this.#plain(message, isLast, []);
  }

  async #learnAndBegin(message: Buffer, statement: Begin, isLast: boolean): Promise<Done> {
    await this.snapshots.learnDemand();
    return this.#begin(message, statement, isLast);
  }

  /** Of the read mode; what comes behind it in the query is of the same transaction. */
  #set(message: Buffer, setting: Statement, isLast: boolean): Eventually<Done> {
    if (!isLast) {
      this.block.open('implicit', false);
      void this.queries.ask('begin');
    }
    return this.#plain(message, isLast, [setting]);
  }

  /** Outside of a block, where what it has to see may not be there yet. */
  async #read(message: Buffer, parts: readonly Statement[]): Promise<Done> {
    const refused = await this.snapshots.untilApplied();
    if (!refused) return this.#plain(message, true, parts);
    this.host.toClient(refused);
    return FAILED;
  }

  async #implicit(message: Buffer, parts: readonly Statement[], isLast: boolean): Promise<Done> {
    const waits = this.snapshots.openImplicit(parts);
    const refused = waits && (await waits);
    if (refused) {
      this.host.toClient(refused);
      return FAILED;
    }
    this.#note(parts);
    for (const part of parts) this.snapshots.noteSetting(part);
    const { failed, tag } = await this.engine.request(message, { passReady: false, keepTag: isLast });
    if (!failed) {
      for (const part of parts) {
        this.reader.ran(part);
        await this.certification.noteReassigned(part);
      }
    }
    if (!isLast && !failed) return DONE;
    return (await this.certification.endImplicit(tag)) ? DONE : FAILED;
  }

  #commit(message: Buffer, statement: Commit, isLast: boolean): Eventually<Done> {
    const failure = this.block.failedBy;
    if (failure) return this.#commitFailed(failure);
    return this.block.commitsAsItIs
      ? this.#plain(message, isLast && this.block.kind === 'client', [statement])
      : this.#certify(statement.chain);
  }

  async #commitFailed(failure: Buffer): Promise<Done> {
    await this.block.leave();
    this.host.toClient(failure);
    return FAILED;
  }

  async #certify(chain: boolean): Promise<Done> {
    const error = await this.certification.commit(chain);
    this.host.toClient(error ?? encode.commandComplete('COMMIT'));
    return error ? FAILED : DONE;
  }

  /** As an error of the statement: a transaction it is in has failed, or is over. */
  async #refuse(error: RefusedCommit, endsBlock: boolean): Promise<void> {
    if (!endsBlock) await this.block.fail();
    else if (this.block.kind !== null || this.engine.status !== 'I') await this.block.leave();
    this.host.toClient(errorOf(error));
  }
}
