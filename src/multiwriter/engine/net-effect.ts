/**
 * What a transaction's changes of rows come to, each row changed once, in an order in which they can be made.
 *
 * In which order they were made is not known: capture fires in another one where a function changes rows while a statement is at work, and of
 * two rows that pass a unique key from one to the other nothing tells which was first. It need not be known, since elsewhere nothing but the
 * outcome is seen: no trigger fires there, no foreign key is checked. So what gives up a key comes before what takes one:
 *
 *   changes of one row, by the places it was at ─▶ one change, or none ─▶ deletes │ updates that leave the keys │ inserts
 *                                                                          └── an update that moves a key is one of each
 */

/** Begins what stands for a key whose hash may stay where it does not: two that differ may be equal keys all the same. */
export const IMAGE = '~';

/** One change of a row; a place (its ctid in a file) is a row's alone for as long as its transaction lasts. */
export interface RowEvent {
  readonly table: string;
  /** Null: there was none. */
  readonly oldAt: string | null;
  /** Null: there is none any more. */
  readonly newAt: string | null;
  /** Of its unique indexes, and images of those that need one, the same in all events of the table; null: the row is not in that one. Empty where there was, or is, no row. */
  readonly oldKeys: readonly (string | null)[];
  readonly newKeys: readonly (string | null)[];
  /** Other constraints than unique indexes forbid some rows beside each other. */
  readonly excludes: boolean;
  /** By which the old row is found; null: there was none. */
  readonly found: readonly string[] | null;
  /** The new row; null: there is none. */
  readonly row: string | null;
}

/** `found` null: an insert; `row` null: a delete. */
export interface NetChange {
  readonly table: string;
  readonly found: readonly string[] | null;
  readonly row: string | null;
}

/** Null: the events are that already, in whatever order they came. */
export function netEffect(events: readonly RowEvent[]): NetChange[] | null {
  if (events.length < 2) return null;
  const rows = rowsOf(events);
  if (rows.length === events.length && !passKeys(rows)) return null;
  const changes = rows.filter(({ found, row }) => found !== null || row !== null);
  const deletes = changes.filter((change) => change.found !== null && (change.row === null || moves(change)));
  const others = changes.filter(({ row }) => row !== null);
  return [
    ...deletes.map(({ table, found }) => ({ table, found, row: null })),
    ...others.map((change) => ({
      table: change.table,
      found: moves(change) ? null : change.found,
      row: change.row,
    })),
  ];
}

/** Each row from what it was to what it is, by when it is first spoken of. */
function rowsOf(events: readonly RowEvent[]): RowEvent[] {
  const madeAt = new Map<string, RowEvent>();
  for (const event of events) if (event.newAt !== null) madeAt.set(`${event.table} ${event.newAt}`, event);
  const after = new Map<RowEvent, RowEvent>();
  const firsts = events.filter((event) => {
    const before = event.oldAt === null ? undefined : madeAt.get(`${event.table} ${event.oldAt}`);
    if (before) after.set(before, event);
    return !before;
  });
  let n = 0;
  const rows = firsts.map((first) => {
    let last = first;
    for (let next: RowEvent | undefined = first; next; next = after.get(next)) {
      last = next;
      n++;
    }
    return first === last ? first : { ...first, newAt: last.newAt, newKeys: last.newKeys, row: last.row };
  });
  if (n !== events.length) throw new Error('a place was that of two rows');
  return rows;
}

const isSame = (some: RowEvent['oldKeys'], others: RowEvent['oldKeys']): boolean =>
  some.length === others.length && some.every((key, i) => key === others[i]);

/** Does an update have to be a delete and an insert, where the order matters? */
const moves = ({ excludes, oldKeys, newKeys }: RowEvent): boolean => excludes || !isSame(oldKeys, newKeys);

const named = (key: string): string => (key.startsWith(IMAGE) ? IMAGE : key);

/** Does one take a key that another gives up? */
function passKeys(rows: readonly RowEvent[]): boolean {
  const givenUp = new Set<string>();
  const written = new Set<string>();
  for (const { table, excludes, oldKeys, newKeys } of rows) {
    if (excludes && written.has(table)) return true;
    written.add(table);
    oldKeys.forEach((key, i) => {
      if (key !== null && key !== newKeys[i]) givenUp.add(`${table} ${i} ${named(key)}`);
    });
  }
  return (
    givenUp.size > 0 &&
    rows.some(({ table, oldKeys, newKeys }) =>
      newKeys.some(
        (key, i) => key !== null && key !== oldKeys[i] && givenUp.has(`${table} ${i} ${named(key)}`),
      ),
    )
  );
}
