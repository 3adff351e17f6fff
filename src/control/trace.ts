/** The wire of an instance's sessions, as its proxy sees it; also across a change of the proxy's process. */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../errors/index.js';
import type { TracedLines } from '../proxy/control-api.js';
import { InstanceDirectory } from './instance-directory.js';
import { connectProxy } from './proxy-process.js';

export interface TraceOptions {
  readonly session?: number | undefined;
  /** Also what users bind, copy and read. */
  readonly values: boolean;
  readonly signal: AbortSignal;
  readonly onLines: (lines: TracedLines) => void;
  /** The proxy's process is gone; a new one is asked as soon as it answers. */
  readonly onAway: () => void;
}

/** So long a new process of the proxy may take to answer, ms. */
const AWAY_MS = 10_000;
const RETRY_MS = 50;

/** Goes on until `signal`, or until the session has ended. Throws what the proxy says, DBP_RPC_UNREACHABLE when none answers any more. */
export async function trace(name: string, { signal, onAway, ...options }: TraceOptions): Promise<void> {
  const directory = InstanceDirectory.of(name);
  for (let awaySince: number | null = null; !signal.aborted;) {
    try {
      await traceOnce(directory, options, signal, () => (awaySince = null));
      return;
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof DbproxyError) || error.code !== 'DBP_RPC_UNREACHABLE') throw error;
      if (awaySince === null) {
        awaySince = performance.now();
        onAway();
      } else if (performance.now() - awaySince > AWAY_MS) throw error;
      await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}

async function traceOnce(
  directory: InstanceDirectory,
  { session, values, onLines }: Pick<TraceOptions, 'session' | 'values' | 'onLines'>,
  signal: AbortSignal,
  onAnswer: () => void,
): Promise<void> {
  const { rpc } = await connectProxy(directory);
  const stop = (): void => rpc.close();
  signal.addEventListener('abort', stop);
  try {
    await rpc.call('status', {});
    onAnswer();
    await rpc.call(
      'trace',
      { values, ...(session === undefined ? {} : { session }) },
      { onProgress: onLines },
    );
  } finally {
    signal.removeEventListener('abort', stop);
    rpc.close();
  }
}
