/**
 * Row 9: WITH HOLD cursors; at a safe point only these are left. Their rows are read when the session moves for certain, because
 * that moves them. They are re-created by DECLARE over arrays of text, one for each column, which are parameters: no table is
 * needed, and text is cast to the very type of the column. The rows of a cursor WITH HOLD do not change, so they are counted once.
 *
 * Position (tcop/pquery.c, PortalRunFetch): before the first row, on a row, or after the last one; MOVE RELATIVE 0 tells
 * whether it is on one, MOVE BACKWARD how many come before. No step passes more rows than the limit, however long the cursor is. A NO SCROLL cursor is re-created from where it is on; how
 * far that is from its start nobody can tell, so FETCH ABSOLUTE counts from there. One that failed (`cannot be run`) fails there, too.
 *
 * Differences that stay: pg_cursors.statement and creation_time; RowDescription names no table.
 */
import type { Rows } from './channel.js';
import { recreate } from './held-cursor-replay.js';
import type { Ask, ReadContext, StateKindModule } from './kind.js';
import { listed, quoted } from './kind.js';

export interface CursorColumn {
  readonly name: string;
  /** With its modifier, qualified: `numeric(5,2)`, `app.mood`. */
  readonly type: string;
  /** No text can be cast to it: a row of no declared type, or the user of the login may not name its type. */
  readonly nameless: boolean;
  /** Of one value, guessed from the type. */
  readonly bytes: number;
}

export type CursorPosition =
  | { readonly at: 'before' | 'after' }
  /** On this one, from 1; of a NO SCROLL cursor, 1 stands for the row before the first that is left. */
  | { readonly at: 'row'; readonly row: number };

export interface CursorContents {
  readonly rows: Rows;
  readonly position: CursorPosition;
  readonly failed: boolean;
}

/** Texts are bytes in the server's encoding. */
export interface HeldCursor {
  readonly name: string;
  readonly scrollable: boolean;
  readonly binary: boolean;
  readonly columns: readonly CursorColumn[];
  /** A column's type is not PostgreSQL's own: somebody can rename or drop it. */
  readonly foreignTypes: boolean;
  /** Null: cannot be told before it is read (NO SCROLL). At most one more than the limit. */
  readonly count: number | null;
  /** Null: not read yet. */
  readonly contents: CursorContents | null;
}

export interface HeldCursors {
  readonly cursors: readonly HeldCursor[];
  /** Names and times of creation: while these are the same, the cursors are. */
  readonly mark: string;
  /** Rows were counted up to one more than this. */
  readonly limit: number;
}

const MARK = 'dbproxy-cursors ';
/** OIDs below it are those of a new cluster (access/transam.h, FirstNormalObjectId). */
const FIRST_OF_USERS = 16_384;
/** Of a value whose type has no length. */
const GUESSED_BYTES = 32;
/** What export and replay took of up to 100 000 rows of one and two columns; ms. */
const MS_PER_CURSOR = 0.3;
const MS_PER_ROW = 0.0013;
const MS_PER_BYTE = 0.00004;

