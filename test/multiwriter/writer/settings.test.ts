/** Settings of the database, which its owner may change, are not for the connections of a writer to its engine. */
import { isDeepStrictEqual } from 'node:util';
import { afterEach, expect, it } from 'vitest';
import { eventually, value } from '../../support/clients.js';
import { TestCluster } from './cluster.js';

let cluster: TestCluster;
afterEach(() => cluster?.close());

/** Not as atRest has it, which asks for sums, with the setting. */
const isApplied = (): Promise<unknown> =>
  eventually('it to be applied', async () => {
    const [here, there] = await Promise.all(cluster.members.map((member) => member.status()));
    return there!.queues.apply === 0 && isDeepStrictEqual(here!.reached, there!.reached);
  });

it.each([
  ['default_transaction_read_only', 'on'],
  ['transaction_timeout', '100ms'],
  ['idle_in_transaction_session_timeout', '1ms'],
  ['exit_on_error', 'on'],
  ['statement_timeout', '1ms'],
  ['role', 'pg_monitor'],
  ['session_preload_libraries', 'none_of_that_name'],
])(
  '%s = %s: a writer begins, and applies, as before',
  async (name, setting) => {
    cluster = await TestCluster.start();
    const [first, second] = [cluster.members[0]!, cluster.members[1]!];
    const client = await first.connect();
    const version = Number(await value(client, 'show server_version_num'));
    if (name === 'transaction_timeout' && version < 170_000) return client.end();
    // Where it is applied an error comes first.
    await client.query(`create table t (id int primary key, n int, check (session_user <> 'dbproxy_apply'))`);
    await client.query(`alter database postgres set ${name} = '${setting}'`);
    await isApplied();
    await second.kill();
    await second.start();
    await second.isOpen();
    await client.query('insert into t select i, i from generate_series(1, 30000) i');
    await client.query('update t set n = 0 where id < 10; delete from t where id = 1');
    await client.query('alter table t add v text');
    await isApplied();
    await client.query(`alter database postgres reset ${name}`);
    await cluster.atRest();
    await client.end();
  },
  60_000,
);

it('a session that has every check of PL/pgSQL makes a table as any other', async () => {
  cluster = await TestCluster.start();
  const client = await cluster.members[0]!.connect();
  const notices: unknown[] = [];
  client.on('notice', ({ message }) => notices.push(message));
  await client.query(`set plpgsql.extra_errors = 'all'; set plpgsql.extra_warnings = 'all'`);
  await client.query(
    'create table checked (id int generated always as identity primary key, n int, g int generated always as (n) stored)',
  );
  await client.query('insert into checked (n) values (1); update checked set n = 2; truncate checked');
  await client.query('alter table checked add m int default random()');
  await cluster.atRest();
  await client.query('drop table checked');
  expect(notices).toEqual([]);
  await client.end();
}, 60_000);
