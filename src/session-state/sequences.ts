/**
 * Row 14: currval and lastval; recognised, not moved yet. lastval() raises 55000 where nothing was drawn, so it is asked
 * inside a block that catches it; the answer comes out through a setting that the surrounding transaction takes back.
 */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';

const NOTHING = 'pg_catalog';
/** Drawn through a function with more rights: there is a value, and it may not be read. */
const HIDDEN = 'hidden';

export const sequences: StateKindModule<string | null> = {
  none: null,
  *read() {
    const rows: Rows = yield {
      sql: `set local search_path to ${NOTHING};
      do $$begin
        perform pg_catalog.set_config('search_path', pg_catalog.quote_ident(pg_catalog.lastval()::pg_catalog.text), true);
      exception
        when object_not_in_prerequisite_state then null;
        when insufficient_privilege then perform pg_catalog.set_config('search_path', '${HIDDEN}', true);
      end$$;
      select pg_catalog.current_setting('search_path')`,
    };
    // quote_all_identifiers puts everything in quotes.
    const answer = (rows[0]?.[0] ?? NOTHING).replaceAll('"', '');
    return answer === NOTHING ? null : answer;
  },
  summarize: (lastval) =>
    lastval === null ? null : { count: 1, detail: `currval/lastval of a sequence (lastval ${lastval})` },
  replay: null,
};
