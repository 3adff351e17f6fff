/** `check` for people: per session what it holds, whether it can move, what that would lose and cost. */
import type { CheckResult } from '../../control/api.js';
import type { SessionReport } from '../../proxy/control-api.js';
import { clip, duration, plural, size } from '../format.js';
import type { Style } from '../style.js';
import { table } from '../table.js';

export function checkView({ sessions }: CheckResult, style: Style): string {
  const verdict = verdictOf(sessions, style);
  if (sessions.length === 0) return verdict;
  const rows = sessions.map((session) => [
    String(session.id),
    `${session.user}@${session.database}`,
    clip(session.application, 20),
    canMove(session, style),
    session.looked ? duration(session.estimatedMs) : '–',
    session.estimatedBytes > 0 ? size(session.estimatedBytes) : '–',
    holds(session, style),
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

function verdictOf(sessions: readonly SessionReport[], style: Style): string {
  const stuck = sessions.filter(({ movable }) => !movable).length;
  const losing = sessions.filter(({ state }) => state.some(({ lost }) => lost !== undefined)).length;
  const first =
    stuck === 0
      ? `${style.ok} every session can move  ${style.dim(plural(sessions.length, 'session'))}`
      : `${style.fail} ${plural(stuck, 'session')} of ${sessions.length} cannot move as ${stuck === 1 ? 'it is' : 'they are'} now`;
  return losing === 0 ? first : `${first}\n${style.caution} ${plural(losing, 'session')} may lose something`;
}

function canMove({ looked, movable }: SessionReport, style: Style): string {
  if (!looked) return style.warn('not now');
  return movable ? style.good('yes') : style.bad('no');
}

/** A mark before what stands in the way, and before what may be lost: colours do not survive a pipe. */
function holds({ reasons, state }: SessionReport, style: Style): string {
  const obstacles = reasons.map((reason) => `${style.fail} ${style.bad(reason)}`);
  const losses = state.flatMap(({ lost }) =>
    lost === undefined ? [] : [`${style.caution} ${style.warn(`may be lost: ${lost}`)}`],
  );
  const others = state.filter(({ movable, detail, lost }) => movable && detail !== lost);
  return [...obstacles, ...losses, ...others.map(({ detail }) => `  ${detail}`)].join('\n');
}
