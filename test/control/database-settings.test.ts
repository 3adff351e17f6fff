/** What is set for the database, which its owner may change, is not for our own connections. */
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { stopInstance } from '../../src/control/client.js';
import { ownSettings } from '../../src/own-settings.js';
import { LiveHome, scale } from './live.js';

const SETTINGS: Readonly<Record<string, string>> = {
  search_path: 'nowhere',
  role: 'pg_monitor',
  session_preload_libraries: 'none_of_that_name',
  statement_timeout: '1',
  lock_timeout: '1',
  idle_session_timeout: '1',
  idle_in_transaction_session_timeout: '1',
  transaction_timeout: '1',
  exit_on_error: 'on',
  default_transaction_isolation: 'serializable',
  default_transaction_read_only: 'on',
  default_transaction_deferrable: 'on',
  row_security: 'off',
  standard_conforming_strings: 'off',
  quote_all_identifiers: 'on',
  array_nulls: 'off',
  datestyle: 'SQL, DMY',
  client_min_messages: 'error',
  bytea_output: 'escape',
  client_encoding: 'LATIN1',
};

let live: LiveHome;
let url: string;
beforeAll(async () => {
  live = await LiveHome.open();
  ({ url } = await live.up('set'));
});
afterAll(() => live.close());

test('scale, down and up, and a client who says otherwise', async () => {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ name: string }>('select name from pg_settings');
  const known = new Set(rows.map(({ name }) => name)).add('role');
  for (const [name, value] of Object.entries(SETTINGS))
    if (known.has(name)) await client.query(`alter database postgres set ${name} = '${value}'`);
  const version = (await client.query<{ server_version: string }>('show server_version')).rows[0]!
    .server_version;
  await client.end();
  for (const to of ['medium', 'small'] as const)
    expect(await scale('set', to)).toMatchObject({ outcome: 'completed', error: null });
  await stopInstance('set');
  ({ url } = await live.up('set'));
  const again = new pg.Client({ connectionString: url, options: ownSettings(version) });
  await again.connect();
  expect((await again.query('show default_transaction_read_only')).rows).toEqual([
    { default_transaction_read_only: 'off' },
  ]);
  await again.end();
}, 120_000);
