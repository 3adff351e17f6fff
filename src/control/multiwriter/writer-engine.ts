/**
 * The engine of a writer. A further writer's is a physical copy of the first one's, which is promoted, and so is that of any writer which
 * is built again, of the one that lacks least of the log; its own markers, which the copy brings along, say where it stands in the log. Whose engine it is,
 * the proxy tells it.
 */
import { adminQuery, dropReplicationSlot, withAdmin } from '../../engine/index.js';
import type { EngineRecord } from '../../engine/types.js';
import { DbproxyError } from '../../errors/index.js';
import { ENGINES_PER_WRITER, InstanceDirectory } from '../instance-directory.js';
import { kindOf, unrecordedEngines, type Instance } from '../instance.js';
import { instancePaths } from '../paths.js';
import { askedForStatus, bestSource } from './copy-source.js';
import { writerName, type WriterName } from './names.js';

const PROMOTE_BOUND_SECONDS = 30;

/** A copy of another writer's engine, promoted. On failure nothing is left, here or there. */
export async function copyWriter(
  instance: Instance,
  self: WriterName,
  onStep: (step: string, detail: string) => void,
  signal: AbortSignal,
): Promise<EngineRecord> {
  const from = await anotherWriter(self);
  const source = await engineOf(from);
  await removeAttempts(instance, self);
  const id = await instance.nextEngineId();
  onStep('engine', `copying ${source.id} of ${from}`);
  const { size } = instance.record.spec;
  const kind = { ...kindOf(source), size };
  const standby = await instance.provider.createStandby(source, {
    ...instance.provisionOptions(id, kind, signal),
    onProgress: ({ step, detail }) => onStep(`engine:${step}`, detail ?? id),
  });
  try {
    onStep('engine', `promoting ${id}`);
    await promote(standby);
    await dropReplicationSlot(source, id);
    await instance.provider.afterPromotion(standby);
    return standby;
  } catch (error) {
    await instance.provider.remove(standby);
    await dropReplicationSlot(source, id).catch(() => undefined);
    throw error;
  }
}

/** Throws DBP_WRITER_NO_SOURCE. */
async function anotherWriter(self: WriterName): Promise<string> {
  const names = await others(self);
  const best = bestSource(
    await Promise.all(names.map((name) => askedForStatus(name, instancePaths(name).proxySocket))),
  );
  if (best !== null) return best;
  const { instance, writer } = self;
  throw new DbproxyError('DBP_WRITER_NO_SOURCE', { writer: writerName(instance, writer), name: instance });
}

async function others({ instance, writer: self }: WriterName): Promise<readonly string[]> {
  const count = (await InstanceDirectory.of(instance).readInstance())?.spec.multiwriter?.writers ?? 1;
  return Array.from({ length: count }, (_, i) => i + 1)
    .filter((writer) => writer !== self)
    .map((writer) => writerName(instance, writer));
}

async function engineOf(name: string): Promise<EngineRecord> {
  const record = await InstanceDirectory.of(name).readInstance();
  const engine = record?.engines.find(({ id }) => id === record.primary);
  if (!engine) throw new DbproxyError('DBP_INSTANCE_NOT_RUNNING', { name });
  return engine;
}

/** Copies whose maker was killed: the server, its data, and its slot on the engine it copied, which would keep WAL for ever. */
async function removeAttempts(instance: Instance, self: WriterName): Promise<void> {
  const { paths, record } = instance;
  for (const left of await unrecordedEngines(paths, record)) {
    if (Number(left.id.slice(1)) < record.nextEngine) await instance.provider.remove(left);
  }
  const first = self.writer === 1 ? 1 : ENGINES_PER_WRITER * self.writer + 1;
  // Which one an attempt copied is not known any more; one that does not run now is asked by the next attempt.
  for (const name of await others(self)) {
    const source = await engineOf(name).catch(() => null);
    for (let number = first; source && number < record.nextEngine; number++)
      await dropReplicationSlot(source, `e${number}`).catch(() => undefined);
  }
}

async function promote(standby: EngineRecord): Promise<void> {
  const [row] = await adminQuery<{ done: boolean }>(
    standby,
    'select pg_promote(true, $1) as done',
    [PROMOTE_BOUND_SECONDS],
    { timeoutMs: PROMOTE_BOUND_SECONDS * 1_000 + 1_000 },
  );
  if (row?.done) return;
  const reason = `it did not leave recovery within ${PROMOTE_BOUND_SECONDS} s`;
  throw new DbproxyError('DBP_ENGINE_STANDBY', { engine: standby.id, reason });
}

/**
 * What acknowledges a commit is the store, whose votes are on disk: the engine need not wait for its own. Said to the server, so that its
 * copies have it, too. Before a client can reach it.
 */
export async function relaxEngine(engine: EngineRecord): Promise<void> {
  await withAdmin(engine, async (query) => {
    const [row] = await query<{ value: string }>(`select current_setting('synchronous_commit') as value`);
    if (row?.value === 'off') return;
    await query('alter system set synchronous_commit = off');
    await query('select pg_reload_conf()');
  });
}
