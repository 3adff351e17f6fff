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
import { setTimeout as delay } from 'node:timers/promises';
import { type ClientBase, DatabaseError } from 'pg';
import { type Lsn, type WriterId, writerOf } from '../protocol/index.js';
import { type Blocker, watchBlockers } from './blockers.js';
import { type Ask, inTurn } from './in-turn.js';
import { RUNS_CODE, WAITS_FOR_NOBODY, watchOverdue } from './overdue.js';
import { sendTogether, type Step } from './pipeline.js';
import { type Change, readPayload, type RowChange } from './write-set.js';

export interface Entry {
  readonly lsn: Lsn;
  readonly payload: string;
}

/** Called again and again while the entry waits for locks. */
export type OnBlocked = (lsn: Lsn, blockers: readonly Blocker[]) => void;

/** More is taken apart by the engine: it is all that this process does meanwhile. */
const TOGETHER_BYTES = 128 * 1024;

/** `tuple concurrently updated` is one: a client here has changed the same definition, and will not be let commit it. */
const INTERNAL_ERROR = 'XX000';
/** SQLSTATE program_limit_exceeded: a row has no room in an index, as it is compressed here. */
const TOO_LARGE = '54000';
const INTERNAL_TRIES = 20;
const INTERNAL_MS = 50;

/** An entry whose rows bring a client's code to run may take so long. Behind it it is tried without. */
const CODE_MS = 10_000;

/** So many times that, where it is tried without; and what so many bytes take. */
const CODE_AGAIN = 3;
const BYTES_A_MS = 100;

/** A definition may take so long, and so many times what it took where it was made. */
const DEFINITION_MS = 60_000;
const TIMES_ITS_TIME = 10;

/** What of definitions is not asked where an entry is applied. */
export interface LeftOut {
  readonly leavesOut?: boolean;
  /** Tables that are to lose the indexes whose functions are clients'; see `failedIn`. */
  readonly withoutIndexes?: readonly number[];
}

/** This engine is not what the log says: it has to stop, and be built again. Nothing of the entry was kept. */
export class ApplyDiverged extends Error {
  override readonly name = 'ApplyDiverged';
  readonly lsn: Lsn;

  constructor(lsn: Lsn, reason: string, cause: unknown) {
    super(`entry ${lsn} does not fit: ${reason}`, { cause });
    this.lsn = lsn;
  }
}

export interface ApplierOptions {
  /**
   * Tables, by OID, whose rows brought code to run that had to be ended: it is left out at once, until a definition is applied. For who comes after a
   * connection that was ended with it.
   */
  readonly endless?: Set<number>;
  /** Bounds, for tests. */
  readonly codeMs?: number;
  readonly definitionMs?: number;
}

type Outcome = { readonly isNew: boolean } | { readonly error: unknown; readonly isCanceled: boolean };

interface Table {
  /** 0: there is none of that name. */
  readonly oid: number;
  /** Rows of it bring a client's functions to run. */
  readonly runsCode: boolean;
}

export class Applier {
  readonly #writer: WriterId;
  readonly #connection: ClientBase;
  /** On another connection: it looks who blocks while the first one waits. */
  readonly #ask: Ask;
  readonly #pid: number;
  /** By the names that entries have for them. */
  readonly #tables = new Map<string, Table>();
  readonly #prepared = new Set<string>();
  readonly #codeMs: number;
  readonly #definitionMs: number;
  readonly #endless: Set<number>;
  /** So many are not to be tried together again. */
  #oneByOne = 0;

  private constructor(
    writer: WriterId,
    connection: ClientBase,
    watcher: ClientBase,
    { endless = new Set(), codeMs = CODE_MS, definitionMs = DEFINITION_MS }: ApplierOptions,
  ) {
    this.#writer = writer;
    this.#connection = connection;
    this.#ask = inTurn(watcher);
    this.#pid = pidOf(connection);
    this.#codeMs = codeMs;
    this.#definitionMs = definitionMs;
    this.#endless = endless;
  }

