/** Names of custom settings are found in whatever passes by; a superset is harmless, a missing one loses state. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { encode } from '../../src/protocol/index.js';
import { MAX_SETTING_NAMES, SettingNames, findSet } from '../../src/session-state/setting-names.js';

/** What it would be in an encoding of single bytes: a name too many does no harm. */
const bytes = (name: string): string => Buffer.from(name).toString('latin1');

const collected = (sql: string): readonly string[] => {
  const names = new SettingNames();
  const buffer = Buffer.from(`xx${sql}`);
  names.collect(buffer, 2, buffer.length);
  return names.all;
};

describe('setting names', () => {
  it.each<[string, string[]]>([
    ["set app.user_id = '5'", ['app.user_id']],
    ["SET SESSION App.User_Id TO '5'", ['app.user_id']],
    ["select set_config('app.user_id', '5', false)", ['app.user_id']],
    ["set local app.tenant = 'x'; set a.b.c = 1", ['app.tenant', 'a.b.c']],
    ["select 1; SeT my_app.x$1='y'", ['my_app.x$1']],
    ['select t.column from s.t', []],
    ['update s.t set x = 1', ['s.t']],
    ['set work_mem = 1.5', []],
    ['select 1.5, .5, 5.', []],
    ['set search_path = a, b', []],
    ['reset app.user_id', ['app.user_id']],
    ['set "app".user_id = 1', ['app.user_id']],
    ['set "app"."user_id" = 1', ['app.user_id']],
    ["select set_config('Äpp.Größe', '5', false)", ['Äpp.größe', bytes('Äpp.größe')]],
  ])('%s', (sql, names) => {
    expect(collected(sql)).toEqual(names);
  });

  it('a name first seen where nothing is set is found when it is set', () => {
    const names = new SettingNames();
    for (const sql of ["select current_setting('app.x')", "set app.x = '1'"]) {
      const buffer = Buffer.from(sql);
      names.collect(buffer, 0, buffer.length);
    }
    expect(names.all).toEqual(['app.x']);
  });

  it('finds any name that a SET can have', () => {
    const word = fc.stringMatching(/^[a-z_][a-z0-9_$]{0,20}$/);
    fc.assert(
      fc.property(word, word, fc.constantFrom(' ', '\n', '\t', '  '), (a, b, space) => {
        expect(collected(`set${space}${a}.${b}${space}=${space}'v'`)).toEqual([`${a}.${b}`]);
      }),
    );
  });

  it.each([
    ['LATIN1', 'set app.\xe9 = 1', 'app.é'],
    ['WIN1251', 'set app.\xe9 = 1', 'app.й'],
    ['KOI8R', 'set app.\xca = 1', 'app.й'],
    ['SJIS', 'set app.\x83\x45 = 1', 'app.ウ'],
    ['SQL_ASCII', 'set app.\xc3\xa9 = 1', 'app.é'],
  ])('in %s', (encoding, sql, name) => {
    const names = new SettingNames();
    const buffer = Buffer.from(sql, 'latin1');
    names.collect(buffer, 0, buffer.length, encoding);
    expect(names.all).toContain(name);
  });

  it('finds names among the values of a Bind', () => {
    const names = new SettingNames();
    const message = encode.bind('', 's', ['app.tenant', '17', null, '1.5', 'it.is a.sentence']);
    names.collectValues(message, 5, message.length);
    expect(names.all).toContain('app.tenant');
    expect(names.all).not.toContain('1.5');
  });

  it('is bounded, and says so', () => {
    const names = new SettingNames();
    for (let i = 0; i <= MAX_SETTING_NAMES; i++) {
      const buffer = Buffer.from(`set a.n${i} = 1`);
      names.collect(buffer, 0, buffer.length);
    }
    expect(names.all).toHaveLength(MAX_SETTING_NAMES);
    expect(names.overflowed).toBe(true);
  });

  it('any bytes do no harm', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        const names = new SettingNames();
        const buffer = Buffer.from(bytes);
        names.collect(buffer, 0, buffer.length);
        names.collectValues(buffer, 0, buffer.length);
        for (const name of names.all)
          expect(name).toMatch(/^[a-z_\x80-\uffff][\w$\x80-\uffff]*(\.[a-z_\x80-\uffff][\w$\x80-\uffff]*)+$/);
      }),
      { numRuns: 500 },
    );
  });
});

it.each<[string, string]>([
  ['select 1', 'none'],
  ['SET x = 1', 'set'],
  ['select 1; set x = 1', 'set'],
  ["select SET_CONFIG('a.b', 'c', true)", 'set_config'],
  ["set x = 1; select set_config('a.b', 'c', true)", 'set_config'],
  ['', 'none'],
])('findSet %j is %s', (sql, found) => {
  const buffer = Buffer.from(sql);
  expect(findSet(buffer, 0, buffer.length)).toBe(found);
});
