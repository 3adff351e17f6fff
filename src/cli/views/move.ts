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
  const { failed } = sessions;
  const mark = outcome === 'completed' && failed.length === 0 ? style.ok : style.caution;
  const lost = failed.length > 0 ? `, ${style.bad(`${plural(failed.length, 'client session')} lost`)}` : '';
  const headline = `${mark} ${style.strong(changes(record))}  ${whatWasDone(record)}${lost}`;
  return [
    `${headline}  ${style.dim(duration(record.totalMs))}`,
    ...lostLines(record, style),
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

function whatWasDone({ outcome, from, attempts, strategy, sessions }: MoveRecord): string {
  if (outcome === 'rolled-back') {
    const verb = sessions.kept === 1 ? 'stays' : 'stay';
    const some = `${plural(sessions.kept, 'session')} ${verb}`;
    return `rolled back, ${sessions.failed.length > 0 ? some : 'every session stays'} on ${from.engine}`;
  }
  if (attempts === 0) return 'already, nothing to do';
  return strategy === 'resize'
    ? 'resized as it runs, nothing moved'
    : `${plural(sessions.moved, 'session')} moved`;
}

/** The exit code is that of the operation (docs/patching.md): who reads only this is to notice it. */
function lostLines({ sessions: { failed } }: MoveRecord, style: Style): string[] {
  const [first] = failed;
  if (!first) return [];
  const who = failed.length === 1 ? 'was ended, and its client' : 'were ended, and their clients';
  const others = failed.some(({ reason }) => reason !== first.reason) ? ' (and others)' : '';
  const what = `${plural(failed.length, 'client session')} ${who} told so: ${first.reason}${others}`;
  return [`${style.caution} ${style.bad(what)}`];
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
