/**
 * Makes reality what the record wants: one proxy, one primary, the proxy's route to it. The same recipe for `up`, for a
 * new supervisor, and after something died: look first, then do only what is missing.
 */
import { isDeepStrictEqual } from 'node:util';
import { dropReplicationSlot, endClientBackends, unusedSlots } from '../engine/index.js';
import type { EngineRecord } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import { faultPoint } from '../fault-point.js';
import { routeTo } from '../switchover/index.js';
import { ENGINES_PER_WRITER } from './instance-directory.js';
import { unrecordedEngines, type Instance } from './instance.js';
import { assertAgrees, isBuiltAgain } from './multiwriter/diverged.js';
import { writerOf } from './multiwriter/names.js';
import { writerConfig } from './multiwriter/writer-config.js';
import { goOnBehind } from './multiwriter/numbers.js';
import { copyWriter, relaxEngine } from './multiwriter/writer-engine.js';
import { failOver, finishFailover, reviveSessions } from './standby/fail-over.js';
import {
  endSilent,
  findProxy,
  isWhole,
  proxyStatus,
  rememberProxy,
  startProxy,
  type Proxy,
} from './proxy-process.js';
import { settleOperation, type ProxyFacts } from './settle-operation.js';
import { queryThroughProxy } from './verify.js';

const ROUTE_BOUND_MS = 10_000;

export interface Ensured {
  readonly proxy: Proxy;
  /** What was done that a healthy instance would not have needed, for people. */
  readonly repaired: readonly string[];
}

export type OnStep = (step: string, detail: string) => void;

/** What several writers need beside proxy and engine (multiwriter/family.ts). */
export interface Beside {
  /** Before the proxy is started. */
  before(onStep: OnStep, report: (repair: string) => void): Promise<void>;
  /** The proxy runs, and knows its engine. */
  routed(proxy: Proxy): Promise<void>;
}

/** Ready when it resolves: a query through the proxy was answered. Throws DBP_WRITER_DIVERGED, among others. */
export async function ensureRunning(
  instance: Instance,
  onStep: OnStep,
  signal: AbortSignal,
  beside: Beside | null = null,
): Promise<Ensured> {
  const asked: Proxy[] = [];
  try {
    return await ensure(instance, onStep, signal, beside, (proxy) => asked.push(proxy));
  } catch (error) {
    // Who tries again asks anew.
    for (const { rpc } of asked) rpc.close();
    throw error;
  }
}

async function ensure(
  instance: Instance,
  onStep: OnStep,
  signal: AbortSignal,
  beside: Beside | null,
  asks: (proxy: Proxy) => void,
): Promise<Ensured> {
  const found = await observeProxy(instance, asks);
  const settled = await settleOperation(instance, found);
  const failedOver = await failOver(instance, found);
  const processBefore = instance.primary?.process;
  const fresh = !found && (await isStopped(instance));
  const repairs: string[] = [settled, failedOver].filter((done) => done !== null);
  const report = (repair: string): void => {
    if (!fresh) repairs.push(repair);
  };
  await beside?.before(onStep, report);
  const hadEngines = instance.record.engines.length > 0;
  const [proxy, primary] = await together(
    signal,
    () => ensureProxy(instance, found, onStep, report, asks),
    (ended) => ensurePrimary(instance, ended, onStep, report),
  ).catch(async (error: unknown) => {
    // The engine was the quicker one of the two; nobody was led to it yet.
    if (!hadEngines) await removeEngines(instance, instance.record.engines);
    throw error;
  });
  const resumed = await finishFailover(instance, found && proxy);
  if (resumed !== null) repairs.push(resumed);
  const before = found && (await proxyStatus(proxy));
  if (isDeepStrictEqual(processBefore, primary.process)) await endLeftovers(proxy, primary);
  await ensureRoute(instance, proxy, primary);
  // No standby could take over, or who saw to that died in the middle of it: what waits for an engine goes on on this one.
  const waits = before?.waitsForEngine === true || before?.primary?.id !== primary.id;
  const isAnother = waits || !isDeepStrictEqual(processBefore, primary.process);
  if (before && instance.record.spec.standby !== undefined && isAnother)
    await reviveSessions(proxy, primary, await instance.nextOperationId('restart'), null);
  await beside?.routed(proxy);
  await assertAgrees(instance, proxy);
  onStep('ready', 'a query through the proxy');
  if (!(await isCrowded(proxy))) {
    await queryThroughProxy(instance.record.spec, instance.password, primary.postgres).catch(
      async (error: unknown) => {
        if (!(await isCrowded(proxy))) throw error;
      },
    );
  }
  await removeLeftovers(instance, primary, report);
  return { proxy, repaired: repairs };
}

