/**
 * What `scale` and `patch` have in common: bring every session to a server of another size or another version, and write the
 * record of it. How is the strategy's business (src/switchover).
 */
import type { EngineRecord } from '../../engine/types.js';
import { DbproxyError } from '../../errors/index.js';
import { switchover, type SwitchoverResult } from '../../switchover/index.js';
import type { MoveEnd, MoveParams, MoveRecord, OperationProgress } from '../api.js';
import type { Instance } from '../instance.js';
import type { Proxy } from '../proxy-process.js';
import { OperationJournal } from './journal.js';
import { endOf, nothingToDo, outcomeOf, record, type Started } from './move-record.js';

/** What an operation works on and with. */
export interface OperationContext {
  readonly instance: Instance;
  readonly proxy: Proxy;
  readonly onProgress: (progress: OperationProgress) => void;
  /** Gives up before the point of no return. */
  readonly signal: AbortSignal;
}

export interface Goal {
  readonly operation: 'scale' | 'patch';
  /** What was typed, without its limits: `scale --to large`. */
  readonly command: string;
  readonly to: Pick<MoveEnd, 'size' | 'postgres'>;
  readonly limits: MoveParams;
}

/** Throws only when the way forward is blocked after the point of no return; then reconciliation has to finish it. */
export async function move(context: OperationContext, goal: Goal): Promise<MoveRecord> {
  const { instance, proxy, signal } = context;
  const from = runningPrimary(instance);
  const started: Started = {
    operation: await instance.nextOperationId(goal.operation),
    at: new Date(),
    atMs: performance.now(),
  };
  if (from.size === goal.to.size && from.postgres === goal.to.postgres)
    return record(instance, started, nothingToDo(from));

  const target = instance.provisionOptions(await instance.nextEngineId(), goal.to, signal);
  const { journal, plan } = begin(context, goal, started, from, target.id);
  const result = await switchover(
    { ...plan, target },
    { provider: instance.provider, proxy: proxy.rpc, journal, signal },
  );
  const to = { engine: target.id, size: goal.to.size, postgres: result.target?.postgres ?? goal.to.postgres };
  const found = record(instance, started, { ...outcomeOf(result), from: endOf(from), to });
  await finish(instance, journal, from, result);
  return found;
}

export function runningPrimary({ primary, paths }: Instance): EngineRecord {
  if (primary) return primary;
  throw new DbproxyError('DBP_INSTANCE_NOT_RUNNING', { name: paths.name });
}

function begin(
  { instance, onProgress }: OperationContext,
  { operation, command, to, limits }: Goal,
  { operation: id }: Started,
  from: EngineRecord,
  target: string,
) {
  const journal = new OperationJournal(instance, { id, operation, from: from.id, target }, onProgress);
  const described = ({ size, postgres }: typeof to): string => `${size}, PostgreSQL ${postgres}`;
  instance.events.append(
    'operation.started',
    `${id}: ${from.id} (${described(from)}) → ${target} (${described(to)})`,
    { operation: id, from: from.id, to: target, params: { ...to, ...limits } },
  );
  return { journal, plan: { operation: id, command, from, limits } };
}

/** What the operation leaves: the engine that is no longer needed goes, only now that the end is on record. */
async function finish(
  instance: Instance,
  journal: OperationJournal,
  from: EngineRecord,
  result: SwitchoverResult,
): Promise<void> {
  await instance.events.flush();
  if (result.outcome === 'completed') {
    await instance.putEngine({ ...result.target, role: 'primary' });
    await journal.close();
    await instance.provider.remove(from);
    await instance.forgetEngine(from.id);
    return;
  }
  // With leftovers the operation stays on record: the reconciliation that follows every failure undoes the rest.
  if (result.leftovers.length > 0) return;
  if (result.target) await instance.forgetEngine(result.target.id);
  await journal.close();
}
