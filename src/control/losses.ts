/** What a switchover lost (`dbproxy.move/1`, `lost`), for people: the same may be lost of many sessions, and is told once. */
import type { SessionLoss } from './api.js';

export interface Loss {
  readonly what: string;
  /** `session 7`, `12 sessions` */
  readonly whose: string;
  readonly ids: readonly number[];
}

export function byLoss(lost: readonly SessionLoss[]): Loss[] {
  const sessions = new Map<string, number[]>();
  for (const { id, what } of lost) sessions.set(what, [...(sessions.get(what) ?? []), id]);
  return [...sessions].map(([what, ids]) => ({
    what,
    ids,
    whose: ids.length === 1 ? `session ${ids[0]}` : `${ids.length} sessions`,
  }));
}
