/**
 * Ends an in-place patch whose supervisor died. A server that runs on the data is kept, whichever version it is: it was started
 * by the operation, or never stopped. One that does not run is started as it was before. Then the proxy, if it still holds the
 * sessions, is told to bring them back; it would find out by itself, too.
 */
import type { EngineRecord } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import { letGo, moveSessions } from '../switchover/index.js';
import type { Instance } from './instance.js';
import type { OperationRecord } from './records.js';
import { makePrimary, type ProxyFacts } from './settle-operation.js';

/** Steps in which no new server can have been started. */
const BEFORE_START: readonly string[] = ['provision', 'warm', 'drain', 'fence', 'catchup'];

type InPlaceRecord = OperationRecord & { readonly inPlace: NonNullable<OperationRecord['inPlace']> };

/** Returns what it did, for people. */
export async function settleInPlace(
  instance: Instance,
  operation: InPlaceRecord,
  found: ProxyFacts | null,
): Promise<string> {
  const { id, from } = operation;
  const engine = instance.engine(from);
  if (!engine) {
    const file = instance.paths.operationFile;
    throw new DbproxyError('DBP_INSTANCE_DAMAGED', { file, reason: `there is no engine ${from}` });
  }
  const running = await ensureServer(instance, engine, operation);
  // Whoever is held waits for nothing but the server: what runs is the truth.
  const sessionsMoved = found ? await goOn(found) : 0;
  await makePrimary(instance, { ...running, role: 'primary' });
  const { to } = operation.inPlace;
  const outcome = running.postgres === to.postgres && running.size === to.size ? 'completed' : 'rolled-back';
  const described = `${running.id} runs PostgreSQL ${running.postgres} (${running.size})`;
  const done = `${outcome === 'completed' ? 'finished' : 'rolled back'} ${id}: ${described}`;
  instance.events.append(`operation.${outcome}`, done, {
    ...{ operation: id, outcome, repaired: true, step: operation.step, sessionsMoved },
    ...{ from, to: running.id },
  });
  return done;
}

async function ensureServer(
  { provider }: Instance,
  engine: EngineRecord,
  { step, inPlace: { before, to } }: InPlaceRecord,
): Promise<EngineRecord> {
  const health = await provider.inspect(engine);
  // It may have been told to stop already.
  if (health.state === 'unresponsive') await provider.stop(engine, 'fast');
  if (health.state !== 'running') return provider.start({ ...engine, ...before });
  const { postgres, process } = await provider.start(engine);
  // Which size it runs with, the server does not say: that of the version; of one version, what the operation had come to.
  const isNew = postgres === to.postgres && (before.postgres !== to.postgres || !BEFORE_START.includes(step));
  return isNew
    ? { ...engine, postgres, process, size: to.size }
    : { ...engine, ...before, postgres, process };
}

/** Whoever is held, in whatever state, goes on. */
async function goOn({ proxy: { rpc }, status: { gate } }: ProxyFacts): Promise<number> {
  if (gate === 'committed' || gate === 'moving') return (await moveSessions(rpc, [])).moved;
  await letGo(rpc);
  return 0;
}
