/**
 * The switchover: moves every live session from the primary to a new engine.
 *
 *   provision ─▶ warm ─▶ drain ⇄ (hold: fence ─▶ catchup) ─▶ commit ─▶ promote ─▶ move ─▶ retire
 *   └──────────── any failure: roll back, the old primary was never left ─┘└─ only forward ───────┘
 *
 * The design and what was rejected: docs/architecture.md. Invariants kept here: a step is on record before it is done;
 * everything that can be prepared is prepared before anybody is held; no write is possible on two engines.
 */
import { plural } from '../cli/format.js';
import type { EngineRecord } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import { blamingFullDisk } from '../errors/no-room.js';
import type { EngineRoute, MoveLimits, ProxyApi } from '../proxy/control-api.js';
import type { Rpc } from '../rpc/index.js';
import { attemptWhenNear, type Links } from './attempt.js';
import { rehearseCatchUp } from './catch-up.js';
import { drain, unmovable } from './drain.js';
import { EngineLink } from './engine-link.js';
import { enforceReadOnly, setReadOnly } from './fence.js';
import { moveSessions, promoteForSure } from './forward.js';
import { isInRecovery } from './promote.js';
import { rollBack } from './roll-back.js';
import { Stopwatch } from './stopwatch.js';
import type { DrainPlan, SwitchoverPlan, SwitchoverPorts, SwitchoverResult } from './types.js';

/** How long `warm` waits for sessions to reach a safe point, to look at their state. */
export const WARM_LOOK_MS = 1_000;
export const WARM_BOUND_MS = 120_000;
/** The proxy takes a few seconds at most to close what its sessions left behind. */
const LEFT_BOUND_MS = 10_000;
const STATUS_BOUND_MS = 5_000;

/** Runs the whole switchover. Throws only after `commit`, when the way forward is blocked; before, it rolls back. */
export async function switchover(plan: SwitchoverPlan, ports: SwitchoverPorts): Promise<SwitchoverResult> {
  const watch = new Stopwatch();
  const progress: Progress = { attempts: 0, sessions: 0, canceled: new Map(), target: null, links: null };
  try {
    const sessionIds = await upToCommit(plan, ports, watch, progress);
    return await fromCommit(plan, ports, watch, progress, sessionIds);
  } catch (error) {
    if (progress.committed) throw error;
    return await undo(plan, ports, watch, progress, error);
  } finally {
    await Promise.all([progress.links?.primary.close(), progress.links?.standby.close()]);
  }
}

/** What has come into being so far: what a roll-back has to undo. */
interface Progress {
  attempts: number;
  sessions: number;
  readonly canceled: Map<number, string>;
  target: EngineRecord | null;
  links: Links | null;
  committed?: boolean;
}

async function upToCommit(
  plan: SwitchoverPlan,
  ports: SwitchoverPorts,
  watch: Stopwatch,
  progress: Progress,
): Promise<readonly number[]> {
  const target = await provision(plan, ports, watch);
  progress.target = target;
  await ports.journal.provisioned(target);

  // Both before anybody is held, and neither when the calm comes that ends `warm`.
  const opening = openLinks(plan.from, target);
  const warming = warm(plan, ports, watch, target);
  await Promise.allSettled([opening, warming]);
  progress.links = await opening;
  const warmed = await warming;
  progress.sessions = warmed.sessions;
  const [stuck] = warmed.unmovable;
  if (stuck && plan.limits.unmovable === 'rollback') throw unmovable(plan, stuck);

  const { links, canceled } = progress;
  const attempts = {
    attempt: (cancelling: boolean) => attemptWhenNear(plan, ports, links, watch, cancelling, canceled),
    links: [links.primary, links.standby],
  };
  const sessionIds = await drain(plan, ports, attempts, watch, (attempt) => (progress.attempts = attempt));
  progress.committed = true;
  return sessionIds;
}

async function fromCommit(
  plan: SwitchoverPlan,
  ports: SwitchoverPorts,
  watch: Stopwatch,
  progress: Progress,
  sessionIds: readonly number[],
): Promise<SwitchoverResult> {
  const { provider, proxy, journal } = ports;
  const { target, links } = progress;
  if (!target || !links) throw new DbproxyError('DBP_INTERNAL', { reason: 'committed without a target' });

  watch.enter('promote');
  await journal.mark('promote', `promoting ${target.id}`);
  // An old primary that is dead cannot write either.
  const fenced = setReadOnly(links.primary).catch(() => undefined);
  // Ending its many processes takes more CPU than the clients have to spare when they go on.
  provider.yieldProcessor(plan.from);
  const primary = await promoteForSure(provider, target, links.standby, () => hasGivenUp(proxy, target));
  await Promise.all([fenced, journal.settled()]);

  watch.enter('move');
  await journal.mark('move', `moving ${plural(sessionIds.length, 'session')} to ${target.id}`);
  const move = await moveSessions(proxy, sessionIds);
  await journal.moved(primary);

  watch.enter('retire');
  await journal.step('retire', `stopping ${plan.from.id}`);
  const promoted = await retire(plan, ports, primary, links.primary);
  watch.stop();
  return {
    outcome: 'completed',
    target: promoted,
    move,
    attempts: progress.attempts,
    canceled: progress.canceled,
    phasesMs: watch.times,
  };
}