  /** Makes a superuser's connection one that applies, and does nothing else. */
  static async on(
    writer: WriterId,
    connection: ClientBase,
    watcher: ClientBase,
    options: ApplierOptions = {},
  ): Promise<Applier> {
    await connection.query('set session authorization dbproxy_apply');
    await connection.query(`select dbproxy.prepare_applier()`);
    return new Applier(writer, connection, watcher, options);
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
      if (await this.#applyTogether(together, rows.flat(), onBlocked)) return together.map(() => true);
      this.#oneByOne = rows.length;
    }
    const [first] = entries;
    if (!first) return [];
    const isNew = await this.applyAlone(first, onBlocked, how);
    if (this.#oneByOne > 0) this.#oneByOne--;
    return [isNew];
  }

  /** False: it was applied before. `leavesOut`: at once what is left out otherwise where it fails. */
  async applyAlone({ lsn, payload }: Entry, onBlocked: OnBlocked, how: LeftOut = {}): Promise<boolean> {
    await this.#forget();
    const stop = watchBlockers(this.#ask, this.#pid, (blockers) => onBlocked(lsn, blockers));
    const definitionMs = this.#definitionMsOf(payload);
    try {
      for (let tries = 1; ; tries++) {
        const stopDefinition = this.#watchDefinition(definitionMs);
        try {
          const isNew = await this.#applyOrLeaveOut(lsn, payload, how);
          if (definitionMs > 0) this.#endless.clear();
          return isNew;
        } catch (error) {
          if (await stopDefinition())
            throw new ApplyDiverged(lsn, `the definition had not ended after ${definitionMs} ms`, error);
          if (isPassing(error)) throw error;
          if (!isInternal(error) || tries === INTERNAL_TRIES)
            throw new ApplyDiverged(lsn, (error as Error).message, error);
          await delay(INTERNAL_MS);
        } finally {
          await stopDefinition();
        }
      }
    } finally {
      await stop();
    }
  }

  #watchDefinition(ms: number): () => Promise<boolean> {
    if (ms === 0) return () => Promise.resolve(false);
    return watchOverdue(this.#ask, this.#pid, ms, WAITS_FOR_NOBODY);
  }

  /** 0: there is none in it. */
  #definitionMsOf(payload: string): number {
    // Where a row has that text in it is no harm done.
    if (!payload.includes('"kind":"ddl"')) return 0;
    const tookMs = readPayload(payload).map((one) => (one.kind === 'ddl' ? (one.tookMs ?? 0) : 0));
    return this.#definitionMs + TIMES_ITS_TIME * tookMs.reduce((sum, one) => sum + one, 0);
  }

  /**
   * Where it does not fit, or takes too long, it may be by what a table has its rows bring to run, and what is not looked at again. Then by
   * a function in an index, which cannot be left out for one row: the index is, until somebody makes it anew.
   */
  async #applyOrLeaveOut(
    lsn: Lsn,
    payload: string,
    { leavesOut = false, withoutIndexes = [] }: LeftOut,
  ): Promise<boolean> {
    let firstError: unknown;
    if (!leavesOut && !(await this.#isEndless(payload))) {
      const first = await this.#bounded(this.#codeMs, () => this.#call(lsn, payload, false));
      if ('isNew' in first) return first.isNew;
      const within = first.isCanceled ? failedIn(first.error) : null;
      if (within !== null) this.#endless.add(within);
      if (isLost(first.error) || (!first.isCanceled && (isPassing(first.error) || isInternal(first.error))))
        throw first.error;
      firstError = first.error;
    }
    let boundMs = CODE_AGAIN * this.#codeMs + payload.length / BYTES_A_MS;
    let isTooLarge = false;
    for (const without = new Set(withoutIndexes); ;) {
      const again = await this.#bounded(boundMs, () =>
        this.#call(lsn, payload, true, [...without], isTooLarge),
      );
      if ('isNew' in again) return again.isNew;
      const { error, isCanceled } = again;
      if (isLost(error)) throw error;
      const table = isCanceled || !isPassing(error) ? failedIn(error) : null;
      boundMs *= 2;
      // It was at work with something else by then.
      if (isCanceled && table === null) continue;
      const within = await this.#within(table, isCanceled);
      const isNowTooLarge: boolean =
        !isTooLarge && table !== null && error instanceof DatabaseError && error.code === TOO_LARGE;
      isTooLarge ||= isNowTooLarge;
      if (!isNowTooLarge && within.every((one) => without.has(one)))
        throw isPassing(error) || isInternal(error) ? error : (firstError ?? error);
      for (const one of within) without.add(one);
    }
  }

