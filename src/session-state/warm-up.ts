/**
 * A new backend is slow at first: it has planned nothing and knows no table. Measured with 16 sessions at half load, that cost
 * more than the whole hold (docs/performance.md). So while a target connection waits, it plans the session's prepared
 * statements and opens the largest tables: EXPLAIN does both and runs nothing, so a standby accepts it for writes, too. One that
 * was never executed is left alone: its plan is made under the settings that hold when it first is.
 */
import { arrayElements, encode } from '../protocol/index.js';
import type { StateChannel } from './channel.js';
import type { SessionState } from './kinds.js';
import { names, quoted } from './kind.js';

/** Statements and tables looked at, at most. */
const MAX_STATEMENTS = 100;
const MAX_TABLES = 20;

/** A generic plan is kept with the statement; a custom one for made-up parameters would not be. */
const BEGIN =
  'begin isolation level read committed read only not deferrable; set local plan_cache_mode to force_generic_plan';

const LARGEST_TABLES = `select array(select c.oid::pg_catalog.regclass::pg_catalog.text from pg_catalog.pg_class c
  join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
    and pg_catalog.has_table_privilege(c.oid, 'select')
  order by c.relpages desc limit ${MAX_TABLES})`;

/** Never fails: what cannot be warmed is slow once. */
export const warmUp = async (channel: StateChannel, state: SessionState): Promise<void> => {
  const [tables] = await channel.exchange(encode.query(LARGEST_TABLES), 1);
  await explainAll(channel, [
    // eslint-disable-next-line dbproxy/sql-quoting -- quoted by the engine (regclass)
    ...names(tables?.sets[0]?.[0]?.[0]).map((table) => `select * from ${table}`),
    ...[...state.preparedStatements.byName]
      .filter(([, { planned }]) => planned)
      .slice(0, MAX_STATEMENTS)
      .map(([name, { types }]) => executeOf(name, types)),
  ]);
};

const executeOf = (name: string, types: string): string => {
  const parameters = arrayElements(types).map(() => 'null');
  return `execute ${quoted(name)}${parameters.length > 0 ? `(${parameters.join(', ')})` : ''}`;
};

/** Each in a transaction of its own, all in one round trip: one that fails does not hinder the others. */
const explainAll = async (channel: StateChannel, statements: readonly string[]): Promise<void> => {
  if (statements.length === 0) return;
  const messages = statements.flatMap((sql) => [
    encode.query(BEGIN),
    // eslint-disable-next-line dbproxy/sql-quoting -- of the two above
    encode.query(`explain (costs off) ${sql}`),
    encode.query('rollback'),
  ]);
  await channel.exchange(Buffer.concat(messages), messages.length);
};
