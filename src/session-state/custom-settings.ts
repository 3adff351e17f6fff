/**
 * Row 3: custom settings (`app.user_id`), which pg_settings does not show: asked for by the names that passed by. After a
 * SET LOCAL the value is '' and not NULL, and stays so on the target. A name that a loaded library has made its own counts only
 * where the session has set it: else its default would be set there, which not everybody may do.
 */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';
import { arrayLiteral, listed, literal } from './kind.js';
import { MAX_SETTING_NAMES } from './setting-names.js';
import { UNKNOWN_SETTING, setConfig } from './settings.js';

export interface CustomSettings {
  readonly values: ReadonlyMap<string, string>;
  /** More names passed by than are kept: one of those may be set, too. */
  readonly incomplete: boolean;
}

/**
 * invalid_parameter_value, insufficient_privilege: a library that is loaded there, and not here, has its own idea of what its
 * setting may be, and who may set it. PostgreSQL drops such a value, too, when the library is loaded (guc.c, reapply_stacked_values).
 */
const LOST_ON = [...UNKNOWN_SETTING, '22023', '42501'];

/** Dotted names in functions that set something, and in ALTER ROLE / ALTER DATABASE … SET. */
const NAMES_IN_DATABASE = `select distinct pg_catalog.lower(m[1]) from pg_catalog.pg_proc p,
    pg_catalog.regexp_matches(p.prosrc, '([a-zA-Z_]\\w*(?:\\.[a-zA-Z_]\\w*)+)', 'g') m
    where p.prolang not in (select oid from pg_catalog.pg_language where lanname in ('internal', 'c'))
      and p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace and p.prosrc ~* 'set_config|\\mset\\M'
  union select pg_catalog.lower(pg_catalog.split_part(c, '=', 1))
    from pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) c where c ~ '^[^=]+[.]'`;

export const customSettings: StateKindModule<CustomSettings> = {
  none: { values: new Map(), incomplete: false },

  *read({ customNames, namesOverflowed: incomplete, scanNames, rememberNames }) {
    const found: Rows = scanNames ? yield { sql: NAMES_IN_DATABASE } : [];
    const inDatabase = found.map(([name]) => name ?? '');
    rememberNames(inDatabase);
    const candidates = [...new Set([...customNames, ...inDatabase])];
    if (candidates.length === 0) return { values: new Map(), incomplete };
    const rows: Rows = yield {
      sql: `select n, pg_catalog.current_setting(n, true)
      from pg_catalog.unnest(${literal(arrayLiteral(candidates))}::pg_catalog.text[]) n
      where pg_catalog.current_setting(n, true) is not null
        and ('NO_SHOW_ALL' = any (pg_catalog.pg_settings_get_flags(n)) or n in
          (select pg_catalog.lower(name) from pg_catalog.pg_settings where source = 'session'))`,
    };
    return { values: new Map(rows.map(([name, value]) => [name ?? '', value ?? ''])), incomplete };
  },

  summarize: ({ values, incomplete }) =>
    values.size === 0 && !incomplete
      ? null
      : { count: values.size, detail: listed(values.size, 'custom setting', [...values.keys()]) },

  mayLose: ({ incomplete }) =>
    incomplete ? `custom settings beyond the first ${MAX_SETTING_NAMES} names, if there are any` : null,

  counts: ({ values }) => ({ settings: values.size }),
  estimate: ({ values }) => ({ bytes: 0, ms: values.size * 0.04 }),

  replay: (wanted, there) => [
    ...[...wanted.values]
      .filter(([name, value]) => there.values.get(name) !== value)
      .flatMap(([name, value]) => [
        setConfig(name, value, LOST_ON),
        // Most likely left by RESET or SET LOCAL: a library that is loaded later must not take it for a value.
        ...(value === '' ? [setConfig(name, null, LOST_ON)] : []),
      ]),
    // Reset, and then made its own by a library that was loaded: there the library has found the value.
    ...[...there.values.keys()]
      .filter((name) => !wanted.values.has(name))
      .map((name) => setConfig(name, null, LOST_ON)),
  ],
};
