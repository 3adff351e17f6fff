/** What a transaction wrote: the rows that were told, and that dbproxy.write_set() gives, made into the keys and the payload of a proposal. */
import type { KeyMode, KeyUse } from '../protocol/index.js';
import { IMAGE, netEffect, type NetChange, type RowEvent } from './net-effect.js';

export type RowChange =
  /** `row`: the whole new row, as the text of its composite type. */
  | { readonly kind: 'insert'; readonly table: string; readonly row: string }
  /** `key`: the old value of the columns by which the row is found; of each as text. */
  | { readonly kind: 'update'; readonly table: string; readonly key: readonly string[]; readonly row: string }
  | { readonly kind: 'delete'; readonly table: string; readonly key: readonly string[] };

/** One row's change, a TRUNCATE, a setval, a statement of DDL, or what became of roles; in an order in which they can be made. */
export type Change =
  | RowChange
  | { readonly kind: 'truncate'; readonly table: string }
  /** All rows were computed anew by DDL, and follow. */
  | { readonly kind: 'empty'; readonly table: string }
  | { readonly kind: 'setval'; readonly sequence: string; readonly value: string; readonly isCalled: boolean }
  /** The transaction asked for its name. */
  | { readonly kind: 'name'; readonly id: string }
  | Ddl
  | Roles;

/** A statement that has to run on every writer, at one position of the log. */
export interface Ddl {
  readonly kind: 'ddl';
  readonly tag: string;
  readonly sql: string;
  /** Who ran it (current_user), and where it looked for names. */
  readonly role: string;
  readonly searchPath: string;
  /** What it was read by (sql/settings.ts). */
  readonly settings: Readonly<Record<string, string>>;
  /** Of new columns: table, column, and the value of the rows that were there, as the text of an array. */
  readonly missing: readonly (readonly [table: string, column: string, value: string])[];
  /** As long its client's statement had taken by then. */
  readonly tookMs?: number;
}

/** States of roles, as sql/roles.ts tells and applies them: of those that are new or have changed; and names of those that are gone. */
export interface Roles {
  readonly kind: 'roles';
  readonly changed: readonly { readonly name: string; readonly was: string | null }[];
  readonly gone: readonly string[];
}

export interface WriteSet {
  readonly keys: readonly KeyUse[];
  readonly changes: readonly Change[];
  /** The changes, for `apply`. */
  readonly payload: string;
  /** Not empty: this transaction is a barrier; it holds the schema's key `exclusive`. */
  readonly ddl: readonly (Ddl | Roles)[];
  /** For people: the row that brought a key along. `row`: `(5)`, the key it was found by, or the whole of a new one. */
  readonly rows: ReadonlyMap<string, { readonly table: string; readonly row: string }>;
}

/** Held `shared` by every transaction that writes, and `exclusive` by one that changes definitions. */
export const SCHEMA_KEY = 'schema';

/** A constant of the capture function of a table. */
interface Shape {
  readonly table: string;
  /** Names of its unique indexes, that by which rows are found first (null: the table has none). */
  readonly unique: readonly (string | null)[];
  /** Of the unique indexes its foreign keys refer to. */
  readonly references: readonly string[];
  /** Places among these two whose hash may stay where the key does not: behind the hashes is an image of each. */
  readonly coarse: readonly number[];
  /** Has an exclusion constraint: only the table as a whole can be certified. */
  readonly whole: boolean;
}

/** Columns of dbproxy.write_set(), as text; of what was told, '' may stand for null. */
export type WriteSetRow = readonly (string | null)[];

/** Null: nothing was written. */
export function readWriteSet(rows: readonly WriteSetRow[]): WriteSet | null {
  if (rows.length === 0) return null;
  const keys = new Keys();
  const changes = readChanges(rows, keys);
  const ddl = changes.filter((change) => change.kind === 'ddl' || change.kind === 'roles');
  keys.use(SCHEMA_KEY, ddl.length > 0 ? 'exclusive' : 'shared');
  return { keys: keys.all(), changes, payload: JSON.stringify(changes), ddl, rows: keys.rows };
}

/** Rows' changes stay between the definitions, TRUNCATEs and contents of tables that they were made between. */
function readChanges(rows: readonly WriteSetRow[], keys: Keys): Change[] {
  const changes: Change[] = [];
  let between: (RowEvent | Change)[] = [];
  const flush = (): void => {
    const net = netEffect(between.filter(isEvent));
    if (net) changes.push(...between.filter(isNoEvent), ...net.map(changeOf));
    else changes.push(...between.map((one) => (isEvent(one) ? changeOf(one) : one)));
    between = [];
  };
  for (const row of rows) {
    const one = readRow(row, keys);
    if (!isEvent(one) && ENDS.has(one.kind)) {
      flush();
      changes.push(one);
    } else between.push(one);
  }
  flush();
  return changes;
}

const ENDS: ReadonlySet<Change['kind']> = new Set(['ddl', 'truncate', 'empty']);
const isEvent = (one: RowEvent | Change): one is RowEvent => 'found' in one;
const isNoEvent = (one: RowEvent | Change): one is Change => !isEvent(one);

function changeOf({ table, found, row }: NetChange): RowChange {
  if (found === null) return { kind: 'insert', table, row: row ?? '' };
  return row === null ? { kind: 'delete', table, key: found } : { kind: 'update', table, key: found, row };
}

export const isRow = (change: Change): change is RowChange =>
  change.kind === 'insert' || change.kind === 'update' || change.kind === 'delete';

