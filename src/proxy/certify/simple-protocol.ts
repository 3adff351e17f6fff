/**
 * The simple query protocol: a Query is answered by all that its statements give, and one ReadyForQuery.
 *
 *   Query ─ as a whole ───────────────────────────────────────────▶ engine
 *       └── BEGIN or COMMIT among several ─ one after the other ─▶ engine      what commits by itself and writes: in a block of ours
 */
import { encode } from '../../protocol/index.js';
import type { RefusedCommit } from '../../multiwriter/writer/index.js';
import { errorOf } from './error-messages.js';
import { asksOutcome } from './outcome-questions.js';
import { QueryProtocol } from './query-protocol.js';
import { isControl, needsSettled, takesSnapshot, UNKNOWN_STATEMENT, type Statement } from './statements.js';

export class SimpleProtocol extends QueryProtocol {
  /** The engine's ReadyForQuery is the client's. */
  #readyPassed = false;

  async query(message: Buffer): Promise<void> {
    if (await this.#isSkipped()) return;
    this.queries.unnamedForgotten();
    const sql = message.toString('latin1', 5, message.length - 1);
    const parts = this.reader.read(sql);
    this.#readyPassed = false;
    const refused = parts.find(({ statement }) => statement.kind === 'refused')?.statement;
    if (refused?.kind === 'refused') await this.#refuse(refused.error, refused.endsBlock);
    else {
      const canceled = asksOutcome(sql) ? await this.outcomes.tellFacts() : null;
      if (canceled) await this.#refuse(canceled, false);
      else await this.#parts(message, parts);
    }
    if (!this.#readyPassed) this.sendReady();
  }

  async functionCall(message: Buffer): Promise<void> {
    if (await this.#isSkipped()) return;
    this.#readyPassed = false;
    await this.#statement(message, [UNKNOWN_STATEMENT], true);
    if (!this.#readyPassed) this.sendReady();
  }

  /** Within a batch that fails: the engine looks at nothing before its Sync, and answers nothing (PostgresMain, ignore_till_sync). */
  async #isSkipped(): Promise<boolean> {
    this.batch.releaseKept();
    return (await this.engine.settle()) === 'failed';
  }

  async #parts(message: Buffer, parts: readonly { text: string; statement: Statement }[]): Promise<void> {
    if (parts.length > 1 && parts.some(({ statement }) => isControl(statement))) await this.#sequence(parts);
    else
      await this.#statement(
        message,
        parts.map(({ statement }) => statement),
        true,
      );
  }

  /** Several statements with BEGIN or COMMIT among them: one after the other, as the engine does it. */
  async #sequence(parts: readonly { text: string; statement: Statement }[]): Promise<void> {
    for (const { text, statement } of parts) {
      if (await this.#statement(encode.query(text), [statement], false)) continue;
      if (this.block.kind === 'implicit') await this.block.leave();
      return;
    }
    if (this.block.kind === 'implicit') await this.certification.endImplicit(null);
  }

  /** False: it failed. `isLast`: the engine's ReadyForQuery may be the client's. */
  #statement(message: Buffer, parts: readonly Statement[], isLast: boolean): Promise<boolean> {
    return this.block.kind === null
      ? this.#outside(message, parts, isLast)
      : this.#inBlock(message, parts, isLast);
  }

