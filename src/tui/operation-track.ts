/** The operation in progress, and the last one, as its events tell: phases with their times, sessions and how long each was held. */
import type { LogEvent, MoveRecord, SessionStatus } from '../control/api.js';

export interface Phase {
  readonly name: string;
  readonly atMs: number;
  /** Null: it is going on. */
  readonly tookMs: number | null;
}

export interface OperationTrack {
  /** `scale-3` */
  readonly id: string;
  /** `small → large` */
  readonly what: string;
  readonly phases: readonly Phase[];
  readonly attempt: number;
  /** Hold times of the sessions that it has moved, by session. */
  readonly holds: ReadonlyMap<number, number>;
  /** Hold times of all its sessions, once it has ended. */
  readonly record: MoveRecord['holdMs'] | null;
  readonly outcome: 'running' | 'completed' | 'rolled-back';
  /** Why it was rolled back. */
  readonly reason: string | null;
}

export const isRunning = (track: OperationTrack | null): boolean => track?.outcome === 'running';

export function trackEvent(track: OperationTrack | null, event: LogEvent): OperationTrack | null {
  const id = idOf(event);
  if (id === null) return track;
  if (event.type === 'operation.started') return begin(id, event);
  if (track?.id !== id) return track;
  if (event.type === 'operation.step') return step(track, event);
  if (event.type === 'operation.completed') return end(track, event, 'completed');
  if (event.type === 'operation.rolled-back') return end(track, event, 'rolled-back');
  return track;
}

/** Sessions that have moved since the look before: each tells how long it was held. */
export function trackMoves(
  track: OperationTrack | null,
  before: ReadonlyMap<number, SessionStatus>,
  now: readonly SessionStatus[],
): OperationTrack | null {
  if (!track) return null;
  const moved = now.filter(({ id, moves, lastMoveMs }) => {
    const earlier = before.get(id);
    return earlier !== undefined && moves > earlier.moves && lastMoveMs !== null;
  });
  if (moved.length === 0) return track;
  const holds = new Map(track.holds);
  for (const { id, lastMoveMs } of moved) holds.set(id, lastMoveMs ?? 0);
  return { ...track, holds };
}

const idOf = ({ data }: LogEvent): string | null => {
  const id = data?.['operation'];
  return typeof id === 'string' ? id : null;
};

function begin(id: string, { message }: LogEvent): OperationTrack {
  const what = message.replace(`${id}: `, '').replaceAll('PostgreSQL ', '');
  const nothing = { phases: [], attempt: 0, holds: new Map<number, number>(), record: null, reason: null };
  return { id, what, ...nothing, outcome: 'running' };
}

function step(track: OperationTrack, { at, data }: LogEvent): OperationTrack {
  const atMs = Date.parse(at);
  const name = typeof data?.['step'] === 'string' ? data['step'] : '';
  const attempt = Number(data?.['attempt'] ?? track.attempt);
  return { ...track, attempt, phases: [...closed(track.phases, atMs, name), { name, atMs, tookMs: null }] };
}

/** An attempt that is made again takes the phases after it back. */
function closed(phases: readonly Phase[], atMs: number, next: string): Phase[] {
  const again = phases.findIndex(({ name }) => name === next);
  const kept = again === -1 ? phases : phases.slice(0, again);
  return kept.map((phase) => (phase.tookMs === null ? { ...phase, tookMs: atMs - phase.atMs } : phase));
}

/** What the events of both ends of a switch and of a handover have in common, and what only some of them have. */
type Ended = Partial<Pick<MoveRecord, 'phasesMs' | 'holdMs' | 'error'>>;

/** The record that comes with the end has measured the phases better than the times of their events can. */
function end(
  track: OperationTrack,
  { at, data, message }: LogEvent,
  outcome: 'completed' | 'rolled-back',
): OperationTrack {
  const record = data as unknown as Ended;
  const measured: Readonly<Record<string, number>> = { ...record.phasesMs };
  const phases = closed(track.phases, Date.parse(at), '').map((phase) => ({
    ...phase,
    tookMs: measured[phase.name] ?? phase.tookMs,
  }));
  const reason = outcome === 'completed' ? null : (record.error?.message ?? message);
  return { ...track, phases, outcome, reason, record: record.holdMs ?? null };
}
