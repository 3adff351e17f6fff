/**
 * What every kind of session state has in common. One file per kind; `kinds.ts` is the ordered list.
 *
 * `read` is a generator of questions: it yields one, is resumed with the rows of the answer, and returns the state. The
 * driver (look.ts) runs the generators of all kinds in lockstep, so that one round trip serves them all. `replay` gives the steps that bring a backend from the state `there` to the state `wanted`.
 */
import { arrayElements } from '../protocol/index.js';
import type { Rows } from './channel.js';
import type { SessionTracker } from './tracker.js';

/** A question to the engine. */
export type Ask =
  /** Scalar expressions; answered by one row of them. Those of all kinds become one SELECT. */
  | { readonly select: readonly string[] }
  /** SQL with exactly one statement that returns rows. */
  | { readonly sql: string }
  /** A cursor, which stays where it is; answered by a row for every column: name, type OID, type modifier. */
  | { readonly describe: string }
  /** One statement that returns rows, in a transaction of its own with exact output (exact.ts). */
  | { readonly exact: string }
  /** Several statements in one transaction of their own with exact output, COPY among them; their rows one after the other. */
  | { readonly exactly: readonly string[] }
  /** Statements that make a transaction of their own and commit it, and leave nothing that can be seen; their rows one after the other. */
  | { readonly committed: readonly string[] };

export interface ReadContext {
  readonly tracker: SessionTracker;
  /** Also look for what only `check` reports. */
  readonly thorough: boolean;
  /** Names of all settings that a session can set and everybody may read, as an array literal `{a,b}`. */
  readonly settableNames: string;
  /** Dotted names that may be custom settings. */
  readonly customNames: readonly string[];
  /** There were more of them than are kept. */
  readonly namesOverflowed: boolean;
  /** Also look for such names in the database's functions and role settings: once per database is enough. */
  readonly scanNames: boolean;
  /** Keeps names found in the database for the looks to come. */
  readonly rememberNames: (names: readonly string[]) => void;
  /** Also read contents (rows of temporary tables and cursors): the target is primary, and this session moves now. */
  readonly contents: boolean;
  readonly limits: MoveLimits;
  /** The session was seen to hold advisory locks, when it was at a safe point already. */
  readonly holdsLocks: boolean;
}

/** What a session may hold and still be moved. What exceeds one of them cannot move (`obstacle`). */
export interface MoveLimits {
  /** Contents of all temporary tables of a session, bytes. */
  readonly tempBytes: number;
  /** Rows of one held cursor. */
  readonly cursorRows: number;
  /** Estimated time of export and replay of a session, ms. */
  readonly sessionMs: number;
}

export const DEFAULT_LIMITS: MoveLimits = {
  tempBytes: 64 * 1024 * 1024,
  cursorRows: 100_000,
  sessionMs: 5_000,
};

/** Counts for the record of a switch. */
export interface StateMoved {
  readonly settings: number;
  readonly preparedStatements: number;
  readonly tempTables: number;
  readonly tempBytes: number;
  readonly cursors: number;
  readonly listens: number;
  readonly advisoryLocks: number;
  readonly sequences: number;
}

/** What moving a state is likely to take. */
export interface Estimate {
  readonly bytes: number;
  readonly ms: number;
}

/** Messages of one step, without the Sync that follows them. */
export interface ReplayStep {
  readonly messages: Buffer;
  /** How it ends: with its own ReadyForQuery (Query), or the driver adds Sync. */
  readonly ends: 'query' | 'sync';
  /** What it is, for error messages: `setting work_mem`. */
  readonly what: string;
  /** `fail`: the session cannot move. `carry`: the state is broken there too, go on. */
  readonly onError: 'fail' | 'carry';
  /** Name of the setting that is lost, which is reported and not fatal, when the target does not know it: `lostOn`, SQLSTATEs. */
  readonly setting?: string;
  readonly lostOn?: readonly string[];
  /** Name of the prepared statement that is broken if it fails. One after the other they share a Sync, as long as all go well. */
  readonly statement?: string;
  /**
   * Not before the target is a primary: a standby refuses it, or it would disturb the connection while it waits. Of one
   * kind either all steps or none (settings excepted).
   */
  readonly afterPromotion?: boolean;
}

export interface Summary {
  readonly count: number;
  /** `2 temporary tables: a, b` */
  readonly detail: string;
}

export interface StateKindModule<T> {
  /** The state of a session that never did anything of this kind. */
  readonly none: T;
  /** `previous` is what the last look found, or null. */
  read(context: ReadContext, previous: T | null): Generator<Ask, T, Rows>;
  /** Null: nothing of this kind is there. */
  summarize(state: T): Summary | null;
  /** Why this very state cannot move (`a temporary table of 70 MB, over the limit of 64 MB`); null: it can. */
  readonly obstacle?: (state: T, limits: MoveLimits) => string | null;
  /** What of it is lost by a move, or may be, because it cannot be read; it does not stand in the way. Null: nothing. */
  readonly mayLose?: (state: T) => string | null;
  /** It has contents that are read only when the session moves (ReadContext.contents). */
  readonly hasContents?: (state: T) => boolean;
  /** Other sessions can tell whether it is there: re-created for all sessions before any goes on. */
  readonly shared?: (state: T) => boolean;
  /** It speaks of objects that are not the session's own, or that others can drop, rename or give away. */
  readonly othersCanChange?: (state: T) => boolean;
  readonly counts?: (state: T) => Partial<StateMoved>;
  readonly estimate?: (state: T) => Estimate;
  /** Null: this kind cannot be moved. */
  readonly replay: ((wanted: T, there: T) => ReplayStep[]) | null;
}

/** An array literal of names (manual 8.15.2). */
export const arrayLiteral = (names: readonly string[]): string =>
  `{${names.map((name) => `"${name.replace(/(["\\])/g, '\\$1')}"`).join(',')}}`;

/** The elements of an array in text form, without NULLs. */
export const names = (array: string | null | undefined): string[] =>
  arrayElements(array ?? '{}').filter((element) => element !== null);

/** A string constant that reads the same whatever standard_conforming_strings says (manual 4.1.2.2). */
export const literal = (text: string): string => ` E'${text.replace(/(['\\])/g, '\\$1')}'`;

/** A name. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** `make` of the last text it was asked for is kept: settings' names are kilobytes, and nearly always the same. */
export const keepingLast = <T>(make: (text: string) => T): ((text: string) => T) => {
  let last: { readonly text: string; readonly made: T } | null = null;
  return (text) => {
    if (last?.text !== text) last = { text, made: make(text) };
    return last.made;
  };
};

/** `3 settings: a, b, c`, with at most five names. */
export const listed = (count: number, noun: string, names: readonly string[]): string => {
  const shown = names.slice(0, 5).join(', ') + (names.length > 5 ? ' …' : '');
  return `${count} ${noun}${count === 1 ? '' : 's'}${shown === '' ? '' : `: ${shown}`}`;
};
