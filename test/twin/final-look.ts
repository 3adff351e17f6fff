/** Everything a client can see of its session, in commands; what they do to it does not matter any more. */
import { arrayLiteral } from '../../src/session-state/index.js';
import { CATALOGS } from '../session-state/temp-snapshot.js';
import type { Command } from './command.js';
import { TEMP_RELATIONS } from './temp-commands.js';

/** Without `source`: that a value is set which is the default, too, is not always noticed (settings.ts). */
const SETTINGS = `select name, setting, reset_val from pg_settings
  where (setting <> reset_val or name = 'application_name') and name not like 'transaction_%' order by name`;
/** é, and its bytes in an encoding of single bytes. */
const ACCENTED = `array['app.' || chr(233), 'app.' || chr(195) || chr(169)]`;
const CUSTOM = `select n, current_setting(n, true)
  from unnest('{app.a,app.b,app.d,deep.er.c,auto_explain.log_analyze}'::text[] || ${ACCENTED}) n`;
const CURSORS = ['c', '"C d"', 'n'];
const SEQUENCES = ['a.up', 'a.down', 'a.sevens', 'a."S\'\'s"', 'a.counted_id_seq'];
const LOCKS = `select classid, objid, objsubid, mode from pg_locks
  where locktype = 'advisory' and pid = pg_backend_pid() order by 1, 2, 3, 4`;
/** Every lock as often as it is held. */
const UNLOCKS = ['1', '-1', '1, 2', '9000000000'].map(
  (key) => `select pg_advisory_unlock(${key}), pg_advisory_unlock_shared(${key}) from generate_series(1, 9)`,
);

/** Rows, and what a new one gets: defaults, identities, sequences, triggers. */
const TEMPORARY = [
  ...Object.values(CATALOGS),
  ...TEMP_RELATIONS.flatMap((name) => [
    `select t::text from pg_temp.${name} t order by 1`,
    `insert into pg_temp.${name} default values`,
    `insert into pg_temp.${name} default values returning *`,
  ]),
  'select last_value, is_called from pg_temp.ss',
];

const bound = (bind: string): Command[] => [
  { bind, values: ['1'] },
  { bind, values: [] },
];

/** `temporary`: there was something that is. `broken`: statements that no longer parse exist only where they were made; both sessions have errors for them. */
export const finalLook = (broken: Iterable<string>, temporary: boolean): Command[] => [
  // Before any simple Query, which destroys it.
  ...bound(''),
  ...[
    'rollback',
    'select session_user, current_user',
    SETTINGS,
    CUSTOM,
    `select name, case when not from_sql then statement end, parameter_types, result_types, from_sql
      from pg_prepared_statements where name <> all ('${arrayLiteral([...broken])}') order by name`,
    'select name, is_holdable, is_binary, is_scrollable from pg_cursors order by name',
    'select lastval()',
    ...SEQUENCES.map((name) => `select currval('${name}')`),
    'select * from pg_listening_channels() order by 1',
    ...(temporary ? TEMPORARY : []),
    LOCKS,
    ...UNLOCKS,
    ...CURSORS.flatMap((name) => [`fetch next from ${name}`, `fetch all from ${name}`]),
    ...CURSORS.slice(0, 2).flatMap((name) => [`fetch backward 2 from ${name}`, `fetch first from ${name}`]),
  ].map((sql) => ({ sql })),
  ...['p', 'q', 'P Q'].flatMap(bound),
  ...['reset session authorization', 'reset all', SETTINGS, CUSTOM, 'select session_user, current_user'].map(
    (sql) => ({ sql }),
  ),
];
