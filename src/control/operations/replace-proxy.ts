/**
 * `patch --self`, the supervisor's part: the proxy's process is replaced by this build's, which inherits every socket
 * (src/proxy/handover). Nothing is on record for it: whichever proxy answers afterwards is the proxy.
 */
import { DbproxyError } from '../../errors/index.js';
import type { HandoverRecord, OperationProgress } from '../api.js';
import { findProxy, proxyStatus, rememberProxy, THIS_BUILD, type Proxy } from '../proxy-process.js';
import type { OperationContext } from './move.js';

/** The handover has bounds of its own for each of its steps; this is for a proxy that does not answer at all, ms. */
const HANDOVER_BOUND_MS = 120_000;

export interface Replaced {
  readonly proxy: Proxy;
  readonly record: HandoverRecord;
}

/** Throws DBP_PROXY_HANDOVER: the old process goes on. */
export async function replaceProxy({ instance, proxy, onProgress }: OperationContext): Promise<Replaced> {
  const startedAt = new Date().toISOString();
  const begunMs = performance.now();
  const before = await proxyStatus(proxy);
  const operation = await instance.nextOperationId('handover');
  const tell = (detail: string): void => onProgress({ ...progressOf(operation, startedAt), detail });

  tell(`a new process takes over from ${before.pid}`);
  instance.events.append('operation.started', `${operation}: proxy ${before.pid} is to be replaced`, {
    operation,
    pid: before.pid,
  });
  const result = await proxy.rpc
    .call(
      'handover',
      { program: THIS_BUILD },
      {
        timeoutMs: HANDOVER_BOUND_MS,
        onProgress: ({ handed }) => tell(`${handed} of ${before.sessions} sessions`),
      },
    )
    .catch((error: unknown) => {
      const { message } = DbproxyError.from(error);
      instance.events.append('operation.rolled-back', `${operation}: ${message}`, { operation });
      throw error;
    });

  const successor = await findProxy(instance.directory);
  if (successor?.process.pid !== result.pid) {
    const reason = `process ${result.pid} does not answer`;
    throw new DbproxyError('DBP_PROXY_HANDOVER', { reason });
  }
  const { generation } = await rememberProxy(instance.directory, successor);
  const { handed, lost } = result.sessions;
  const record: HandoverRecord = {
    schema: 'dbproxy.handover/1',
    instance: instance.paths.name,
    operation,
    from: { pid: before.pid, version: before.version },
    to: { pid: result.pid, version: result.version },
    sessions: { handed, lost: lost.length, failed: lost },
    holdMs: result.holdMs,
    generation,
    startedAt,
    totalMs: Math.round((performance.now() - begunMs) * 10) / 10,
  };
  const held = `held ${record.holdMs.max} ms at most`;
  instance.events.append(
    'operation.completed',
    `${operation}: proxy ${result.pid} serves in place of ${before.pid}; ${handed} handed over, ${held}`,
    { ...record },
  );
  return { proxy: successor, record };
}

const progressOf = (id: string, startedAt: string): Omit<OperationProgress, 'detail'> => ({
  ...{ id, operation: 'patch', step: 'handover', attempt: 0, startedAt },
});
