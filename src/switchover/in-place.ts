/**
 * In place: the same server on the same data, stopped and started again with another binary (or size). No second copy of the
 * data; the sessions are held for as long as that takes.
 *
 *   provision: CHECKPOINT ─▶ warm: look ─▶ drain ⇄ (hold ─▶ fence: save) ─▶ catchup: stop ─▶ promote: start ─▶ move
 *   └────────────── any failure: released, nothing was stopped ─────────┘      the old binary, if the new one does not start
 *
 * Clients are held by the proxy, which has the state of every session in its memory from `save` on. Until the new server
 * answers the way back is the same as the way forward: start a server on the data, log everybody in, bring the state back.
 */
import { plural } from '../cli/format.js';
import { adminQuery } from '../engine/index.js';
import type { EngineRecord } from '../engine/types.js';
import type { DbproxyError } from '../errors/index.js';
import { holdAll, sessionsOf, type AttemptResult } from './attempt.js';
import { drain, stillUnmovable, unmovable } from './drain.js';
import { moveSessions } from './forward.js';
import { letGo } from './let-go.js';
import { Stopwatch } from './stopwatch.js';
import { asSwitchoverError, limitsOf, WARM_BOUND_MS, WARM_LOOK_MS } from './switchover.js';
import type { InPlacePlan, SwitchoverPorts, SwitchoverResult } from './types.js';

/** A checkpoint writes out whatever is dirty. */
const CHECKPOINT_BOUND_MS = 300_000;
/** The proxy bounds what every session may take; this is for one that does not answer. */
const SAVE_BOUND_MS = 60_000;
/** Without a server again after this the proxy ends the sessions. Longer than a stop and two starts that use up their bounds. */
const SAVED_BOUND_MS = 120_000;
/** A server that was shut down has nothing to replay. One that is not ready by then is given up for the old binary. */
const START_BOUND_MS = 15_000;
const COMMAND_BOUND_MS = 10_000;

/** Throws only when no server can be started on the data; before, it rolls back. */
export async function inPlace(plan: InPlacePlan, ports: SwitchoverPorts): Promise<SwitchoverResult> {
  const watch = new Stopwatch();
  const progress: Progress = { attempts: 0, sessions: 0, canceled: new Map() };
  let sessionIds: readonly number[];
  try {
    sessionIds = await upToSaved(plan, ports, watch, progress);
  } catch (error) {
    return release(plan, ports, watch, progress, error);
  }
  const given = await stopAndStart(plan, ports, watch, progress.found);
  watch.enter('move');
  await ports.journal.mark(
    'move',
    `logging ${plural(sessionIds.length, 'session')} in to ${given.engine.id} again`,
  );
  const move = await moveSessions(ports.proxy, sessionIds);
  watch.enter('retire');
  await ports.journal.settled();
  await ports.journal.moved(given.engine);
  watch.stop();
  const { attempts, canceled } = progress;
  const ended = { attempts, canceled, phasesMs: watch.times };
  if (given.error === null) return { outcome: 'completed', target: given.engine, move, ...ended };
  const { error } = given;
  return { ...ended, outcome: 'rolled-back', target: null, error, sessions: move.total, move, leftovers: [] };
}

interface Progress {
  attempts: number;
  sessions: number;
  readonly canceled: Map<number, string>;
  /** What only showed when everything was read: why nothing is to be stopped. */
  found?: DbproxyError;
}

async function upToSaved(
  plan: InPlacePlan,
  ports: SwitchoverPorts,
  watch: Stopwatch,
  progress: Progress,
): Promise<readonly number[]> {
  const { journal, proxy } = ports;
  watch.enter('provision');
  await journal.step(
    'provision',
    `checkpoint of ${plan.from.id}, so that little is left to write when it stops`,
  );
  await ports.provider.prepare({ ...plan.from, ...plan.to });
  await ports.provider.prepare(plan.from);
  await checkpoint(plan.from);

  watch.enter('warm');
  await journal.step('warm', 'looking at what the sessions hold');
  const survey = { withinMs: WARM_LOOK_MS, ...limitsOf(plan) };
  const { sessions, unmovable: stuck } = await proxy.call('survey', survey, { timeoutMs: WARM_BOUND_MS });
  progress.sessions = sessions;
  if (stuck[0] && plan.limits.unmovable === 'rollback') throw unmovable(plan, stuck[0]);

  const attempt = (cancelling: boolean): Promise<AttemptResult> =>
    attemptSave(plan, ports, watch, cancelling, progress);
  return drain(plan, ports, { attempt, links: [] }, watch, (number) => (progress.attempts = number));
}

