/**
 * `scale --strategy resize`: the engine itself gets the limits and the settings of a larger size. Nothing moves, nobody waits; what
 * a server takes at its start only is named. Each step may be done again, so whoever finds a resize half-done does all of it
 * once more (settle-resize.ts); one that fails is brought back to what it was in the same way.
 */
import { growsTo, type EngineRecord, type SizeName } from '../../engine/index.js';
import { DbproxyError } from '../../errors/index.js';
import { faultPoint } from '../../fault-point.js';
import { proxyStatus } from '../proxy-process.js';
import type { MoveRecord, PendingRestart } from '../api.js';
import { makePrimary } from '../settle-operation.js';
import { OperationJournal } from './journal.js';
import { nothingToDo, outcomeOfResize, record, type Outcome } from './move-record.js';
import { runningPrimary, type OperationContext } from './move.js';

/** Throws DBP_USAGE_SHRINK; nothing has begun then. */
export async function resize(context: OperationContext, size: SizeName): Promise<MoveRecord> {
  const { instance, proxy } = context;
  const from = runningPrimary(instance);
  if (!growsTo(from.size, size)) throw new DbproxyError('DBP_USAGE_SHRINK', { from: from.size, to: size });
  const started = {
    operation: await instance.nextOperationId('scale'),
    at: new Date(),
    atMs: performance.now(),
  };
  if (from.size === size) {
    const pendingRestart = await instance.provider.pendingRestart(from);
    return record(instance, started, { ...nothingToDo(from, 'resize'), pendingRestart });
  }
  const { operation } = started;
  instance.events.append(
    'operation.started',
    `${operation}: ${from.id} (${from.size}) → ${size}, as it runs`,
    {
      ...{ operation, from: from.id, to: from.id, params: { strategy: 'resize', size } },
    },
  );
  const { sessions } = await proxyStatus(proxy);
  const begunMs = performance.now();
  const done = await bringTo(context, operation, from, size).catch((error: unknown) =>
    bringBack(context, operation, from, DbproxyError.from(error)),
  );
  const tookMs = performance.now() - begunMs;
  const outcome: Outcome = outcomeOfResize({ from, sessions, tookMs, ...done });
  const found = record(instance, started, outcome);
  await instance.events.flush();
  await done.close();
  return found;
}

interface Done {
  readonly to: EngineRecord;
  readonly pendingRestart: readonly PendingRestart[];
  readonly error: DbproxyError | null;
  /** What is on record of the operation goes, once its end is on record elsewhere. */
  readonly close: () => Promise<void>;
}

async function bringTo(
  context: OperationContext,
  operation: string,
  from: EngineRecord,
  size: SizeName,
): Promise<Done> {
  const { instance } = context;
  const journal = journalOf(context, operation, from, { size, outcome: 'completed' });
  await journal.step('provision', `limits and settings of ${size} for ${from.id}`);
  await instance.provider.resize(from, size);
  const to = { ...from, size };
  const pendingRestart = await instance.provider.pendingRestart(to);
  await faultPoint('resized');
  await makePrimary(instance, to);
  return { to, pendingRestart, error: null, close: () => journal.close() };
}

/** What cannot be undone now stays on record: the reconciliation that follows every failure tries again. */
async function bringBack(
  context: OperationContext,
  operation: string,
  from: EngineRecord,
  error: DbproxyError,
): Promise<Done> {
  const { instance } = context;
  const { size } = from;
  const journal = journalOf(context, operation, from, { size, outcome: 'rolled-back' });
  await journal.step('provision', `back to the limits and settings of ${size} for ${from.id}`);
  const isBack = await instance.provider.resize(from, size).then(
    () => true,
    () => false,
  );
  const close = (): Promise<void> => (isBack ? journal.close() : Promise.resolve());
  return { to: from, pendingRestart: [], error, close };
}

const journalOf = (
  { instance, onProgress }: OperationContext,
  id: string,
  { id: engine }: EngineRecord,
  resized: { readonly size: SizeName; readonly outcome: 'completed' | 'rolled-back' },
): OperationJournal =>
  new OperationJournal(
    instance,
    { id, operation: 'scale', from: engine, target: engine, resize: resized },
    onProgress,
  );