async function observeProxy(
  { directory }: Instance,
  asks: (proxy: Proxy) => void,
): Promise<ProxyFacts | null> {
  const proxy = await findProxy(directory);
  if (proxy) asks(proxy);
  return proxy && { proxy, status: await proxyStatus(proxy) };
}

async function isStopped({ primary, provider }: Instance): Promise<boolean> {
  return !primary || (await provider.inspect(primary)).state === 'stopped';
}

/** Both at once; when the proxy cannot start (its port is taken), the engine's start is given up. */
async function together<A, B>(
  signal: AbortSignal,
  first: () => Promise<A>,
  second: (signal: AbortSignal) => Promise<B>,
): Promise<[A, B]> {
  const failed = new AbortController();
  const [a, b] = await Promise.allSettled([
    first().catch((error: unknown) => {
      failed.abort(error);
      throw error;
    }),
    second(AbortSignal.any([signal, failed.signal])),
  ]);
  if (a.status === 'rejected') throw a.reason;
  if (b.status === 'rejected') throw b.reason;
  return [a.value, b.value];
}

async function ensureProxy(
  instance: Instance,
  found: ProxyFacts | null,
  onStep: OnStep,
  report: (repair: string) => void,
  asks: (proxy: Proxy) => void,
): Promise<Proxy> {
  const { directory, record, events } = instance;
  // A replacement whose supervisor died in the middle of it left the old process on record.
  if (found) await rememberProxy(directory, found.proxy);
  if (found && isWhole(found.proxy)) return found.proxy;
  found?.proxy.rpc.close();
  // Busy is not dead: who is silent is asked once more before its clients are sacrificed.
  const before = await findProxy(directory);
  if (before) asks(before);
  // The heir of a handover answers only by now.
  if (before) await rememberProxy(directory, before);
  if (before && isWhole(before)) return before;
  await endSilent(directory, before);
  onStep('proxy', `binding ${record.spec.host}:${record.spec.port}`);
  await faultPoint('proxy.starting');
  const proxy = await startProxy(directory, record.spec, await writerConfig(record.spec), before);
  asks(proxy);
  for (const { number, process } of proxy.members) {
    if (before?.members.some((each) => each.number === number)) continue;
    events.append(
      'proxy.started',
      `proxy ${process.pid} listens on ${record.spec.host}:${record.spec.port}`,
      { pid: process.pid, port: record.spec.port },
    );
    report(`started a new proxy (${process.pid})`);
  }
  return proxy;
}

async function ensurePrimary(
  instance: Instance,
  signal: AbortSignal,
  onStep: OnStep,
  report: (repair: string) => void,
): Promise<EngineRecord> {
  const { primary, provider } = instance;
  if (!primary) return createPrimary(instance, signal, onStep);
  const health = await provider.inspect(primary);
  if (health.state === 'unresponsive') {
    throw new DbproxyError('DBP_ENGINE_LOST', { engine: primary.id, reason: health.reason });
  }
  if (health.state === 'running') {
    const seen = { ...primary, process: health.process };
    if (!isDeepStrictEqual(seen, primary)) await instance.putEngine(seen);
    return seen;
  }
  const started = await startPrimary(instance, primary, signal, onStep);
  report(`started engine ${primary.id} on its data`);
  return started;
}

async function createPrimary(instance: Instance, signal: AbortSignal, onStep: OnStep): Promise<EngineRecord> {
  const { provider, record, events } = instance;
  const self = writerOf(record.spec);
  const former = isBuiltAgain(record) ? record.engines : [];
  const isCopy = record.spec.writerOf !== undefined || former.length > 0;
  const make = async (): Promise<EngineRecord> => {
    const id = await instance.nextEngineId();
    onStep('engine', `making ${id} (${record.spec.size})`);
    return provider.create({
      ...instance.provisionOptions(id, record.spec, signal),
      onProgress: ({ step, detail }) => onStep(`engine:${step}`, detail ?? id),
    });
  };
  const engine = await (self && isCopy ? copyWriter(instance, self, onStep, signal) : make());
  for (const one of former) {
    const unknown = await goOnBehind(instance, one, engine);
    if (unknown !== null) onStep('engine', `what sequences of ${one.id} gave out is not known: ${unknown}`);
  }
  const { id } = engine;
  await instance.putEngine({ ...engine, role: 'primary' }, { primary: id });
  events.append(
    'engine.started',
    `engine ${id} (${engine.size}, PostgreSQL ${engine.postgres}) is the primary`,
    {
      engine: id,
    },
  );
  return engine;
}

