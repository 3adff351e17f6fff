/** Row 9: cursors WITH HOLD give the same after the move: rows, types, names, position, direction. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import {
  DEFAULT_LIMITS,
  emptyState,
  estimate,
  replay,
  unmovable,
  type SessionState,
} from '../../src/session-state/index.js';
import { kinds } from '../../src/session-state/kinds.js';
import { TestEngines } from '../support/engines.js';
import { Backend } from './support.js';

let engines: TestEngines;
let primary: EngineRecord;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  const admin = await Backend.open(primary);
  await admin.run(
    'create role app login',
    'create schema app authorization app',
    `create type app."Mo.od" as enum ('sad', 'ok')`,
    'create domain app.positive as int check (value > 0)',
    'create type app.pair as (a int, b text)',
  );
  admin.close();
});

afterAll(async () => {
  await engines?.close();
});

const open = (parameters: Record<string, string> = {}): Promise<Backend> =>
  Backend.open(primary, { user: 'app', ...parameters });

const bring = async (wanted: SessionState, parameters: Record<string, string> = {}): Promise<Backend> => {
  const target = await open(parameters);
  const base = await target.look();
  const { postponed } = await replay(target.connection, wanted, base, base, true);
  expect(postponed).toBe(0);
  return target;
};

/** Rows and names and types of columns; a SQLSTATE if it fails. */
const ask = async (backend: Backend, sql: string): Promise<unknown> => {
  const { sets, columns, error } = await backend.query(sql);
  return error ? error.sqlstate : { rows: sets[0], columns };
};

/** As a session is moved: looked at first, then again when there is no way back. */
const move = async (session: Backend, parameters: Record<string, string> = {}): Promise<Backend> => {
  const described = await session.look();
  expect(unmovable(described, DEFAULT_LIMITS)).toEqual([]);
  return bring(await session.look(described, false, true), parameters);
};

const close = (...backends: Backend[]): void => backends.forEach((backend) => backend.close());

const DIRECTIONS = [
  'next',
  'prior',
  'relative 0',
  'relative 2',
  'relative -2',
  'absolute 2',
  'absolute -1',
  'absolute 0',
  'first',
  'last',
  'forward all',
  'backward all',
  'forward 0',
];

describe('position', () => {
  const SCROLL = 'declare c scroll cursor with hold for select g, -g from generate_series(1, 4) g';

  it.each([0, 1, 2, 3, 4, 5])('%i of a scrollable cursor with 4 rows', async (position) => {
    const place = position > 4 ? 'move forward all from c' : `move absolute ${position} from c`;
    for (const direction of DIRECTIONS) {
      const [session, twin] = [await open(), await open()];
      for (const backend of [session, twin]) await backend.run(SCROLL, place);
      const target = await move(session);
      for (const then of [direction, 'relative 0', 'next', 'prior', 'prior'])
        expect(await ask(target, `fetch ${then} from c`), `${direction}, ${then}`).toEqual(
          await ask(twin, `fetch ${then} from c`),
        );
      close(session, twin, target);
    }
  });

  it.each([0, 1, 2, 3, 4, 5])('%i of a NO SCROLL cursor with 4 rows', async (position) => {
    for (const direction of ['next', 'relative 1', 'relative 2', 'forward all', 'relative 0', 'prior']) {
      const [session, twin] = [await open(), await open()];
      for (const backend of [session, twin]) {
        await backend.run(
          'declare c no scroll cursor with hold for select g from generate_series(1, 4) g',
          `move forward ${position} from c`,
        );
      }
      const target = await move(session);
      for (const then of [direction, 'next', 'next'])
        expect(await ask(target, `fetch ${then} from c`), `${direction}, ${then}`).toEqual(
          await ask(twin, `fetch ${then} from c`),
        );
      close(session, twin, target);
    }
  });

  it.each(['scroll', 'no scroll', ''])('of an empty cursor (%s)', async (scroll) => {
    const [session, twin] = [await open(), await open()];
    for (const backend of [session, twin])
      await backend.run(`declare c ${scroll} cursor with hold for select 1 as n where false`);
    const target = await move(session);
    for (const then of ['next', 'next', 'relative 0', 'prior'])
      expect(await ask(target, `fetch ${then} from c`)).toEqual(await ask(twin, `fetch ${then} from c`));
    close(session, twin, target);
  });

  it.each([false, true])(
    'is where it was if the session is only looked at (after the end: %s)',
    async (after) => {
      const session = await open();
      await session.run(SCROLL, after ? 'move forward all from c' : 'move 2 from c');
      const state = await session.look();
      expect(state.heldCursors.cursors).toMatchObject([{ name: 'c', count: 4, contents: null }]);
      await session.look(state);
      expect((await session.rows('fetch prior from c'))[0]?.[0]).toBe(after ? '4' : '1');
      close(session);
    },
  );
});