/** Clients are on the old engine again. Who does not answer has not said so. */
async function hasGivenUp(proxy: Rpc<ProxyApi>, { id }: EngineRecord): Promise<boolean> {
  const status = await proxy.call('status', {}, { timeoutMs: STATUS_BOUND_MS }).catch(() => null);
  return status !== null && status.gate === 'open' && status.primary?.id !== id;
}

async function provision(
  plan: SwitchoverPlan,
  ports: SwitchoverPorts,
  watch: Stopwatch,
): Promise<EngineRecord> {
  watch.enter('provision');
  await ports.journal.step(
    'provision',
    `making ${plan.target.id} (${plan.target.size}, PostgreSQL ${plan.target.postgres}) as a standby of ${plan.from.id}`,
  );
  return ports.provider.createStandby(plan.from, plan.target);
}

/** Opens the sessions' connections to the target, and looks at what they hold. */
async function warm(
  plan: SwitchoverPlan,
  { proxy, journal }: SwitchoverPorts,
  watch: Stopwatch,
  target: EngineRecord,
): Promise<ProxyApi['warm']['result']> {
  watch.enter('warm');
  await journal.step('warm', `opening connections to ${target.id}`);
  return proxy.call(
    'warm',
    { target: routeTo(target), withinMs: WARM_LOOK_MS, ...limitsOf(plan) },
    { timeoutMs: WARM_BOUND_MS },
  );
}

export const limitsOf = ({ limits }: DrainPlan): { limits?: MoveLimits } =>
  limits.sessionLimits ? { limits: limits.sessionLimits } : {};

async function openLinks(from: EngineRecord, target: EngineRecord): Promise<Links> {
  const primary = await EngineLink.open(from);
  try {
    const standby = await EngineLink.open(target);
    await rehearseCatchUp(primary, standby);
    await isInRecovery(standby);
    return { primary, standby };
  } catch (error) {
    await primary.close();
    throw error;
  }
}

/** Nobody is on the old primary any more. It needs no shutdown checkpoint: its data is removed. */
async function retire(
  plan: SwitchoverPlan,
  { provider, proxy }: SwitchoverPorts,
  primary: EngineRecord,
  old: EngineLink,
): Promise<EngineRecord> {
  const promoted: EngineRecord = { ...primary, role: 'primary' };
  // Bounded by the proxy; without it there are no such connections.
  await proxy.call('left', {}, { timeoutMs: LEFT_BOUND_MS }).catch(() => undefined);
  await enforceReadOnly(old).catch(() => undefined);
  await provider.stop(plan.from, 'immediate');
  await provider.afterPromotion(promoted);
  return promoted;
}

async function undo(
  plan: SwitchoverPlan,
  { proxy, provider }: SwitchoverPorts,
  watch: Stopwatch,
  progress: Progress,
  cause: unknown,
): Promise<SwitchoverResult> {
  const step = watch.current ?? 'provision';
  watch.stop();
  const target = progress.target;
  // To remove the target makes room.
  const error = await asSwitchoverError(cause, step, plan.from);
  const leftovers = target ? await rollBack({ proxy, provider, from: plan.from, target }) : [];
  return {
    outcome: 'rolled-back',
    target,
    error,
    sessions: progress.sessions,
    leftovers,
    attempts: progress.attempts,
    canceled: progress.canceled,
    phasesMs: watch.times,
  };
}

/** That say `rolled back`, or what to do about this machine or that image; others are named as the reason. */
const SPEAKS_FOR_ITSELF = /^DBP_(SWITCH_|ENV_|ENGINE_INCOMPATIBLE$)/;

export async function asSwitchoverError(
  cause: unknown,
  step: string,
  { directory }: EngineRecord,
): Promise<DbproxyError> {
  const error = DbproxyError.from(await blamingFullDisk(directory, cause));
  if (SPEAKS_FOR_ITSELF.test(error.code)) return error;
  return new DbproxyError('DBP_SWITCH_ROLLED_BACK', { step, reason: error.message }, { cause });
}

export function routeTo(engine: EngineRecord): EngineRoute {
  const { id, postgres, access, socket, superuser, superuserPasswordFile } = engine;
  const secret = superuserPasswordFile === undefined ? {} : { superuserPasswordFile };
  return { id, postgres, access: socket ?? access, superuser, ...secret };
}
