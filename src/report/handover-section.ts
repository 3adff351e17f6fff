/** One `patch --self`: from which process to which, its sessions, how long they were held, and what the clients saw around it. */
import type { HandoverRecord } from '../control/api.js';
import { count, duration } from '../cli/format.js';
import { html, type Html } from './html.js';
import { moment } from './moment.js';
import { around, stallInWords, type Seen } from './move-section.js';
import { facts } from './table.js';

export function handoverSection(record: HandoverRecord, seen?: Seen): Html {
  const { operation, from, to, sessions, holdMs, generation, totalMs, startedAt } = record;
  return html`<section>
    <h2>${operation}: the proxy was replaced, process ${from.pid} → ${to.pid}</h2>
    ${facts([
      ['version', from.version === to.version ? to.version : `${from.version} → ${to.version}`],
      ['sessions', `${count(sessions.handed)} handed over, ${count(sessions.lost)} lost`],
      [
        'held',
        holdMs.count === 0
          ? 'nobody'
          : `p50 ${duration(holdMs.p50)}, p99 ${duration(holdMs.p99)}, longest ${duration(holdMs.max)}`,
      ],
      ['stall', seen && stallInWords(seen.stallMs)],
      ['processes of this proxy so far', count(generation)],
      ['whole', `${duration(totalMs)} from ${moment(Date.parse(startedAt))}`],
    ])}
    ${sessions.failed.map(({ id, reason }) => html`<p class="bad">Session ${id} was lost: ${reason}</p>`)}
    ${seen && seen.timeline.length > 0 ? around(seen) : null}
  </section>`;
}
