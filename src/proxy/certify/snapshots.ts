/**
 * Before a snapshot is taken: the engine has what the session's reads have to see, and the writer is ready. With the first snapshot of
 * a transaction its base is taken.
 */
import type { WriterService } from '../../multiwriter/writer/index.js';
import type { Block } from './block.js';
import type { EngineSide } from './engine-side.js';
import { errorOf, GONE } from './error-messages.js';
import type { OwnQueries } from './own-queries.js';
import { isRefused, type ReadMode } from './read-mode.js';
import { isDdl, mayMakeSerializable, type Statement } from './statements.js';
import type { WriterWaits } from './writer-waits.js';

export interface SnapshotsOptions {
  readonly service: Pick<WriterService, 'whenReady' | 'untilApplied'>;
  readonly engine: Pick<EngineSide, 'status'>;
  readonly queries: OwnQueries;
  readonly block: Block;
  readonly reads: ReadMode;
  readonly waits: WriterWaits;
}

export class Snapshots {
  readonly #service: SnapshotsOptions['service'];
  readonly #engine: SnapshotsOptions['engine'];
  readonly #queries: OwnQueries;
  readonly #block: Block;
  readonly #reads: ReadMode;
  readonly #waits: WriterWaits;

  constructor({ service, engine, queries, block, reads, waits }: SnapshotsOptions) {
    this.#service = service;
    this.#engine = engine;
    this.#queries = queries;
    this.#block = block;
    this.#reads = reads;
    this.#waits = waits;
  }

  /** The session's reads ask for nothing. */
  get areFree(): boolean {
    return this.#reads.isIdle;
  }

  /** Before a BEGIN: within its block the engine would be asked by SHOW, which does not tell of all settings. */
  async learnDemand(): Promise<void> {
    await this.#demand();
  }

  /** The block tells, and not the engine's status, which says nothing of a BEGIN in a batch before its Sync. */
  #demand(): ReturnType<ReadMode['demand']> {
    return this.#reads.demand(this.#queries, this.#block.kind !== null);
  }

  /** The statement runs next. */
  noteSetting(statement: Statement): void {
    if (mayMakeSerializable(statement)) this.#block.suspect();
    if ('sql' in statement && statement.sql !== null)
      this.#reads.changed(statement.sql, this.#block.kind !== null);
  }

  /** Definitions are changed next: others of this writer have their turn first, and the other writers are to be quiet meanwhile. */
  async beforeDdl(): Promise<void> {
    if (this.#block.kind === null) await this.#block.quiesce();
    else await this.#waits.until(() => this.#block.quiesce());
    if (this.#waits.isGone) this.#block.passTurn();
  }

  /** Opens a block of ours. Null: it is open. Else what resolves to what the client is told, and there is no block; or to null. */
  openImplicit(statements: readonly Statement[]): Promise<Buffer | null> | null {
    if (!this.areFree || statements.some(isDdl)) return this.#openLater(statements);
    const ready = this.#service.whenReady();
    return ready ? ready.then(() => this.#open()) : this.#open();
  }

  async #openLater(statements: readonly Statement[]): Promise<Buffer | null> {
    if (statements.some(isDdl)) await this.beforeDdl();
    const refused = this.areFree ? null : await this.untilApplied();
    if (refused) {
      this.#block.passTurn();
      return refused;
    }
    await this.#service.whenReady();
    return this.#open();
  }

  #open(): Promise<Buffer> | null {
    if (this.#waits.isGone) return Promise.resolve(errorOf(GONE));
    this.#block.open('implicit', false);
    this.#block.beginTransaction('begin');
    return null;
  }

  /**
   * Before the transaction's first query. Null: it may go at once. Else what resolves to what the client
   * is told instead; or to null.
   */
  beforeFirst(statements: readonly Statement[]): Promise<Buffer | null> | null {
    if (!this.#block.isFirst || this.#engine.status === 'E') return null;
    const changesDefinitions = !this.#block.isReadOnly && statements.some(isDdl);
    if (!this.areFree || changesDefinitions) return this.#firstLater(changesDefinitions);
    return this.#first();
  }

  async #firstLater(changesDefinitions: boolean): Promise<Buffer | null> {
    if (changesDefinitions) await this.beforeDdl();
    const refused = this.areFree ? null : await this.untilApplied();
    return refused ?? this.#first();
  }

  #first(): Promise<Buffer | null> | null {
    this.#block.passFirst();
    if (this.#block.isReadOnly) return null;
    const ready = this.#service.whenReady();
    return ready ? this.#waits.until(() => ready).then(() => this.#begin()) : this.#begin();
  }

  #begin(): Promise<Buffer> | null {
    if (this.#waits.isGone) return Promise.resolve(errorOf(GONE));
    // If not: rolled back meanwhile.
    if (!this.#block.mustMakeWay) this.#block.beginTransaction();
    return null;
  }

  /** Waits until what the session's read mode asks for is in the engine. Not null: it is not, and the client is told so. */
  async untilApplied(): Promise<Buffer | null> {
    const demand = await this.#demand();
    if (isRefused(demand)) return errorOf(demand);
    if (!demand.isGlobal && demand.position === null) return null;
    const refused = await this.#waits.cancelable((signal) => this.#service.untilApplied(demand, signal));
    return refused && errorOf(refused);
  }
}
