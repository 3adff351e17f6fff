/** Transactions, prepared statements of both kinds, several statements in one string, and statements that fail. */
import fc from 'fast-check';
import type { Command } from './command.js';

const sql = (...texts: string[]): fc.Arbitrary<Command> =>
  fc.constantFrom(...texts).map((text) => ({ sql: text }));

const NAMES = ['p', 'q', 'P Q'];
/** In an order of their own: where a new row lies in a table depends on when its page was cleaned up, which is others' doing. */
const TEXTS = [
  'select $1::int + 1',
  'select $1::text, current_setting($1, true)',
  'select v from t where n = $1 order by v',
  'select n, v from a.t order by n, v',
  'insert into t values ($1, now()::date::text) returning n',
  'select set_config($1, $1, false)',
  'select current_user, $1::date',
  'select',
  '',
  'selekt',
];
const quoted = (name: string): string => (/^\w+$/.test(name) ? name : `"${name}"`);
const protocolName = fc.constantFrom('', ...NAMES);
const name = fc.constantFrom(...NAMES).map(quoted);

const prepare = fc
  .tuple(
    name,
    fc.constantFrom('', ' (int)', ' (text)'),
    fc.constantFrom(...TEXTS.filter((text) => text !== '')),
    fc.constantFrom('', `set app.a = 'prepared'; `, `/* ; */ `, `select 'prepare p as select 2'; `),
    fc.constantFrom('', `; set app.b = 'after'`, ' -- no more'),
  )
  .map(([name, types, text, before, after]) => ({
    sql: `${before}prepare ${name}${types} as ${text}${after}`,
  }));

export const prepared: fc.Arbitrary<Command> = fc.oneof(
  { weight: 2, arbitrary: prepare },
  { weight: 3, arbitrary: fc.record({ parse: protocolName, text: fc.constantFrom(...TEXTS) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      bind: protocolName,
      values: fc
        .constantFrom('1', '7', 'app.a', '2020-02-03', null)
        .chain((value) => fc.constantFrom<(string | null)[]>([value], [value], [])),
    }),
  },
  fc.record({ close: protocolName }),
  fc
    .tuple(name, fc.constantFrom('', '(1)', `('app.a')`))
    .map(([name, values]) => ({ sql: `execute ${name}${values}` })),
  fc.constantFrom(...NAMES.map(quoted), 'all').map((name) => ({ sql: `deallocate ${name}` })),
);

export const transactions: fc.Arbitrary<Command> = fc.oneof(
  { weight: 2, arbitrary: sql('begin', 'begin isolation level repeatable read', 'begin read only') },
  { weight: 6, arbitrary: sql('commit', 'rollback') },
  sql('savepoint s', 'rollback to s', 'release s', 'commit and chain'),
);

export const several: fc.Arbitrary<Command> = sql(
  'select 1; select 2 as two',
  `set work_mem = '6MB'; set app.a = 'kept'; select 1`,
  `set work_mem = '7MB'; set app.a = 'lost'; select 1/0`,
  `set app.b = 'first'; commit; set app.b = 'second'; select 1/0`,
  'begin; select 1; commit; select 2',
  'select 1; rollback; select 2',
  ';;',
);

export const failures: fc.Arbitrary<Command> = sql(
  'select 1/0',
  'selekt',
  'select * from nowhere',
  `select 'x'::int`,
  'insert into a.t values (1, 1, 1)',
  'select * from secret.t',
  `do $$begin raise exception 'ouch' using errcode = 'P0042', detail = 'why', hint = 'how'; end$$`,
  `do $$begin raise warning 'careful'; end$$`,
);
