/**
 * Changes of rows in the order in which they were made. Capture fires in another one where a function changes rows while a statement is at
 * work: its own come first then. By where a row was before a change, and where it is after, one follows on the other.
 */

/** One change; a place (ctid) is a row's alone for as long as its transaction lasts, between two definitions. */
export interface Moved {
  readonly table: string;
  /** Null: there was none. */
  readonly oldAt: string | null;
  /** Null: there is none any more. */
  readonly newAt: string | null;
}

/** Each after the one that has left its row where it found it; otherwise as they came. */
export function inOrder<Change extends Moved>(changes: readonly Change[]): readonly Change[] {
  const makers = makersOf(changes);
  const before = changes.map(({ table, oldAt }) =>
    oldAt === null ? undefined : makers.get(table)?.get(oldAt),
  );
  if (before.every((maker, i) => maker === undefined || maker < i)) return changes;
  const ordered = new Set<Change>();
  changes.forEach((_, i) => {
    const chain = new Set<Change>();
    for (let at: number | undefined = i; at !== undefined; at = before[at]) {
      const change = changes[at];
      if (!change || ordered.has(change) || chain.has(change)) break;
      chain.add(change);
    }
    for (const change of [...chain].toReversed()) ordered.add(change);
  });
  return [...ordered];
}

/** By table, and by the place in it. */
function makersOf(changes: readonly Moved[]): Map<string, Map<string, number>> {
  const makers = new Map<string, Map<string, number>>();
  changes.forEach(({ table, newAt }, i) => {
    if (newAt === null) return;
    const places = makers.get(table) ?? new Map<string, number>();
    makers.set(table, places.set(newAt, i));
  });
  return makers;
}