const TYPES = `1::int2 as "1", 'x'::varchar(4) as n, 'y '::char(3) as n, 1.50::numeric(6,3), 'ok'::app."Mo.od",
  3::app.positive, row(1, 'a,"b"\\c')::app.pair, array[[1,2],[3,null]], array['a"b','{}',null,'']::text[], null::text, '',
  '-1 day +02:03'::interval, 'infinity'::timestamptz, '1.10.2026 12:34:56.789'::timestamptz(1), '2026-02-01'::date,
  '$1,234.50'::money, '\\x00ff'::bytea, 0.1::float8, 'NaN'::float4, b'101'::bit(3), '"c"'::"char", 'pg_class'::regclass,
  '{"a": 1}'::jsonb, '[1,5)'::int4range, '<a/>'::xml, '1.2.3.4/8'::inet, true, '(1,2)'::point, 'ä€'::text`;

describe('contents', () => {
  it.each(['', 'binary'])('%s cursor: values, names and types of columns', async (binary) => {
    const settings = [
      `set datestyle = 'german'; set intervalstyle = 'sql_standard'; set extra_float_digits = 0`,
      `set bytea_output = 'escape'; set standard_conforming_strings = off; set standard_conforming_strings = on`,
      `set search_path = 'app'`,
    ];
    const sql = `declare "C ""é"" 1" ${binary} scroll cursor with hold for select ${TYPES} union all select ${TYPES}`;
    const [session, twin] = [await open(), await open()];
    for (const backend of [session, twin]) {
      await backend.run(...settings);
      const { error } = await backend.query(Buffer.from(sql.replace('union all', 'union all /* */')));
      expect(error).toBeNull();
    }
    const target = await move(session);
    const fetched = await target.query(Buffer.from('fetch all from "C ""é"" 1"'));
    const expected = await twin.query(Buffer.from('fetch all from "C ""é"" 1"'));
    expect(expected.error).toBeNull();
    expect(fetched).toEqual(expected);
    expect(fetched.sets[0]).toHaveLength(2);
    close(session, twin, target);
  });

  it('characters that the client encoding has not', async () => {
    const latin = { client_encoding: 'LATIN1' };
    const session = await open(latin);
    await session.run(
      Buffer.from(`declare "\xe4" cursor with hold for select U&'\\20AC' as "\xfc"`, 'latin1'),
    );
    const target = await move(session, latin);
    await target.run('set client_encoding = utf8');
    expect(await ask(target, Buffer.from('fetch all from "ä"').toString('latin1'))).toMatchObject({
      rows: [[Buffer.from('€').toString('latin1')]],
      columns: [{ name: Buffer.from('ü').toString('latin1') }],
    });
    close(session, target);
  });

  it('no columns, several rows', async () => {
    const session = await open();
    await session.run('declare c cursor with hold for select from generate_series(1, 3)', 'move 1 from c');
    const target = await move(session);
    expect(await ask(target, 'fetch all from c')).toEqual({ rows: [[], []], columns: [] });
    close(session, target);
  });

  it('pg_cursors shows the same of them', async () => {
    const SHOWN = 'select name, is_holdable, is_binary, is_scrollable from pg_cursors order by 1';
    const session = await open();
    await session.run(
      'declare a binary cursor with hold for select 1',
      'declare b scroll cursor with hold for select 2',
      'declare c no scroll cursor with hold for select 3',
    );
    const shown = await session.rows(SHOWN);
    const target = await move(session);
    expect(await target.rows(SHOWN)).toEqual(shown);
    expect(await target.rows('select pg_my_temp_schema()')).toEqual([['0']]);
    close(session, target);
  });

  it('one that cannot be run any more cannot be run there', async () => {
    const session = await open();
    await session.run('declare c no scroll cursor with hold for select 1', 'move 1 from c');
    expect((await session.query('fetch prior from c')).error?.sqlstate).toBe('55000');
    const target = await move(session);
    expect(await ask(target, 'fetch next from c')).toBe('55000');
    expect(await target.rows('select name from pg_cursors')).toEqual([['c']]);
    close(session, target);
  });

  it('1000 rows', async () => {
    const session = await open();
    await session.run(
      'declare c cursor with hold for select g, md5(g::text) from generate_series(1, 1000) g',
    );
    const target = await move(session);
    expect(await target.rows('fetch all from c')).toHaveLength(1000);
    close(session, target);
  });
});

