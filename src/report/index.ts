/** Results as one HTML file each: pure functions of what `--json` gives. */
import type { MoveRecord } from '../control/api.js';
import { VERSION } from '../version.js';
import type { WorkloadResult } from '../workload/index.js';
import { demoSection, type DemoFacts } from './demo-section.js';
import { html } from './html.js';
import { moveSection } from './move-section.js';
import { page } from './page.js';
import { moment } from './moment.js';
import { workloadSection } from './workload-section.js';

const made = (): string => `Made by dbproxy ${VERSION} at ${moment(Date.now())}.`;

/** One or several scenarios. */
export function demoReport(results: readonly DemoFacts[]): Promise<string> {
  const names = results.map(({ scenario, outcome }) => `${scenario} ${outcome}`).join(', ');
  return page(`dbproxy: ${names}`, made(), html`${results.map(demoSection)}`);
}

export function workloadReport(result: WorkloadResult): Promise<string> {
  const content = html`<article>
    <h1>${result.script}</h1>
    ${workloadSection(result)}
  </article>`;
  return page(`dbproxy: workload ${result.script}`, made(), content);
}

export function moveReport(record: MoveRecord): Promise<string> {
  const content = html`<article>
    <h1>${record.operation} <span class="${record.error ? 'failed' : 'passed'}">${record.outcome}</span></h1>
    ${moveSection(record)}
  </article>`;
  return page(`dbproxy: ${record.operation} ${record.outcome}`, made(), content);
}
