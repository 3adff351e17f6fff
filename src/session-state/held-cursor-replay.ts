/** Re-creates held cursors from their rows (held-cursors.ts): DECLARE in a transaction with exact input, then MOVE. */
import { arrayLiteral, quoted } from './kind.js';
import { encode } from '../protocol/index.js';
import { BEGIN_EXACT } from './exact.js';
import type { CursorContents, HeldCursor, HeldCursors } from './held-cursors.js';
import type { ReplayStep } from './kind.js';

export const recreate = (wanted: HeldCursors, there: HeldCursors): ReplayStep[] => {
  if (wanted.mark === there.mark) return [];
  return [
    ...there.cursors.map((cursor) => query(cursor, `close ${quoted(cursor.name)}`)),
    ...wanted.cursors.flatMap(declare),
  ];
};

const step = ({ name }: HeldCursor): Pick<ReplayStep, 'what' | 'onError' | 'afterPromotion'> => ({
  what: `held cursor ${name}`,
  onError: 'fail',
  // Its rows are not there before.
  afterPromotion: true,
});

const query = (cursor: HeldCursor, sql: string): ReplayStep => ({
  ...step(cursor),
  messages: encode.query(sql),
  ends: 'query',
});

const declare = (cursor: HeldCursor): ReplayStep[] => {
  const contents = cursor.contents ?? NOT_READ;
  if (contents.failed) return [query(cursor, BEGIN_EXACT), ...failed(cursor)];
  const rows = withRowBefore(cursor, contents);
  const { name, binary, scrollable, columns } = cursor;
  const sql = `declare ${quoted(name)} ${binary ? 'binary ' : ''}${scrollable ? 'scroll' : 'no scroll'} cursor with hold for `;
  const values =
    columns.length === 0
      ? [String(rows.length)]
      : columns.map((_, i) => arrayOf(rows.map((row) => row[i] ?? null)));
  return [
    query(cursor, BEGIN_EXACT),
    {
      ...step(cursor),
      messages: Buffer.concat([
        encode.parse('', sql + selection(cursor)),
        encode.bind('', '', values),
        encode.execute(),
      ]),
      ends: 'sync',
    },
    query(cursor, [...moves(cursor, contents), 'commit'].join(';')),
  ];
};

const NOT_READ: CursorContents = { rows: [], position: { at: 'before' }, failed: false };

/* eslint-disable dbproxy/sql-quoting -- types are as the engine has written them (format_type) */
const selection = ({ columns }: HeldCursor): string => {
  if (columns.length === 0) return 'select from pg_catalog.generate_series(1, $1::pg_catalog.int8)';
  const list = columns.map(({ name, type }, i) => `v.c${i}::${type} as ${quoted(name)}`);
  const arrays = columns.map((_, i) => `pg_catalog.unnest($${i + 1}::pg_catalog.text[])`);
  const places = columns.map((_, i) => `c${i}`);
  return `select ${list.join(', ')} from rows from (${arrays.join(', ')}) v (${places.join(', ')})`;
};
/* eslint-enable dbproxy/sql-quoting */

/** A NO SCROLL cursor that is on a row: its own cannot be read again, another takes its place. */
const withRowBefore = ({ scrollable, columns }: HeldCursor, { rows, position }: CursorContents) =>
  scrollable || position.at !== 'row' ? rows : [rows[0] ?? columns.map(() => null), ...rows];

const moves = ({ name }: HeldCursor, { position }: CursorContents): string[] => {
  if (position.at === 'before') return [];
  const count = position.at === 'row' ? position.row : 'all';
  // Forward, because a NO SCROLL cursor moves that way only.
  return [`move forward ${count} from ${quoted(name)}`];
};

/* eslint-disable dbproxy/sql-quoting -- types are as the engine has written them (format_type) */
/** One that cannot be run any more: reading backward fails, and it with it. */
const failed = (cursor: HeldCursor): ReplayStep[] => [
  query(
    cursor,
    `declare ${quoted(cursor.name)} ${cursor.binary ? 'binary ' : ''}no scroll cursor with hold for select ${cursor.columns
      .map(({ name, type }) => `null::${type} as ${quoted(name)}`)
      .join(', ')}; commit`,
  ),
  { ...query(cursor, `fetch prior from ${quoted(cursor.name)}`), onError: 'carry' },
];
/* eslint-enable dbproxy/sql-quoting */

/** An array literal, with NULLs (manual 8.15.2). */
const arrayOf = (values: readonly (string | null)[]): string =>
  `{${values.map((value) => (value === null ? 'NULL' : arrayLiteral([value]).slice(1, -1))).join(',')}}`;
