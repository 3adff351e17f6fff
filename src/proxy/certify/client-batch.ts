/**
 * A batch of the extended protocol, up to its Sync: what of it is kept back, what is skipped, and what is waited for in the midst of it.
 */
import { encode, Frontend } from '../../protocol/index.js';
import type { Block } from './block.js';
import type { EngineSide } from './engine-side.js';
import type { CertifierHost } from './host.js';
import type { OwnQueries } from './own-queries.js';
import type { Snapshots } from './snapshots.js';
import { takesSnapshot, type Statement } from './statements.js';

export interface ClientBatchOptions {
  readonly engine: EngineSide;
  readonly queries: OwnQueries;
  readonly block: Block;
  readonly snapshots: Snapshots;
  readonly host: Pick<CertifierHost, 'toClient'>;
}

export class ClientBatch {
  readonly #engine: EngineSide;
  readonly #queries: OwnQueries;
  readonly #block: Block;
  readonly #snapshots: Snapshots;
  readonly #host: ClientBatchOptions['host'];
  /** Parse and Describe of a writer, which would be destroyed by what comes before its Bind. */
  readonly #kept: { readonly message: Buffer; readonly done: (() => void) | undefined }[] = [];
  /** After a refused COMMIT: up to its Sync nothing counts. */
  #skipsToSync = false;
  /** What it reads outside of a block is there. */
  #mayRead = false;

  constructor({ engine, queries, block, snapshots, host }: ClientBatchOptions) {
    this.#engine = engine;
    this.#queries = queries;
    this.#block = block;
    this.#snapshots = snapshots;
    this.#host = host;
  }

  // --- kept back -----------------------------------------------------------------------------------------------------------

  get keeps(): boolean {
    return this.#kept.length > 0;
  }

  keep(message: Buffer, done?: () => void): void {
    this.#kept.push({ message, done });
  }

  releaseKept(): void {
    if (this.#kept.length === 0) return;
    for (const { message, done } of this.#kept.splice(0)) {
      this.#engine.extended(message, done);
      if (message[0] === Frontend.Parse && message[5] === 0) this.#queries.unnamedSent();
    }
  }

  // --- refused -------------------------------------------------------------------------------------------------------------

  get skipsToSync(): boolean {
    return this.#skipsToSync;
  }

  /** The client reads the answers to what came before it first. If that has failed, its error is the only one. */
  async refuse(error: Buffer): Promise<void> {
    this.releaseKept();
    if ((await this.#engine.settle()) !== 'ok') return;
    this.#skipsToSync = true;
    this.#host.toClient(error);
  }

  /** It has failed at the engine, and its client may be slow to send its Sync. */
  async skipToSync(): Promise<void> {
    this.#skipsToSync = true;
    await this.#engine.request(encode.sync(), { passReady: false, keepTag: false });
  }

  /** Its Sync is here. True: what came before it was skipped. */
  end(): boolean {
    const skipped = this.#skipsToSync;
    this.#skipsToSync = false;
    this.#mayRead = false;
    return skipped;
  }

  // --- waiting -------------------------------------------------------------------------------------------------------------

  /**
   * Queries of ours may be needed within it: what came before has to be answered first. True: it may, at once. Else what resolves to
   * false if it has failed.
   */
  mayGoOn(statement: Statement): true | Promise<boolean> {
    if (this.#engine.failed) return true;
    if (this.#block.kind === null) return this.#mayBegin(statement);
    if (!takesSnapshot(statement) || !this.#block.isFirst || this.#engine.status === 'E') return true;
    if (!this.#engine.isSettled) return this.#mayGoOnLater(statement);
    const waits = this.#snapshots.beforeFirst([statement]);
    return waits ? this.#unlessRefused(waits) : true;
  }

  async #mayGoOnLater(statement: Statement): Promise<boolean> {
    if ((await this.#engine.settle()) !== 'ok') return true;
    return this.#unlessRefused(this.#snapshots.beforeFirst([statement]));
  }

  async #unlessRefused(waits: Promise<Buffer | null> | null): Promise<boolean> {
    const refused = await waits;
    if (refused) await this.refuse(refused);
    return refused === null;
  }

  /** Outside of a block: before the first that reads. */
  #mayBegin(statement: Statement): true | Promise<boolean> {
    const begins = statement.kind === 'begin';
    if (this.#snapshots.areFree || this.#mayRead || !(begins || takesSnapshot(statement))) return true;
    return this.#mayBeginLater(begins);
  }

  async #mayBeginLater(begins: boolean): Promise<boolean> {
    if ((await this.#engine.settle()) !== 'ok') return true;
    if (begins) {
      await this.#snapshots.learnDemand();
      return true;
    }
    this.#mayRead = true;
    return this.#unlessRefused(this.#snapshots.untilApplied());
  }
}
