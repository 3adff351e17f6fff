/** What a session holds, in words and numbers: for `check`, for the record of a switch, and to decide whether it can move. */
import { kindNames, kinds, type KindName, type SessionState } from './kinds.js';
import type { Estimate, MoveLimits, StateKindModule, StateMoved } from './kind.js';

export interface KindReport {
  readonly kind: KindName;
  readonly count: number;
  readonly movable: boolean;
  readonly detail: string;
  /** What a move loses of it, or may lose. */
  readonly lost?: string;
}

/** Every kind the session holds something of. */
export const report = (state: SessionState, limits: MoveLimits): KindReport[] => {
  const slow = tooSlow(state, limits);
  return kindNames.flatMap((kind) => {
    const module = kinds[kind] as StateKindModule<unknown>;
    const summary = module.summarize(state[kind]);
    if (!summary) return [];
    const obstacle =
      module.obstacle?.(state[kind], limits) ??
      (slow?.kind === kind ? `${summary.detail}; ${slow.reason}` : null);
    const movable = module.replay !== null && obstacle === null;
    const lost = module.mayLose?.(state[kind]) ?? null;
    return [
      {
        kind,
        movable,
        count: summary.count,
        detail: obstacle ?? summary.detail,
        ...(lost === null ? {} : { lost }),
      },
    ];
  });
};

/** Over the limit of time: blamed on the kind that takes the longest. */
const tooSlow = (
  state: SessionState,
  { sessionMs }: MoveLimits,
): { kind: KindName; reason: string } | null => {
  const { ms } = estimate(state);
  if (ms <= sessionMs) return null;
  return {
    kind: heaviest(state),
    reason: `to move it all takes ${seconds(ms)}, over the limit of ${seconds(sessionMs)}`,
  };
};

const heaviest = (state: SessionState): KindName =>
  kindNames.reduce((most, kind) => (estimateOf(state, kind).ms > estimateOf(state, most).ms ? kind : most));

/** What of it takes the longest to move: `2 temporary objects: a, b`; empty if it is nothing much. */
export const burden = (state: SessionState): string =>
  (kinds[heaviest(state)] as StateKindModule<unknown>).summarize(state[heaviest(state)])?.detail ?? '';

const seconds = (ms: number): string =>
  ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(1)} s`;

/** What a move loses, or may lose, of what cannot be read. */
export const losses = (state: SessionState): string[] =>
  kindNames.flatMap((kind) => (kinds[kind] as StateKindModule<unknown>).mayLose?.(state[kind]) ?? []);

export const stateKinds = (state: SessionState): KindName[] =>
  kindNames.filter((kind) => (kinds[kind] as StateKindModule<unknown>).summarize(state[kind]) !== null);

/** What stands in the way of a move. */
export const unmovable = (state: SessionState, limits: MoveLimits): KindReport[] =>
  report(state, limits).filter(({ movable }) => !movable);

const some = (
  state: SessionState,
  test: (module: StateKindModule<unknown>) => ((state: unknown) => boolean) | undefined,
): boolean => kindNames.some((kind) => test(kinds[kind] as StateKindModule<unknown>)?.(state[kind]) === true);

/** Something of it has contents that are still to be read (ReadContext.contents). */
export const hasContents = (state: SessionState): boolean => some(state, (module) => module.hasContents);

/** Other sessions can tell whether something of it is there. */
export const isShared = (state: SessionState): boolean => some(state, (module) => module.shared);

/** Another session can have changed what was read of this one, though nothing was asked of it since. */
export const othersCanChange = (state: SessionState): boolean =>
  some(state, (module) => module.othersCanChange);

/**
 * A session that holds nothing (its login was made ready ahead of time): one look. This and the figures of the kinds are what
 * `look` and `replay` took on two cores, embedded engine, small size, median of five; docs/performance.md.
 */
const PLAIN: Estimate = { bytes: 0, ms: 1.2 };

/** What moving the session is likely to take. */
export const estimate = (state: SessionState): Estimate =>
  kindNames
    .map((kind) => estimateOf(state, kind))
    .reduce((sum, { bytes, ms }) => ({ bytes: sum.bytes + bytes, ms: sum.ms + ms }), PLAIN);

const estimateOf = (state: SessionState, kind: KindName): Estimate =>
  (kinds[kind] as StateKindModule<unknown>).estimate?.(state[kind]) ?? { bytes: 0, ms: 0 };

export const NOTHING_MOVED: StateMoved = {
  settings: 0,
  preparedStatements: 0,
  tempTables: 0,
  tempBytes: 0,
  cursors: 0,
  listens: 0,
  advisoryLocks: 0,
  sequences: 0,
};

/** `sum` and what moved with `state`. */
export const addMoved = (sum: StateMoved, state: SessionState): StateMoved => {
  const total: Record<keyof StateMoved, number> = { ...sum };
  for (const kind of kindNames) {
    const counts = (kinds[kind] as StateKindModule<unknown>).counts?.(state[kind]) ?? {};
    for (const [name, count] of Object.entries(counts)) total[name as keyof StateMoved] += count;
  }
  return total;
};
