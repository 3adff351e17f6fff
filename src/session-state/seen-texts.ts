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
  readonly statements = new Set<string>();
  /** How many passed by, repeated ones too. */
  seen = 0;
  /** There was one that could not be kept. */
  missed = false;

  save(): LoadsImage {
    return { statements: [...this.statements], seen: this.seen, missed: this.missed };
  }

  restore({ statements, seen, missed }: LoadsImage): void {
    for (const statement of statements) this.statements.add(statement);
    this.seen = seen;
    this.missed = missed;
  }

  /** `sql`: a text that holds the word, as bytes. */
  collect(sql: string): void {
    for (const text of splitStatements(sql).map(stripLeadingComments)) {
      if (!/^load(?![\w$\x80-\xff])/i.test(text)) continue;
      this.seen++;
      if (this.statements.size >= MAX_LOADS) this.missed = true;
      else this.statements.add(text);
    }
  }
}

export type LoadsImage = Pick<LoadStatements, 'seen' | 'missed'> & { readonly statements: readonly string[] };

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