export const readPayload = (payload: string): Change[] => JSON.parse(payload) as Change[];

function readRow(written: WriteSetRow, keys: Keys): RowEvent | Change {
  const [operation, about, hashes, oldHashes, key, row, oldAt, newAt] = written;
  const text = about ?? '';
  switch (operation) {
    case 'd':
    case 'i':
    case 'u': {
      const shape = shapeOf(text);
      const [fresh, old] = [readHashes(hashes), readHashes(oldHashes)];
      const found = operation === 'i' ? null : (JSON.parse(key ?? '[]') as string[]);
      keys.useRow(shape, fresh, old, found ? `(${found.join(',')})` : (row ?? ''));
      return {
        table: shape.table,
        oldAt: oldAt || null,
        newAt: newAt || null,
        oldKeys: keysOf(shape, old),
        newKeys: keysOf(shape, fresh),
        excludes: shape.whole,
        found,
        row: operation === 'd' ? null : (row ?? ''),
      };
    }
    case 't':
      keys.use(text, 'exclusive');
      return { kind: 'truncate', table: text };
    case 'e':
      return { kind: 'empty', table: text };
    case 's': {
      const [value = '', isCalled] = JSON.parse(key ?? '[]') as string[];
      return { kind: 'setval', sequence: text, value, isCalled: isCalled === 'true' };
    }
    case 'n':
      return { kind: 'name', id: text };
    case 'a':
      return { kind: 'roles', ...(JSON.parse(key ?? '{}') as Omit<Roles, 'kind'>) };
    default: {
      const [tag, role, searchPath, settings, missing, tookMs] = JSON.parse(key ?? '[]') as DdlKey;
      return { kind: 'ddl', tag, role, searchPath, sql: row ?? '', settings, missing, tookMs };
    }
  }
}

/** As after_ddl keeps it (sql/ddl.ts). */
type DdlKey = [
  tag: string,
  role: string,
  path: string,
  settings: Ddl['settings'],
  missing: Ddl['missing'],
  tookMs: number,
];

const keysOf = ({ unique, references, coarse }: Shape, hashes: Hashes): RowEvent['oldKeys'] =>
  hashes === null
    ? []
    : [
        ...hashes.slice(0, unique.length),
        ...coarse.map((i, at) =>
          i < unique.length ? `${IMAGE}${hashes[unique.length + references.length + at]}` : null,
        ),
      ];

const shapes = new Map<string, Shape>();
function shapeOf(text: string): Shape {
  const known = shapes.get(text);
  if (known) return known;
  // As many as there are tables, and versions of them; bounded all the same.
  if (shapes.size > 10_000) shapes.clear();
  // What an older version has kept of a transaction that is still open has none.
  const shape: Shape = { coarse: [], ...(JSON.parse(text) as Omit<Shape, 'coarse'> & Partial<Shape>) };
  shapes.set(text, shape);
  return shape;
}

/** `{1,NULL,2}`, the text of a bigint[]. */
const readHashes = (text: string | null | undefined): (string | null)[] | null =>
  text === null || text === undefined || text === ''
    ? null
    : text
        .slice(1, -1)
        .split(',')
        .map((one) => (one === 'NULL' ? null : one));

const STRENGTH: Readonly<Record<KeyMode, number>> = { shared: 0, update: 1, exclusive: 2 };

/** As much of a row as an error message shows. */
const SHOWN = 120;

/** Each key once, in the strongest mode in which it is used. */
class Keys {
  readonly #modes = new Map<string, KeyMode>();
  readonly rows = new Map<string, { table: string; row: string }>();

  use(key: string, mode: KeyMode): void {
    const present = this.#modes.get(key);
    if (present === undefined || STRENGTH[present] < STRENGTH[mode]) this.#modes.set(key, mode);
  }

  /**
   * Values that are new or gone are `exclusive`. One that stays matters where it is the key of the row itself: the row is changed,
   * and whoever deletes it or refers to it has to know. A reference that stays was there before.
   */
  useRow(shape: Shape, fresh: Hashes, old: Hashes, row: string): void {
    const { table, unique, references, coarse, whole } = shape;
    this.use(table, whole ? 'exclusive' : 'shared');
    const images = unique.length + references.length;
    const hasChanged = (i: number): boolean => {
      const image = coarse.indexOf(i);
      return fresh?.[i] !== old?.[i] || (image >= 0 && fresh?.[images + image] !== old?.[images + image]);
    };
    const use = (key: string, mode: KeyMode): void => {
      this.use(key, mode);
      if (!this.rows.has(key)) this.rows.set(key, { table, row: row.slice(0, SHOWN) });
    };
    unique.forEach((index, i) => {
      const [now, before] = [fresh?.[i] ?? null, old?.[i] ?? null];
      if (index === null) return;
      if (!hasChanged(i)) {
        if (i === 0 && now !== null) use(`${index}:${now}`, 'update');
        return;
      }
      for (const hash of [now, before]) if (hash !== null) use(`${index}:${hash}`, 'exclusive');
    });
    references.forEach((index, i) => {
      const now = fresh?.[unique.length + i] ?? null;
      if (now !== null && hasChanged(unique.length + i)) use(`${index}:${now}`, 'shared');
    });
  }

  all(): KeyUse[] {
    return [...this.#modes].map(([key, mode]) => ({ key, mode }));
  }
}
type Hashes = readonly (string | null)[] | null;
