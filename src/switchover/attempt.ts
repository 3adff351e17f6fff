/**
 * One hold attempt, the only time that clients wait: hold everybody, end strays, let the standby catch up, commit.
 *
 *   proxy.hold ──▶ old: strays? emit fence ──▶ standby: replayed? ──▶ proxy.commit      (point of no return)
 *       └─ not all at a safe point in time ─┴── not in time ──────────┴─▶ release, and the sessions go on where they were
 *
 * A blocked attempt is not an error: it is a result, and the drain tries again. Errors (an engine or the proxy died) end
 * the switchover.
 */
import { DbproxyError } from '../errors/index.js';
import type { Blocker, CommitResult, HoldResult, ProxyApi, SessionSnapshot } from '../proxy/control-api.js';
import type { Rpc } from '../rpc/index.js';
import { emitFence, waitUntilNear, waitUntilReplayed } from './catch-up.js';
import { stillUnmovable } from './drain.js';
import type { EngineLink } from './engine-link.js';
import { findStrays, terminateStrays } from './fence.js';
import type { Stopwatch } from './stopwatch.js';
import type { DrainPlan, SwitchoverPlan, SwitchoverPorts } from './types.js';

/** Kept back of the hold's budget, so that `commit` arrives before the proxy lets go by itself. */
const COMMIT_MARGIN_MS = 10;
/** How long an attempt waits for the standby to come near before anybody is held. */
const NEAR_BOUND_MS = 5_000;
/** How long sessions are read again, one after the other, before anybody is held. */
const LOOK_AHEAD_MS = 1_000;
/** The proxy answers a hold at its budget's end at the latest; this is for one that does not. */
const HOLD_ANSWER_MS = 5_000;
const COMMAND_BOUND_MS = 5_000;

export interface Links {
  readonly primary: EngineLink;
  readonly standby: EngineLink;
}

export type AttemptResult =
  | { readonly kind: 'committed'; readonly sessionIds: readonly number[] }
  /** Sessions were in a transaction, or have state that cannot move. */
  | {
      readonly kind: 'blocked';
      readonly blockers: readonly Blocker[];
      readonly unmovable: readonly Blocker[];
    }
  | { readonly kind: 'late'; readonly reason: string };

export async function attemptWhenNear(
  plan: SwitchoverPlan,
  ports: SwitchoverPorts,
  links: Links,
  watch: Stopwatch,
  cancelTransactions: boolean,
  canceled: Map<number, string>,
): Promise<AttemptResult> {
  const { near, lagBytes } = await waitUntilNear(links.primary, links.standby, NEAR_BOUND_MS);
  if (!near) return { kind: 'late', reason: `the standby lags ${Math.round(lagBytes / 1024)} kB behind` };
  const unmovable = await stillUnmovable(plan, ports);
  if (unmovable.length > 0) return { kind: 'blocked', blockers: [], unmovable };
  // Only to make the hold shorter: what goes wrong here goes wrong again there, and counts then.
  await ports.proxy
    .call('lookAhead', { withinMs: LOOK_AHEAD_MS, unlessFew: true }, { timeoutMs: COMMAND_BOUND_MS })
    .catch(() => undefined);
  return attemptHold(plan, ports, links, watch, cancelTransactions, canceled);
}

async function attemptHold(
  plan: SwitchoverPlan,
  ports: SwitchoverPorts,
  links: Links,
  watch: Stopwatch,
  cancelTransactions: boolean,
  canceled: Map<number, string>,
): Promise<AttemptResult> {
  const { proxy, journal } = ports;
  const { holdBudgetMs } = plan.limits;
  const sessions = await sessionsOf(proxy);
  const strayBefore = await findStrays(links.primary, sessions);

  const endsAt = performance.now() + holdBudgetMs - COMMIT_MARGIN_MS;
  const hold = await holdAll(plan, proxy, cancelTransactions, canceled);
  if (!hold.held) return { kind: 'blocked', blockers: hold.blockers, unmovable: [] };

  watch.enter('fence');
  await journal.mark('fence', 'ending stray connections on the old primary');
  const remainingMs = (): number => endsAt - performance.now();
  // Seen before and after: one that is only seen now may be a client's login that the proxy has not reported yet.
  const strays = strayBefore.length === 0 ? [] : await findStrays(links.primary, await sessionsOf(proxy));
  const toEnd = strays.filter((pid) => strayBefore.includes(pid));
  if (toEnd.length > 0 && !(await terminateStrays(links.primary, toEnd, remainingMs()))) {
    return release(ports, `stray connections on ${plan.from.id} did not end in time`);
  }
  const fenceLsn = await emitFence(links.primary);

  watch.enter('catchup');
  await journal.mark('catchup', `waiting for ${fenceLsn} on ${plan.target.id}`);
  if (!(await waitUntilReplayed(links.standby, fenceLsn, remainingMs()))) {
    return release(ports, `the standby did not catch up within the hold budget of ${holdBudgetMs} ms`);
  }
  if (ports.signal.aborted) return release(ports, 'the operation was given up');
  const { committed, unmovable: found } = await commit(proxy);
  if (committed) return { kind: 'committed', sessionIds: sessions.map(({ id }) => id) };
  if (found.length > 0) return { kind: 'blocked', blockers: [], unmovable: found };
  const reason = `the hold budget of ${holdBudgetMs} ms ran out before the commit`;
  return {
    kind: 'late',
    reason: new DbproxyError('DBP_SWITCH_HOLD_LOST', { reason, command: plan.command }).message,
  };
}

/** Adds to `canceled`; who is canceled again was canceled for what it did at first. */
export async function holdAll(
  { operation, limits: { holdBudgetMs: budgetMs, unmovable } }: DrainPlan,
  proxy: Rpc<ProxyApi>,
  cancelTransactions: boolean,
  canceled: Map<number, string>,
): Promise<HoldResult> {
  const hold = await proxy.call(
    'hold',
    {
      ...{ budgetMs, cancelTransactions, operation },
      unmovable: unmovable === 'drop' ? 'drop' : 'rollback',
    },
    { timeoutMs: budgetMs + HOLD_ANSWER_MS },
  );
  for (const { id, reason } of hold.canceled ?? []) if (!canceled.has(id)) canceled.set(id, reason);
  return hold;
}

/** The point of no return. */
async function commit(proxy: Rpc<ProxyApi>): Promise<CommitResult> {
  try {
    return await proxy.call('commit', {}, { timeoutMs: COMMAND_BOUND_MS });
  } catch (error) {
    // An answer that was lost may have been yes: the proxy's own state decides. A dead proxy has nobody committed.
    const { gate } = await proxy.call('status', {}, { timeoutMs: COMMAND_BOUND_MS });
    if (gate === 'committed' || gate === 'moving') return { committed: true, unmovable: [] };
    throw error;
  }
}

export const sessionsOf = (proxy: Rpc<ProxyApi>): Promise<SessionSnapshot[]> =>
  proxy.call('sessions', {}, { timeoutMs: COMMAND_BOUND_MS });

async function release({ proxy }: SwitchoverPorts, reason: string): Promise<AttemptResult> {
  await proxy.call('release', {}, { timeoutMs: COMMAND_BOUND_MS });
  return { kind: 'late', reason };
}
