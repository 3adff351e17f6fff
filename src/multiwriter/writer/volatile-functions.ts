/**
 * Names of functions that may write, for statements that only seem to read: read from the engine now and then. A hint that may be old,
 * since the engine's guard sees what it missed; but what a session has just created it calls next (CREATE FUNCTION f; SELECT f()).
 */
import type { WriteSet } from '../engine/index.js';

/** How often they are read. */
const AGAIN_MS = 2_000;
/** Functions of PostgreSQL and of ours that write. */
const WRITING = ['setval', 'txn_id'];
const NAMES_QUERY = `select distinct proname as name from pg_catalog.pg_proc p
  where provolatile = 'v' and pronamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, 'dbproxy'::regnamespace)`;
const CREATES = /^CREATE (?:FUNCTION|PROCEDURE)$/;
const NAME = /\b(?:function|procedure)\s+(?:(?:"(?:[^"]|"")+"|[\w$]+)\s*\.\s*)?("(?:[^"]|"")+"|[\w$]+)/i;

export class VolatileFunctions {
  #read: ReadonlySet<string> = new Set(WRITING);
  /** Created here, and perhaps not read yet. */
  readonly #created = new Set<string>();
  #readAt = 0;

  has(name: string): boolean {
    return this.#read.has(name) || this.#created.has(name);
  }

  /** Definitions that are committed. */
  defined(ddl: WriteSet['ddl']): void {
    for (const change of ddl) {
      if (change.kind !== 'ddl' || !CREATES.test(change.tag)) continue;
      const [, name] = NAME.exec(change.sql) ?? [];
      if (name !== undefined)
        this.#created.add(
          name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name.toLowerCase(),
        );
    }
  }

  async refresh(query: (sql: string) => Promise<{ name: string }[]>): Promise<void> {
    if (performance.now() - this.#readAt < AGAIN_MS) return;
    this.#readAt = performance.now();
    const created = [...this.#created];
    const rows = await query(NAMES_QUERY);
    this.#read = new Set([...WRITING, ...rows.map(({ name }) => name)]);
    for (const name of created) this.#created.delete(name);
  }
}
