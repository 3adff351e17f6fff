/** What the failure of an entry says of it. Contexts are in English (own-settings.ts). */
import { DatabaseError } from 'pg';
import type { Lsn } from '../protocol/index.js';

/** This engine is not what the log says: it has to stop, and be built again. Nothing of the entry was kept. */
export class ApplyDiverged extends Error {
  override readonly name = 'ApplyDiverged';
  readonly lsn: Lsn;

  constructor(lsn: Lsn, reason: string, cause: unknown) {
    super(`entry ${lsn} does not fit: ${reason}`, { cause });
    this.lsn = lsn;
  }
}

/**
 * SQLSTATEs that tell of the engine's state, and not of what is in it: 08, 40 (deadlocks), 53 (no room), 57 (canceled, shut down), 58 (the
 * system), a lock that was not to be had, and 25006, of an engine that is not promoted yet.
 */
const PASSES = /^(08|40|53|57|58|55P03$|25006$)/;
/** `tuple concurrently updated` is one: a client here has changed the same definition, and will not be let commit it. */
const INTERNAL_ERROR = 'XX000';
/** SQLSTATE program_limit_exceeded: a row has no room in an index, as it is compressed here. */
const TOO_LARGE = '54000';

const sqlstateOf = (error: unknown): string => (error instanceof DatabaseError ? (error.code ?? '') : '');

/** It came from elsewhere, or the connection is lost with it. */
export const isLost = (error: unknown): boolean =>
  !(error instanceof DatabaseError) || error.severity === 'FATAL';

/** It may be gone at the next try. */
export const isPassing = (error: unknown): boolean =>
  isLost(error) || (PASSES.test(sqlstateOf(error)) && !isOfCode(error));

export const isInternal = (error: unknown): boolean => sqlstateOf(error) === INTERNAL_ERROR;

export const isTooLarge = (error: unknown): boolean => sqlstateOf(error) === TOO_LARGE;

/** A client's function, that a row has brought to run, says so, and may say it for ever. */
const isOfCode = (error: unknown): boolean =>
  failedIn(error) !== null &&
  /^(PL\/(?!pgSQL function dbproxy\.)|SQL function )/.test((error as DatabaseError).where ?? '');

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
