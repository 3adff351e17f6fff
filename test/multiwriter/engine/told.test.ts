/** Which notices are taken for those of capture, by their context. */
import { expect, it } from 'vitest';
import { Told } from '../../../src/multiwriter/engine/index.js';

const isForged = (where: string | undefined): boolean => {
  const told = new Told();
  told.take({ code: 'DBP0R', message: '(1)', dataType: 'i', table: '{}', where });
  expect(told.withKept([])).toHaveLength(told.isForged ? 0 : 1);
  return told.isForged;
};

it.each([
  'PL/pgSQL function dbproxy.capture_16389() line 5 at RAISE',
  'PL/pgSQL function dbproxy.capture("char",text,jsonb,text) line 4 at RAISE\nSQL statement "SELECT 1"',
  'PL/pgSQL-Funktion dbproxy.capture_16389() Zeile 5 bei RAISE',
  'функция PL/pgSQL dbproxy.capture_16389(), строка 5, оператор RAISE',
  'PL/pgSQL関数dbproxy.capture_16389()の5行目のRAISE',
  'PL/pgSQL function "dbproxy"."capture_16389"() line 5 at RAISE',
])('of ours: %s', (where) => expect(isForged(where)).toBe(false));

it.each([
  undefined,
  '',
  'PL/pgSQL function capture_16389() line 5 at RAISE',
  'PL/pgSQL function xdbproxy.capture_16389() line 5 at RAISE',
  'PL/pgSQL function public."dbproxy.capture_16389"() line 5 at RAISE',
  'PL/pgSQL function "PL/pgSQL function dbproxy".capture_16389() line 5 at RAISE',
  'PL/pgSQL function "x\nPL/pgSQL function dbproxy.capture_16389() line 5".f() line 3 at RAISE',
  'PL/Python function "dbproxy.capture_1"',
  'PL/pgSQL function public.f() line 3 at RAISE\nPL/pgSQL function dbproxy.capture_16389() line 5 at RAISE',
  'PL/pgSQL function pg_temp.f(dbproxy.captured) line 3 at RAISE',
  'PL/pgSQL function pg_temp.f(dbproxy.capture_1()) line 3 at RAISE',
  'PL/pgSQL function "x"".""dbproxy"."capture_1"() line 3 at RAISE',
  'PL/pgSQL function "dbproxy"".""capture_1""() x".f() line 3 at RAISE',
  'PL/pgSQL function dbproxy.captured() line 3 at RAISE',
  'PL/pgSQL関数xdbproxy.capture_16389()の5行目のRAISE',
])('of a client: %s', (where) => expect(isForged(where)).toBe(true));

it('of too many bytes nothing is kept, and their number is told', () => {
  const told = new Told();
  const row = {
    code: 'DBP0R',
    message: 'x'.repeat(1024 * 1024),
    where: 'PL/pgSQL function dbproxy.capture_1() line 5',
  };
  for (let i = 0; i < 16; i++) told.take(row);
  expect([told.isTooLarge, told.withKept([]).length]).toEqual([false, 16]);
  told.take(row);
  expect([told.isTooLarge, told.withKept([]).length]).toEqual([true, 0]);
});