async function startPrimary(
  instance: Instance,
  primary: EngineRecord,
  signal: AbortSignal,
  onStep: OnStep,
): Promise<EngineRecord> {
  onStep('engine', `starting ${primary.id} on its data`);
  const { standby } = instance.record;
  // As it starts, commits wait for nobody.
  if (standby?.sync === true) await instance.update({ standby: { ...standby, sync: false } });
  const started = await instance.provider.start(
    { ...primary, role: 'primary', size: instance.record.spec.size },
    { signal, onProgress: ({ step, detail }) => onStep(`engine:${step}`, detail ?? primary.id) },
  );
  await instance.putEngine(started);
  await faultPoint('engine.restarted');
  instance.events.append('engine.started', `engine ${primary.id} runs again on its data`, {
    engine: primary.id,
  });
  return started;
}

/** Whom it has no place for may be us: it serves all the same. */
async function isCrowded({ members }: Proxy): Promise<boolean> {
  const seen = await Promise.all(members.map(proxyStatus));
  return seen.some(({ crowded }) => crowded);
}

/** A proxy that was never led to an engine has no sessions: what runs there is left of one that has died, and holds its locks. */
async function endLeftovers(proxy: Proxy, primary: EngineRecord): Promise<void> {
  for (const { rpc } of proxy.members) if ((await proxyStatus({ rpc })).primary) return;
  await endClientBackends(primary);
}

async function ensureRoute(instance: Instance, proxy: Proxy, primary: EngineRecord): Promise<void> {
  const engine = routeTo(primary);
  for (const { rpc } of proxy.members) {
    const status = await proxyStatus({ rpc });
    if (isDeepStrictEqual(status.primary, engine)) continue;
    if (writerOf(instance.record.spec)) await relaxEngine(primary);
    await rpc.call('route', { engine }, { timeoutMs: ROUTE_BOUND_MS });
  }
}

/** Engines that nobody needs any more, and directories of engines that were never finished. */
async function removeLeftovers(
  instance: Instance,
  primary: EngineRecord,
  report: (repair: string) => void,
): Promise<void> {
  const { provider, paths } = instance;
  // It was asked for once, and is not any more.
  if (instance.record.spec.standby === undefined && instance.record.standby)
    await instance.update({ standby: undefined });
  const { record } = instance;
  const needed = [record.primary, record.standby?.engine, ...(record.kept ?? [])];
  const recorded = record.engines.filter(({ id }) => !needed.includes(id));
  // A directory beyond the last number given out is not of our making.
  const unfinished = (await unrecordedEngines(paths, record)).filter(
    ({ id }) => Number(id.slice(1)) < record.nextEngine,
  );
  await removeEngines(instance, [...recorded, ...unfinished], report);
  const kept = needed.filter((id) => typeof id === 'string');
  const swept = await provider.sweep(kept, 'all').catch(() => []);
  for (const each of swept) report(`removed ${each}`);
  await dropUnusedSlots(instance, primary, report).catch(() => undefined);
}

async function removeEngines(
  instance: Instance,
  engines: readonly EngineRecord[],
  report: (repair: string) => void = () => undefined,
): Promise<void> {
  for (const engine of engines) {
    try {
      await instance.provider.remove(engine);
      await instance.forgetEngine(engine.id);
      report(`removed engine ${engine.id}`);
    } catch (error) {
      instance.events.append('engine.stopped', `engine ${engine.id} could not be removed: ${String(error)}`);
    }
  }
}

/** Of standbys that are gone, or were never finished, while their primary could not be asked: it would keep WAL for them for ever. */
async function dropUnusedSlots(
  { record }: Instance,
  primary: EngineRecord,
  report: (repair: string) => void,
): Promise<void> {
  const isOurs = (id: string): boolean =>
    /^e\d+$/.test(id) &&
    // Those of other writers' copies have numbers of their own.
    Math.floor(Number(id.slice(1)) / ENGINES_PER_WRITER) ===
      Math.floor(record.nextEngine / ENGINES_PER_WRITER) &&
    Number(id.slice(1)) < record.nextEngine &&
    !record.engines.some((engine) => engine.id === id);
  for (const id of (await unusedSlots(primary)).filter(isOurs)) {
    await dropReplicationSlot(primary, id);
    report(`removed the replication slot of ${id}`);
  }
}
