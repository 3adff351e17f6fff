/**
 * Other writers' transactions, on this engine: exactly once, in their order, row by row and by key. The connection is ours alone; what
 * it writes is not captured, fires no trigger of a user and checks no foreign key again.
 *
 *   entries ─┬ of rows of others ─▶ together: one transaction, a call for each table ─ any failure, or who waits ─┐
 *            └ all else ─▶ alone: dbproxy.apply ◀────────────────────── one by one, those it was tried with ◀─────┘
 *
 * Alone is what an entry means, and says what becomes of it. Together is the same for less, and is given up where it would matter which
 * of the entries it was.
 */
import type { ClientBase } from 'pg';
import { type WriterId, writerOf } from '../protocol/index.js';
import { AloneApplier, type ApplierOptions, type Entry, type LeftOut } from './apply-alone.js';
import { applyTogether } from './apply-together.js';
import { ApplyingSession } from './applying-session.js';
import type { OnBlocked } from './blockers.js';
import { isRow, readPayload, type RowChange } from './write-set.js';

/** More is taken apart by the engine: it is all that this process does meanwhile. */
const TOGETHER_BYTES = 128 * 1024;

export class Applier {
  readonly #writer: WriterId;
  readonly #session: ApplyingSession;
  readonly #alone: AloneApplier;
  /** So many are not to be tried together again. */
  #oneByOne = 0;

  private constructor(writer: WriterId, session: ApplyingSession, options: ApplierOptions) {
    this.#writer = writer;
    this.#session = session;
    this.#alone = new AloneApplier(session, options);
  }

  /** `connection`: a superuser's, which does nothing else from here on. `watcher`: it looks who blocks meanwhile. */
  static async on(
    writer: WriterId,
    connection: ClientBase,
    watcher: ClientBase,
    options: ApplierOptions = {},
  ): Promise<Applier> {
    return new Applier(writer, await ApplyingSession.on(connection, watcher), options);
  }

  /**
   * Applies as many of the entries as go together, the first one at least, and says of each of those whether it was new here.
   *
   * Whoever stands in the way and is not decided yet has to be rolled back by `onBlocked`; to do nothing is to wait. Throws
   * ApplyDiverged for what would be the same the next time; other errors (a lost connection, a deadlock, a full disk) are worth another
   * try.
   */
  async apply(entries: readonly Entry[], onBlocked: OnBlocked, how: LeftOut = {}): Promise<boolean[]> {
    const rows = this.#oneByOne > 0 || how.leavesOut ? [] : await this.#thatGoTogether(entries);
    if (rows.length > 0) {
      const together = entries.slice(0, rows.length);
      const lsns = together.map(({ lsn }) => lsn);
      if (await applyTogether(this.#session, lsns, rows.flat(), onBlocked)) return together.map(() => true);
      this.#oneByOne = rows.length;
    }
    const [first] = entries;
    if (!first) return [];
    const isNew = await this.applyAlone(first, onBlocked, how);
    if (this.#oneByOne > 0) this.#oneByOne--;
    return [isNew];
  }

  /** False: it was applied before. `leavesOut`: at once what is left out otherwise where it fails. */
  applyAlone(entry: Entry, onBlocked: OnBlocked, how: LeftOut = {}): Promise<boolean> {
    return this.#alone.apply(entry, onBlocked, how);
  }

  /** The rows of each of the first entries, as far as they have nothing else. */
  async #thatGoTogether(entries: readonly Entry[]): Promise<RowChange[][]> {
    const together: RowChange[][] = [];
    let bytes = 0;
    for (const { lsn, payload } of entries) {
      bytes += payload.length;
      // An own one moves sequences, too.
      if (bytes > TOGETHER_BYTES || writerOf(lsn) === this.#writer) break;
      const changes = readPayload(payload);
      if (!changes.every(isRow) || (await this.#runCode(changes))) break;
      together.push(changes);
    }
    return together;
  }

  /** What a client's code leaves in the session is cleared away by dbproxy.apply only. */
  async #runCode(rows: readonly RowChange[]): Promise<boolean> {
    for (const { table } of rows) {
      if ((await this.#session.table(table)).runsCode) return true;
    }
    return false;
  }
}
