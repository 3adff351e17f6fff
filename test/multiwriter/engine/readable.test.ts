/** Rows travel as text: what could not be read, or stored, where it comes from its text is refused before it commits. */
import { beforeAll, expect, it } from 'vitest';
import { failure, useTwoWriters } from './writers.js';

const { a, b, onBoth, areEqual } = await useTwoWriters();

beforeAll(async () => {
  await onBoth('create table has_default (id int primary key, v int default 1)');
  await onBoth('create type nested as (x xml, cs circle[])');
  await onBoth('create type span as range (subtype = interval)');
  await onBoth('create domain nesteds as nested[]');
});

const LEAST = `('-2562047788:00:54.775807'::interval - interval '0.000001 s')`;
const ILL = `xmlconcat('<!DOCTYPE a><a/>'::xml, '<b/>'::xml)`;

it.each([
  ['circle', 'circle(point(0, 0), -1)', `'<(0,0),1>'`],
  ['circle[]', 'array[null, circle(point(0, 0), -1)]', `array[null, circle(point(0, 0), 1)]`],
  ['aclitem', `makeaclitem(99999, 10, 'SELECT', false)`, `makeaclitem(0, 10, 'SELECT', false)`],
  ['pg_node_tree', '(select adbin from pg_attrdef limit 1)', 'null'],
  ['interval', LEAST, `'-2562047788:00:54.775807'`],
  ['xml', ILL, `'<a/>text'`],
  [
    'nesteds',
    `array[row('<a/>', array[circle(point(0, 0), -1)])::nested]`,
    `array[row('<a/>', '{}')::nested]`,
  ],
  ['nesteds', `array[row(${ILL}, '{}')::nested]`, `array[row('<a/>', null)::nested, null]`],
  ['span[]', `array[span(${LEAST}, '1 day')]`, `array[span('1 day', null)]`],
  ['span_multirange', `span_multirange(span(${LEAST}, '1 day'))`, `'{[1 day, 2 days)}'`],
])('a %s %s is refused, and another value is not', async (type, bad, good) => {
  await onBoth(`create table t (id int primary key, v ${type}, other text)`);
  await onBoth(`insert into t values (1, ${good}), (2, null)`);
  for (const sql of [`insert into t values (3, ${bad})`, `update t set v = ${bad} where id = 1`])
    expect(await failure(onBoth(sql))).toMatchObject({ code: '55000', hint: expect.any(String) as string });
  expect(await failure(onBoth(`create table made as select 1 as id, ${bad} as v`))).toMatchObject({
    code: '55000',
  });
  await onBoth(`update t set other = 'x'`, 'delete from t where id = 2');
  await onBoth('drop table t');
  await areEqual();
});

it('a JSON that is deeper than it could be read is refused; what was built piece by piece is read elsewhere at once', async () => {
  await onBoth('create table deep (id int primary key, j json, b jsonb)');
  let id = 0;
  const build = (type: string, levels: number): string =>
    `do $$ declare v ${type} := '1'; begin for i in 1..${levels} loop v := ${type}_build_array(v); end loop;
       insert into deep (id, ${type === 'json' ? 'j' : 'b'}) values (${id++}, v); end $$`;
  await a.client.query('set statement_timeout = 0');
  await onBoth(build('json', 6_000));
  await onBoth(build('jsonb', 6_000));
  expect(await failure(onBoth(build('json', 40_000)))).toMatchObject({ code: '55000' });
  await areEqual();
}, 120_000);

it('a value that a column keeps compressed though its storage is PLAIN is refused', async () => {
  await onBoth('create table origin (v text)', `insert into origin select repeat('x', 100000)`);
  await onBoth(
    'create table plain (id int primary key, v text)',
    'alter table plain alter v set storage plain',
  );
  expect(await failure(onBoth('insert into plain select 1, v from origin'))).toMatchObject({
    code: '55000',
    hint: expect.any(String) as string,
  });
  await onBoth(`insert into plain values (1, repeat('x', 1000))`);
  await onBoth('alter table plain alter v set storage main', 'insert into plain select 2, v from origin');
  expect(await b.rows('select id, length(v) from public.plain order by id')).toEqual([
    [1, 1000],
    [2, 100_000],
  ]);
  await areEqual();
});
