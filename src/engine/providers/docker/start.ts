/** Waits until the server in a container answers a query, or says why it does not. A start that fails leaves its log. */
import { DbproxyError } from '../../../errors/index.js';
import { askFacts, type ServerFacts } from '../../facts.js';
import type { EngineRecord } from '../../types.js';
import { throwIfAborted, waitFor } from '../../wait.js';
import { keepLog, logTail } from './log.js';
import { removeContainer, startContainer, type ContainerPlan, type MadeContainer } from './container.js';
import { howItEnded } from './ended.js';
import type { Owner } from './naming.js';
import { answers } from './socket.js';
import { answered, HOST, ifThere, type Container, type Runtime } from './runtime.js';

/** initdb, or the replay of up to max_wal_size of WAL after a crash. */
export const READY_BOUND_MS = 120_000;
const QUERY_EVERY_MS = 10;
const LOOK_EVERY_MS = 200;

export interface StartOptions {
  readonly signal?: AbortSignal | undefined;
  readonly readyWithinMs?: number | undefined;
  readonly beforeStart?: ((made: MadeContainer) => Promise<void>) | undefined;
  /** The last line that it wrote. */
  readonly onLine?: ((line: string) => void) | undefined;
}

/** The record of a running server. Throws DBP_ENGINE_START with the end of the log; then no container is left. */
export async function startEngine(
  runtime: Runtime,
  owner: Owner,
  draft: EngineRecord,
  plan: ContainerPlan,
  { signal, readyWithinMs = READY_BOUND_MS, beforeStart, onLine }: StartOptions,
): Promise<EngineRecord> {
  throwIfAborted(signal);
  const startedAt = performance.now();
  const { container, identity, port } = await startContainer(runtime, owner, plan, beforeStart);
  const engine: EngineRecord = { ...draft, access: { kind: 'tcp', host: HOST, port }, container: identity };
  try {
    const facts = await waitForAnswer(container, engine, readyWithinMs, signal, onLine);
    const socket = plan.socket && (await answers(plan.socket)) ? plan.socket : undefined;
    return { ...engine, ...facts, socket };
  } catch (cause) {
    const log = await logTail(container).catch(() => '');
    await keepLog(container, draft).catch(() => undefined);
    await removeContainer(container).catch(() => undefined);
    if (cause instanceof DbproxyError && cause.code !== 'DBP_ENGINE_QUERY') throw cause;
    const waitedMs = Math.round(performance.now() - startedAt);
    const reason = (cause as Error).message;
    throw new DbproxyError('DBP_ENGINE_START', { engine: draft.id, waitedMs, reason, log }, { cause });
  }
}

async function waitForAnswer(
  container: Container,
  engine: EngineRecord,
  boundMs: number,
  signal: AbortSignal | undefined,
  onLine: StartOptions['onLine'],
): Promise<ServerFacts> {
  let last = 'it was not yet taking connections';
  let lookedAt = 0;
  const facts = await waitFor(
    async () => {
      if (performance.now() - lookedAt > LOOK_EVERY_MS) {
        lookedAt = performance.now();
        await assertRuns(container);
        if (onLine) onLine((await logTail(container, 1)).trim());
      }
      try {
        return await askFacts(engine);
      } catch (error) {
        last = (error as Error).message;
        return undefined;
      }
    },
    { boundMs, everyMs: QUERY_EVERY_MS, signal },
  );
  if (facts === undefined) throw new Error(last);
  return facts;
}

async function assertRuns(container: Container): Promise<void> {
  const seen = await ifThere(answered(container.inspect()));
  if (seen === undefined) throw new Error('its container was removed');
  if (seen.State.Running) return;
  throw new Error(`it ended: ${howItEnded(seen)}`);
}