  async #isEndless(payload: string): Promise<boolean> {
    if (this.#endless.size === 0) return false;
    for (const change of readPayload(payload))
      if (isRow(change) && this.#endless.has(await this.#oidOf(change.table))) return true;
    return false;
  }

  async #oidOf(table: string): Promise<number> {
    return (this.#tables.get(table) ?? (await this.#find(table))).oid;
  }

  /** What takes longer, at a table whose rows bring a client's code to run, is canceled; or the session ended. */
  async #bounded(ms: number, work: () => Promise<boolean>): Promise<Outcome> {
    const stop = watchOverdue(this.#ask, this.#pid, ms, RUNS_CODE);
    try {
      return { isNew: await work() };
    } catch (error) {
      return { error, isCanceled: await stop() };
    } finally {
      await stop();
    }
  }

  /**
   * A table that the entry itself makes is not there now: 0. `withItsOwners`: all of its owner, each of which could take as long as it did,
   * one after the other.
   */
  async #within(table: number | null, withItsOwners: boolean): Promise<readonly number[]> {
    if (table === null) return [];
    const { rows } = await this.#ask<{ oid: number }>(
      `select other.oid from pg_catalog.pg_class t join pg_catalog.pg_class other
           on other.oid operator(pg_catalog.=) t.oid or $2 and other.relowner operator(pg_catalog.=) t.relowner and other.relkind operator(pg_catalog.=) 'r'
        where t.oid operator(pg_catalog.=) $1`,
      [table, withItsOwners],
    );
    return rows.length === 0 ? [0] : rows.map(({ oid }) => oid);
  }

  async #call(
    lsn: Lsn,
    payload: string,
    leavesOut: boolean,
    withoutIndexes: readonly number[] = [],
    isTooLarge = false,
  ): Promise<boolean> {
    const { rows } = await this.#connection.query<{ is_new: boolean }>(
      `select dbproxy.apply($1, $2, $3, $4, $5) as is_new`,
      [lsn, payload, leavesOut, `{${withoutIndexes.join()}}`, isTooLarge],
    );
    return rows[0]?.is_new === true;
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

  /** False: nothing of it was kept. */
  async #applyTogether(
    entries: readonly Entry[],
    rows: readonly RowChange[],
    onBlocked: OnBlocked,
  ): Promise<boolean> {
    const stop = watchBlockers(this.#ask, this.#pid, (blockers) =>
      this.#blocked(entries, blockers, onBlocked),
    );
    try {
      const lsns = entries.map(({ lsn }) => lsn);
      const steps = [this.#step('mark', 'select dbproxy.mark_all($1)', [`{${lsns.join()}}`])];
      // Here no foreign key is checked and no trigger fires: rows of one table are nothing to another one.
      for (const [table, changes] of byTable(rows)) steps.push(this.#tableStep(table, changes));
      await sendTogether(this.#connection, steps);
      return true;
    } catch {
      return false;
    } finally {
      await stop();
    }
  }

  /** Which of several it is that waits is not known, and nobody is to wait for what the others have locked: they are given up. */
  async #blocked(
    [first, ...others]: readonly Entry[],
    blockers: readonly Blocker[],
    onBlocked: OnBlocked,
  ): Promise<void> {
    if (others.length > 0) await this.#ask('select pg_cancel_backend($1)', [this.#pid]);
    else if (first) onBlocked(first.lsn, blockers);
  }

  /** What a client's code leaves in the session is cleared away by dbproxy.apply only. */
  async #runCode(rows: readonly RowChange[]): Promise<boolean> {
    for (const { table } of rows) {
      const { runsCode } = this.#tables.get(table) ?? (await this.#find(table));
      if (runsCode) return true;
    }
    return false;
  }

  /** It is known by now (#thatGoTogether). */
  #tableStep(table: string, changes: readonly RowChange[]): Step {
    const oid = this.#tables.get(table)?.oid ?? 0;
    return this.#step(`apply_${oid}`, `select dbproxy.apply_${oid}($1, $2, $3, $4)`, [
      table,
      arrayOf(changes.map(({ kind }) => kind)),
      arrayOf(changes.map((change) => (change.kind === 'insert' ? null : JSON.stringify(change.key)))),
      arrayOf(changes.map((change) => (change.kind === 'delete' ? null : change.row))),
    ]);
  }

  async #find(table: string): Promise<Table> {
    const { rows } = await this.#connection.query<{ oid: number | null; runs_code: boolean }>(
      `select t as oid, exists (select from dbproxy.running_code where rel operator(pg_catalog.=) t) as runs_code from (select pg_catalog.to_regclass($1)::pg_catalog.oid) found(t)`,
      [table],
    );
    const found = { oid: rows[0]?.oid ?? 0, runsCode: rows[0]?.runs_code ?? false };
    this.#tables.set(table, found);
    return found;
  }

  #step(name: string, text: string, values: Step['values']): Step {
    if (this.#prepared.has(name)) return { name, values };
    this.#prepared.add(name);
    return { name, text, values };
  }

  /** What a table is called may change with whatever is not a row, and had changed where rows did not fit. */
  async #forget(): Promise<void> {
    this.#tables.clear();
    if (this.#prepared.size === 0) return;
    await this.#connection.query('deallocate all');
    this.#prepared.clear();
  }
}

