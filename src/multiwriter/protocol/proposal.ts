/** What a writer proposes: one transaction's write-set, the keys it is certified by, and what it had seen. */
import type { Lsn, WriterId } from './lsn.js';
import { writerOf } from './lsn.js';
import { includes, type Vector } from './vector.js';

/**
 * How a transaction uses a key, as PostgreSQL's row locks do: `exclusive` inserts, deletes or changes it (FOR UPDATE), `update`
 * leaves it as it is (FOR NO KEY UPDATE), `shared` refers to it (FOR KEY SHARE).
 */
export type KeyMode = 'exclusive' | 'update' | 'shared';

export interface KeyUse {
  /** Table, index and hash of the value; two uses of one string are uses of one key. */
  readonly key: string;
  readonly mode: KeyMode;
}

/** A transaction's write-set, with its keys and all; several of them fit into one message of the primary's. */
export const MAX_PROPOSAL_BYTES = 16 * 1024 * 1024;
/** For the client of one that is larger. */
export const TOO_LARGE_HINT =
  'Write it in smaller transactions. To load very many rows, do so while there is one writer, and add others then: dbproxy down, dbproxy up --writers 2.';

export interface Proposal {
  /** Names the transaction, for ever. */
  readonly lsn: Lsn;
  /** The LSN this writer gave out before: what lies between is void. */
  readonly previous: Lsn;
  readonly incarnation: number;
  /** What was applied in the transaction's snapshot. */
  readonly base: Vector;
  readonly keys: readonly KeyUse[];
  /** The row images, opaque to the store. */
  readonly payload: string;
  /** How often the client tried this before; for the policy. */
  readonly retries: number;
  /** Higher goes first, where the policy asks for it. */
  readonly priority: number;
}

export const proposerOf = (proposal: Proposal): WriterId => writerOf(proposal.lsn);

const compatible: Readonly<Record<KeyMode, readonly KeyMode[]>> = {
  exclusive: [],
  update: ['shared'],
  shared: ['shared', 'update'],
};
export const areCompatible = (a: KeyMode, b: KeyMode): boolean => compatible[a].includes(b);

/** The first key that both use in modes that exclude each other. */
export const commonKey = (a: Pick<Proposal, 'keys'>, b: Pick<Proposal, 'keys'>): string | null => {
  const modes = new Map<string, KeyMode[]>();
  for (const { key, mode } of a.keys) modes.set(key, [...(modes.get(key) ?? []), mode]);
  const common = b.keys.find(({ key, mode }) => modes.get(key)?.some((other) => !areCompatible(mode, other)));
  return common?.key ?? null;
};

/**
 * Do two transactions of different writers exclude each other: a common key, and neither had seen the other? Those of one writer
 * are kept apart by the locks of its engine; a restarted writer proposes nothing until it has applied all of its predecessor.
 */
export const conflict = (a: Proposal, b: Proposal): boolean =>
  proposerOf(a) !== proposerOf(b) &&
  !includes(a.base, b.lsn) &&
  !includes(b.base, a.lsn) &&
  commonKey(a, b) !== null;