describe('limits', () => {
  it('too many rows: named before anything is moved if it is scrollable', async () => {
    const session = await open();
    await session.run(
      `declare big scroll cursor with hold for select g from generate_series(1, ${DEFAULT_LIMITS.cursorRows + 1}) g`,
      'move 7 from big',
    );
    const state = await session.look();
    expect(unmovable(state, DEFAULT_LIMITS)).toMatchObject([
      { kind: 'heldCursors', detail: 'held cursor big: more than 100000 rows' },
    ]);
    expect(await session.rows('fetch next from big')).toEqual([['8']]);
    close(session);
  });

  it('a binary cursor that cannot be run any more stays binary', async () => {
    const session = await open();
    await session.run('declare c binary no scroll cursor with hold for select 1');
    expect(await ask(session, 'fetch prior from c')).toBe('55000');
    const target = await move(session);
    expect(await target.rows('select name, is_binary from pg_cursors')).toEqual([['c', 't']]);
    close(session, target);
  });

  it('too many rows of a NO SCROLL cursor: the read fails, by name', async () => {
    const session = await open();
    await session.run(
      `declare big no scroll cursor with hold for select g from generate_series(1, ${DEFAULT_LIMITS.cursorRows + 1}) g`,
    );
    await expect(session.look(null, false, true)).rejects.toThrow('held cursor big: more than 100000 rows');
    close(session);
  });

  it('a column that no text can be cast to: cannot move, by name', async () => {
    const session = await open();
    await session.run(`declare odd cursor with hold for select row(1, 'a')`);
    expect(unmovable(await session.look(), DEFAULT_LIMITS)).toMatchObject([
      {
        kind: 'heldCursors',
        movable: false,
        detail: expect.stringContaining('held cursor odd: a column of no declared type') as string,
      },
    ]);
    close(session);
  });

  it('a column whose type the login role may not name: cannot move, by name', async () => {
    const admin = await Backend.open(primary);
    await admin.run(
      'create schema closed',
      `create type closed.e as enum ('a')`,
      'create role opener',
      'grant usage on schema closed to opener',
      'grant opener to app with inherit false, set true',
    );
    const session = await open();
    await session.run('set role opener', `declare c cursor with hold for select 'a'::closed.e`, 'reset role');
    expect(unmovable(await session.look(), DEFAULT_LIMITS)).toMatchObject([
      { kind: 'heldCursors', detail: expect.stringContaining('held cursor c') as string },
    ]);
    close(session, admin);
  });

  it('a column of a dropped type: the look fails, and names the cursor', async () => {
    const session = await open();
    await session.run(
      `create type app.gone as enum ('a')`,
      `declare c cursor with hold for select 'a'::app.gone`,
      'drop type app.gone',
    );
    await expect(session.look()).rejects.toThrow('held cursor c: cache lookup failed');
    close(session);
  });
});

it('without the replay it is lost', async () => {
  const session = await open();
  await session.run('declare c cursor with hold for select 1');
  const leftOut = vi.spyOn(kinds.heldCursors, 'replay', 'get').mockReturnValue(null);
  const target = await bring(await session.look(null, true, true));
  leftOut.mockRestore();
  expect(await ask(target, 'fetch all from c')).toBe('34000');
  close(session, target);
});

it('a session without cursors is asked nothing more', async () => {
  const session = await open();
  const exchange = vi.spyOn(session.connection, 'exchange');
  await session.look(await session.look());
  const sent = exchange.mock.calls.map(([messages]) => messages.toString('latin1')).join('');
  expect(sent).not.toContain('move relative');
  close(session);
});

it('bytes and time are estimated before the rows are read: of the right magnitude', async () => {
  const session = await open();
  await session.run(
    'declare c scroll cursor with hold for select g, md5(g::text) from generate_series(1, 1000) g',
  );
  const described = await session.look();
  const full = await session.look(described, false, true);
  const [cursor] = full.heldCursors.cursors;
  const bytes = cursor!.contents!.rows.flat().reduce((sum, value) => sum + (value?.length ?? 0), 0);
  const plain = estimate(emptyState);
  const { bytes: guessed, ms } = estimate(described);
  expect(guessed).toBeGreaterThan(bytes / 2);
  expect(guessed).toBeLessThan(bytes * 2);
  expect(ms).toBeGreaterThan(plain.ms);
  close(session);
});
