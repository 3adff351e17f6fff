/**
 * What is recognised in the text of statements because nothing else tells of it: LOAD (row 15), ON COMMIT
 * DELETE ROWS of temporary tables (row 10), setval (row 14), setseed (row 19). The hot path
 * compares bytes and allocates nothing until one of the words is there.
 */
import { splitStatements, stripLeadingComments } from './sql-statements.js';

/** LOAD statements kept of a session, at most, and the longest text that is looked at (bytes). */
const MAX_LOADS = 64;
const MAX_TEXT_BYTES = 64 * 1024;

/** Names of temporary tables kept of a session, at most. */
const MAX_TEMP_TABLES = 1_000;

const LOAD = [...Buffer.from('load')];
const TEMP = [...Buffer.from('temp')];
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
export type TempTablesImage = Pick<TempTables, 'missed'> & {
  readonly deleteRows: readonly (readonly [string, boolean])[];
};

const CREATE_TEMP =
  /^create\s+(?:(?:global\s+|local\s+)?temp(?:orary)?\s+table\s+(?:if\s+not\s+exists\s+)?(?:pg_temp\s*\.\s*)?|table\s+(?:if\s+not\s+exists\s+)?pg_temp\s*\.\s*)("(?:[^"]|"")+"|[\w$\x80-\xff]+)/i;
const DELETE_ROWS = /\bon\s+commit\s+delete\s+rows\b/i;

export class TempTables {
  /** By name: was the last one that was created ON COMMIT DELETE ROWS? */
  readonly deleteRows = new Map<string, boolean>();
  /** One was, or may have been, whose name is not known: in a function, renamed. */
  missed = false;

  save(): TempTablesImage {
    return { deleteRows: [...this.deleteRows], missed: this.missed };
  }

  restore({ deleteRows, missed }: TempTablesImage): void {
    for (const [name, deletes] of deleteRows) this.deleteRows.set(name, deletes);
    this.missed = missed;
  }

  /** `sql`: a text that holds the word, as bytes; null: it was too long. */
  collect(sql: string | null): void {
    if (sql === null) this.missed = true;
    for (const text of splitStatements(sql ?? '').map(stripLeadingComments)) {
      const [, name] = CREATE_TEMP.exec(text) ?? [];
      const deletes = DELETE_ROWS.test(text);
      if (name === undefined) this.missed ||= deletes;
      else this.#created(unquoted(name), deletes, /^[^"]*?\bif\s+not\s+exists\b/i.test(text));
    }
  }

  #created(name: string, deletes: boolean, unlessThere: boolean): void {
    const before = this.deleteRows.get(name);
    if (unlessThere && before !== undefined && before !== deletes) {
      // Whether the one of before was there still, nobody has told.
      this.deleteRows.delete(name);
      this.missed = true;
      return;
    }
    if (before !== undefined || this.deleteRows.size < MAX_TEMP_TABLES) this.deleteRows.set(name, deletes);
    else this.missed ||= deletes;
  }

  /** Some table is ON COMMIT DELETE ROWS, or may be. */
  get some(): boolean {
    return this.missed || this.#someDelete;
  }

  get #someDelete(): boolean {
    return [...this.deleteRows.values()].includes(true);
  }

  /** A table was renamed: which one, nobody looks for. */
  renamed(): void {
    if (this.#someDelete) this.missed = true;
  }
}

const unquoted = (name: string): string =>
  name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name.toLowerCase();

/** Looks through the SQL text `buffer[start, end)`. */
export const seeText = (
  buffer: Buffer,
  start: number,
  end: number,
  saw: {
    load(sql: string | null): void;
    temp(sql: string | null): void;
    setseed(): void;
    setval(): void;
  },
): void => {
  let load = false;
  let temp = false;
  for (let at = start; at < end - 3; at++) {
    const letter = (buffer[at] ?? 0) | 0x20;
    if (letter === 0x6c /* l */) load ||= hasWord(buffer, at, end, LOAD);
    else if (letter === 0x74 /* t */) temp ||= hasWord(buffer, at, end, TEMP);
    else if (letter === 0x73 /* s */) {
      if (hasWord(buffer, at, end, SETSEED)) saw.setseed();
      else if (hasWord(buffer, at, end, SETVAL)) saw.setval();
    }
  }
  if (!load && !temp) return;
  const sql = end - start > MAX_TEXT_BYTES ? null : buffer.toString('latin1', start, end);
  if (load) saw.load(sql);
  if (temp) saw.temp(sql);
};

const hasWord = (buffer: Buffer, at: number, end: number, word: readonly number[]): boolean => {
  if (at + word.length > end) return false;
  for (let i = 1; i < word.length; i++) if (((buffer[at + i] ?? 0) | 0x20) !== word[i]) return false;
  return true;
};
