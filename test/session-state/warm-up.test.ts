/** What is planned ahead of a move, and what is not. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { encode } from '../../src/protocol/index.js';
import { replay, warmUp } from '../../src/session-state/index.js';
import { TestEngines } from '../support/engines.js';
import { Backend } from './support.js';

let engines: TestEngines;
let engine: EngineRecord;

beforeAll(async () => {
  engines = await TestEngines.open();
  engine = await engines.primary();
});
afterAll(async () => {
  await engines?.close();
});

it('statements that were executed are planned; the others under the settings that hold when they are', async () => {
  const session = await Backend.open(engine);
  await session.send(
    Buffer.concat([encode.parse('of the protocol', 'select 1 from pg_class'), encode.sync()]),
  );
  await session.run(
    'prepare executed (int) as select $1',
    'prepare never as select count(*) from pg_class where oid = 1',
  );
  const before = await session.look();
  await session.run('execute executed(1)');
  const wanted = await session.look(before, false);
  const target = await Backend.open(engine);
  const base = await target.look();
  await replay(target.connection, wanted, base, base, true);
  await warmUp(target.connection, wanted);
  expect(
    await target.rows('select name, generic_plans + custom_plans from pg_prepared_statements order by 1'),
  ).toEqual([
    ['executed', '1'],
    ['never', '0'],
    ['of the protocol', '0'],
  ]);
  await target.run('set enable_indexscan = off; set enable_bitmapscan = off; set enable_indexonlyscan = off');
  expect(JSON.stringify(await target.rows('explain execute never'))).toContain('Seq Scan');
  session.close();
  target.close();
});
