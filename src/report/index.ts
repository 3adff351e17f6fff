/** Results as one HTML file each: pure functions of what `--json` gives. */
import type { HandoverRecord, MoveRecord } from '../control/api.js';
import { VERSION } from '../version.js';
import type { WorkloadResult } from '../workload/index.js';
import { demoSection, type DemoFacts } from './demo-section.js';
import { handoverSection } from './handover-section.js';
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

/** `patch --self` */
export function handoverReport(record: HandoverRecord): Promise<string> {
  const outcome = record.sessions.lost === 0 ? 'completed' : `${record.sessions.lost} sessions lost`;
  const content = html`<article>
    <h1>
      ${record.operation} <span class="${record.sessions.lost === 0 ? 'passed' : 'failed'}">${outcome}</span>
    </h1>
    ${handoverSection(record)}
  </article>`;
  return page(`dbproxy: ${record.operation} ${outcome}`, made(), content);
}

export function moveReport(record: MoveRecord): Promise<string> {
  const content = html`<article>
    <h1>${record.operation} <span class="${record.error ? 'failed' : 'passed'}">${record.outcome}</span></h1>
    ${moveSection(record)}
  </article>`;
  return page(`dbproxy: ${record.operation} ${record.outcome}`, made(), content);
}
