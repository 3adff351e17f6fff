/** The operation in progress, or the last one: its phases, and how long sessions were held; below it what clients notice. */
import { duration } from '../../cli/format.js';
import { SWITCHOVER_STEPS } from '../../switchover/steps.js';
import { isRunning, type OperationTrack, type Phase } from '../operation-track.js';
import type { Model } from '../model.js';
import { bars, histogram, HOLD_BUCKETS_MS, sparkline } from '../sparkline.js';
import { between, clipLine, span, type Line, type Span } from '../text.js';

/** From this width on every phase has its time beside it. */
const WIDE = 120;

export function operationView(model: Model, width: number): Line[] {
  return [headline(model, width), phasesLine(model, width), pulse(model, width), holdsLine(model, width)];
}

function headline({ operation, status, nowMs }: Model, width: number): Line {
  if (!operation) {
    const starting = status?.operation;
    return starting
      ? [span(starting.operation, 'title'), span(`  ${starting.step}: ${starting.detail}`)]
      : [span('no operation yet', 'dim'), span('  s scale · p patch', 'dim')];
  }
  const { id, what, attempt } = operation;
  const attempts = attempt > 1 ? [span(`  attempt ${attempt}`, 'warn')] : [];
  const name = [span(id, 'title'), span(`  ${what}`), ...attempts];
  return between(clipLine(name, width - 14), [ending(operation, nowMs)], width);
}

function ending({ outcome, phases }: OperationTrack, nowMs: number): Span {
  if (outcome === 'completed') return span('✔ completed', 'good');
  if (outcome === 'rolled-back') return span('✖ rolled back', 'bad');
  const since = phases[0]?.atMs;
  return span(since === undefined ? 'running' : `running ${duration(Math.max(0, nowMs - since))}`, 'accent');
}

function phasesLine({ operation, nowMs }: Model, width: number): Line {
  if (operation?.id.startsWith('handover')) return [span('sockets went from one process to the next', 'dim')];
  const known = operation?.phases ?? [];
  const strange = known.filter(({ name }) => !SWITCHOVER_STEPS.some((phase) => phase === name));
  const names = strange.length > 0 ? strange.map(({ name }) => name) : SWITCHOVER_STEPS;
  const running = isRunning(operation);
  const parts = names.map((name) =>
    phaseSpan(
      name,
      known.find((phase) => phase.name === name),
      running,
      nowMs,
      width,
    ),
  );
  // With their times, phases fill a screen of 120 without it.
  const separator = width >= 140 || (width >= 80 && width < WIDE) ? ' › ' : ' ';
  return parts.flatMap((part, index) => (index === 0 ? [part] : [span(separator, 'dim'), part]));
}

function phaseSpan(
  name: string,
  phase: Phase | undefined,
  running: boolean,
  nowMs: number,
  width: number,
): Span {
  const short = width >= 80 ? name : name.slice(0, 6);
  if (!phase) return span(short, 'dim');
  const time = phase.tookMs ?? Math.max(0, nowMs - phase.atMs);
  const timed = width >= WIDE ? `${short} ${duration(time)}` : short;
  return phase.tookMs === null && running ? span(`▸${timed}`, 'held') : span(timed, 'good');
}

/** What clients notice: how long their transactions take, and how long they are held. */
function pulse({ latency, hold, status }: Model, width: number): Line {
  const room = Math.max(8, Math.min(60, Math.floor((width - 44) / 2)));
  const held = status?.sessions.filter(({ state }) => state === 'held').length ?? 0;
  const moving = status?.sessions.filter(({ state }) => state === 'moving').length ?? 0;
  const now = latency.values.at(-1) ?? null;
  const longest = hold.values.at(-1) ?? 0;
  const line: Line = [
    span('latency ', 'dim'),
    span(now === null ? '–'.padEnd(9) : `≈ ${duration(now)}`.padEnd(9)),
    span(sparkline(latency.values, room), 'accent'),
    span('  hold ', 'dim'),
    span((longest > 0 ? duration(longest) : '–').padEnd(7)),
    span(
      sparkline(
        hold.values.map((value) => (value === 0 ? null : value)),
        room,
      ),
      'warn',
    ),
  ];
  const gate: Line =
    held + moving === 0
      ? []
      : [
          span(` ${held} held `, held > 0 ? 'held' : 'dim'),
          span(` ${moving} moving `, moving > 0 ? 'moving' : 'dim'),
        ];
  return between(line, gate, width);
}

/** How long each session was held, as a histogram; or why nobody moved. */
function holdsLine({ operation }: Model, width: number): Line {
  if (operation?.outcome === 'rolled-back') return [span(operation.reason ?? 'nobody moved', 'bad')];
  const holds = [...(operation?.holds.values() ?? [])];
  const { record = null } = operation ?? {};
  const label = span('holds   ', 'dim');
  if (holds.length === 0 && record === null)
    return [label, span('how long each session waits in a switch, by length', 'dim')];
  const { count, p50, p99, max } = record ?? holdTimes(holds);
  const figures: Line = [
    span(`${count} moved`, 'good'),
    span(`  p50 ${duration(p50)}  p99 ${duration(p99)}  max ${duration(max)}`),
  ];
  if (holds.length === 0) return [label, ...figures];
  const counts = histogram(holds);
  const picture: Line =
    width >= WIDE
      ? labelled(counts)
      : [span('1▕', 'dim'), span(bars(counts), 'warn'), span('▏500 ms ', 'dim')];
  return [label, ...picture, ...figures];
}

/** Nearest rank, as in the record of a switch. */
function holdTimes(holdsMs: readonly number[]): { count: number; p50: number; p99: number; max: number } {
  const sorted = [...holdsMs].sort((a, b) => a - b);
  const at = (quantile: number): number => sorted[Math.max(0, Math.ceil(quantile * sorted.length) - 1)] ?? 0;
  return { count: sorted.length, p50: at(0.5), p99: at(0.99), max: at(1) };
}

/** `≤1 ▂ ≤2 █ …` */
const labelled = (counts: readonly number[]): Line =>
  HOLD_BUCKETS_MS.flatMap((end, index) => [
    span(Number.isFinite(end) ? `≤${end}` : '>500', 'dim'),
    span(bars(counts)[index] ?? ' ', 'warn'),
    span(' '),
  ]);
