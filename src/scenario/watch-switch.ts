/**
 * Runs one `scale` and notes when its sessions were held, so that the load can tell which of its calls the switch met.
 */
import type { MoveRecord, OperationProgress, ScaleParams } from '../control/api.js';
import type { Supervisor } from '../control/client.js';
import type { SizeName } from '../engine/types.js';
import type { SwitchWindow } from '../workload/index.js';

export const SCALE_DEFAULTS: Omit<ScaleParams, 'to'> = {
  holdBudgetMs: 250,
  deadlineMs: 300_000,
  onTimeout: 'rollback',
  unmovable: 'rollback',
};

export interface WatchedSwitch {
  readonly record: MoveRecord;
  /** One per hold attempt; the last one is the switch itself. */
  readonly windows: readonly SwitchWindow[];
}

/** Throws what `scale` throws; a roll-back is a result. */
export async function watchSwitch(
  supervisor: Supervisor,
  to: SizeName,
  onProgress: (progress: OperationProgress) => void = () => {},
): Promise<WatchedSwitch> {
  const holdsBeganAt: number[] = [];
  let retireBeganAt: number | null = null;
  const record = await supervisor.call(
    'scale',
    { ...SCALE_DEFAULTS, to },
    {
      onProgress: (progress) => {
        if (progress.step === 'drain') holdsBeganAt.push(Date.now());
        if (progress.step === 'retire') retireBeganAt = Date.now();
        onProgress(progress);
      },
    },
  );
  return { record, windows: windowsOf(record, holdsBeganAt, retireBeganAt ?? Date.now()) };
}

export function windowsOf(
  record: MoveRecord,
  holdsBeganAt: readonly number[],
  retireBeganAt: number,
): SwitchWindow[] {
  return holdsBeganAt.map((from, i) => {
    const isLast = i === holdsBeganAt.length - 1;
    const failed = !isLast || record.outcome === 'rolled-back';
    return {
      from,
      to: failed ? from + SCALE_DEFAULTS.holdBudgetMs : from + heldForMs(record, retireBeganAt - from),
    };
  });
}

/**
 * The phases measure what the clock of the progress would only see through a file write and a socket; but a repeated
 * phase adds up, so they can be used for a switch of one attempt only.
 */
function heldForMs({ phasesMs, attempts }: MoveRecord, seenMs: number): number {
  if (attempts > 1) return seenMs;
  const { drain, fence, catchup, promote, move } = phasesMs;
  return Math.min(drain + fence + catchup + promote + move, seenMs);
}
