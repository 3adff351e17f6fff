/**
 * What is where below the prefix, and how revisions of etcd are LSNs.
 *
 *   store                          which store this is
 *   log/e/<writer>/<incarnation>/<number>   an entry: a transaction that has committed
 *   log/primary, log/turn          who leads; who asks the others for a moment
 *   head                           changed by every commit: its revision is that of the newest entry
 *   large                          changed by commits with too many keys to mark each of them
 *   key/<key>\0<mode>              a mark: changed by every commit that uses the key in that mode
 *   piece/<writer>/<incarnation>/<number>/<n>   of an entry that is too large for one request
 *   writer/<writer>                its incarnation, and how far back it still looks
 *   truncated                      up to where entries may be missing
 */
import { BLOCK_LSNS, lsn, type Lsn, WRITER_SLOTS, type WriterId } from '../protocol/lsn.js';
import type { KeyUse, Proposal } from '../protocol/index.js';
import { type Compare, endOf, type Operation } from './client.js';

const ROTATION_LSNS = BLOCK_LSNS * WRITER_SLOTS;
/** Marks of one transaction; what else it compares and puts has to fit into etcd's 128, too. */
export const MAX_MARKS = 120;

/**
 * A commit's LSN is made of its revision, so that the order of the log, of revisions and of LSNs is one, and made so that it is in a
 * block of its writer. 2^53 of them are used up after 5 · 10^11 revisions: at 1 000 a second in 17 years.
 */
export const lsnAt = (revision: number, writer: WriterId): Lsn =>
  lsn(revision * ROTATION_LSNS + writer * BLOCK_LSNS);

export const revisionOf = (at: Lsn): number => Math.floor(at / ROTATION_LSNS);

/** Names a transaction until it has an LSN; in a block of its writer, and no LSN ever. */
export const ticketOf = (number: number, writer: WriterId): Lsn => lsn(lsnAt(number, writer) + 1);

export interface EntryName {
  readonly writer: WriterId;
  readonly incarnation: number;
  readonly number: number;
}

export class Layout {
  readonly #prefix: string;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  get everything(): string {
    return `${this.#prefix}/`;
  }
  get store(): string {
    return `${this.#prefix}/store`;
  }
  get log(): string {
    return `${this.#prefix}/log/`;
  }
  get entries(): string {
    return `${this.log}e/`;
  }
  get primary(): string {
    return `${this.log}primary`;
  }
  get turn(): string {
    return `${this.log}turn`;
  }
  get head(): string {
    return `${this.#prefix}/head`;
  }
  get large(): string {
    return `${this.#prefix}/large`;
  }
  get marks(): string {
    return `${this.#prefix}/key/`;
  }
  get writers(): string {
    return `${this.#prefix}/writer/`;
  }
  get truncated(): string {
    return `${this.#prefix}/truncated`;
  }
  get #everyPiece(): string {
    return `${this.#prefix}/piece/`;
  }

  /** All that is kept; what somebody else has below the prefix stays. */
  removal(): Operation[] {
    const keys = [this.store, this.head, this.large, this.truncated];
    return [
      ...keys.map((remove) => ({ remove })),
      ...this.#ranges.map((remove) => ({ remove, end: endOf(remove) })),
    ];
  }

  get #ranges(): string[] {
    return [this.log, this.marks, this.writers, this.#everyPiece];
  }

  /** Stores above this one which, if there are any, take what is here for their own. */
  outer(): Layout[] {
    const names = this.#prefix.split('/');
    return names
      .map((_, count) => new Layout(names.slice(0, count).join('/')))
      .filter((outer) => outer.#ranges.some((range) => this.everything.startsWith(range)));
  }

  writer(writer: WriterId): string {
    return `${this.writers}${writer}`;
  }
  entry({ writer, incarnation, number }: EntryName): string {
    return `${this.entries}${writer}/${incarnation}/${number}`;
  }
  /** Null: it is no entry's. */
  nameOf(key: string): EntryName | null {
    if (!key.startsWith(this.entries)) return null;
    const [writer, incarnation, number] = key.slice(this.entries.length).split('/').map(Number);
    return { writer: writer ?? 0, incarnation: incarnation ?? 0, number: number ?? 0 };
  }
  piecesOf(writer: WriterId): string {
    return `${this.#everyPiece}${writer}/`;
  }
  pieces({ writer, incarnation, number }: EntryName): string {
    return `${this.piecesOf(writer)}${incarnation}/${number}/`;
  }
  piece(name: EntryName, index: number): string {
    return `${this.pieces(name)}${index}`;
  }

  /** Nothing that excludes this proposal has committed since the revision it was judged by, or the transaction does nothing. */
  compares({ keys }: Pick<Proposal, 'keys'>, judgedBy: number): Compare[] {
    const changedBefore = judgedBy + 1;
    if (keys.length > MAX_MARKS) return [{ key: this.head, changedBefore }];
    return [
      { key: this.large, changedBefore },
      ...keys.map((use) => ({ ...this.#excluding(use), changedBefore })),
    ];
  }

  /** What lets others find it. */
  puts({ keys }: Pick<Proposal, 'keys'>): Operation[] {
    if (keys.length > MAX_MARKS) return [{ put: this.large, value: '' }];
    return keys.map(({ key, mode }) => ({ put: this.#mark(key, LETTERS[mode]), value: '' }));
  }

  /** The marks of those that exclude this use are next to each other: a comparison takes a range. */
  #excluding({ key, mode }: KeyUse): { key: string; end: string } {
    const from = { exclusive: LETTERS.shared, update: LETTERS.update, shared: LETTERS.exclusive }[mode];
    return { key: this.#mark(key, from), end: this.#mark(key, BEHIND_ALL) };
  }

  #mark(key: string, letter: string): string {
    return `${this.marks}${key}\0${letter}`;
  }
}

/** In this order: `exclusive` excludes all of them, `update` itself and what follows, `shared` only the last. */
const LETTERS: Readonly<Record<KeyUse['mode'], string>> = { shared: 's', update: 'u', exclusive: 'x' };
const BEHIND_ALL = 'y';
