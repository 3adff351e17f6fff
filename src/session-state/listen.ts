/** Row 12: channels the session listens on; recognised, not moved yet. */
import type { Rows } from './channel.js';
import type { StateKindModule } from './kind.js';
import { listed, names } from './kind.js';

export const listen: StateKindModule<readonly string[]> = {
  none: [],
  *read() {
    const rows: Rows = yield { select: ['array(select pg_catalog.pg_listening_channels())'] };
    return names(rows[0]?.[0]);
  },
  summarize: (names) =>
    names.length === 0
      ? null
      : { count: names.length, detail: listed(names.length, 'LISTEN channel', names) },
  replay: null,
};
