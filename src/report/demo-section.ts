/** A scenario: its promises and whether they held, its steps. Switches and load follow in sections of their own. */
import type { DemoResult } from '../scenario/types.js';
import { html, type Html } from './html.js';
import { moveSection } from './move-section.js';
import { facts, table } from './table.js';
import { workloadSection } from './workload-section.js';
import { duration } from '../cli/format.js';

export function demoSection(result: DemoResult): Html {
  const { engine, expectations, steps } = result;
  return html`<article>
    <h1>${result.scenario} <span class="${result.outcome}">${result.outcome}</span></h1>
    ${facts([
      ['engine', `PostgreSQL ${engine.postgres}, ${engine.providerReason}`],
      ['whole', duration(result.totalMs)],
    ])}
    <section>
      <h2>Expectations</h2>
      <ul class="expectations">
        ${expectations.map(
          ({ ok, text, actual }) =>
            html`<li class="${ok ? 'passed' : 'failed'}">
              <b>${ok ? '✓' : '✗'}<span class="spoken"> ${ok ? 'held' : 'did not hold'}: </span></b>
              ${text} <span class="actual">${actual}</span>
            </li>`,
        )}
      </ul>
    </section>
    ${result.switches.map(({ record, ...seen }) => moveSection(record, seen))}
    ${workloadSection(result.workload)}
    <section>
      <h2>Steps</h2>
      ${table(
        'Steps of the scenario',
        ['step', 'outcome', 'took'],
        steps.map(({ name, outcome, ms }) => [name, outcome, duration(ms)]),
      )}
    </section>
  </article>`;
}
