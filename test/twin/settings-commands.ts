/** Settings, custom settings, roles, LOAD, and DISCARD. */
import fc from 'fast-check';
import type { Command } from './command.js';

const sql = (text: fc.Arbitrary<string>): fc.Arbitrary<Command> => text.map((text) => ({ sql: text }));

/** SQL text of values, some of which the setting refuses. */
const SETTINGS: Readonly<Record<string, readonly string[]>> = {
  work_mem: [`'5MB'`, '4096', `'1GB'`, `'-3'`],
  search_path: ['a, public', 'b, a', `"$user", public`, `'a', "o""dd"`, `'a, b'`, `''`],
  datestyle: ['iso, dmy', `'german'`, `'sql, mdy'`, `'nonsense'`],
  timezone: [`'Europe/Berlin'`, '2', `interval '-3:30' hour to minute`, 'default', `'<+05>-05'`],
  intervalstyle: ['iso_8601', 'sql_standard'],
  application_name: [`'it''s é'`, `E'a\\\\b'`, `''`],
  client_encoding: [`'LATIN1'`, `'UTF8'`, `'SQL_ASCII'`],
  standard_conforming_strings: ['on', 'off'],
  extra_float_digits: ['0', '3', '99'],
  bytea_output: ['escape', 'hex'],
  statement_timeout: [`'10min'`, '0', `'1h'`],
  default_transaction_isolation: [`'repeatable read'`, `'serializable'`, 'default'],
  lc_monetary: [`'C'`, `'nowhere'`],
  temp_tablespaces: [`''`, 'nowhere'],
  quote_all_identifiers: ['on', 'off'],
  row_security: ['on', 'off'],
  log_duration: ['off'],
  no_such_setting: ['1'],
};
/** Bytes of UTF8: another name in LATIN1. */
const ACCENTED = Buffer.from('app.é').toString('latin1');
const CUSTOM = ['app.a', 'app.b', 'App.A', 'deep.er.c', '"app"."d"', ACCENTED];
const VALUES = [`'x'`, `''`, `'it''s, "q" é'`, '7', 'a, b', 'on', 'default'];

const assignment = fc.oneof(
  fc
    .constantFrom(...Object.entries(SETTINGS))
    .chain(([name, values]) => fc.constantFrom(...values).map((value) => ({ name, value }))),
  fc.record({ name: fc.constantFrom(...CUSTOM), value: fc.constantFrom(...VALUES) }),
);
const names = fc.constantFrom(...Object.keys(SETTINGS), ...CUSTOM);

export const settings: fc.Arbitrary<Command> = fc.oneof(
  { weight: 4, arbitrary: sql(assignment.map(({ name, value }) => `set ${name} = ${value}`)) },
  { weight: 2, arbitrary: sql(assignment.map(({ name, value }) => `set local ${name} to ${value}`)) },
  { weight: 2, arbitrary: sql(names.map((name) => `reset ${name}`)) },
  sql(
    fc
      .tuple(assignment, fc.constantFrom('begin', 'begin read only'), fc.constantFrom('commit', 'rollback'))
      .map(([{ name, value }, begin, end]) => `${begin}; set local ${name} = ${value}; ${end}`),
  ),
  sql(
    fc
      .tuple(assignment, fc.constantFrom('commit', 'rollback'))
      .map(([{ name, value }, end]) => `begin; set ${name} = ${value}; ${end}`),
  ),
  sql(
    fc
      .record({
        name: fc.constantFrom('app.a', 'app.b', 'deep.er.c', 'work_mem', 'datestyle'),
        value: fc.constantFrom('x', '', '5MB', 'iso, ymd', `it''s`),
        local: fc.boolean(),
      })
      .map(({ name, value, local }) => `select set_config('${name}', '${value}', ${String(local)})`),
  ),
  sql(
    fc.constantFrom(
      'reset all',
      `select current_setting('app.a', true), current_setting('deep.er.c', true), current_setting('app.d', true)`,
      'show search_path',
      'show timezone',
      'set session characteristics as transaction isolation level serializable, read only',
      'set session characteristics as transaction read write, not deferrable',
      `select 1.5::float8 / 7, now() - now() + interval '1 day 02:03', '\\x00ff'::bytea, 1::money`,
    ),
  ),
);

export const roles: fc.Arbitrary<Command> = sql(
  fc.constantFrom(
    'set role other',
    'set role "o""dd"',
    'set role none',
    'reset role',
    'set local role other',
    'begin; set role other; rollback',
    'set session authorization other',
    'set session authorization app',
    'reset session authorization',
    'set role nobody',
    'select session_user, current_user',
  ),
);

const asLoginUser = (command: string): string => `rollback; reset session authorization; ${command}`;
const load = (library: string): string => asLoginUser(`load '${library}'`);

/**
 * No RESET of the library's setting: what it leaves ('') cannot be told from a value, which LOAD warns of. The setting is always
 * set by the login user: PostgreSQL remembers who set it before the library was loaded (guc.c, srole), and nobody can read that.
 */
export const loads: fc.Arbitrary<Command> = sql(
  fc.constantFrom(
    load('plpgsql'),
    load('auto_explain'),
    load('$libdir/auto_explain'),
    load('nothing'),
    `load 'auto_explain'`,
    asLoginUser('set auto_explain.log_analyze = on'),
    'show auto_explain.log_analyze',
  ),
);

export const discards: fc.Arbitrary<Command> = sql(
  fc.constantFrom('discard all', 'discard plans', 'discard sequences', 'discard temp'),
);
