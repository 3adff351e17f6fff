/**
 * One entry by `dbproxy.apply`: what it means, and what becomes of it. Code of clients that it brings to run is bounded in time, and
 * left out where it fails or does not end; definitions are bounded, too.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { Lsn } from '../protocol/index.js';
import { ApplyDiverged, failedIn, isInternal, isLost, isPassing, isTooLarge } from './apply-failures.js';
import type { ApplyingSession } from './applying-session.js';
import { type OnBlocked, watchBlockers } from './blockers.js';
import { RUNS_CODE, WAITS_FOR_NOBODY, watchOverdue } from './overdue.js';
import { isRow, readPayload } from './write-set.js';

export interface Entry {
  readonly lsn: Lsn;
  readonly payload: string;
}

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

export class AloneApplier {
  readonly #session: ApplyingSession;
  readonly #codeMs: number;
  readonly #definitionMs: number;
  readonly #endless: Set<number>;

  constructor(
    session: ApplyingSession,
    { endless = new Set(), codeMs = CODE_MS, definitionMs = DEFINITION_MS }: ApplierOptions,
  ) {
    this.#session = session;
    this.#codeMs = codeMs;
    this.#definitionMs = definitionMs;
    this.#endless = endless;
  }

  /** False: it was applied before. `leavesOut`: at once what is left out otherwise where it fails. */
  async apply({ lsn, payload }: Entry, onBlocked: OnBlocked, how: LeftOut = {}): Promise<boolean> {
    await this.#session.forget();
    const stop = watchBlockers(this.#session.ask, this.#session.pid, (blockers) => onBlocked(lsn, blockers));
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
    return watchOverdue(this.#session.ask, this.#session.pid, ms, WAITS_FOR_NOBODY);
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
    let hasBeenTooLarge = false;
    for (const without = new Set(withoutIndexes); ;) {
      const again = await this.#bounded(boundMs, () =>
        this.#call(lsn, payload, true, [...without], hasBeenTooLarge),
      );
      if ('isNew' in again) return again.isNew;
      const { error, isCanceled } = again;
      if (isLost(error)) throw error;
      const table = isCanceled || !isPassing(error) ? failedIn(error) : null;
      boundMs *= 2;
      // It was at work with something else by then.
      if (isCanceled && table === null) continue;
      const within = await this.#within(table, isCanceled);
      const isNowTooLarge: boolean = !hasBeenTooLarge && table !== null && isTooLarge(error);
      hasBeenTooLarge ||= isNowTooLarge;
      if (!isNowTooLarge && within.every((one) => without.has(one)))
        throw isPassing(error) || isInternal(error) ? error : (firstError ?? error);
      for (const one of within) without.add(one);
    }
  }

  async #isEndless(payload: string): Promise<boolean> {
    if (this.#endless.size === 0) return false;
    for (const change of readPayload(payload))
      if (isRow(change) && this.#endless.has((await this.#session.table(change.table)).oid)) return true;
    return false;
  }

  /** What takes longer, at a table whose rows bring a client's code to run, is canceled; or the session ended. */
  async #bounded(ms: number, work: () => Promise<boolean>): Promise<Outcome> {
    const stop = watchOverdue(this.#session.ask, this.#session.pid, ms, RUNS_CODE);
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
    const { rows } = await this.#session.ask<{ oid: number }>(
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
    isTooLargeForText = false,
  ): Promise<boolean> {
    const { rows } = await this.#session.connection.query<{ is_new: boolean }>(
      `select dbproxy.apply($1, $2, $3, $4, $5) as is_new`,
      [lsn, payload, leavesOut, `{${withoutIndexes.join()}}`, isTooLargeForText],
    );
    return rows[0]?.is_new === true;
  }
}
