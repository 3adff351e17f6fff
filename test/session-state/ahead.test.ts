/** What is re-created while contents are still read: with it, and without, the session is the same. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { replay, replayAhead, servesAsWell } from '../../src/session-state/index.js';
import { directTo, withPg } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { Backend } from './support.js';
import { snapshot } from './temp-snapshot.js';

let engines: TestEngines;
let primary: EngineRecord;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
});
afterAll(async () => {
  await engines?.close();
});

const TABLE = 'create temp table t (id serial primary key, note text unique)';
const PREPARED = `select name, statement, parameter_types::text, result_types::text, from_sql from pg_prepared_statements order by 1`;

it('all is as in the session, statements too that need what comes after the rows', async () => {
  const from = await Backend.open(primary);
  await from.run(
    TABLE,
    `insert into t (note) select 'row ' || g from generate_series(1, 1000) g`,
    'create index on t (note, id)',
    'create temp view v as select note from t',
    'prepare p (int) as select note from t where id = $1',
    'prepare grouped as select id, note from t group by id',
    'prepare q as select * from v',
  );
  const to = await Backend.open(primary);
  const base = await to.look();
  const known = await from.look();
  const [wanted, there] = await Promise.all([
    from.look(known, false, true),
    replayAhead(to.connection, known, base, base),
  ]);
  expect(servesAsWell(known, wanted)).toBe(true);
  expect(await to.rows('select count(*) from t')).toEqual([['0']]);
  const { broken } = await replay(to.connection, wanted, there!, base, true);
  expect(broken.size).toBe(0);
  expect(await snapshot(to)).toEqual(await snapshot(from));
  expect(await to.rows(PREPARED)).toEqual(await from.rows(PREPARED));
  for (const backend of [from, to]) backend.close();
});

it('what the session, or its VACUUM, has changed since is noticed', async () => {
  const from = await Backend.open(primary);
  await from.run(TABLE);
  let known = await from.look();
  for (const sql of ['vacuum t', 'alter table t add x int', 'comment on column t.x is $$x$$']) {
    expect(servesAsWell(known, await from.look(known, false, true))).toBe(true);
    await from.run(sql);
    const wanted = await from.look(known, false, true);
    expect(servesAsWell(known, wanted)).toBe(false);
    known = wanted;
  }
  from.close();
});

it('what cannot be made any more is told', async () => {
  const from = await Backend.open(primary);
  const others = (sql: string): Promise<unknown> => withPg(directTo(primary), (admin) => admin.query(sql));
  await others(`create type mood as enum ('sad', 'glad')`);
  await from.run('create temp table t (m mood)');
  const known = await from.look();
  await others('drop type mood cascade');
  const to = await Backend.open(primary);
  const base = await to.look();
  expect(await replayAhead(to.connection, known, base, base)).toBeNull();
  for (const backend of [from, to]) backend.close();
});

it('of statements that are parsed together, one that is broken keeps none of the others from being there', async () => {
  const from = await Backend.open(primary);
  await from.run(
    'create table gone (n int)',
    ...['a', 'b', 'c'].map((name) => `prepare ${name} as select '${name}'::text`),
    'prepare broken as select * from gone',
    ...['d', 'e'].map((name) => `prepare ${name} as select '${name}'::text`),
    'drop table gone',
  );
  const to = await Backend.open(primary);
  const base = await to.look();
  const { broken } = await replay(to.connection, await from.look(), base, base, true);
  expect([...broken.keys()]).toEqual(['broken']);
  expect(await to.rows('select name from pg_prepared_statements order by 1')).toEqual(
    ['a', 'b', 'c', 'd', 'e'].map((name) => [name]),
  );
  for (const backend of [from, to]) backend.close();
});
