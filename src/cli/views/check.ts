/** `check` for people: per session what it holds, whether it can move, what that would cost. */
import type { CheckResult } from '../../control/api.js';
import type { SessionReport } from '../../proxy/control-api.js';
import { clip, duration, plural, size } from '../format.js';
import type { Style } from '../style.js';
import { table } from '../table.js';

export function checkView({ movable, sessions }: CheckResult, style: Style): string {
  const stuck = sessions.filter((session) => !session.movable).length;
  const verdict = movable
    ? `${style.ok} every session can move  ${style.dim(plural(sessions.length, 'session'))}`
    : `${style.caution} ${plural(stuck, 'session')} of ${sessions.length} cannot move as they are now`;
  if (sessions.length === 0) return verdict;
  const rows = sessions.map((session) => [
    String(session.id),
    `${session.user}@${session.database}`,
    clip(session.application, 20),
    verdictOf(session, style),
    duration(session.estimatedMs),
    size(session.estimatedBytes),
    stateOf(session, style),
  ]);
  const columns = [
    { head: 'id', align: 'right' },
    { head: 'user@database' },
    { head: 'application' },
    { head: 'can move' },
    { head: 'time', align: 'right' },
    { head: 'data', align: 'right' },
    { head: 'holds' },
  ] as const;
  return `${verdict}\n\n${table(columns, rows, style)}`;
}

function verdictOf({ looked, movable }: SessionReport, style: Style): string {
  if (!looked) return style.warn('busy');
  return movable ? style.good('yes') : style.bad('no');
}

function stateOf({ looked, state }: SessionReport, style: Style): string {
  if (!looked) return style.dim('did not come to a safe point while we looked');
  return state.map(({ movable, detail }) => (movable ? detail : style.bad(detail))).join('\n');
}
