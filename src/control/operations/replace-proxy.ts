/**
 * `patch --self`, the supervisor's part: the proxy's process is replaced by this build's, which inherits every socket
 * (src/proxy/handover). Nothing is on record for it: whichever proxy answers afterwards is the proxy.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../../errors/index.js';
import { holdTimes } from '../../proxy/hold-times.js';
import type {
  HandoverResult,
  ProxyApi,
  ProxyStatus,
  SessionSnapshot,
  WriterHandover,
} from '../../proxy/control-api.js';
import type { HandoverRecord, OperationProgress, SelfPatchLimits } from '../api.js';
import type { InstanceDirectory } from '../instance-directory.js';
import type { Instance } from '../instance.js';
import type { Family } from '../multiwriter/family.js';
import { writerHandover } from '../multiwriter/writer-handover.js';
import {
  findProcess,
  findProxy,
  proxyStatus,
  rememberProcess,
  THIS_BUILD,
  type Proxy,
  type ProxyProcess,
} from '../proxy-process.js';
import { waitForExit } from '../processes.js';
import type { OperationContext } from './move.js';

/** The handover has bounds of its own for each of its steps; this is for a proxy that does not answer at all, ms. */
const HANDOVER_BOUND_MS = 120_000;

const SESSIONS_BOUND_MS = 10_000;
/** Of one whose connection has ended, ms. */
const EXIT_BOUND_MS = 1_000;
/** Until it answers in the place of one that died, ms. */
const HEIR_BOUND_MS = 10_000;
const POLL_MS = 10;
const DIED_WITH_IT = 'the old process died before it was handed over';

export interface Replaced {
  readonly proxy: Proxy;
  readonly record: HandoverRecord;
}

/**
 * Of several processes one after the other. `family`: of the first of several writers, whose storage nodes come behind it. Throws
 * DBP_PROXY_HANDOVER, DBP_PROXY_STANDSTILL, and what its signal is aborted with: the old process goes on; DBP_STORE_NODE_START, DBP_ENV_NODE: behind that, a node does not.
 */
export async function replaceProxy(
  context: OperationContext,
  limits: SelfPatchLimits,
  family: Pick<Family, 'keepLead' | 'others' | 'replaceNodes'> | null,
): Promise<Replaced> {
  if (!family) return replace(context, limits, null);
  const { proxy, record } = await family.keepLead((epoch) => replace(context, limits, epoch));
  const tell = (detail: string): void =>
    context.onProgress({ ...progressOf(record.operation, record.startedAt), detail });
  const nodes = await family.replaceNodes(tell).catch((cause: unknown) => {
    const error = DbproxyError.from(cause);
    const { reason: why = error.message } = error.details;
    const reason = `${String(why)}; the proxy was replaced, and runs as ${record.to.pid}`;
    throw new DbproxyError(error.code, { ...error.details, reason }, { cause });
  });
  const others = await family.others();
  return { proxy, record: { ...record, ...(nodes.length > 0 ? { nodes } : {}), others } };
}

