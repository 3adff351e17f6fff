/** `scale`: a switchover to an engine of another size, and its record. */
import type { EngineRecord } from '../../engine/types.js';
import { DbproxyError } from '../../errors/index.js';
import { NOTHING_MOVED, switchover, type SwitchoverResult } from '../../switchover/index.js';
import type { MoveEnd, MoveRecord, OperationProgress, PhasesMs, ScaleParams } from '../api.js';
import type { Instance } from '../instance.js';
import type { Proxy } from '../proxy-process.js';
import { byLoss } from '../losses.js';
import { OperationJournal } from './journal.js';

const NO_PHASES: PhasesMs = {
  provision: 0,
  warm: 0,
  drain: 0,
  fence: 0,
  catchup: 0,
  promote: 0,
  move: 0,
  retire: 0,
};

/** Throws only when the way forward is blocked after the point of no return; then reconciliation has to finish it. */
export async function scale(
  instance: Instance,
  proxy: Proxy,
  params: ScaleParams,
  onProgress: (progress: OperationProgress) => void,
  signal: AbortSignal,
): Promise<MoveRecord> {
  const startedAt = new Date();
  const begun = performance.now();
  const from = instance.primary;
  if (!from) throw new DbproxyError('DBP_INSTANCE_NOT_RUNNING', { name: instance.paths.name });
  const id = await instance.nextOperationId('scale');
  const started = { operation: id, startedAt: startedAt.toISOString() };
  const ended = (): { totalMs: number } => ({ totalMs: Math.round((performance.now() - begun) * 10) / 10 });
  if (from.size === params.to) return record(instance, { ...sameSize(from), ...started, ...ended() });

  const target = instance.provisionOptions(await instance.nextEngineId(), params.to, signal);
  const journal = new OperationJournal(
    instance,
    { id, operation: 'scale', from: from.id, target: target.id },
    onProgress,
  );
  instance.events.append(
    'operation.started',
    `${id}: ${from.id} (${from.size}) → ${target.id} (${params.to})`,
    {
      operation: id,
      from: from.id,
      to: target.id,
      params,
    },
  );
  const result = await switchover(
    { operation: id, from, target, limits: params },
    { provider: instance.provider, proxy: proxy.rpc, journal, signal },
  );
  const to: MoveEnd = {
    engine: target.id,
    size: params.to,
    postgres: result.target?.postgres ?? from.postgres,
  };
  const move = record(instance, { ...moveRecord(result), from: endOf(from), to, ...started, ...ended() });
  await finish(instance, journal, from, result);
  return move;
}

type Outcome = Omit<MoveRecord, 'operation' | 'startedAt' | 'totalMs'>;

/** One event for the end, with the whole record, in the order of the contract. */
function record(instance: Instance, found: MoveRecord): MoveRecord {
  const { schema, operation, outcome, from, to, sessions, ...rest } = found;
  const move = { schema, operation, outcome, from, to, sessions, ...rest };
  const { holdMs, error } = move;
  const message =
    outcome === 'completed'
      ? `${operation}: ${to.engine} (${to.size}) serves ${sessions.moved} moved sessions, held ${holdMs.max} ms at most`
      : `${operation}: ${from.engine} (${from.size}) stays: ${error?.message ?? 'rolled back'}`;
  for (const { what, whose, ids } of byLoss(move.lost)) {
    const data = { operation, what, sessions: ids };
    instance.events.append('session.lost', `${operation}: ${whose} may have lost ${what}`, data);
  }
  instance.events.append(`operation.${outcome}`, message, { ...move });
  return move;
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

function moveRecord(result: SwitchoverResult): Omit<Outcome, 'from' | 'to'> {
  const common = { schema: 'dbproxy.move/1', phasesMs: result.phasesMs, attempts: result.attempts } as const;
  if (result.outcome === 'completed') {
    const { total, moved, kept, failed, dropped, holdMs, stateMoved, lost } = result.move;
    return {
      ...common,
      outcome: 'completed',
      sessions: { total, moved, kept, failed, dropped },
      holdMs,
      stateMoved,
      lost,
      error: null,
    };
  }
  const { code, message } = result.error;
  const { holdMs, stateMoved } = NOTHING_MOVED;
  return {
    ...common,
    outcome: 'rolled-back',
    sessions: { total: result.sessions, moved: 0, kept: result.sessions, failed: [], dropped: 0 },
    holdMs,
    stateMoved,
    lost: [],
    error: { code, message },
  };
}

/** Asked for what is there already: done, nothing was touched. */
function sameSize(from: EngineRecord): Outcome {
  const { total, moved, kept, failed, dropped, holdMs, stateMoved } = NOTHING_MOVED;
  return {
    schema: 'dbproxy.move/1',
    outcome: 'completed',
    from: endOf(from),
    to: endOf(from),
    sessions: { total, moved, kept, failed, dropped },
    holdMs,
    phasesMs: NO_PHASES,
    attempts: 0,
    stateMoved,
    lost: [],
    error: null,
  };
}

const endOf = ({ id, size, postgres }: EngineRecord): MoveEnd => ({ engine: id, size, postgres });