const isRow = (change: Change): change is RowChange =>
  change.kind === 'insert' || change.kind === 'update' || change.kind === 'delete';

/** In the order in which they were made. */
function byTable(rows: readonly RowChange[]): Map<string, RowChange[]> {
  const tables = new Map<string, RowChange[]>();
  for (const row of rows) {
    const changes = tables.get(row.table);
    if (changes) changes.push(row);
    else tables.set(row.table, [row]);
  }
  return tables;
}

/** The text of an array of texts, or of a type that is written as text. */
const arrayOf = (values: readonly (string | null)[]): string =>
  `{${values.map((value) => (value === null ? 'NULL' : `"${value.replace(/[\\"]/g, '\\$&')}"`)).join()}}`;

/** Set by the server when it was connected; the types of `pg` do not tell. */
const pidOf = (connection: ClientBase): number => (connection as unknown as { processID: number }).processID;

/**
 * What came from elsewhere, or ends the session (the connection is lost), and SQLSTATEs that tell of the engine's state, and not of what is in it: 08, 40
 * (deadlocks), 53 (no room), 57 (canceled, shut down), 58 (the system), a lock that was not to be had, and 25006, of an engine
 * that is not promoted yet.
 */
const isPassing = (error: unknown): boolean =>
  !(error instanceof DatabaseError) ||
  error.severity === 'FATAL' ||
  (/^(08|40|53|57|58|55P03$|25006$)/.test(error.code ?? '') && !isOfCode(error));

/** The connection is, with it. */
export const isLost = (error: unknown): boolean =>
  !(error instanceof DatabaseError) || error.severity === 'FATAL';

/** A client's function, that a row has brought to run, says so, and may say it for ever. Contexts are in English (own-settings.ts). */
const isOfCode = (error: DatabaseError): boolean =>
  failedIn(error) !== null && /^(PL\/(?!pgSQL function dbproxy\.)|SQL function )/.test(error.where ?? '');

/**
 * Within the changes of which table it failed: its OID, or null. The context has the innermost call first, and the outermost one last, which
 * are ours, and in between whatever a client's code may have put there.
 */
export function failedIn(error: unknown): number | null {
  if (!(error instanceof DatabaseError)) return null;
  const { where = '', table } = error;
  const oid = /^[^\n"]*\bdbproxy\.require_written\(/.test(where)
    ? table
    : [...where.matchAll(/\bdbproxy\.apply_(\d+)\(/g)].at(-1)?.[1];
  return oid === undefined ? null : Number(oid);
}

const isInternal = (error: unknown): boolean =>
  error instanceof DatabaseError && error.code === INTERNAL_ERROR;
