/** `dbproxy.move/1`, made from what a switchover found, and the events that tell of it. */
import { duration, plural } from '../../cli/format.js';
import type { EngineRecord, PendingRestart } from '../../engine/types.js';
import type { DbproxyError } from '../../errors/index.js';
import { NOTHING_MOVED, type SwitchoverResult } from '../../switchover/index.js';
import type { MoveEnd, MoveRecord, MoveStrategy, PatchStrategy, PhasesMs } from '../api.js';
import type { Instance } from '../instance.js';
import { byLoss } from '../losses.js';

const NO_PHASES: PhasesMs = {
  provision: 0,
  warm: 0,
  drain: 0,
  fence: 0,
  catchup: 0,
  promote: 0,
  move: 0,
  retire: 0,
};

export interface Started {
  /** `patch-3` */
  readonly operation: string;
  readonly at: Date;
  readonly atMs: number;
}

export type Outcome = Omit<MoveRecord, 'operation' | 'startedAt' | 'totalMs'>;

/** One event for the end, with the whole record, in the order of the contract. */
export function record(instance: Instance, { operation, at, atMs }: Started, found: Outcome): MoveRecord {
  const { schema, outcome, strategy, from, to, sessions, ...rest } = found;
  const totalMs = Math.round((performance.now() - atMs) * 10) / 10;
  const ended = { startedAt: at.toISOString(), totalMs };
  const move: MoveRecord = { schema, operation, outcome, strategy, from, to, sessions, ...rest, ...ended };
  for (const { what, whose, ids } of byLoss(move.lost)) {
    const data = { operation, what, sessions: ids };
    instance.events.append('session.lost', `${operation}: ${whose} may have lost ${what}`, data);
  }
  instance.events.append(`operation.${outcome}`, inWords(move), { ...move });
  return move;
}

function inWords({ operation, outcome, strategy, from, to, sessions, holdMs, error }: MoveRecord): string {
  const named = ({ engine, size, postgres }: MoveEnd): string =>
    `${engine} (${size}, PostgreSQL ${postgres})`;
  if (outcome === 'completed' && strategy === 'resize')
    return `${operation}: ${named(to)} was resized as it runs, ${plural(sessions.kept, 'session')} where they were`;
  return outcome === 'completed'
    ? `${operation}: ${named(to)} serves ${plural(sessions.moved, 'moved session')}${heldOf(holdMs)}${lostOf(sessions)}`
    : `${operation}: ${named(from)} stays: ${error?.message ?? 'rolled back'}`;
}

/** Of nobody where nobody was held. */
const heldOf = ({ count, max }: MoveRecord['holdMs']): string =>
  count === 0 ? '' : `, held ${duration(max)} at most`;

const lostOf = ({ failed }: MoveRecord['sessions']): string =>
  failed.length === 0 ? '' : `; ${failed.length} lost: ${failed[0]?.reason}`;

export function outcomeOf(result: SwitchoverResult, strategy: PatchStrategy): Omit<Outcome, 'from' | 'to'> {
  const { phasesMs, attempts } = result;
  const canceled = canceledOf(result);
  const common = { schema: 'dbproxy.move/1', strategy, phasesMs, attempts } as const;
  if (result.outcome === 'completed') {
    const { total, moved, kept, failed, dropped, holdMs, stateMoved, lost } = result.move;
    return {
      ...common,
      outcome: 'completed',
      sessions: { total, moved, kept, failed, dropped, ...canceled },
      ...{ holdMs, stateMoved, lost, pendingRestart: [] },
      error: null,
    };
  }
  // In place they may have been logged in again, to the version that they were on.
  const stayed = { ...NOTHING_MOVED, total: result.sessions, moved: result.sessions };
  const { total, moved: kept, failed, dropped, holdMs, stateMoved, lost } = result.move ?? stayed;
  return {
    ...common,
    outcome: 'rolled-back',
    sessions: { total, moved: 0, kept, failed, dropped, ...canceled },
    ...{ holdMs, stateMoved, lost, pendingRestart: [] },
    error: contents(result.error),
  };
}

const canceledOf = ({ canceled }: SwitchoverResult): Pick<MoveRecord['sessions'], 'canceled'> =>
  canceled.size === 0 ? {} : { canceled: [...canceled].map(([id, reason]) => ({ id, reason })) };

/** Asked for what is there already: done, nothing was touched. */
export function nothingToDo(from: EngineRecord, strategy: MoveStrategy): Outcome {
  const { total, moved, kept, failed, dropped, holdMs, stateMoved } = NOTHING_MOVED;
  return {
    schema: 'dbproxy.move/1',
    outcome: 'completed',
    strategy,
    from: endOf(from),
    to: endOf(from),
    sessions: { total, moved, kept, failed, dropped },
    holdMs,
    phasesMs: NO_PHASES,
    attempts: 0,
    stateMoved,
    ...{ lost: [], pendingRestart: [] },
    error: null,
  };
}

export interface Resized {
  readonly from: EngineRecord;
  /** What it is now. */
  readonly to: EngineRecord;
  /** How many there are; none has moved. */
  readonly sessions: number;
  readonly tookMs: number;
  readonly pendingRestart: readonly PendingRestart[];
  /** Why it is as it was. */
  readonly error: DbproxyError | null;
}

export function outcomeOfResize({ from, to, sessions, tookMs, pendingRestart, error }: Resized): Outcome {
  return {
    ...nothingToDo(from, 'resize'),
    outcome: error === null ? 'completed' : 'rolled-back',
    to: endOf(to),
    sessions: { total: sessions, moved: 0, kept: sessions, failed: [], dropped: 0 },
    phasesMs: { ...NO_PHASES, provision: Math.round(tookMs * 10) / 10 },
    attempts: 1,
    pendingRestart,
    error: error && contents(error),
  };
}

const contents = ({ code, message, suggestions, details }: DbproxyError): MoveRecord['error'] => ({
  ...{ code, message, suggestions, details },
});

export const endOf = ({ id, provider, size, postgres }: EngineRecord): MoveEnd => ({
  ...{ engine: id, provider, size, postgres },
});
