/**
 * Runs one `scale` and notes when its sessions were held, so that the load can tell which of its calls the switch met.
 */
import type { MoveRecord, ScaleParams, OperationProgress } from '../control/api.js';
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
  /** One per hold attempt; of a completed switch the last one is the switch itself. */
  readonly windows: readonly SwitchWindow[];
}

/** A step of the operation, and when we heard of it. */
export interface SeenStep {
  readonly step: string;
  readonly at: number;
}

/** Throws what `scale` throws; a roll-back is a result. */
export async function watchSwitch(
  supervisor: Supervisor,
  to: SizeName,
  onProgress: (progress: OperationProgress) => void = () => {},
): Promise<WatchedSwitch> {
  const seen: SeenStep[] = [];
  const record = await supervisor.call(
    'scale',
    { ...SCALE_DEFAULTS, to },
    {
      onProgress: (progress) => {
        seen.push({ step: progress.step, at: Date.now() });
        onProgress(progress);
      },
    },
  );
  return { record, windows: windowsOf(record, seen) };
}

/**
 * An attempt begins with `drain`; with `fence` every session is held. From there on until the end of `move` is the window
 * of the switch: no call is executing, so that whoever overlaps it was kept waiting. Of an attempt that failed earlier
 * only its bound is known.
 */
export function windowsOf(record: MoveRecord, seen: readonly SeenStep[]): SwitchWindow[] {
  const attempts: { from: number; to: number }[] = [];
  for (const { step, at } of seen) {
    const current = attempts.at(-1);
    if (step === 'drain') attempts.push({ from: at, to: at + SCALE_DEFAULTS.holdBudgetMs });
    if (!current) continue;
    if (step === 'fence') Object.assign(current, { from: at, to: at + SCALE_DEFAULTS.holdBudgetMs });
    if (step === 'promote') current.to = at + record.phasesMs.promote + record.phasesMs.move;
  }
  return attempts;
}
