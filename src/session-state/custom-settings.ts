/**
 * Row 3: custom settings (`app.user_id`), which pg_settings does not show: asked for by the names that passed by, which may be in any encoding. After a
 * SET LOCAL the value is '' and not NULL, and stays so on the target. A name that a loaded library has made its own counts only
 * where the session has set it: else its default would be set there, which not everybody may do.
 */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';
import { arrayLiteral, listed, literal } from './kind.js';
import { MAX_SETTING_NAMES } from './setting-names.js';
import { UNKNOWN_SETTING, isAscii, setConfig } from './settings.js';

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

/** Dotted names in functions that set something, and in ALTER ROLE / ALTER DATABASE … SET; as bytes. */
const NAMES_IN_DATABASE = `select pg_catalog.encode(pg_catalog.convert_to(name, 'UTF8'), 'hex') from (
  select distinct pg_catalog.lower(m[1] collate pg_catalog."C") from pg_catalog.pg_proc p,
    pg_catalog.regexp_matches(p.prosrc, '([[:alpha:]_]\\w*(?:\\.[[:alpha:]_]\\w*)+)', 'g') m
    where p.prolang not in (select oid from pg_catalog.pg_language where lanname in ('internal', 'c'))
      and p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace and p.prosrc ~* 'set_config|\\mset\\M'
  union select pg_catalog.lower(pg_catalog.split_part(c, '=', 1) collate pg_catalog."C")
    from pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) c where c ~ '^[^=]+[.]') x (name)`;

/** The names with their places, whatever the client's encoding. What is not ASCII can be written so only in a database in UTF8. */
const numbered = (ascii: readonly string[], others: readonly string[]): string => {
  const first = `select n, place from pg_catalog.unnest(${literal(arrayLiteral(ascii))}::pg_catalog.text[]) with ordinality x (n, place)`;
  if (others.length === 0) return first;
  const json = JSON.stringify(others).replace(
    /[^\x00-\x7f]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return `${first} union all select n, place + ${ascii.length} from pg_catalog.json_array_elements_text(
    case pg_catalog.getdatabaseencoding() when 'UTF8' then ${literal(json)} else '[]' end::pg_catalog.json) with ordinality x (n, place)`;
};

export const customSettings: StateKindModule<CustomSettings> = {
  none: { values: new Map(), incomplete: false },

  *read({ customNames, namesOverflowed: incomplete, scanNames, rememberNames }) {
    const found: Rows = scanNames ? yield { sql: NAMES_IN_DATABASE } : [];
    const inDatabase = found.map(([name]) => Buffer.from(name ?? '', 'hex').toString());
    rememberNames(inDatabase);
    const candidates = [...new Set([...customNames, ...inDatabase])];
    if (candidates.length === 0) return { values: new Map(), incomplete };
    const ascii = candidates.filter(isAscii);
    const others = candidates.filter((name) => !isAscii(name));
    const rows: Rows = yield {
      sql: `select place, pg_catalog.current_setting(n, true)
      from (${numbered(ascii, others)}) x
      where pg_catalog.current_setting(n, true) is not null
        and ('NO_SHOW_ALL' = any (pg_catalog.pg_settings_get_flags(n)) or n in
          (select pg_catalog.lower(name) from pg_catalog.pg_settings where source = 'session'))`,
    };
    const names = [...ascii, ...others];
    const values = new Map(rows.map(([place, value]) => [names[Number(place) - 1] ?? '', value ?? '']));
    return { values, incomplete };
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
