/** What cells came to, as Markdown: a table for each operation and fault, steps by victims. */
import type { CellResult, Fault } from './cell.js';
import { VICTIMS } from './ground.js';
import { OPERATIONS } from './operations.js';

const FAULT_NAMES: Record<Fault, string> = {
  kill: '`kill -9`',
  stop: 'stopped for 5 s',
  full: 'disk full for 5 s',
};

export function tablesOf(results: readonly CellResult[]): string {
  const sections = OPERATIONS.flatMap(({ name, steps }) =>
    (Object.keys(FAULT_NAMES) as Fault[]).flatMap((fault) => {
      const cells = results.filter((each) => each.operation === name && each.fault === fault);
      return cells.length === 0 ? [] : [`### ${name}, ${FAULT_NAMES[fault]}`, tableOf(cells, steps)];
    }),
  );
  return sections.join('\n\n');
}

function tableOf(cells: readonly CellResult[], steps: readonly string[]): string {
  const victims = VICTIMS.filter((victim) => cells.some((cell) => cell.victim === victim));
  const rows = steps
    .filter((step) => cells.some((cell) => cell.step === step))
    .map((step) => [
      step.replace('handover.', ''),
      ...victims.map((victim) => textOf(cells.find((cell) => cell.step === step && cell.victim === victim))),
    ]);
  const head = ['step', ...victims];
  return [head, head.map(() => '---'), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');
}

function textOf(cell: CellResult | undefined): string {
  if (!cell) return '';
  const lost = cell.lost === 0 ? '' : `, ${cell.lost} lost`;
  const wrong = cell.violations.length === 0 ? '' : `; **${cell.violations.join('; ')}**`;
  return `${cell.outcome}${lost}${wrong}`.replaceAll('|', '\\|').replaceAll('\n', ' ');
}

export function lineOf(cell: CellResult): string {
  const { operation, step, victim, fault, outcome, acknowledged, failed, unknown, lost, clients } = cell;
  const told = `${acknowledged} acknowledged, ${failed} failed, ${unknown} unknown`;
  const wrong = cell.violations.map((each) => `\n    VIOLATION: ${each}`).join('');
  return `${operation} ${step} ${victim} ${fault}: ${outcome}; ${told}; ${lost} of ${clients} lost${wrong}`;
}
