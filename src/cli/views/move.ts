/** The record of a switchover (`scale`, `patch`) for people. */
import type { MoveRecord, PhasesMs } from '../../control/api.js';
import { byLoss } from '../../control/losses.js';
import { SWITCHOVER_STEPS } from '../../switchover/steps.js';
import { count, duration, plural } from '../format.js';
import { sessionsInWords, stateInWords } from '../move-words.js';
import type { Style } from '../style.js';
import { facts } from '../table.js';

export function moveView(record: MoveRecord, style: Style): string {
  const { outcome, from, to, sessions, holdMs } = record;
  const done = outcome === 'completed';
  const direction = style.strong(changes(record));
  const headline = done
    ? `${style.ok} ${direction}  ${whatWasDone(record)}`
    : `${style.caution} ${direction}  rolled back, every session stays on ${from.engine}`;
  return [
    `${headline}  ${style.dim(duration(record.totalMs))}`,
    '',
    facts(
      [
        ['why', record.error ? style.warn(record.error.message) : undefined],
        ['from', `${from.engine}  ${from.size}, PostgreSQL ${from.postgres}`],
        ['to', `${to.engine}  ${to.size}, PostgreSQL ${to.postgres}`],
        ['sessions', sessionsInWords(record)],
        ...sessions.failed.map(({ id, reason }) => ['', style.bad(`session ${id}: ${reason}`)] as const),
        ...(sessions.canceled ?? []).map(
          ({ id, reason }, index) =>
            [index === 0 ? 'cancelled' : '', style.warn(`session ${id}: it ${reason}`)] as const,
        ),
        ['held for', holdMs.count > 0 ? holdLine(record) : undefined],
        ['state', stateInWords(record)],
        ...record.pendingRestart.map(
          (pending, index) => [index === 0 ? 'not yet' : '', pendingLine(pending, style)] as const,
        ),
        ...byLoss(record.lost).map(
          ({ what, whose }, index) =>
            [index === 0 ? 'may be lost' : '', `${style.warn(what)}  ${style.dim(whose)}`] as const,
        ),
        ['attempts', record.attempts > 1 ? count(record.attempts) : undefined],
        [
          'phases',
          record.attempts > 0 && record.strategy !== 'resize'
            ? phasesLine(record.phasesMs, style)
            : undefined,
        ],
      ],
      style,
    ),
  ].join('\n');
}

function whatWasDone({ attempts, strategy, sessions }: MoveRecord): string {
  if (attempts === 0) return 'already, nothing to do';
  return strategy === 'resize'
    ? 'resized as it runs, nothing moved'
    : `${plural(sessions.moved, 'session')} moved`;
}

const pendingLine = ({ name, current, wanted }: MoveRecord['pendingRestart'][number], style: Style): string =>
  `${style.warn(`${name} is ${current}`)}  ${style.dim(`${wanted} when the engine is started again`)}`;

/** `small → large`, `PostgreSQL 17.9 → 17.10`, or both; what it is when nothing was to change. */
function changes({ from, to }: MoveRecord): string {
  const size = from.size === to.size ? [] : [`${from.size} → ${to.size}`];
  const postgres = from.postgres === to.postgres ? [] : [`PostgreSQL ${from.postgres} → ${to.postgres}`];
  const changed = [...postgres, ...size].join(', ');
  return changed === '' ? `PostgreSQL ${to.postgres}, ${to.size}` : changed;
}

const holdLine = ({ holdMs }: MoveRecord): string =>
  `p50 ${duration(holdMs.p50)}   p99 ${duration(holdMs.p99)}   max ${duration(holdMs.max)}`;

const phasesLine = (phases: PhasesMs, style: Style): string =>
  SWITCHOVER_STEPS.map((name) => `${name} ${style.dim(duration(phases[name]))}`).join('  ');
