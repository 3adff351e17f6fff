/**
 * Ends an operation whose supervisor died: `reconcile.ts` decides, here it is done. The end state is one of the two that
 * the operation itself would have reached, and the operation's file is gone.
 */
import type { EngineHealth, EngineRecord } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import type { InstanceSpec } from './api.js';
import type { ProxyStatus } from '../proxy/control-api.js';
import { EngineLink, moveSessions, promoteForSure, rollBack, setWritable } from '../switchover/index.js';
import { settleInPlace } from './settle-in-place.js';
import { settleResize } from './settle-resize.js';
import { unrecordedEngine, type Instance } from './instance.js';
import type { Proxy } from './proxy-process.js';
import { judge, type Verdict } from './reconcile.js';
import type { InstanceRecord, OperationRecord } from './records.js';

export interface ProxyFacts {
  readonly proxy: Proxy;
  readonly status: ProxyStatus;
}

/** Returns what it did, for people; null when no operation was on record. */
export async function settleOperation(instance: Instance, found: ProxyFacts | null): Promise<string | null> {
  const operation = await instance.directory.readOperation();
  if (!operation) return null;
  if (operation.inPlace) {
    const settled = await settleInPlace(instance, { ...operation, inPlace: operation.inPlace }, found);
    await instance.directory.removeOperation();
    return settled;
  }
  if (operation.resize) {
    const settled = await settleResize(instance, { ...operation, resize: operation.resize });
    await instance.directory.removeOperation();
    return settled;
  }
  const target = instance.engine(operation.target);
  const verdict = await decide(instance, operation, target, found);
  const done =
    verdict === 'forward' && target
      ? await goForward(instance, operation, target, found)
      : await goBack(instance, operation, target, found);
  await instance.directory.removeOperation();
  return done;
}

async function decide(
  instance: Instance,
  operation: OperationRecord,
  target: EngineRecord | null,
  found: ProxyFacts | null,
): Promise<Verdict> {
  const facts = { operation, recordedPrimary: instance.record.primary, proxy: found?.status ?? null };
  const health = target && (await instance.provider.inspect(target));
  const verdict = judge({ ...facts, target: health });
  if (verdict !== 'look' || !target) return verdict;
  return judgeByStarting(instance, operation, target, (seen) => judge({ ...facts, target: seen }));
}

/** Starts the target to see whether it was promoted before it died. */
async function judgeByStarting(
  instance: Instance,
  operation: OperationRecord,
  target: EngineRecord,
  judgeAgain: (health: EngineHealth) => Verdict,
): Promise<Verdict> {
  try {
    await instance.provider.stop(target, 'immediate');
    const started = await instance.provider.start(target);
    await instance.putEngine(started);
    return judgeAgain(await instance.provider.inspect(started));
  } catch (cause) {
    // A standby may be unable to start without its primary. A promoted engine needs nobody: only if the record says that
    // promotion was on its way is its data worth more than an automatic answer.
    if (operation.step !== 'promote' && operation.step !== 'move') return 'roll-back';
    throw new DbproxyError(
      'DBP_ENGINE_LOST',
      { engine: target.id, reason: `it does not start, and may hold commits of clients (${String(cause)})` },
      { cause },
    );
  }
}

async function goForward(
  instance: Instance,
  operation: OperationRecord,
  target: EngineRecord,
  found: ProxyFacts | null,
): Promise<string> {
  const promoted: EngineRecord = {
    ...(await promoteForSure(instance.provider, target, null)),
    role: 'primary',
  };
  const sessions = found ? (await moveSessions(found.proxy.rpc, [])).moved : 0;
  await makePrimary(instance, promoted);
  await instance.provider.afterPromotion(promoted);
  const done = `finished ${operation.id}: ${promoted.id} is the primary`;
  instance.events.append('operation.completed', done, {
    operation: operation.id,
    outcome: 'completed',
    repaired: true,
    from: operation.from,
    to: promoted.id,
    sessionsMoved: sessions,
  });
  return done;
}

/** The target is the primary, everything else of before is to be removed. */
export async function makePrimary(
  instance: Instance,
  promoted: EngineRecord,
  change: Pick<Partial<InstanceRecord>, 'standby' | 'kept' | 'failover'> = {},
): Promise<void> {
  const others = instance.record.engines
    .filter(({ id }) => id !== promoted.id)
    .map((engine): EngineRecord => ({ ...engine, role: 'retired' }));
  const { spec } = instance.record;
  // `17` may stay what was asked for.
  const postgres = `${promoted.postgres}.`.startsWith(`${spec.postgres}.`)
    ? spec.postgres
    : promoted.postgres;
  await instance.update({
    ...change,
    primary: promoted.id,
    engines: [...others, { ...promoted, role: 'primary' }],
    spec: { ...spec, ...imageOf(promoted, spec), provider: promoted.provider, postgres, size: promoted.size },
  });
}

/** An image without a tag may stay what was asked for, too. */
function imageOf({ container }: EngineRecord, { image = 'postgres' }: InstanceSpec): Partial<InstanceSpec> {
  return container && !`${container.image}:`.startsWith(`${image}:`) ? { image: container.image } : {};
}

async function goBack(
  instance: Instance,
  operation: OperationRecord,
  target: EngineRecord | null,
  found: ProxyFacts | null,
): Promise<string> {
  const from = await runningEngine(instance, operation.from);
  const leftovers = await rollBack({
    proxy: found?.proxy.rpc ?? null,
    provider: instance.provider,
    from,
    target: target ?? unrecordedEngine(instance.paths, instance.record, operation.target, operation.provider),
  });
  await unfence(from);
  await instance.forgetEngine(operation.target);
  const done = `rolled back ${operation.id}: ${from.id} stays the primary`;
  instance.events.append('operation.rolled-back', done, {
    operation: operation.id,
    outcome: 'rolled-back',
    repaired: true,
    step: operation.step,
    leftovers,
  });
  return done;
}

async function runningEngine(instance: Instance, id: string): Promise<EngineRecord> {
  const engine = instance.engine(id);
  if (!engine) {
    const file = instance.paths.operationFile;
    throw new DbproxyError('DBP_INSTANCE_DAMAGED', { file, reason: `there is no engine ${id}` });
  }
  const health = await instance.provider.inspect(engine);
  if (health.state !== 'stopped') return { ...engine, process: health.process };
  const started = await instance.provider.start(engine);
  await instance.putEngine(started);
  return started;
}

/** It was set if the operation died between commit and promotion, and the proxy with it. */
async function unfence(engine: EngineRecord): Promise<void> {
  const link = await EngineLink.open(engine);
  try {
    await setWritable(link);
  } finally {
    await link.close();
  }
}
