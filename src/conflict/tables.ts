/** The tables of the scenes, in a schema that the user may have, too: rows go only where a comment says that a table is one of ours. */
import { DbproxyError } from '../errors/index.js';
import type { WriterClient } from './clients.js';

export const SCHEMA = 'dbproxy_conflict';
const MARK = 'made by dbproxy conflict, which deletes its rows';

const TABLES = {
  hot_row: 'id int primary key, n bigint not null',
  ledger: 'client int, round int, primary key (client, round)',
  accounts: 'id uuid primary key, email text not null unique',
  parents: 'id int primary key',
  children: `id uuid primary key, parent int not null references ${SCHEMA}.parents`,
  split: 'id int primary key, n int not null',
} as const;

/** Those that are missing, each with its mark or not at all: a run that is killed leaves none that the next one takes for the user's. Throws DBP_CONFLICT_FOREIGN. */
export async function makeTables(primary: WriterClient): Promise<void> {
  const found = await primary.query<{ name: string; ours: boolean }>(
    `select c.relname as name, obj_description(c.oid, 'pg_class') is not distinct from $1 as ours
       from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = $2 and c.relname = any ($3) order by c.relname`,
    [MARK, SCHEMA, Object.keys(TABLES)],
  );
  const foreign = found.filter(({ ours }) => !ours).map(({ name }) => `${SCHEMA}.${name}`);
  if (foreign.length > 0)
    throw new DbproxyError('DBP_CONFLICT_FOREIGN', { tables: foreign.join(', '), schema: SCHEMA });
  await primary.query(`create schema if not exists ${SCHEMA}`);
  for (const [name, columns] of Object.entries(TABLES)) {
    if (found.some((table) => table.name === name)) continue;
    await primary.query('begin');
    // eslint-disable-next-line dbproxy/sql-quoting -- names of ours
    await primary.query(`create table ${SCHEMA}.${name} (${columns})`);
    // eslint-disable-next-line dbproxy/sql-quoting -- names of ours
    await primary.query(`comment on table ${SCHEMA}.${name} is '${MARK}'`);
    await primary.query('commit');
  }
}
