/** One switch: its phases as a bar and a table, hold times, sessions, and what the clients saw around it. */
import type { MoveEnd, MoveRecord, PhasesMs } from '../control/api.js';
import { HOLDING_STEPS } from '../switchover/steps.js';
import type { StallWindow, TimelineBin } from '../workload/index.js';
import { binTable, figure, latency, throughput } from './chart.js';
import { html, type Html } from './html.js';
import { facts, table } from './table.js';
import { count, duration, plural } from '../cli/format.js';
import { sessionsInWords, stateInWords } from '../cli/move-words.js';
import { moment } from './moment.js';

/** What the load saw of it; absent for a switch without a load of ours. */
export interface Seen {
  readonly stallMs: StallWindow;
  /** `t` counts from the beginning of the hold. */
  readonly timeline: readonly TimelineBin[];
}

export function moveSection(record: MoveRecord, seen?: Seen): Html {
  const { from, to, sessions, holdMs, error } = record;
  return html`<section>
    <h2>${record.operation}: ${endInWords(from)} → ${endInWords(to)}</h2>
    ${error ? html`<p class="bad">Rolled back: ${error.message} <code>${error.code}</code></p>` : null}
    ${facts([
      ['outcome', record.outcome],
      ['sessions', sessionsInWords(record)],
      ...record.pendingRestart.map(
        ({ name, current, wanted }) =>
          [`${name}, not yet`, `${current}; ${wanted} when the engine is started again`] as const,
      ),
      [
        'held',
        holdMs.count === 0
          ? undefined
          : `p50 ${duration(holdMs.p50)}, p99 ${duration(holdMs.p99)}, longest ${duration(holdMs.max)}`,
      ],
      ['stall', seen && stallInWords(seen.stallMs)],
      ['attempts to hold everybody', count(record.attempts)],
      ['came along', stateInWords(record) ?? 'no state'],
      ['whole', `${duration(record.totalMs)} from ${moment(Date.parse(record.startedAt))}`],
    ])}
    ${sessions.failed.map(({ id, reason }) => html`<p class="bad">Session ${id} was lost: ${reason}</p>`)}
    ${(sessions.canceled ?? []).map(
      ({ id, reason }) =>
        html`<p class="beware">Session ${id} had its transaction cancelled: it ${reason}</p>`,
    )}
    ${record.lost.map(({ id, what }) => html`<p class="beware">Session ${id} may have lost ${what}</p>`)}
    ${record.strategy === 'resize' ? null : phases(record.phasesMs)}
    ${seen && seen.timeline.length > 0 ? around(seen) : null}
  </section>`;
}

/** Before the hold nobody waits; the bar shows the time for which everybody did. */
function phases(phasesMs: PhasesMs): Html {
  const total = Math.max(
    HOLDING_STEPS.reduce((sum, phase) => sum + phasesMs[phase], 0),
    Number.MIN_VALUE,
  );
  const percent = (phase: keyof PhasesMs): string => ((phasesMs[phase] / total) * 100).toFixed(2);
  return html`<div class="phases" aria-hidden="true">
      ${HOLDING_STEPS.map(
        (phase) =>
          html`<span class="phase ${phase}" style="flex-grow: ${percent(phase)}"
            ><b>${phase}</b> ${duration(phasesMs[phase])}</span
          >`,
      )}
    </div>
    ${table(
      'Phases; sessions wait from drain to move',
      ['phase', 'took'],
      Object.entries(phasesMs).map(([phase, ms]) => [phase, duration(ms as number)]),
    )}`;
}

export function around({ timeline, stallMs }: Seen): Html {
  const windows = [{ from: 0, to: (stallMs.to - stallMs.from) / 1_000 }];
  const figures = binTable('Around the switch, each 100 ms', timeline);
  return html`<div class="pair">
    ${figure({ ...throughput(timeline, windows), title: 'Throughput around the switch', table: figures })}
    ${figure({ ...latency(timeline, windows), title: 'Latency around the switch', table: figures })}
  </div>`;
}

const endInWords = ({ engine, size, postgres }: MoveEnd): string =>
  `${engine} (${size}, PostgreSQL ${postgres})`;

export const stallInWords = ({ calls, p50, p99, max }: StallWindow): string =>
  calls === 0
    ? 'no call met it'
    : `p50 ${duration(p50)}, p99 ${duration(p99)}, longest ${duration(max)}, over ${plural(calls, 'call')}`;
