/** `until: { size: medium }`: waits until an engine of that size serves and nothing is under way. */
import { setTimeout as delay } from 'node:timers/promises';
import type { SizeName } from '../../engine/types.js';
import { ask, type Stage } from '../stage.js';
import type { RunStep } from './index.js';

const LOOK_MS = 250;

export const until: RunStep<'until'> = async (step, { stage, signal, tell }) => {
  const { size } = step.until;
  await sizeReached(stage, size, signal, tell);
  return { ok: true, detail: `${size} serves` };
};

/** Rejects when `signal` is aborted. */
export async function sizeReached(
  stage: Stage,
  wanted: SizeName,
  signal: AbortSignal,
  tell: (detail: string) => void = () => {},
): Promise<void> {
  let told = '';
  for (;;) {
    signal.throwIfAborted();
    const { engines, operation } = await ask(stage, 'status', { maxAgeMs: LOOK_MS });
    const size = engines.find(({ role }) => role === 'primary')?.size;
    if (size === wanted && operation === null) return;
    const now = operation ? `${operation.operation}: ${operation.step}` : `${size} serves`;
    if (now !== told) tell(now);
    told = now;
    await delay(LOOK_MS, undefined, { signal });
  }
}
