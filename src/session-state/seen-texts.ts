/**
 * What is recognised in the text of statements because nothing else tells of it: LOAD (row 15), setval (row 14),
 * setseed (row 19). The hot path compares bytes and allocates nothing until one of the words is there.
 */
import { splitStatements, stripLeadingComments } from './sql-statements.js';

/** LOAD statements kept of a session, at most, and the longest text that is looked at (bytes). */
const MAX_LOADS = 64;
const MAX_TEXT_BYTES = 64 * 1024;

const LOAD = [...Buffer.from('load')];
const SETSEED = [...Buffer.from('setseed')];
const SETVAL = [...Buffer.from('setval')];

export class LoadStatements {
  /** Of simple queries, by what they were answered; and those that were parsed, which may have run since. */
  readonly #ran = new Set<string>();
  readonly #parsed = new Set<string>();
  /** Those of a query are answered in their order, and none after one that fails. */
  #asked: { request: number; texts: string[] }[] = [];
  /** One ran that was parsed before, or whose text could not be kept. */
  #othersRan = false;
  #missed = false;

  /** Ran, or may have. */
  get statements(): string[] {
    return [...new Set([...this.#ran, ...(this.#othersRan ? this.#parsed : [])])];
  }

  /** Some of the statements may have failed. */
  get unsure(): boolean {
    return this.#othersRan && this.#parsed.size > 1;
  }

  /** One ran that is not among the statements. */
  get unknown(): boolean {
    return this.#othersRan && (this.#missed || this.#parsed.size === 0);
  }

  save(): LoadsImage {
    return {
      ran: [...this.#ran],
      parsed: [...this.#parsed],
      asked: this.#asked,
      othersRan: this.#othersRan,
      missed: this.#missed,
    };
  }

  restore({ ran, parsed, asked, othersRan, missed }: LoadsImage): void {
    for (const text of ran) this.#ran.add(text);
    for (const text of parsed) this.#parsed.add(text);
    this.#asked = asked.map(({ request, texts }) => ({ request, texts: [...texts] }));
    this.#othersRan = othersRan;
    this.#missed = missed;
  }

  /** `sql`: a text that holds the word, as bytes. `request`: of the query that it is; null: it is parsed only. */
  collect(sql: string, request: number | null): void {
    const texts = splitStatements(sql)
      .map(stripLeadingComments)
      .filter((text) => /^load(?![\w$\x80-\xff])/i.test(text));
    if (texts.length === 0) return;
    if (request !== null) this.#asked = [...this.#asked, { request, texts }].slice(-MAX_LOADS);
    else if (this.#parsed.size + texts.length > MAX_LOADS) this.miss();
    else for (const text of texts) this.#parsed.add(text);
  }

  /** There was one that cannot be kept. */
  miss(): void {
    this.#missed = true;
  }

  /** One ran. */
  complete(request: number): void {
    const text = this.#asked.find((each) => each.request === request)?.texts.shift();
    if (text === undefined) this.#othersRan = true;
    else if (this.#ran.size < MAX_LOADS) this.#ran.add(text);
    else this.#missed = this.#othersRan = true;
  }

  /** Everything was answered: what has not run, failed. */
  settle(): void {
    this.#asked = [];
  }
}

export interface LoadsImage {
  readonly ran: readonly string[];
  readonly parsed: readonly string[];
  readonly asked: readonly { readonly request: number; readonly texts: readonly string[] }[];
  readonly othersRan: boolean;
  readonly missed: boolean;
}

/** Looks through the SQL text `buffer[start, end)`. */
export const seeText = (
  buffer: Buffer,
  start: number,
  end: number,
  saw: {
    load(sql: string | null): void;
    setseed(): void;
    setval(): void;
  },
): void => {
  let load = false;
  for (let at = start; at < end - 3; at++) {
    const letter = (buffer[at] ?? 0) | 0x20;
    if (letter === 0x6c /* l */) load ||= hasWord(buffer, at, end, LOAD);
    else if (letter === 0x73 /* s */) {
      if (hasWord(buffer, at, end, SETSEED)) saw.setseed();
      else if (hasWord(buffer, at, end, SETVAL)) saw.setval();
    }
  }
  if (!load) return;
  saw.load(end - start > MAX_TEXT_BYTES ? null : buffer.toString('latin1', start, end));
};

const hasWord = (buffer: Buffer, at: number, end: number, word: readonly number[]): boolean => {
  if (at + word.length > end) return false;
  for (let i = 1; i < word.length; i++) if (((buffer[at + i] ?? 0) | 0x20) !== word[i]) return false;
  return true;
};