  async #outside(message: Buffer, parts: readonly Statement[], isLast: boolean): Promise<boolean> {
    const [first] = parts;
    switch (first?.kind) {
      case 'begin':
        return this.#begin(message, first.readOnly, isLast);
      case 'setting':
      case 'write':
      case 'read':
      case 'maintenance':
        if (first.kind === 'setting' && first.sql !== null) return this.#set(message, first, isLast);
        if (!isLast || parts.some((part) => this.reader.isWriter(part)))
          return this.#implicit(message, parts, isLast);
        if (parts.some(takesSnapshot) && !(await this.#mayRead())) return false;
        break;
      default:
    }
    return this.#plain(message, isLast, parts);
  }

  async #inBlock(message: Buffer, parts: readonly Statement[], isLast: boolean): Promise<boolean> {
    const [first] = parts;
    switch (first?.kind) {
      case 'begin':
        this.block.begin(first.readOnly);
        return this.#plain(message, isLast);
      case 'commit':
        return this.#commit(message, first.chain, isLast);
      case 'rollback':
        return this.#rollBack(message, first.chain, isLast);
      case 'set-transaction':
        return this.#plain(message, isLast);
      case 'setting':
        if (!parts.some(takesSnapshot)) return this.#plain(message, isLast, parts);
        break;
      default:
    }
    if (parts.some(needsSettled)) this.block.settle();
    if (parts.some((part) => this.reader.isWriter(part))) this.block.writes();
    const refused = await this.snapshots.beforeFirst(parts);
    if (refused) {
      await this.block.fail();
      this.host.toClient(refused);
      return false;
    }
    return this.#plain(message, isLast, parts);
  }

  /** As it is. */
  async #plain(message: Buffer, isLast: boolean, parts: readonly Statement[] = []): Promise<boolean> {
    const passReady = isLast && this.block.kind !== 'implicit';
    this.#readyPassed = passReady;
    for (const part of parts) this.snapshots.noteSetting(part);
    const { failed } = await this.engine.request(message, { passReady, keepTag: false });
    this.block.followStatus();
    if (!failed) await this.#ran(parts);
    return !failed;
  }

  async #ran(parts: readonly Statement[]): Promise<void> {
    for (const part of parts) {
      this.reader.ran(part);
      await this.certification.noteReassigned(part);
    }
  }

  async #begin(message: Buffer, readOnly: boolean, isLast: boolean): Promise<boolean> {
    if (!this.snapshots.areFree) await this.snapshots.learnDemand();
    this.block.begin(readOnly);
    return this.#plain(message, isLast);
  }

  /** Of the read mode; what comes behind it in the query is of the same transaction. */
  #set(message: Buffer, setting: Statement, isLast: boolean): Promise<boolean> {
    if (!isLast) {
      this.block.open('implicit', false);
      void this.queries.ask('begin');
    }
    return this.#plain(message, isLast, [setting]);
  }

  /** Of a statement outside of a block. False: it has failed. */
  async #mayRead(): Promise<boolean> {
    if (this.snapshots.areFree) return true;
    const refused = await this.snapshots.untilApplied();
    if (refused) this.host.toClient(refused);
    return refused === null;
  }

  async #implicit(message: Buffer, parts: readonly Statement[], isLast: boolean): Promise<boolean> {
    const refused = await this.snapshots.openImplicit(parts);
    if (refused) {
      this.host.toClient(refused);
      return false;
    }
    if (parts.some((part) => this.reader.isWriter(part))) this.block.writes();
    for (const part of parts) this.snapshots.noteSetting(part);
    const { failed, tag } = await this.engine.request(message, { passReady: false, keepTag: isLast });
    if (!failed) await this.#ran(parts);
    if (isLast || failed) return this.certification.endImplicit(tag);
    return true;
  }

  async #commit(message: Buffer, chain: boolean, isLast: boolean): Promise<boolean> {
    const failure = this.block.failedBy;
    if (failure) {
      await this.block.leave();
      this.host.toClient(failure);
      return false;
    }
    if (this.block.commitsAsItIs) {
      const ok = await this.#plain(message, isLast && this.block.kind === 'client');
      if (chain && ok) this.block.chained();
      return ok;
    }
    const error = await this.certification.commit(chain);
    this.host.toClient(error ?? encode.commandComplete('COMMIT'));
    return error === null;
  }

  async #rollBack(message: Buffer, chain: boolean, isLast: boolean): Promise<boolean> {
    this.block.rollBack();
    const ok = await this.#plain(message, isLast);
    if (chain && ok) this.block.chained();
    return ok;
  }

  /** As an error of the statement: a transaction it is in has failed, or is over. */
  async #refuse(error: RefusedCommit, endsBlock: boolean): Promise<void> {
    if (!endsBlock) await this.block.fail();
    else if (this.block.kind !== null || this.engine.status !== 'I') await this.block.leave();
    this.host.toClient(errorOf(error));
  }
}
