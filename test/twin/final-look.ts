/** Everything a client can see of its session, in commands; what they do to it does not matter any more. */
import { arrayLiteral } from '../../src/session-state/index.js';
import type { Command } from './command.js';

/** A setting of a library that is at its default is set to that on the new backend, as any other dotted name: only `source` tells. */
const SETTINGS = `select name, setting, reset_val, source from pg_settings
  where source in ('session', 'user', 'database') and name not like 'transaction_%'
    and not (name like '%.%' and setting = boot_val) order by name`;
const CUSTOM = `select n, current_setting(n, true) from unnest('{app.a,app.b,app.d,deep.er.c,auto_explain.log_analyze}'::text[]) n`;
const CURSORS = ['c', '"C d"', 'n'];
const SEQUENCES = ['a.up', 'a.down', 'a.sevens', 'a."S\'\'s"', 'a.counted_id_seq'];
const LOCKS = `select classid, objid, objsubid, mode from pg_locks
  where locktype = 'advisory' and pid = pg_backend_pid() order by 1, 2, 3, 4`;
/** Every lock as often as it is held. */
const UNLOCKS = ['1', '-1', '1, 2', '9000000000'].map(
  (key) => `select pg_advisory_unlock(${key}), pg_advisory_unlock_shared(${key}) from generate_series(1, 9)`,
);

const shown = (text: string): string => `regexp_replace(${text}, 'pg_temp_\\d+', 'pg_temp', 'g')`;
const TEMPORARY = [
  `select relname, relkind, relnatts, reloptions, pg_get_userbyid(relowner), relacl from pg_class
    where relnamespace = pg_my_temp_schema() and relname !~ '^pg_toast' order by relname`,
  `select relname, attname, attnotnull, attidentity, ${shown('format_type(atttypid, atttypmod)')},
      ${shown('pg_get_expr(adbin, adrelid)')}
    from pg_class c join pg_attribute a on a.attrelid = c.oid left join pg_attrdef on adrelid = c.oid and adnum = attnum
    where relnamespace = pg_my_temp_schema() and relkind in ('r', 'v') and attnum > 0 and not attisdropped
    order by relname, row_number() over (partition by c.oid order by attnum)`,
  `select conname, contype, ${shown('pg_get_constraintdef(oid)')} from pg_constraint
    where connamespace = pg_my_temp_schema() order by 1, 2, 3`,
  `select ${shown('pg_get_indexdef(oid)')} from pg_class
    where relnamespace = pg_my_temp_schema() and relkind = 'i' order by 1`,
  `select ${shown('pg_get_viewdef(oid)')} from pg_class
    where relnamespace = pg_my_temp_schema() and relkind = 'v' order by 1`,
  `select ${shown('pg_get_functiondef(oid)')} from pg_proc where pronamespace = pg_my_temp_schema() order by 1`,
  `select typname, typtype, (select array_agg(enumlabel order by enumsortorder) from pg_enum where enumtypid = t.oid)
    from pg_type t where typnamespace = pg_my_temp_schema() order by 1`,
  ...['tt', 'uu', 'mm', 'vv'].map((name) => `select t::text from pg_temp.${name} t order by 1`),
  'select * from pg_temp.ss',
];

const bound = (bind: string): Command[] => [
  { bind, values: ['1'] },
  { bind, values: [] },
];

/** `broken`: statements that no longer parse exist only where they were made; both sessions have errors for them. */
export const finalLook = (broken: Iterable<string>): Command[] => [
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
    ...TEMPORARY,
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