async function replace(
  { instance, proxy, onProgress, pastReturn, signal }: OperationContext,
  limits: SelfPatchLimits,
  epoch: number | null,
): Promise<Replaced> {
  const startedAt = new Date().toISOString();
  const begunMs = performance.now();
  const operation = await instance.nextOperationId('handover');
  const tell = (detail: string): void => onProgress({ ...progressOf(operation, startedAt), detail });

  const writer = await writerHandover(instance.record.spec, epoch, limits);
  const done: ProcessReplaced[] = [];
  let failed: { readonly what: string; readonly cause: DbproxyError } | null = null;
  for (const member of proxy.members) {
    // Once one of them was replaced there is no way back.
    const givenUp = done.length === 0 ? signal : null;
    try {
      done.push(await replaceProcess(instance, { operation, member, writer, tell, pastReturn, givenUp }));
    } catch (error) {
      const cause = DbproxyError.from(error);
      if (done.length === 0) {
        instance.events.append('operation.rolled-back', `${operation}: ${cause.message}`, { operation });
        throw cause;
      }
      const { reason = cause.message } = cause.details;
      failed = { what: `proxy ${member.process.pid} was not: ${String(reason)}`, cause };
      break;
    }
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
  const replaced = done
    .map(({ before, result }) => `proxy ${result.pid} serves in place of ${before.pid}`)
    .join(', ');
  const parts = [
    replaced,
    `${handed} handed over${lost.length > 0 ? `, ${lost.length} lost` : ''}, held ${record.holdMs.max} ms at most`,
    ...(failed ? [failed.what] : []),
  ];
  instance.events.append('operation.completed', `${operation}: ${parts.join('; ')}`, { ...record });
  if (failed) {
    const reason = `${replaced}; ${failed.what}`;
    throw new DbproxyError('DBP_PROXY_HANDOVER', { how: 'as a whole', reason }, { cause: failed.cause });
  }
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

interface Replacement {
  readonly operation: string;
  readonly member: ProxyProcess;
  readonly writer: WriterHandover | null;
  readonly tell: (detail: string) => void;
  readonly pastReturn: () => void;
  readonly givenUp: AbortSignal | null;
}

async function replaceProcess(
  { events, directory }: Instance,
  { operation, member, writer, tell, pastReturn, givenUp }: Replacement,
): Promise<ProcessReplaced> {
  const { rpc, number } = member;
  const before = await proxyStatus({ rpc });
  tell(`a new process takes over from ${before.pid}`);
  events.append('operation.started', `${operation}: proxy ${before.pid} is to be replaced`, {
    operation,
    pid: before.pid,
  });
  const sessions = await rpc.call('sessions', {}, { timeoutMs: SESSIONS_BOUND_MS });
  let hasHeir = false;
  const onProgress = ({ handed, waitsFor }: ProxyApi['handover']['progress']): void => {
    hasHeir ||= waitsFor === undefined;
    tell(waitsFor === undefined ? `${handed} of ${before.sessions} sessions` : `waits: ${waitsFor}`);
  };
  // An older build does not know how to: it comes to its end.
  const giveUp = (): void => void rpc.call('giveUpHandover', {}).catch(() => undefined);
  givenUp?.throwIfAborted();
  givenUp?.addEventListener('abort', giveUp);
  const result = await rpc
    .call(
      'handover',
      { program: THIS_BUILD, ...(writer ? { writer } : {}) },
      { timeoutMs: HANDOVER_BOUND_MS + (writer?.deadlineMs ?? 0), onProgress },
    )
    .catch(async (error: unknown) => {
      if (!hasHeir || !(await waitForExit(member.process, EXIT_BOUND_MS))) throw error;
      return inherited(await heirOf(directory, member, error), sessions);
    })
    .finally(() => givenUp?.removeEventListener('abort', giveUp));
  pastReturn();
  const successor = await findProcess(directory.paths, number);
  if (successor?.process.pid !== result.pid) {
    const reason = `process ${result.pid} does not answer`;
    throw new DbproxyError('DBP_PROXY_HANDOVER', { reason });
  }
  const { generation } = await rememberProcess(directory, successor);
  successor.rpc.close();
  return { before, result, generation };
}

/** The old process died when the new one had its listening sockets: that one goes on alone. Throws `error` when it does not. */
async function heirOf(
  { paths }: InstanceDirectory,
  { number, process: dead }: ProxyProcess,
  error: unknown,
): Promise<ProxyProcess> {
  const end = performance.now() + HEIR_BOUND_MS;
  while (performance.now() < end) {
    const heir = await findProcess(paths, number);
    if (heir && heir.process.pid !== dead.pid) return heir;
    heir?.rpc.close();
    await delay(POLL_MS);
  }
  throw error;
}

/** What the old process cannot tell any more. */
async function inherited({ rpc }: ProxyProcess, before: readonly SessionSnapshot[]): Promise<HandoverResult> {
  try {
    const { pid, version } = await proxyStatus({ rpc });
    const there = new Set(
      (await rpc.call('sessions', {}, { timeoutMs: SESSIONS_BOUND_MS })).map(({ id }) => id),
    );
    const lost = before.filter(({ id }) => !there.has(id)).map(({ id }) => ({ id, reason: DIED_WITH_IT }));
    const sessions = { handed: before.length - lost.length, lost };
    return { pid, version, sessions, holdMs: holdTimes([]), heldMs: [] };
  } finally {
    rpc.close();
  }
}

const progressOf = (id: string, startedAt: string): Omit<OperationProgress, 'detail'> => ({
  ...{ id, operation: 'patch', step: 'handover', attempt: 0, startedAt },
});
