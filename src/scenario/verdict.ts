/** The whole of a scenario in one sentence. */
import type { DemoResult } from './types.js';

export function verdictOf({
  outcome,
  switches,
  handovers,
  conflicts,
  workload,
  steps,
  expectations,
}: Omit<DemoResult, 'verdict'>): string {
  switch (outcome) {
    case 'interrupted':
      return 'Interrupted.';
    case 'errored':
      return 'It could not be played to its end.';
    case 'failed': {
      const failed = steps.find(({ outcome, line }) => outcome === 'failed' && line !== null);
      if (failed) return `The step "${failed.name}" came to something else than it had to.`;
      const broken = expectations.filter(({ ok }) => !ok).length;
      return `${broken} of ${expectations.length} expectations do not hold.`;
    }
    case 'passed': {
      const moved = switches.filter(({ record }) => record.outcome === 'completed').length;
      const unhurt = workload !== null && workload.failed + workload.unknown + workload.disconnects === 0;
      if (moved > 0 && unhurt) return `The database was replaced${times(moved)}. Nobody noticed.`;
      if (conflicts.length > 0) return 'Writers collided, one of them won each time. Nothing was lost.';
      if (handovers.length > 0 && unhurt) return 'The proxy was replaced. Nobody noticed.';
      return 'Everything was as expected.';
    }
  }
}

const times = (n: number): string => (n === 1 ? '' : n === 2 ? ' twice' : ` ${n} times`);
