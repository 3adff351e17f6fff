/**
 * Which requests of a session may commit a transaction: for the moment in which its engine dies, and the client is to be told
 * whether its transaction is surely gone (40001) or nobody knows (08007). A superset of those that do: every text with the word
 * COMMIT or END in it, or with PREPARE and TRANSACTION. In a transaction block nothing else commits: procedures and DO cannot.
 *
 * Only there while somebody wants to know (failover/cover.ts): each text is looked through for a few words, nothing is allocated.
 */

export class CommitWitness {
  /** The last request that may commit, counted as Exchange counts. */
  #last: number;
  /** Prepared statements that may. */
  readonly #statements = new Set<string>();

  /** `request`: the last one whose text was not seen. */
  constructor(request: number) {
    this.#last = request;
  }

  /** Of the requests from `answered` on, which have no answer yet. */
  mayHaveCommitted(answered: number): boolean {
    return this.#last >= answered;
  }

  query(buffer: Buffer, start: number, end: number, request: number): void {
    if (mayCommit(buffer, start + 5, end)) this.#last = request;
  }

  parse(buffer: Buffer, start: number, end: number): void {
    const text = buffer.indexOf(0, start + 5) + 1;
    const may = mayCommit(buffer, text, Math.min(end, buffer.indexOf(0, text)));
    if (!may && this.#statements.size === 0) return;
    const name = buffer.toString('latin1', start + 5, text - 1);
    if (may) this.#statements.add(name);
    else this.#statements.delete(name);
  }

  bind(buffer: Buffer, start: number, request: number): void {
    if (this.#statements.size === 0) return;
    const name = buffer.indexOf(0, start + 5) + 1;
    if (this.#statements.has(buffer.toString('latin1', name, buffer.indexOf(0, name)))) this.#last = request;
  }

  /** A text that nobody has seen. */
  tooLong(): void {
    this.#last = Infinity;
  }
}

const word = (text: string): readonly number[] => [...Buffer.from(text)];
const COMMIT = word('commit');
const END = word('end');
const PREPARE = word('prepare');
const TRANSACTION = word('transaction');

const mayCommit = (buffer: Buffer, start: number, end: number): boolean =>
  has(buffer, start, end, COMMIT) ||
  has(buffer, start, end, END) ||
  (has(buffer, start, end, PREPARE) && has(buffer, start, end, TRANSACTION));

/** As a word of its own, in any case. */
const has = (buffer: Buffer, start: number, end: number, letters: readonly number[]): boolean => {
  for (let at = start; at <= end - letters.length; at++) {
    let i = 0;
    while (i < letters.length && ((buffer[at + i] ?? 0) | 0x20) === letters[i]) i++;
    if (i < letters.length) continue;
    if (!isOfWord(at === start ? 0 : buffer[at - 1]) && !isOfWord(at + i >= end ? 0 : buffer[at + i]))
      return true;
  }
  return false;
};

const isOfWord = (code = 0): boolean => /\w/.test(String.fromCharCode(code)) || code >= 0x80;