export const heldCursors: StateKindModule<HeldCursors> = {
  none: { cursors: [], mark: '', limit: 0 },

  *read(context, previous) {
    const found: Rows = yield {
      select: [
        `(select pg_catalog.string_agg(pg_catalog.concat(name, ' ', creation_time), ',')
           from pg_catalog.pg_cursor() where is_holdable)`,
      ],
    };
    const mark = found[0]?.[0] ?? '';
    if (mark === '') return heldCursors.none;
    const limit = context.limits.cursorRows;
    const known = previous?.mark === mark && previous.limit >= limit;
    // What was read once cannot be read again.
    if (known && previous.cursors.every(({ contents }) => contents !== null)) return previous;
    const same = known && !previous.cursors.some(({ foreignTypes }) => foreignTypes);
    if (same && !context.contents) return previous;
    const cursors = same ? previous.cursors : yield* describe(known ? previous.cursors : []);
    if (known && !context.contents) return { ...previous, cursors };
    const positions = yield* move(context);
    if (!context.contents)
      return { mark, limit, cursors: cursors.map((cursor) => counted(cursor, positions)) };
    const full: HeldCursor[] = [];
    for (const cursor of cursors) full.push(yield* withContents(cursor, positions, context));
    return { mark, limit, cursors: full };
  },

  summarize: ({ cursors }) =>
    cursors.length === 0
      ? null
      : {
          count: cursors.length,
          detail: listed(
            cursors.length,
            'held cursor',
            cursors.map(({ name }) => name),
          ),
        },

  obstacle({ cursors }, { cursorRows }) {
    const long = cursors.find(({ count }) => (count ?? 0) > cursorRows);
    if (long) return tooLong(long.name, cursorRows);
    const odd = cursors.find(({ columns }) => columns.some(({ nameless }) => nameless));
    return odd
      ? `held cursor ${odd.name}: a column of no declared type, or of one in a schema that the login role may not use`
      : null;
  },

  hasContents: ({ cursors }) => cursors.length > 0,
  othersCanChange: ({ cursors }) => cursors.some(({ foreignTypes }) => foreignTypes),
  // Their types.
  counts: ({ cursors }) => ({ cursors: cursors.length }),
  estimate({ cursors }) {
    const rows = cursors.reduce((sum, { count }) => sum + (count ?? 0), 0);
    const bytes = cursors.reduce((sum, cursor) => sum + bytesOf(cursor), 0);
    return { bytes, ms: cursors.length * MS_PER_CURSOR + rows * MS_PER_ROW + bytes * MS_PER_BYTE };
  },

  replay: recreate,
};

const tooLong = (name: string, limit: number): string => `held cursor ${name}: more than ${limit} rows`;

/** Of all rows, as far as they have been counted. */
const bytesOf = ({ count, columns }: HeldCursor): number =>
  (count ?? 0) * columns.reduce((sum, { bytes }) => sum + bytes, 0);

/** Once for a cursor, unless its types can change. `counted`: those of which it is known already how long they are. */
function* describe(counted: readonly HeldCursor[]): Generator<Ask, HeldCursor[], Rows> {
  const rows: Rows = yield {
    sql: `select ${HEX_NAME}, is_scrollable, is_binary from pg_catalog.pg_cursor() p where is_holdable`,
  };
  const cursors: HeldCursor[] = [];
  for (const [hex, scrollable, binary] of rows) {
    const name = nameOf(hex ?? '');
    const described: Rows = yield { describe: name };
    /* eslint-disable dbproxy/sql-quoting -- oids and modifiers are numbers, as the engine has written them */
    const types: Rows =
      described.length === 0
        ? []
        : yield {
            exact: `select pg_catalog.regexp_replace(pg_catalog.format_type(c.type, c.modifier), '^pg_temp_[0-9]+[.]', 'pg_temp.'),
                t.typtype = 'p' or not pg_catalog.has_schema_privilege(session_user, t.typnamespace, 'usage'), case when t.typlen > 0 then t.typlen else ${GUESSED_BYTES} end
              from rows from (pg_catalog.unnest('{${described.map(([, type]) => type).join()}}'::pg_catalog.oid[]),
                  pg_catalog.unnest('{${described.map(([, , modifier]) => modifier).join()}}'::pg_catalog.int4[]))
                with ordinality c (type, modifier, place)
                left join pg_catalog.pg_type t on t.oid = c.type
              order by c.place`,
          };
    /* eslint-enable dbproxy/sql-quoting */
    const columns = described.map(([column], i) => ({
      name: column ?? '',
      type: types[i]?.[0] ?? '',
      // A type that is gone counts as such.
      nameless: types[i]?.[1] !== 'f',
      bytes: Number(types[i]?.[2] ?? 0),
    }));
    cursors.push({
      name,
      columns,
      scrollable: scrollable === 't',
      binary: binary === 't',
      foreignTypes: described.some(([, type]) => Number(type) >= FIRST_OF_USERS),
      count: counted.find((each) => each.name === name)?.count ?? null,
      contents: null,
    });
  }
  return cursors;
}

