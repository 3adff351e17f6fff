/** What `scale` and `patch` have in common: limits, a fault in the middle, and what the record says. */
import type { MoveParams, MoveRecord, OperationProgress } from '../../control/api.js';
import { MOVE_DEFAULTS } from '../../control/move-defaults.js';
import type { MoveFile } from '../file/schema.js';
import type { Step } from '../file/read.js';
import { noteWindows } from '../stage.js';
import { killAt } from './fault.js';
import type { StepContext, StepEnd } from './index.js';

export const limitsOf = (
  { holdBudget, deadline, onTimeout, unmovable }: MoveFile,
  { fault }: Step,
): MoveParams => ({
  holdBudgetMs: holdBudget ?? MOVE_DEFAULTS.holdBudgetMs,
  deadlineMs: deadline ?? MOVE_DEFAULTS.deadlineMs,
  onTimeout: onTimeout ?? MOVE_DEFAULTS.onTimeout,
  unmovable: unmovable ?? MOVE_DEFAULTS.unmovable,
  ...(fault?.at === undefined ? {} : { pauseAt: fault.at }),
});

/** A roll-back is a result; whether it was wanted says the step. */
export async function runMove(
  step: Step,
  { stage, tell }: StepContext,
  move: (onProgress: (progress: OperationProgress) => void) => Promise<MoveRecord>,
): Promise<StepEnd> {
  const disarm = killAt(step, stage, tell);
  const record = await move(({ step: phase, detail, attempt }) =>
    tell(attempt > 1 ? `${phase}: ${detail} (attempt ${attempt})` : `${phase}: ${detail}`),
  ).finally(disarm);
  stage.moves.push(record);
  await noteWindows(stage, record.operation);
  const wanted = step.outcome ?? 'completed';
  return { ok: record.outcome === wanted, detail: summary(record) };
}

function summary({ outcome, strategy, sessions, holdMs, from, to, error }: MoveRecord): string {
  if (outcome === 'rolled-back') return error?.message ?? 'rolled back';
  const ends =
    from.postgres === to.postgres ? `${from.size} → ${to.size}` : `${from.postgres} → ${to.postgres}`;
  if (strategy === 'resize') return `${ends}, as it runs`;
  const held = holdMs.count === 0 ? '' : `, held ${holdMs.max} ms at most`;
  return `${ends}, ${sessions.moved} of ${sessions.total} sessions moved${held}`;
}
