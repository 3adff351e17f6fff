/**
 * What a statement's text means for the transaction that it is in: read by its first words only. Nothing rests on it but effort and
 * the moment of COMMIT: what wrote without looking like it is refused by the engine's guard.
 */
import type { RefusedCommit } from '../../multiwriter/writer/index.js';
import { splitStatements, stripLeadingComments } from '../../session-state/index.js';
import { changesReadMode, refusedSetting } from './read-mode.js';

/** One prepared statement, all of them, or with all else that a session has. */
export type Dropped = { readonly name: string } | 'statements' | 'session';

export type Statement =
  | { readonly kind: 'begin'; readonly readOnly: boolean }
  | { readonly kind: 'commit'; readonly chain: boolean }
  | { readonly kind: 'rollback'; readonly chain: boolean }
  /** Comes before the first query of a transaction. */
  | { readonly kind: 'set-transaction' }
  /** SAVEPOINT and the like; what only works in a transaction block. */
  | { readonly kind: 'within' }
  /** SET, RESET, SHOW, DISCARD, DEALLOCATE: takes no snapshot. `sql`: it may change the read mode (read-mode.ts). */
  | { readonly kind: 'setting'; readonly sql: string | null; readonly drops: Dropped | null }
  /** May only read, or concerns this session or this engine alone. */
  | { readonly kind: 'read'; readonly sql: string | null }
  /** Concerns this engine's storage and configuration alone; much of it cannot run in a transaction block. */
  | { readonly kind: 'maintenance' }
  /** Prepared transactions, databases …: cannot be on several writers. Or a setting that means nothing. */
  | { readonly kind: 'refused'; readonly error: RefusedCommit; readonly endsBlock: boolean }
  | {
      readonly kind: 'write';
      readonly isDdl: boolean;
      readonly isCopy: boolean;
      readonly isTruncate: boolean;
      /** REASSIGN OWNED, of which no event trigger tells: its text, in the client's encoding read as latin1. */
      readonly reassigns: string | null;
      readonly sql: string | null;
    };

const READ = /^(select|values|table|listen|unlisten|notify|prepare|fetch|close|move|load|with|explain)\b/i;
const MAINTENANCE = /^(checkpoint|vacuum|analy[sz]e|cluster|reindex|alter\s+system)\b/i;
const SETTING = /^(set|reset|show|discard|deallocate)\b/i;
const DEALLOCATE = /^deallocate\s+(?:prepare\s+)?(?:"((?:[^"]|"")+)"|([^\s;"]+))/i;
const COPIES_OUT = /^copy\b(?!.*\bfrom\b)/is;
const WITHIN = /^(savepoint|release|lock|declare)\b|^rollback\s+(work\s+|transaction\s+)?to\b/i;
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
const CHAIN = /\band\s+chain\b/i;
const NO_CHAIN = /\band\s+no\s+chain\b/i;
const CALLS = /([A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*|"(?:[^"]|"")+")\s*\(/g;

/** May write, and nothing more is known of it. */
const SOME_WRITE: Statement = {
  kind: 'write',
  isDdl: false,
  isCopy: false,
  isTruncate: false,
  reassigns: null,
  sql: null,
};
/** Prepared by SQL: it may write. */
export const UNKNOWN_STATEMENT = SOME_WRITE;

/** `isVolatile`: may calling a function of that name write? */
export const statementOf = (text: string, isVolatile: (name: string) => boolean): Statement => {
  const sql = stripLeadingComments(text);
  const chain = CHAIN.test(sql) && !NO_CHAIN.test(sql);
  const refused = SETS_OF_DATABASE.test(sql) ? null : REFUSED.exec(sql);
  if (refused) {
    const what = (refused[1] ?? '').toUpperCase().replace(/\s+/g, ' ');
    return { kind: 'refused', error: notOnSeveral(what), endsBlock: true };
  }
  const changing = changesReadMode(sql) ? sql : null;
  if (/^(begin|start\s+transaction)\b/i.test(sql))
    return { kind: 'begin', readOnly: /\bread\s+only\b/i.test(sql) };
  if (/^(commit|end)\b/i.test(sql)) return { kind: 'commit', chain };
  if (WITHIN.test(sql)) return { kind: 'within' };
  if (/^(rollback|abort)\b/i.test(sql)) return { kind: 'rollback', chain };
  if (/^set\s+(local\s+)?transaction\b/i.test(sql)) return { kind: 'set-transaction' };
  if (/^set\s+constraints\b/i.test(sql)) return SOME_WRITE;
  if (SETTING.test(sql)) {
    const error = changing === null ? null : refusedSetting(sql);
    return error
      ? { kind: 'refused', error, endsBlock: false }
      : { kind: 'setting', sql: changing, drops: droppedBy(sql) };
  }
  if (MAINTENANCE.test(sql)) return { kind: 'maintenance' };
  if ((READ.test(sql) || COPIES_OUT.test(sql)) && !mayWrite(sql, isVolatile))
    return { kind: 'read', sql: changing };
  const isDdl = DDL.test(sql) && !/^create\s+(local\s+|global\s+)?temp/i.test(sql);
  if (HIDES_REASSIGN.test(sql)) return { kind: 'refused', error: hiddenReassign, endsBlock: false };
  const reassigns = /^reassign\b/i.test(sql) ? sql : null;
  const isCopy = /^copy\b/i.test(sql);
  const isTruncate = /^truncate\b/i.test(sql);
  return { kind: 'write', isDdl, isCopy, isTruncate, reassigns, sql: changing };
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
  if (/^(prepare|close)\b/i.test(sql)) return false;
  if (WRITES.test(sql)) return true;
  for (const [, name = ''] of sql.matchAll(CALLS)) {
    const plain = name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name.toLowerCase();
    if (isVolatile(plain)) return true;
  }
  return false;
};

const notOnSeveral = (what: string): RefusedCommit => ({
  sqlstate: '0A000',
  message: `several writers do not offer ${what}`,
  hint: 'It cannot be carried out on all of them at one position of the log.',
});

const hiddenReassign: RefusedCommit = {
  sqlstate: '0A000',
  message: 'several writers need REASSIGN OWNED as a statement of its own',
  hint: 'Send it by itself, in a transaction with others if need be; not in a DO block or a function.',
};

export const isDdl = (statement: Statement): boolean => statement.kind === 'write' && statement.isDdl;
export const reassigns = (statement: Statement): statement is Statement & { reassigns: string } =>
  statement.kind === 'write' && statement.reassigns !== null;
/** Changes of rows have to be settled before it (SETTLE_QUERY); what definitions need the engine sees to. */
export const needsSettled = (statement: Statement): boolean =>
  statement.kind === 'maintenance' || isTruncate(statement);
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
/** Has to be carried out before the next one is. */
export const isControl = (statement: Statement): boolean =>
  CONTROL.has(statement.kind) ||
  (statement.kind === 'setting' && statement.sql !== null) ||
  isTruncate(statement) ||
  reassigns(statement);

/** The statements of a simple query. */
export const statementsOf = (
  sql: string,
  isVolatile: (name: string) => boolean,
): { text: string; statement: Statement }[] => {
  // Most are one, and need no lexer.
  const end = sql.indexOf(';');
  const texts = end < 0 || /^;\s*$/.test(sql.slice(end)) ? [sql.replace(/;\s*$/, '')] : splitStatements(sql);
  return texts
    .filter((text) => stripLeadingComments(text).trim() !== '')
    .map((text) => ({ text, statement: statementOf(text, isVolatile) }));
};
