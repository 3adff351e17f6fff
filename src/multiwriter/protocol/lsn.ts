/**
 * LSNs of the store, and who may use which.
 *
 * The LSNs are cut into blocks, and block b belongs to writer `b mod WRITER_SLOTS`: ranges of two writers cannot overlap, by
 * arithmetic. A writer that has applied a higher foreign LSN goes on in its first block above it, without asking anybody, so
 * that the order of LSNs extends the causal order. How far up anybody may go, the ceiling, is raised by the decision log: a
 * restarted writer begins at the ceiling that its predecessor had to keep below, so that no LSN is used twice.
 */

export type Lsn = number & { readonly __brand: 'Lsn' };
/** Index of a writer, 0 to WRITER_SLOTS − 1. */
export type WriterId = number;

/** As many as the step of the sequences, which are divided between writers in the same way. */
export const WRITER_SLOTS = 16;
/**
 * A writer moves to a new block whenever it has applied a newer foreign LSN, which leaves the rest of the block void. With blocks of
 * 65 536 two writers that take turns 250 times a second would use up 2^53 LSNs within a year; with these it is 60 years.
 */
export const BLOCK_LSNS = 1_024;
const ROTATION_LSNS = BLOCK_LSNS * WRITER_SLOTS;
/** How far the ceiling is raised at a time: a million times taking turns. */
export const RAISE_LSNS = ROTATION_LSNS * 2 ** 20;

export const lsn = (value: number): Lsn => value as Lsn;
export const NO_LSN = lsn(0);
export const FIRST_LSN = lsn(ROTATION_LSNS);

/** Whose block it is in. */
export const writerOf = (at: Lsn): WriterId => Math.floor(at / BLOCK_LSNS) % WRITER_SLOTS;

/** As people say it, who count from 1: `w1`. */
export const labelOf = (writer: WriterId): string => `w${writer + 1}`;

/** First LSN of the writer's first block that begins at or above `at`. */
const firstBlockFrom = (writer: WriterId, at: number): Lsn => {
  const block = Math.ceil(at / BLOCK_LSNS);
  const ahead = (writer - (block % WRITER_SLOTS) + WRITER_SLOTS) % WRITER_SLOTS;
  return lsn((block + ahead) * BLOCK_LSNS);
};

/** Gives out the LSNs of one incarnation of a writer, in rising order. */
export class LsnAllocator {
  readonly #writer: WriterId;
  #ceiling: Lsn;
  #next: Lsn;

  constructor(writer: WriterId, from: Lsn, ceiling: Lsn) {
    this.#writer = writer;
    this.#ceiling = ceiling;
    this.#next = firstBlockFrom(writer, from);
  }

  /** The next LSN; null while the ceiling is reached. */
  take(): Lsn | null {
    const taken = this.#next;
    if (taken >= this.#ceiling) return null;
    const following = lsn(taken + 1);
    this.#next = writerOf(following) === this.#writer ? following : firstBlockFrom(this.#writer, following);
    return taken;
  }

  /** A foreign LSN was applied: whatever comes next is above it. */
  observe(foreign: Lsn): void {
    if (foreign >= this.#next) this.#next = firstBlockFrom(this.#writer, foreign + 1);
  }

  raise(ceiling: Lsn): void {
    this.#ceiling = ceiling;
  }

  /** Time to have the ceiling raised. */
  get runsLow(): boolean {
    return this.#ceiling - this.#next < RAISE_LSNS / 4;
  }
}
