/** Definitions whose outcome depends on when, where and under which settings they run: two real engines. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type TestWriter, twoWriters, writeOnBoth } from './writers.js';

let a: TestWriter;
let b: TestWriter;
let close: (() => Promise<void>) | undefined;

beforeAll(async () => {
  ({ a, b, close } = await twoWriters());
});
afterAll(() => close?.());

const onBoth = (...statements: string[]) => writeOnBoth(a, b, ...statements);
/** The same query gives the same on both. */
async function same(sql: string): Promise<unknown[]> {
  const rows = await a.rows(sql);
  expect(await b.rows(sql)).toEqual(rows);
  return rows;
}
const failure = async (work: Promise<unknown>) =>
  work.then(
    () => null,
    (error: Error & { code?: string; hint?: string }) => ({ code: error.code, hint: error.hint }),
  );

it('several statements in one query are several, also with comments or texts around them', async () => {
  const unclear = { code: '0A000', hint: expect.stringContaining('one by one') as string };
  for (const query of [
    '/* one */ create table c1 (); create table c2 () /* two */',
    `create table c1 (x text default $$a$$); create table c2 (y text default $$b$$)`,
    'create table c1 () -- one\n; create table c2 () -- two',
  ])
    expect(await failure(a.write(query)), query).toEqual(unclear);
  await onBoth(
    '/* one; */ create table c1 (id int primary key /* ; */) -- ; c2',
    'insert into c1 values (1)',
  );
  expect(await same('select * from public.c1')).toEqual([[1]]);
});
