/**
 * A standby is made beside a primary that serves meanwhile. When that one dies the copy waits for WAL that never comes, as long as a
 * start may take; whoever asked for it waits with it, and only then brings the primary up again.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../errors/index.js';
import type { EngineRecord } from './types.js';

const LOOK_MS = 250;
/** A container runtime that is busy once has not lost its container. */
const LOOKS = 2;

/** Does the work with a signal that is aborted when the primary has died, DBP_ENGINE_LOST being the reason, or with `outer`. */
export async function besidePrimary<T>(
  primary: EngineRecord,
  isRunning: (engine: EngineRecord) => Promise<boolean>,
  outer: AbortSignal | undefined,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const lost = new AbortController();
  const done = new AbortController();
  const watching = watch();
  try {
    return await work(outer ? AbortSignal.any([outer, lost.signal]) : lost.signal);
  } finally {
    done.abort();
    await watching;
  }

  async function watch(): Promise<void> {
    // One that is another instance's may not be for us to see: who was never there is not lost.
    let wasThere = false;
    for (let missed = 0; missed < LOOKS;) {
      const isThere = await isRunning(primary);
      wasThere ||= isThere;
      missed = isThere || !wasThere ? 0 : missed + 1;
      await delay(LOOK_MS, undefined, { signal: done.signal }).catch(() => undefined);
      if (done.signal.aborted) return;
    }
    const reason = 'it ended while a copy of it was made';
    lost.abort(new DbproxyError('DBP_ENGINE_LOST', { engine: primary.id, reason }));
  }
}
