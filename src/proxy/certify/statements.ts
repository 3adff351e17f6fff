/**
 * What a statement's text means for the transaction that it is in: read by its first words only. Nothing rests on it but effort and
 * the moment of COMMIT: what wrote without looking like it is refused by the engine's guard.
 */
import type { RefusedCommit } from '../../multiwriter/writer/index.js';
import { splitStatements, stripLeadingComments } from '../../session-state/index.js';
import { changesReadMode, refusedSetting, saysSerializable } from './read-mode.js';

/** One prepared statement, all of them, or with all else that a session has. */
export type Dropped = { readonly name: string } | 'statements' | 'session';

export type Statement =
  | { readonly kind: 'begin'; readonly readOnly: boolean; readonly isSerializable: boolean }
  | { readonly kind: 'commit'; readonly chain: boolean }
  | { readonly kind: 'rollback'; readonly chain: boolean }
  /** Comes before the first query of a transaction. */
  | { readonly kind: 'set-transaction'; readonly isSerializable: boolean }
  /** SAVEPOINT and the like; what only works in a transaction block. */
  | { readonly kind: 'within' }
  /** SET, RESET, SHOW, DISCARD, DEALLOCATE: takes no snapshot. `sql`: it may change the read mode (read-mode.ts). */
  | { readonly kind: 'setting'; readonly sql: string | null; readonly drops: Dropped | null }
  /** May only read, or concerns this session or this engine alone. */
  | { readonly kind: 'read'; readonly holds: boolean; readonly sql: string | null }
  /** Concerns this engine's storage and configuration alone; much of it cannot run in a transaction block. */
  | { readonly kind: 'maintenance' }
  /** Prepared transactions, databases …: cannot be on several writers. Or a setting that means nothing. */
  | { readonly kind: 'refused'; readonly error: RefusedCommit; readonly endsBlock: boolean }
  | {
      readonly kind: 'write';
      readonly isDdl: boolean;
      readonly isCopy: boolean;
      readonly isTruncate: boolean;
      /** SELECT INTO, perhaps. */
      readonly makesTable: boolean;
      /** REASSIGN OWNED, of which no event trigger tells: its text, in the client's encoding read as latin1. */
      readonly reassigns: string | null;
      /** DECLARE of a cursor WITH HOLD, perhaps: it is run at the COMMIT (held-cursors.ts). */
      readonly holds: boolean;
      readonly sql: string | null;
    };

export interface Part {
  readonly text: string;
  readonly statement: Statement;
}

const DEALLOCATE = /^deallocate\s+(?:prepare\s+)?(?:"((?:[^"]|"")+)"|([^\s;"]+))/i;
const COPIES_OUT = /^copy\b(?!.*\bfrom\b)/is;
const ROLLS_BACK_TO = /^rollback\s+(work\s+|transaction\s+)?to\b/i;
const REFUSED =
  /^(prepare\s+transaction|commit\s+prepared|rollback\s+prepared|(?:create|alter|drop)\s+(?:database|tablespace|subscription|publication))\b/i;
/** ALTER DATABASE … SET: one of a role's settings, so to speak. */
const SETS_OF_DATABASE = /^alter\s+database\s+(?:"(?:[^"]|"")+"|[^\s;"]+)\s+(?:re)?set\s+(?!tablespace\b)/i;
const DDL =
  /^(create|alter|drop|comment|security\s+label|grant|revoke|import\s+foreign|refresh\s+materialized|reassign)\b/i;
/** Words that a reading statement does not have, as a rule. */
const WRITES = /\b(insert|update|delete|merge|truncate|into|create|drop|alter)\b/i;
/** Within a function it would not be seen. */
const HIDES_REASSIGN =
  /^(?:do|create\s+(?:or\s+replace\s+)?(?:function|procedure))\b.*\breassign\s+owned\b/is;
