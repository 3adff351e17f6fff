/**
 * `patch --self`, the supervisor's part: the proxy's process is replaced by this build's, which inherits every socket
 * (src/proxy/handover). Nothing is on record for it: whichever proxy answers afterwards is the proxy.
 */
import { DbproxyError } from '../../errors/index.js';
import { holdTimes } from '../../proxy/hold-times.js';
import type { HandoverResult, ProxyStatus } from '../../proxy/control-api.js';
import type { HandoverRecord, OperationProgress } from '../api.js';
import type { Instance } from '../instance.js';
import {
  findProcess,
  findProxy,
  proxyStatus,
  rememberProcess,
  THIS_BUILD,
  type Proxy,
  type ProxyProcess,
} from '../proxy-process.js';
import type { OperationContext } from './move.js';

/** The handover has bounds of its own for each of its steps; this is for a proxy that does not answer at all, ms. */
const HANDOVER_BOUND_MS = 120_000;

export interface Replaced {
  readonly proxy: Proxy;
  readonly record: HandoverRecord;
}

/** Of several processes one after the other. Throws DBP_PROXY_HANDOVER: the old process goes on. */
export async function replaceProxy({ instance, proxy, onProgress }: OperationContext): Promise<Replaced> {
  const startedAt = new Date().toISOString();
  const begunMs = performance.now();
  const operation = await instance.nextOperationId('handover');
  const tell = (detail: string): void => onProgress({ ...progressOf(operation, startedAt), detail });

  const done: ProcessReplaced[] = [];
  for (const member of proxy.members) {
    done.push(
      await replaceProcess(instance, operation, member, tell).catch((cause: unknown) => {
        const error = DbproxyError.from(cause);
        const message = done.length === 0 ? error.message : `${error.message}; ${done.length} were replaced`;
        instance.events.append('operation.rolled-back', `${operation}: ${message}`, { operation });
        throw done.length === 0
          ? error
          : new DbproxyError('DBP_PROXY_HANDOVER', { reason: message }, { cause });
      }),
    );
  }
  const [first] = done;
  const now = await findProxy(instance.directory);
  if (!first || !now) throw new DbproxyError('DBP_PROXY_HANDOVER', { reason: 'no proxy answers' });
  const lost = done.flatMap(({ result }) => result.sessions.lost);
  const handed = done.reduce((sum, { result }) => sum + result.sessions.handed, 0);
  const record: HandoverRecord = {
    schema: 'dbproxy.handover/1',
    instance: instance.paths.name,
    operation,
    from: { pid: first.before.pid, version: first.before.version },
    to: { pid: first.result.pid, version: first.result.version },
    sessions: { handed, lost: lost.length, failed: lost },
    holdMs:
      done.length === 1 ? first.result.holdMs : holdTimes(done.flatMap(({ result }) => result.heldMs ?? [])),
    generation: first.generation,
    ...(done.length === 1 ? {} : { processes: done.map(processPart) }),
    startedAt,
    totalMs: Math.round((performance.now() - begunMs) * 10) / 10,
  };
  const held = `held ${record.holdMs.max} ms at most`;
  const replaced = done.map(({ before, result }) => `proxy ${result.pid} serves in place of ${before.pid}`);
  instance.events.append(
    'operation.completed',
    `${operation}: ${replaced.join(', ')}; ${handed} handed over, ${held}`,
    { ...record },
  );
  return { proxy: now, record };
}

interface ProcessReplaced {
  readonly before: ProxyStatus;
  readonly result: HandoverResult;
  readonly generation: number;
}

const processPart = ({
  before,
  result,
}: ProcessReplaced): NonNullable<HandoverRecord['processes']>[number] => ({
  ...{ from: before.pid, to: result.pid },
  ...{ handed: result.sessions.handed, lost: result.sessions.lost.length },
});

async function replaceProcess(
  { events, directory }: Instance,
  operation: string,
  { rpc, number }: ProxyProcess,
  tell: (detail: string) => void,
): Promise<ProcessReplaced> {
  const before = await proxyStatus({ rpc });
  tell(`a new process takes over from ${before.pid}`);
  events.append('operation.started', `${operation}: proxy ${before.pid} is to be replaced`, {
    operation,
    pid: before.pid,
  });
  const onProgress = ({ handed }: { handed: number }): void =>
    tell(`${handed} of ${before.sessions} sessions`);
  const result = await rpc.call(
    'handover',
    { program: THIS_BUILD },
    { timeoutMs: HANDOVER_BOUND_MS, onProgress },
  );
  const successor = await findProcess(directory.paths, number);
  if (successor?.process.pid !== result.pid) {
    const reason = `process ${result.pid} does not answer`;
    throw new DbproxyError('DBP_PROXY_HANDOVER', { reason });
  }
  const { generation } = await rememberProcess(directory, successor);
  successor.rpc.close();
  return { before, result, generation };
}

const progressOf = (id: string, startedAt: string): Omit<OperationProgress, 'detail'> => ({
  ...{ id, operation: 'patch', step: 'handover', attempt: 0, startedAt },
});