interface Position {
  readonly onRow: boolean;
  /** Rows passed by MOVE BACKWARD, one more than the limit at most. */
  readonly back: number;
  readonly count: number | null;
}

const HEX_NAME = `pg_catalog.encode(pg_catalog.convert_to(p.name, pg_catalog.getdatabaseencoding()), 'hex')`;
const nameOf = (hex: string): string => Buffer.from(hex, 'hex').toString('latin1');

/**
 * Where each cursor is, by name, and how many rows it has; 'failed': it cannot be run. Scrollable ones are moved: with
 * `contents` to before their first row, else back to where they were.
 */
function* move({
  contents,
  limits,
}: ReadContext): Generator<Ask, ReadonlyMap<string, Position | 'failed'>, Rows> {
  const rows: Rows = yield {
    sql: `do $dbproxy$
      declare
        c pg_catalog.record;
        cursor pg_catalog.refcursor;
        here pg_catalog.int8;
        back pg_catalog.int8;
        size pg_catalog.int8;
        found pg_catalog.text;
      begin
        for c in select p.name, is_scrollable, ${HEX_NAME} as hex from pg_catalog.pg_cursor() p where is_holdable
        loop
          begin
            cursor := c.name;
            move relative 0 from cursor;
            get diagnostics here = row_count;
            back := 0;
            size := null;
            if c.is_scrollable then
              move backward ${limits.cursorRows + 1} from cursor;
              get diagnostics back = row_count;
              if back operator(pg_catalog.>) ${limits.cursorRows} then
                size := back;
                move forward ${limits.cursorRows + 1} from cursor;
              else
                move forward ${limits.cursorRows + 1} from cursor;
                get diagnostics size = row_count;
                move absolute 0 from cursor;
              end if;
              if ${String(contents)} or back operator(pg_catalog.>) ${limits.cursorRows} then null;
              elsif here operator(pg_catalog.>) 0 then move absolute (back operator(pg_catalog.+) 1) from cursor;
              elsif back operator(pg_catalog.>) 0 then move forward all from cursor;
              end if;
            end if;
            found := pg_catalog.concat(found, ' ', c.hex, ':', here, ':', back, ':', size);
          exception when others then
            found := pg_catalog.concat(found, ' ', c.hex, ':failed');
          end;
        end loop;
        perform pg_catalog.set_config('search_path', pg_catalog.concat('"${MARK}', found, '"'), true);
      end $dbproxy$;
      select pg_catalog.current_setting('search_path')`,
  };
  const [text] = rows[0] ?? [];
  const found = text?.startsWith(`"${MARK}`) ? text.slice(MARK.length + 2, -1).split(' ') : [];
  return new Map(
    found.map((entry) => {
      const [hex = '', here = '', back = '', size = ''] = entry.split(':');
      const position = { onRow: here === '1', back: Number(back), count: size === '' ? null : Number(size) };
      return [nameOf(hex), here === 'failed' ? 'failed' : position];
    }),
  );
}

const counted = (cursor: HeldCursor, positions: ReadonlyMap<string, Position | 'failed'>): HeldCursor => {
  const position = positions.get(cursor.name);
  return position === undefined || position === 'failed' ? cursor : { ...cursor, count: position.count };
};

function* withContents(
  cursor: HeldCursor,
  positions: ReadonlyMap<string, Position | 'failed'>,
  { limits: { cursorRows } }: ReadContext,
): Generator<Ask, HeldCursor, Rows> {
  const position = positions.get(cursor.name);
  if (position === undefined || position === 'failed')
    return { ...cursor, contents: { rows: [], position: { at: 'before' }, failed: true } };
  const rows: Rows = yield { exact: `fetch forward ${cursorRows + 1} from ${quoted(cursor.name)}` };
  if (rows.length > cursorRows) throw new Error(tooLong(cursor.name, cursorRows));
  return { ...cursor, contents: { rows, position: positionOf(position), failed: false } };
}

const positionOf = ({ onRow, back }: Position): CursorPosition => {
  if (onRow) return { at: 'row', row: back + 1 };
  return { at: back > 0 ? 'after' : 'before' };
};
