/**
 * What `scale` and `patch` have in common: bring every session to a server of another size or another version, and write the
 * record of it. How is the strategy's business (src/switchover).
 */
import type { EngineRecord, EngineSource, ProviderKind } from '../../engine/types.js';
import { DbproxyError } from '../../errors/index.js';
import { inPlace, switchover, type SwitchoverPorts, type SwitchoverResult } from '../../switchover/index.js';
import type { MoveEnd, MoveParams, MoveRecord, OperationProgress, PatchStrategy } from '../api.js';
import type { Instance } from '../instance.js';
import type { Proxy } from '../proxy-process.js';
import type { OperationRecord } from '../records.js';
import { OperationJournal } from './journal.js';
import type { Pause } from './pause.js';
import { endOf, nothingToDo, outcomeOf, record, type Started } from './move-record.js';

/** What an operation works on and with. */
export interface OperationContext {
  readonly instance: Instance;
  readonly proxy: Proxy;
  readonly onProgress: (progress: OperationProgress) => void;
  readonly pause: Pause;
  /** Tells that there is no way back for all of it any more; a record says so by itself. */
  readonly pastReturn: () => void;
  /** Gives up before the point of no return. */
  readonly signal: AbortSignal;
}

/** What the sessions are to be served by. */
export interface MoveGoal extends Pick<MoveEnd, 'size' | 'postgres'>, EngineSource {
  /** The same as now without it. */
  readonly provider?: ProviderKind;
}

export interface Goal {
  readonly operation: 'scale' | 'patch';
  /** What was typed, without its limits: `scale --to large`. */
  readonly command: string;
  readonly strategy: PatchStrategy;
  readonly to: MoveGoal;
  readonly limits: MoveParams;
}

/** Throws only when the way forward is blocked after the point of no return; then reconciliation has to finish it. */
export async function move(context: OperationContext, goal: Goal): Promise<MoveRecord> {
  const { instance } = context;
  const from = runningPrimary(instance);
  const started: Started = {
    operation: await instance.nextOperationId(goal.operation),
    at: new Date(),
    atMs: performance.now(),
  };
  if (isThere(from, goal.to) && !(await waitsForRestart(instance, from, goal)))
    return record(instance, started, nothingToDo(from, goal.strategy));

  const run = goal.strategy === 'in-place' ? inPlaceOf : standbyOf;
  const { journal, to, result } = await run(context, goal, started.operation, from);
  const found = record(instance, started, { ...outcomeOf(result, goal.strategy), from: endOf(from), to });
  await finish(instance, journal, from, result);
  return found;
}

/** Everything that is asked for. */
function isThere(from: EngineRecord, { size, postgres, provider, image }: MoveGoal): boolean {
  const sameImage = image === undefined || image === from.container?.image;
  return (
    from.size === size &&
    from.postgres === postgres &&
    from.provider === (provider ?? from.provider) &&
    sameImage
  );
}

/** After a resize some of the size is still to come: a move to that very size brings it. */
const waitsForRestart = async (
  { provider }: Instance,
  from: EngineRecord,
  { operation }: Goal,
): Promise<boolean> => operation === 'scale' && (await provider.pendingRestart(from)).length > 0;

interface Run {
  readonly journal: OperationJournal;
  readonly to: MoveEnd;
  readonly result: SwitchoverResult;
}

/** A streaming standby is promoted. */
async function standbyOf(
  context: OperationContext,
  goal: Goal,
  operation: string,
  from: EngineRecord,
): Promise<Run> {
  const { instance, signal } = context;
  const provider = goal.to.provider ?? from.provider;
  // The image that runs, unless another one is asked for: that of a name may have changed.
  const image = goal.to.image ?? (provider === from.provider ? from.container?.image : undefined);
  const kind = { ...goal.to, provider, image };
  const target = instance.provisionOptions(await instance.nextEngineId(), kind, signal);
  const journal = begin(context, goal, { id: operation, from, target: target.id });
  const { command, limits } = goal;
  const result = await switchover({ operation, command, from, target, limits }, portsOf(context, journal));
  const postgres = result.target?.postgres ?? goal.to.postgres;
  return { journal, result, to: { engine: target.id, provider, size: goal.to.size, postgres } };
}

/** The engine itself is stopped and started again. */
async function inPlaceOf(
  context: OperationContext,
  goal: Goal,
  operation: string,
  from: EngineRecord,
): Promise<Run> {
  const { command, limits } = goal;
  const { size, postgres, provider, container } = from;
  const { image } = goal.to;
  const other =
    container && image !== undefined ? { container: { ...container, image, imageId: image } } : {};
  const to = { size: goal.to.size, postgres: goal.to.postgres };
  const journal = begin(context, goal, {
    ...{ id: operation, from, target: from.id },
    inPlace: { before: { size, postgres, container }, to },
  });
  const plan = { operation, command, from, to: { ...to, ...other }, limits };
  const result = await inPlace(plan, portsOf(context, journal));
  return { journal, result, to: { engine: from.id, provider, ...to } };
}

const portsOf = (
  { instance, proxy, signal }: OperationContext,
  journal: OperationJournal,
): SwitchoverPorts => ({
  ...{ provider: instance.provider, proxy: proxy.rpc, journal, signal },
});

export function runningPrimary({ primary, paths }: Instance): EngineRecord {
  if (primary) return primary;
  throw new DbproxyError('DBP_INSTANCE_NOT_RUNNING', { name: paths.name });
}

interface Begun extends Pick<OperationRecord, 'id' | 'target' | 'inPlace'> {
  readonly from: EngineRecord;
}

function begin(
  { instance, onProgress, pause }: OperationContext,
  { operation, strategy, to, limits }: Goal,
  { from, ...rest }: Begun,
): OperationJournal {
  const { provider } = to;
  const record = { operation, from: from.id, ...(provider ? { provider } : {}), ...rest };
  const journal = new OperationJournal(instance, record, onProgress, (step) =>
    pause.at(step, limits.pauseAt),
  );
  const described = ({ size, postgres }: typeof to): string => `${size}, PostgreSQL ${postgres}`;
  instance.events.append(
    'operation.started',
    `${rest.id}: ${from.id} (${described(from)}) → ${rest.target} (${described(to)})`,
    { operation: rest.id, from: from.id, to: rest.target, params: { strategy, ...to, ...limits } },
  );
  return journal;
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
    if (result.target.id === from.id) return;
    await instance.provider.remove(from);
    await instance.forgetEngine(from.id);
    return;
  }
  // With leftovers the operation stays on record: the reconciliation that follows every failure undoes the rest.
  if (result.leftovers.length > 0) return;
  if (result.target) await instance.forgetEngine(result.target.id);
  await journal.close();
}
