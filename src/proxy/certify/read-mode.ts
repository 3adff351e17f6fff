/**
 * What a session's reads have to see: its settings `dbproxy.read_mode` and `dbproxy.read_after`, wherever they come from (SET, SET
 * LOCAL, PGOPTIONS, ALTER ROLE, ALTER DATABASE). And, asked with them, whether its transactions are SERIALIZABLE by default.
 *
 *   session begins, a statement may have changed one, the block ends in which it did ─▶ stale ─ next statement ─▶ asked for ─▶ known
 *
 * The engine is asked, and not the statement's text, which tells only when to ask. Within a block, before its first query, it is asked
 * by SHOW: that takes no snapshot, which a SELECT would, too early.
 */
import { readPosition } from '../../multiwriter/engine/index.js';
import type { ReadDemand, RefusedCommit } from '../../multiwriter/writer/index.js';
import type { OwnQueries } from './own-queries.js';

const MODE = 'dbproxy.read_mode';
const AFTER = 'dbproxy.read_after';
const NAMES = [MODE, AFTER] as const;
const MODES: ReadonlySet<string> = new Set(['', 'instance', 'session', 'global']);

const ISOLATION = 'default_transaction_isolation';
const ASKED = [...NAMES, ISOLATION] as const;

const SELECT = `select ${ASKED.map((name) => `pg_catalog.current_setting('${name}', true)`).join(', ')}`;
/** May it change one of them? */
const CHANGES =
  /\bset_config\b|\bdbproxy"?\s*\.\s*"?read_|^\s*(?:set|reset)\s[^;]*transaction_isolation\b|^\s*set\s+session\s+characteristics\b|^\s*(reset|discard)\s+all\b/i;
const SERIALIZABLE = /\bserializable\b/i;
/** Characters of a statement: who hides it behind more is not heard. */
const LOOKED_AT = 8_192;
const SETS =
  /^(?:set\s+(?:session\s+|local\s+)?|reset\s+)"?dbproxy"?\s*\.\s*"?(read_mode|read_after)"?(?:\s*(?:=|\bto\b)\s*(?:'((?:[^']|'')*)'|([\w-]+))\s*)?$/i;

/** `sql`: without leading comments. */
export const changesReadMode = (sql: string): boolean => CHANGES.test(sql.slice(0, LOOKED_AT));

export const saysSerializable = (sql: string): boolean => SERIALIZABLE.test(sql.slice(0, LOOKED_AT));

/** A SET of a value that means nothing, as far as its text shows it; what it shows not is refused at the next statement. */
export const refusedSetting = (sql: string): RefusedCommit | null => {
  const [, name = '', quoted, word] = SETS.exec(sql) ?? [];
  const given = quoted?.replaceAll("''", "'") ?? (word && !/^default$/i.test(word) ? word : '');
  const demand = demandOf(
    name.toLowerCase() === 'read_mode' ? given : '',
    name.toLowerCase() === 'read_after' ? given : '',
  );
  return 'sqlstate' in demand ? demand : null;
};

export class ReadMode {
  #isStale = true;
  #changedInBlock = false;
  /** Those that the engine's session has: SHOW of another one would be an error. */
  readonly #has = new Set<string>();
  #demand: ReadDemand | RefusedCommit = ANYTHING;
  #mayBeSerializable = false;

  /** Another engine's session. */
  begin(): void {
    this.#has.clear();
    this.#isStale = true;
  }

  /** The statement has run, or will have when it is asked. */
  changed(sql: string, isInBlock: boolean): void {
    this.#isStale = true;
    this.#changedInBlock ||= isInBlock;
    const [, name] = SETS.exec(sql) ?? [];
    if (name) this.#has.add(`dbproxy.${name.toLowerCase()}`);
  }

  /** What was changed in it may be as it was before. */
  blockEnded(): void {
    this.#isStale ||= this.#changedInBlock;
    this.#changedInBlock = false;
  }

  /** A transaction that begins now, and whose BEGIN does not say: by its default, as far as that is known. */
  get mayBeSerializable(): boolean {
    return this.#isStale || this.#mayBeSerializable;
  }

  /** There is nothing to ask and nothing to wait for. */
  get isIdle(): boolean {
    return !this.#isStale && this.#demand === ANYTHING;
  }

  /** What the next snapshot has to show; or why that cannot be told. Nothing of the client's is under way. */
  async demand(queries: Pick<OwnQueries, 'ask'>, isInBlock: boolean): Promise<ReadDemand | RefusedCommit> {
    if (!this.#isStale) return this.#demand;
    const values = isInBlock ? await this.#show(queries) : await this.#select(queries);
    if (values) {
      this.#isStale = false;
      this.#demand = demandOf(values.get(MODE) ?? '', values.get(AFTER) ?? '');
      this.#mayBeSerializable = saysSerializable(values.get(ISOLATION) ?? '');
    }
    return this.#demand;
  }

  async #select(queries: Pick<OwnQueries, 'ask'>): Promise<Map<string, string> | null> {
    const { sets, error, skipped } = await queries.ask(SELECT);
    if (error || skipped) return null;
    const values = new Map<string, string>();
    ASKED.forEach((name, i) => {
      const given = sets[0]?.[0]?.[i] ?? null;
      if (given !== null) values.set(name, given);
    });
    this.#has.clear();
    for (const name of values.keys()) this.#has.add(name);
    return values;
  }

  async #show(queries: Pick<OwnQueries, 'ask'>): Promise<Map<string, string> | null> {
    const names = [...new Set([...this.#has, ISOLATION])];
    const { sets, error, skipped } = await queries.ask(names.map((name) => `show ${name}`).join('; '));
    if (error || skipped) return null;
    return new Map(names.map((name, i) => [name, sets[i]?.[0]?.[0] ?? '']));
  }
}

/** Whatever is in the engine. */
const ANYTHING: ReadDemand = { isGlobal: false, position: null };

/** `session` is `instance` where a client stays on its writer: its own commits are there. */
const demandOf = (mode: string, after: string): ReadDemand | RefusedCommit => {
  const given = mode.trim().toLowerCase();
  if (!MODES.has(given))
    return { ...invalid(MODE, mode), hint: 'Available values: instance, session, global.' };
  const position = after.trim() === '' ? null : readPosition(after);
  if (position === undefined)
    return { ...invalid(AFTER, after), hint: 'It is what SELECT dbproxy.position() gave on another writer.' };
  const isGlobal = given === 'global';
  return isGlobal || position ? { isGlobal, position } : ANYTHING;
};

const invalid = (name: string, value: string): RefusedCommit => ({
  sqlstate: '22023',
  message: `invalid value for parameter "${name}": "${value}"`,
});

export const isRefused = (demand: ReadDemand | RefusedCommit): demand is RefusedCommit =>
  'sqlstate' in demand;
