/** Held cursors, and sequences. */
import fc from 'fast-check';
import type { Command } from './command.js';

const sql = (text: fc.Arbitrary<string>): fc.Arbitrary<Command> => text.map((text) => ({ sql: text }));

const QUERIES = [
  'select g, g * 1.50::numeric(6,2) as m from generate_series(1, 5) g',
  'select n, v from a.t order by n, v',
  `select null::text as x, 'it''s "é", {}\\'::text as y, '\\x00ff'::bytea as z`,
  `select now()::date + g as d, interval '1 day' * g as i, array[g, null] as a from generate_series(1, 3) g`,
  'select where false',
  'select from generate_series(1, 2)',
  'select 1 / (3 - g) from generate_series(1, 4) g',
  `select 'NaN'::float8 as f, 0.1::float4 as s, row(1, 'x')::a.pair as c, 'red'::a.colour as e`,
];
/** From here on a scrollable cursor can be told from one that is not. */
const SCROLLABLE = ['c', '"C d"'];
const FORWARD = ['n'];

const declare = fc
  .oneof(
    fc.tuple(fc.constantFrom(...SCROLLABLE), fc.constantFrom('scroll', 'binary scroll', 'scroll')),
    fc.tuple(fc.constantFrom(...FORWARD), fc.constantFrom('no scroll', 'binary no scroll')),
  )
  .chain(([name, options]) =>
    fc.constantFrom(...QUERIES).map((query) => `declare ${name} ${options} cursor with hold for ${query}`),
  );

const EVERYWHERE = ['next', 'forward 2', 'all', 'forward 0', 'prior', 'relative 1', '0'];
const BY_PLACE = ['first', 'last', 'absolute 2', 'absolute -1', 'absolute 0', 'backward all', 'relative -2'];

// How far a NO SCROLL cursor is from its start nobody can tell, so where it is has no number there (held-cursors.ts).
const direction = fc.oneof(
  fc.tuple(fc.constantFrom(...SCROLLABLE), fc.constantFrom(...EVERYWHERE, ...BY_PLACE)),
  fc.tuple(fc.constantFrom(...FORWARD), fc.constantFrom(...EVERYWHERE)),
);

export const cursors: fc.Arbitrary<Command> = fc.oneof(
  { weight: 3, arbitrary: sql(declare) },
  {
    weight: 5,
    arbitrary: sql(
      fc
        .tuple(fc.constantFrom('fetch', 'fetch', 'move'), direction)
        .map(([verb, [name, where]]) => `${verb} ${where} from ${name}`),
    ),
  },
  sql(fc.constantFrom(...SCROLLABLE, ...FORWARD, 'all').map((name) => `close ${name}`)),
);

// None with CACHE: what a session had cached becomes a gap when it moves (sequences.ts).
const SEQUENCES = ['a.up', 'a.down', 'a.sevens', `a."S's"`].map((name) => `'${name.replaceAll("'", "''")}'`);
const sequence = fc.constantFrom(...SEQUENCES);

export const sequences: fc.Arbitrary<Command> = fc.oneof(
  { weight: 3, arbitrary: sql(sequence.map((name) => `select nextval(${name})`)) },
  sql(sequence.map((name) => `select setval(${name}, 4)`)),
  sql(sequence.map((name) => `select setval(${name}, 8, false)`)),
  { weight: 2, arbitrary: sql(sequence.map((name) => `select currval(${name})`)) },
  sql(
    fc.constantFrom(
      'select lastval()',
      'insert into a.counted (v) values (1) returning id',
      `begin; select nextval('a.up'); rollback`,
    ),
  ),
);
