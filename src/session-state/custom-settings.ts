/**
 * Row 3: custom settings (`app.user_id`), which pg_settings does not show: asked for by the names that passed by. After a
 * SET LOCAL the value is '' and not NULL, and stays so on the target.
 */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';
import { arrayLiteral, listed, literal } from './kind.js';
import { setConfig } from './settings.js';

export const customSettings: StateKindModule<ReadonlyMap<string, string>> = {
  none: new Map(),

  *read({ customNames }) {
    if (customNames.length === 0) return new Map();
    const rows: Rows = yield {
      sql: `select n, pg_catalog.current_setting(n, true)
      from pg_catalog.unnest(${literal(arrayLiteral(customNames))}::pg_catalog.text[]) n
      where pg_catalog.current_setting(n, true) is not null`,
    };
    return new Map(rows.map(([name, value]) => [name ?? '', value ?? '']));
  },

  summarize: (values) =>
    values.size === 0
      ? null
      : { count: values.size, detail: listed(values.size, 'custom setting', [...values.keys()]) },

  replay: (wanted, there) =>
    [...wanted]
      .filter(([name, value]) => there.get(name) !== value)
      .map(([name, value]) => setConfig(name, value)),
};
