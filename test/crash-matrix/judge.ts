/**
 * The checker: what clients were told of their statements, compared with what is in the table. Each statement inserts one row
 * with an id of its own, and the table has no unique index: what was done twice shows.
 *
 *   acknowledged   there exactly once
 *   failed         (an ERROR of the server: rolled back) not there
 *   unknown        (the connection broke) there once or not at all
 *   pending        nobody was told anything: a session is stuck
 */
export type Fate = 'acknowledged' | 'failed' | 'unknown' | 'pending';

export interface Statement {
  readonly id: number;
  fate: Fate;
  /** Monotonic, ms. */
  readonly sentMs: number;
  settledMs?: number;
  /** Which engine did it: its data directory. Of acknowledged ones. */
  engine?: string;
}

/** How often each id is in the table. */
export type Rows = ReadonlyMap<number, number>;

/** What is wrong, in words; empty: nothing. */
export function judge(statements: readonly Statement[], rows: Rows): string[] {
  const withFate = (fate: Fate): Statement[] => statements.filter((statement) => statement.fate === fate);
  const timesOf = ({ id }: Statement): number => rows.get(id) ?? 0;
  const sent = new Set(statements.map(({ id }) => id));
  const found = (what: string, ids: readonly number[]): string[] =>
    ids.length === 0 ? [] : [`${ids.length} ${what} (${ids.slice(0, 5).join(', ')})`];
  const idsOf = (some: readonly Statement[]): number[] => some.map(({ id }) => id);
  return [
    ...found('acknowledged and missing', idsOf(withFate('acknowledged').filter((one) => timesOf(one) === 0))),
    ...found('doubled', idsOf(statements.filter((one) => timesOf(one) > 1))),
    ...found('failed and yet there', idsOf(withFate('failed').filter((one) => timesOf(one) > 0))),
    ...found(
      'that nobody sent',
      [...rows.keys()].filter((id) => !sent.has(id)),
    ),
    ...found('stuck', idsOf(withFate('pending'))),
    ...twoPrimaries(withFate('acknowledged')),
  ];
}

/** Once one engine has answered, no statement that is sent later is done by the one before it. */
function twoPrimaries(acknowledged: readonly Statement[]): string[] {
  const firstMs = new Map<string, number>();
  for (const { engine = '', settledMs = Infinity } of acknowledged)
    firstMs.set(engine, Math.min(firstMs.get(engine) ?? Infinity, settledMs));
  const inOrder = [...firstMs].sort(([, a], [, b]) => a - b);
  return inOrder.slice(1).flatMap(([later, sinceMs], at) => {
    const before = new Set(inOrder.slice(0, at + 1).map(([engine]) => engine));
    const late = acknowledged.filter(({ engine = '', sentMs }) => before.has(engine) && sentMs > sinceMs);
    return late.length === 0
      ? []
      : [`two primaries: ${late.length} written elsewhere after ${later} answered`];
  });
}
