/** A scenario: its promises and whether they held, its steps. Switches and load follow in sections of their own. */
import type { WorkloadResult } from '../workload/index.js';
import type { HandoverReport, SwitchReport } from '../scenario/types.js';
import { handoverSection } from './handover-section.js';
import { html, type Html } from './html.js';
import { moveSection } from './move-section.js';
import { facts, table } from './table.js';
import { workloadSection } from './workload-section.js';
import { duration } from '../cli/format.js';

/** Of a `dbproxy.demo/1` what is shown; what a scenario does not have is null or absent. */
export interface DemoFacts {
  readonly scenario: string;
  readonly outcome: string;
  /** All of it in one sentence. */
  readonly verdict?: string;
  readonly error?: { readonly code: string; readonly message: string } | null;
  readonly totalMs: number;
  readonly steps: readonly {
    readonly name: string;
    readonly outcome: string;
    readonly ms: number;
    readonly detail?: string;
  }[];
  readonly expectations: readonly {
    readonly text: string;
    readonly actual: string;
    readonly ok: boolean;
    readonly when?: string;
  }[];
  readonly switches: readonly SwitchReport[];
  readonly handovers?: readonly HandoverReport[];
  readonly workload: WorkloadResult | null;
  readonly stepWorkloads?: readonly WorkloadResult[];
  readonly engine: { readonly providerReason: string; readonly postgres: string } | null;
}

export function demoSection(result: DemoFacts): Html {
  const { engine, error, verdict } = result;
  const loads = [...(result.workload ? [result.workload] : []), ...(result.stepWorkloads ?? [])];
  return html`<article>
    <h1>${result.scenario} <span class="${result.outcome}">${result.outcome}</span></h1>
    ${verdict === undefined ? null : html`<p>${verdict}</p>`}
    ${error ? html`<p class="bad">${error.message} <code>${error.code}</code></p>` : null}
    ${facts([
      ['engine', engine && `PostgreSQL ${engine.postgres}, ${engine.providerReason}`],
      ['whole', duration(result.totalMs)],
    ])}
    ${expectations(result)} ${result.switches.map(({ record, ...seen }) => moveSection(record, seen))}
    ${(result.handovers ?? []).map(({ record, ...seen }) => handoverSection(record, seen))}
    ${loads.map(workloadSection)} ${steps(result)}
  </article>`;
}

const expectations = ({ expectations: all }: DemoFacts): Html | null =>
  all.length === 0
    ? null
    : html`<section>
        <h2>Expectations</h2>
        <ul class="expectations">
          ${all.map(
            ({ ok, text, actual, when }) =>
              html`<li class="${ok ? 'passed' : 'failed'}">
                <b>${ok ? '✓' : '✗'}<span class="spoken"> ${ok ? 'held' : 'did not hold'}: </span></b>
                ${text}${when === undefined || when === 'end' ? null : ` (${when} the steps)`}
                <span class="actual">${actual}</span>
              </li>`,
          )}
        </ul>
      </section>`;

const steps = ({ steps: all }: DemoFacts): Html => {
  const told = all.some(({ detail }) => detail);
  return html`<section>
    <h2>Steps</h2>
    ${table(
      'Steps of the scenario',
      ['step', 'outcome', 'took', ...(told ? ['what it came to'] : [])],
      all.map(({ name, outcome, ms, detail = '' }) => [
        name,
        outcome,
        duration(ms),
        ...(told ? [detail] : []),
      ]),
    )}
  </section>`;
};
