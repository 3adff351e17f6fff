/** Waiting for a condition of another process, always with a bound. Other processes push us nothing, so it is a poll. */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../errors/index.js';

export interface WaitOptions {
  readonly boundMs: number;
  /** Time between two looks. */
  readonly everyMs?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Asks until `look` returns something else than undefined; undefined when the bound ran out first. */
export async function waitFor<T>(
  look: () => Promise<T | undefined> | T | undefined,
  { boundMs, everyMs = 5, signal }: WaitOptions,
): Promise<T | undefined> {
  const deadline = performance.now() + boundMs;
  for (;;) {
    throwIfAborted(signal);
    const seen = await look();
    if (seen !== undefined) return seen;
    if (performance.now() >= deadline) return undefined;
    await delay(everyMs);
  }
}

/** An aborted operation ends with the reason it was aborted for, or with DBP_INTERRUPTED. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (!signal?.aborted) return;
  if (signal.reason instanceof DbproxyError) throw signal.reason;
  throw new DbproxyError('DBP_INTERRUPTED', { signal: 'the caller' }, { cause: signal.reason });
}
