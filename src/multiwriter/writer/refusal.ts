/** What the client of a transaction that lost is told: which row, against whom. */
import { SCHEMA_KEY, type WriteSet } from '../engine/index.js';
import { labelOf, type Lsn, type Refusal, type Ruling, writerOf } from '../protocol/index.js';
import type { RefusedCommit } from './transaction.js';

const RETRY = 'Retry the transaction.';
/** Who tries again at once meets the same writer's next transaction (docs/multi-writer.md, "A row that is written all the time"). */
const RETRY_LATER = 'Retry the transaction after a short random wait.';
/** serialization_failure: what clients retry (manual, appendix A). */
const AGAIN = '40001';

/** A client's CancelRequest has ended a wait of ours; as PostgreSQL says it. */
export const CANCELED: RefusedCommit = {
  sqlstate: '57014',
  message: 'canceling statement due to user request',
};

export function refusalOf(
  writeSet: WriteSet,
  ruling: Ruling | null,
  refusals: readonly Refusal[],
): RefusedCommit {
  const against = whoWon(ruling, refusals);
  if (against) {
    const { key, lsn } = against;
    const message =
      key === SCHEMA_KEY
        ? 'could not serialize access: the definitions were changed by another writer'
        : 'could not serialize access: another writer committed first';
    return { sqlstate: AGAIN, message, detail: detailOf(writeSet, key, lsn), hint: RETRY_LATER };
  }
  const notTaken = refusals.find((refusal) => refusal.kind === 'not-taken');
  if (notTaken) return { sqlstate: '58000', message: `the transaction cannot be kept: ${notTaken.why}` };
  const isTooOld = ruling?.reason.kind === 'too-old' || refusals.some(({ kind }) => kind === 'too-old');
  return {
    sqlstate: AGAIN,
    message: isTooOld
      ? 'could not serialize access: the transaction began too long ago'
      : 'could not serialize access: the primary writer gave up this transaction',
    hint: RETRY,
  };
}

function whoWon(ruling: Ruling | null, refusals: readonly Refusal[]): { key: string; lsn: Lsn } | null {
  if (ruling?.reason.kind === 'loses') return { key: ruling.reason.key, lsn: ruling.reason.against };
  const conflict = refusals.find((refusal) => refusal.kind === 'conflict');
  return conflict ? { key: conflict.key, lsn: conflict.against } : null;
}

const detailOf = (writeSet: WriteSet, key: string, against: Lsn): string =>
  `${describeKey(writeSet, key)}: writer ${labelOf(writerOf(against))} has it, with LSN ${against}.`;

/** `Row (5) of public.account, by public.account_pkey`; of a key that is not a row's, the table or what it is. */
export function describeKey(writeSet: WriteSet, key: string): string {
  if (key === SCHEMA_KEY) return 'The definitions';
  const index = key.includes(':') ? key.slice(0, key.lastIndexOf(':')) : null;
  if (index === null) return `Table ${key}`;
  const row = writeSet.rows.get(key);
  return row ? `Row ${row.row} of ${row.table}, by ${index}` : `A row, by ${index}`;
}
