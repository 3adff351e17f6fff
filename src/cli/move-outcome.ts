/** How `scale` and `patch` tell what they do, and how they end. */
import type { MoveRecord, OperationProgress } from '../control/api.js';
import { catalogue, knownCode, type ExitCode } from '../errors/index.js';
import type { Output } from './output.js';
import { moveView } from './views/move.js';

export function tellProgress(out: Output, { step, detail, attempt }: OperationProgress): void {
  // Of a drain the detail says which attempt it is; the second one says why there was no first.
  if (step === 'drain') out.step(step, detail, undefined, attempt === 2);
  else out.step(step, attempt > 1 ? `${detail} (attempt ${attempt})` : detail);
}

export function showMove(out: Output, record: MoveRecord): void {
  out.data(moveView(record, out.style));
  if (record.error) out.hint('next', record.error.suggestions);
  else if (record.pendingRestart.length > 0)
    out.hint('for the rest of it', [`dbproxy scale --to ${record.to.size}`]);
}

/** A roll-back is a result, and has the exit code of its reason. */
export const exitCodeOfMove = ({ error }: MoveRecord): ExitCode =>
  error ? catalogue[knownCode(error.code)].exit : 0;

export const MOVE_GOES_ON =
  'the operation goes on to its end; watch it: dbproxy events --follow; give it up: dbproxy cancel';