/** It would make the table, of which no event trigger tells. */
const EXPLAINS_MAKING =
  /^explain(?:\s+analy[sz]e(?:\s+verbose)?|\s*\([^)]*\banaly[sz]e\b[^)]*\))\s*(?:create\b|select\b[^']*?\binto\b)/i;
const SELECTS_INTO = /^(select|with)\b.*\binto\b/is;
const HOLDS = /^declare\b.*\bhold\b/is;
const CHAIN = /\band\s+chain\b/i;
const NO_CHAIN = /\band\s+no\s+chain\b/i;
const CALLS = /([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|"(?:[^"]|"")+")\s*\(/g;

/** May write, and nothing more is known of it. */
const SOME_WRITE: Statement = {
  kind: 'write',
  isDdl: false,
  isCopy: false,
  isTruncate: false,
  makesTable: false,
  reassigns: null,
  holds: false,
  sql: null,
};
/** Prepared by SQL: it may write. */
export const UNKNOWN_STATEMENT = SOME_WRITE;

/** `isVolatile`: may calling a function of that name write? */
export const statementOf = (text: string, isVolatile: (name: string) => boolean): Statement =>
  withoutComments(stripLeadingComments(text), isVolatile);

const FIRST_WORD = /^\w+/;

const withoutComments = (sql: string, isVolatile: (name: string) => boolean): Statement => {
  const word = (FIRST_WORD.exec(sql)?.[0] ?? '').toLowerCase();
  switch (word) {
    case 'begin':
      return begin(sql);
    case 'start':
      return /^start\s+transaction\b/i.test(sql) ? begin(sql) : write(word, sql);
    case 'end':
      return { kind: 'commit', chain: chains(sql) };
    case 'commit':
      return refusal(sql) ?? { kind: 'commit', chain: chains(sql) };
    case 'abort':
      return { kind: 'rollback', chain: chains(sql) };
    case 'rollback':
      if (ROLLS_BACK_TO.test(sql)) return { kind: 'within' };
      return refusal(sql) ?? { kind: 'rollback', chain: chains(sql) };
    case 'savepoint':
    case 'release':
    case 'lock':
      return { kind: 'within' };
    case 'set':
      if (/^set\s+(local\s+)?transaction\b/i.test(sql))
        return { kind: 'set-transaction', isSerializable: saysSerializable(sql) };
      return /^set\s+constraints\b/i.test(sql) ? SOME_WRITE : setting(sql);
    case 'reset':
    case 'show':
    case 'discard':
    case 'deallocate':
      return setting(sql);
    case 'checkpoint':
    case 'vacuum':
    case 'analyze':
    case 'analyse':
    case 'cluster':
    case 'reindex':
      return { kind: 'maintenance' };
    case 'alter':
      if (/^alter\s+system\b/i.test(sql)) return { kind: 'maintenance' };
      return SETS_OF_DATABASE.test(sql) ? write(word, sql) : (refusal(sql) ?? write(word, sql));
    case 'create':
    case 'drop':
      return refusal(sql) ?? write(word, sql);
    case 'prepare':
      return refusal(sql) ?? read(sql);
    case 'close':
      return read(sql);
    case 'explain':
      if (EXPLAINS_MAKING.test(sql)) return { kind: 'refused', error: explainedMaking, endsBlock: false };
      return mayWrite(sql, isVolatile) ? write(word, sql) : read(sql);
    case 'declare':
    case 'select':
    case 'values':
    case 'table':
    case 'listen':
    case 'unlisten':
    case 'notify':
    case 'fetch':
    case 'move':
    case 'load':
    case 'with':
      return mayWrite(sql, isVolatile) ? write(word, sql) : read(sql);
    case 'copy':
      return COPIES_OUT.test(sql) && !mayWrite(sql, isVolatile) ? read(sql) : write(word, sql);
    default:
      return write(word, sql);
  }
};

const begin = (sql: string): Statement => ({
  kind: 'begin',
  readOnly: /\bread\s+only\b/i.test(sql),
  isSerializable: saysSerializable(sql),
});
const chains = (sql: string): boolean => CHAIN.test(sql) && !NO_CHAIN.test(sql);
const changing = (sql: string): string | null => (changesReadMode(sql) ? sql : null);
const read = (sql: string): Statement => ({ kind: 'read', holds: HOLDS.test(sql), sql: changing(sql) });

const refusal = (sql: string): Statement | null => {
  const [, what] = REFUSED.exec(sql) ?? [];
  if (what === undefined) return null;
  return { kind: 'refused', error: notOnSeveral(what.toUpperCase().replace(/\s+/g, ' ')), endsBlock: true };
};

const setting = (sql: string): Statement => {
  const changes = changing(sql);
  const error = changes === null ? null : refusedSetting(sql);
  return error
    ? { kind: 'refused', error, endsBlock: false }
    : { kind: 'setting', sql: changes, drops: droppedBy(sql) };
};

const write = (word: string, sql: string): Statement => {
  if (HIDES_REASSIGN.test(sql)) return { kind: 'refused', error: hiddenReassign, endsBlock: false };
  const isDdl = DDL.test(sql) && !/^create\s+(local\s+|global\s+)?temp/i.test(sql);
  const reassigns = word === 'reassign' ? sql : null;
  const [isCopy, isTruncate] = [word === 'copy', word === 'truncate'];
  const holds = HOLDS.test(sql);
  const makesTable = SELECTS_INTO.test(sql);
  return { kind: 'write', isDdl, isCopy, isTruncate, makesTable, reassigns, holds, sql: changing(sql) };
};

const droppedBy = (sql: string): Dropped | null => {
  if (/^discard\s+all\b/i.test(sql)) return 'session';
  const [, quoted, name] = DEALLOCATE.exec(sql) ?? [];
  if (quoted !== undefined) return { name: quoted.replaceAll('""', '"') };
  if (name === undefined) return null;
  // ASCII only, as PostgreSQL does it in UTF8.
  return /^all$/i.test(name)
    ? 'statements'
    : { name: name.replace(/[A-Z]+/g, (upper) => upper.toLowerCase()) };
};

const mayWrite = (sql: string, isVolatile: (name: string) => boolean): boolean => {
  if (WRITES.test(sql)) return true;
  if (!sql.includes('(')) return false;
  for (const [, name = ''] of sql.matchAll(CALLS)) {
    const plain = name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name.toLowerCase();
    if (isVolatile(plain)) return true;
  }
  return false;
};

const notOnSeveral = (what: string): RefusedCommit => ({
  sqlstate: '0A000',
  message: `several writers do not offer ${what}`,
  hint:
    'It cannot be carried out on all of them at one position of the log.' +
    (/publication|subscription/i.test(what)
      ? ' pg_dump --no-publications --no-subscriptions makes a dump without them.'
      : ''),
});

const explainedMaking: RefusedCommit = {
  sqlstate: '0A000',
  message: 'several writers do not offer EXPLAIN ANALYZE of a statement that makes a table',
  hint: 'EXPLAIN it without ANALYZE, or EXPLAIN ANALYZE its query; then CREATE TABLE AS by itself.',
};

const hiddenReassign: RefusedCommit = {
  sqlstate: '0A000',
  message: 'several writers need REASSIGN OWNED as a statement of its own',
  hint: 'Send it by itself, in a transaction with others if need be; not in a DO block or a function.',
};

/** Of the transaction that it begins, or comes first in. */
export const mayMakeSerializable = (statement: Statement): boolean =>
  ('isSerializable' in statement && statement.isSerializable) ||
  (statement.kind === 'setting' && statement.sql !== null && saysSerializable(statement.sql));
export const isDdl = (statement: Statement): boolean => statement.kind === 'write' && statement.isDdl;
export const reassigns = (statement: Statement): statement is Statement & { reassigns: string } =>
  statement.kind === 'write' && statement.reassigns !== null;
/** Changes of rows have to be settled before it (SETTLE_QUERY); what definitions need the engine sees to. */
export const needsSettled = (statement: Statement): boolean =>
  statement.kind === 'maintenance' || isTruncate(statement);
export const holdsCursor = (statement: Statement): boolean => 'holds' in statement && statement.holds;
const isTruncate = (statement: Statement): boolean => statement.kind === 'write' && statement.isTruncate;
export const droppedByRunning = (statement: Statement): Dropped | null =>
  statement.kind === 'setting' ? statement.drops : null;
const TAKES_SNAPSHOT: ReadonlySet<Statement['kind']> = new Set(['write', 'read', 'maintenance']);
export const takesSnapshot = ({ kind }: Statement): boolean => TAKES_SNAPSHOT.has(kind);

const CONTROL: ReadonlySet<Statement['kind']> = new Set([
  'begin',
  'commit',
  'rollback',
  'set-transaction',
  'refused',
]);
/** Has to be carried out before the next one is, and is no part of a query with others. */
export const isByItself = (statement: Statement): boolean =>
  CONTROL.has(statement.kind) ||
  (statement.kind === 'write' && (statement.isDdl || statement.makesTable)) ||
  (statement.kind === 'setting' && statement.sql !== null) ||
  isTruncate(statement) ||
  reassigns(statement);

/** The statements of a simple query. */
export const statementsOf = (
  sql: string,
  isVolatile: (name: string) => boolean,
  standardConformingStrings = true,
): Part[] => {
  // Most are one, and need no lexer.
  const end = sql.indexOf(';');
  if (end < 0) return oneOf(sql, isVolatile);
  return /^;\s*$/.test(sql.slice(end))
    ? oneOf(sql.slice(0, end), isVolatile)
    : splitStatements(sql, standardConformingStrings).flatMap((text) => oneOf(text, isVolatile));
};

/** None, if it is empty. */
const oneOf = (text: string, isVolatile: (name: string) => boolean): Part[] => {
  const sql = stripLeadingComments(text);
  return sql.trim() === '' ? [] : [{ text, statement: withoutComments(sql, isVolatile) }];
};