async function attemptSave(
  plan: InPlacePlan,
  ports: SwitchoverPorts,
  watch: Stopwatch,
  cancelling: boolean,
  progress: Progress,
): Promise<AttemptResult> {
  const { proxy, journal, signal } = ports;
  const blocked = await stillUnmovable(plan, ports);
  if (blocked.length > 0) return { kind: 'blocked', blockers: [], unmovable: blocked };
  // Once more, and quick: what has been written since the last one would be written while everybody waits.
  await checkpoint(plan.from);
  const sessions = await sessionsOf(proxy);
  const hold = await holdAll(plan, proxy, cancelling, progress.canceled);
  if (!hold.held) return { kind: 'blocked', blockers: hold.blockers, unmovable: [] };

  watch.enter('fence');
  await journal.mark('fence', `saving the state of ${sessions.length} sessions`);
  if (signal.aborted) {
    await proxy.call('release', {}, { timeoutMs: COMMAND_BOUND_MS });
    return { kind: 'late', reason: 'the operation was given up' };
  }
  const saved = await proxy.call('save', { boundMs: SAVED_BOUND_MS }, { timeoutMs: SAVE_BOUND_MS });
  const [first] = saved.unmovable;
  if (saved.committed) {
    if (first && plan.limits.unmovable !== 'drop') progress.found = unmovable(plan, first);
    return { kind: 'committed', sessionIds: sessions.map(({ id }) => id) };
  }
  if (first) return { kind: 'blocked', blockers: [], unmovable: saved.unmovable };
  return {
    kind: 'late',
    reason: `the hold budget of ${plan.limits.holdBudgetMs} ms ran out before the state was read`,
  };
}

const checkpoint = (engine: EngineRecord): Promise<object[]> =>
  adminQuery(engine, 'checkpoint', [], { timeoutMs: CHECKPOINT_BOUND_MS });

/** The server that everybody is logged in to again, and why it is the old version; null: it is the new one. */
interface Given {
  readonly engine: EngineRecord;
  readonly error: DbproxyError | null;
}

async function stopAndStart(
  { from, to }: InPlacePlan,
  { provider, journal }: SwitchoverPorts,
  watch: Stopwatch,
  found: DbproxyError | undefined,
): Promise<Given> {
  if (found) return { engine: from, error: found };
  const next: EngineRecord = { ...from, ...to, process: null };
  watch.enter('catchup');
  // The disk is not waited for before it has to be; that it takes nothing does not leave the engine between stop and start.
  const recorded = journal.starting(next).then(
    () => null,
    (error: unknown) => ({ error }),
  );
  await journal.mark('catchup', `stopping ${from.id}, with its shutdown checkpoint`);
  const [, unrecorded] = await Promise.all([provider.stop(from, 'fast'), recorded]);

  watch.enter('promote');
  await journal.mark('promote', `starting ${from.id} with PostgreSQL ${to.postgres} (${to.size})`);
  try {
    if (unrecorded) throw unrecorded.error;
    return { engine: await provider.start(next, { readyWithinMs: START_BOUND_MS }), error: null };
  } catch (cause) {
    const error = await asSwitchoverError(cause, 'promote', from);
    const before = { ...from, process: null };
    // Recovery starts what was there before, whether this is on record or not.
    await journal.starting(before).catch(() => undefined);
    await journal.mark('promote', `starting ${from.id} with PostgreSQL ${from.postgres} again`);
    return { engine: await provider.start(before), error };
  }
}

/** Nothing has been stopped. Whoever is held goes on. */
async function release(
  { from }: InPlacePlan,
  { proxy }: SwitchoverPorts,
  watch: Stopwatch,
  { attempts, sessions, canceled }: Progress,
  cause: unknown,
): Promise<SwitchoverResult> {
  const step = watch.current ?? 'provision';
  watch.stop();
  const leftovers = await letGo(proxy);
  const error = await asSwitchoverError(cause, step, from);
  return {
    outcome: 'rolled-back',
    target: null,
    error,
    sessions,
    leftovers,
    attempts,
    canceled,
    phasesMs: watch.times,
  };
}
