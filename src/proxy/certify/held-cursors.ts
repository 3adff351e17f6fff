/**
 * Cursors WITH HOLD of a transaction that is to be certified: they are run before it is proposed, and not at the COMMIT
 * (multiwriter/engine/sql/held-cursors.ts). What they write is certified with the rest, and an error is that of the COMMIT.
 *
 * As for a session that moves (session-state/held-cursors.ts): pg_cursors has another statement and time, FETCH names no table, FETCH
 * ABSOLUTE counts from where a NO SCROLL cursor was. That one can be scrolled from then on.
 */
import { errorFields, rowDescription } from '../../protocol/index.js';
import type { EngineSide } from './engine-side.js';
import { DOMAIN_HELD, ENGINE_GONE, errorOf } from './error-messages.js';
import type { OwnQueries } from './own-queries.js';

/** Those of former transactions have their rows. */
const CURSORS_QUERY =
  'select name from pg_catalog.pg_cursor() where is_holdable and creation_time operator(pg_catalog.>=) pg_catalog.transaction_timestamp()';

export class HeldCursors {
  readonly #engine: EngineSide;
  readonly #queries: OwnQueries;

  constructor(engine: EngineSide, queries: OwnQueries) {
    this.#engine = engine;
    this.#queries = queries;
  }

  /** An error: the transaction has failed by it. */
  async hold(): Promise<Buffer | null> {
    const { sets, error, skipped } = await this.#queries.ask(CURSORS_QUERY);
    if (error || skipped) return error ?? errorOf(ENGINE_GONE);
    for (const [name] of sets[0] ?? []) {
      const failure = await this.#hold(name ?? '');
      if (failure) return failure;
    }
    return null;
  }

  async #hold(name: string): Promise<Buffer | null> {
    const { described } = await this.#engine.describePortal(name);
    const columns = described ? rowDescription(described).map(inUtf8) : [];
    const cursor = Buffer.from(JSON.stringify({ name, columns })).toString('hex');
    const { error, skipped } = await this.#queries.ask(`select dbproxy.hold('${cursor}')`);
    if (skipped) return errorOf(ENGINE_GONE);
    return error && isOfAnotherType(error) ? errorOf(DOMAIN_HELD) : error;
  }
}

const inUtf8 = <T extends { name: string }>(column: T): T => ({
  ...column,
  name: Buffer.from(column.name, 'latin1').toString(),
});

/** A domain is described as what it is made of. */
const isOfAnotherType = (error: Buffer): boolean => {
  const fields = errorFields(error.subarray(5));
  return fields.get('C') === '42804' && /^[^\n]*\n[^\n]*dbproxy\.rows_of\(/.test(fields.get('W') ?? '');
};
