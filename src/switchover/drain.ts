/**
 * The drain: hold attempts, each bounded by its budget, with pauses that grow, until one commits or the deadline is near.
 * A long transaction therefore never stalls the others for longer than one budget, and less and less often.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../errors/index.js';
import type { Blocker } from '../proxy/control-api.js';
import type { AttemptResult } from './attempt.js';
import type { EngineLink } from './engine-link.js';
import type { Stopwatch } from './stopwatch.js';
import type { DrainPlan, SwitchoverPorts } from './types.js';

/** With `cancel`, this many attempts before the deadline abort the transactions that are still open. */
const CANCELLING_ATTEMPTS = 3;
/** First pause, as a multiple of the hold budget; each pause is up to twice the one before. */
const FIRST_PAUSE_BUDGETS = 1;
const LONGEST_PAUSE_MS = 5_000;
/** `--unmovable wait`: how long a session that could not move may take to come to a safe point, to be looked at again. */
const LOOK_AGAIN_MS = 1_000;

export interface Attempts {
  /** One, with what comes before it while nobody is held. */
  attempt(cancelTransactions: boolean): Promise<AttemptResult>;
  /** When one of these is lost, the next attempt needs no waiting for. */
  readonly links: readonly EngineLink[];
}

/**
 * Resolves after the proxy's `commit`, with the ids of the sessions. Throws DBP_SWITCH_UNMOVABLE, DBP_SWITCH_DEADLINE, DBP_SWITCH_TIMEOUT,
 * DBP_SWITCH_ROLLED_BACK (given up), or what an engine or the proxy died of; `onAttempt` counts.
 */
export async function drain(
  plan: DrainPlan,
  ports: SwitchoverPorts,
  attempts: Attempts,
  watch: Stopwatch,
  onAttempt: (attempt: number) => void,
): Promise<readonly number[]> {
  const { deadlineMs, onTimeout, holdBudgetMs } = plan.limits;
  const deadline = performance.now() + deadlineMs;
  const cancelFrom = deadline - CANCELLING_ATTEMPTS * 2 * holdBudgetMs;

  let waitsFor = 'waiting for safe points';
  for (let attempt = 1; ; attempt++) {
    watch.enter('drain');
    onAttempt(attempt);
    assertWanted(ports.signal);
    const cancelling = onTimeout === 'cancel' && performance.now() >= cancelFrom;
    await ports.journal.step('drain', attemptDetail(attempt, waitsFor, cancelling));
    const result = await attempts.attempt(cancelling);
    if (result.kind === 'committed') return result.sessionIds;

    watch.enter('drain');
    const reason = reasonOf(result);
    ports.journal.attemptFailed(attempt, reason);
    waitsFor = `waiting, since ${reason}`;
    assertMovable(plan, result);
    const leftMs = deadline - holdBudgetMs - performance.now();
    if (leftMs < 0) throw timedOut(plan, attempt, result);
    // The last attempt, and the first one that cancels, come when they are due and not a pause later.
    const untilCancelMs = cancelling || onTimeout !== 'cancel' ? Infinity : cancelFrom - performance.now();
    await pause(
      Math.min(pauseBefore(attempt + 1, holdBudgetMs), leftMs, untilCancelMs),
      ports.signal,
      attempts.links,
    );
  }
}

const attemptDetail = (attempt: number, waitsFor: string, cancelling: boolean): string =>
  `attempt ${attempt}: ${waitsFor}${cancelling ? ', cancelling open transactions' : ''}`;

/** For `--unmovable wait`. Nobody is held for an attempt that is known to fail. */
export const stillUnmovable = async (
  { limits }: DrainPlan,
  { proxy }: SwitchoverPorts,
): Promise<readonly Blocker[]> =>
  limits.unmovable === 'wait' ? proxy.call('lookAgain', { withinMs: LOOK_AGAIN_MS }) : [];

/** Grows exponentially, with jitter so that it does not beat in time with a periodic client. */
export function pauseBefore(attempt: number, holdBudgetMs: number, random = Math.random()): number {
  const longest = Math.min(LONGEST_PAUSE_MS, holdBudgetMs * FIRST_PAUSE_BUDGETS * 2 ** (attempt - 1));
  return longest * (0.5 + random / 2);
}

async function pause(ms: number, signal: AbortSignal, links: readonly EngineLink[]): Promise<void> {
  const ended = AbortSignal.any([signal, ...links.map(({ lost }) => lost)]);
  await delay(Math.max(0, ms), undefined, { signal: ended }).catch(() => undefined);
  for (const link of links) link.assertAlive();
}

function reasonOf(result: AttemptResult): string {
  if (result.kind === 'late') return result.reason;
  if (result.kind === 'committed') return 'none';
  const [first, ...others] = [...result.unmovable, ...result.blockers];
  if (!first) return 'the sessions did not come to a safe point';
  const more = others.length > 0 ? ` (and ${others.length} more)` : '';
  return `session ${first.id} (${first.user}@${first.database}) ${first.reason}${more}`;
}

function assertWanted(signal: AbortSignal): void {
  if (signal.aborted) {
    throw new DbproxyError('DBP_SWITCH_ROLLED_BACK', { step: 'drain', reason: 'the operation was given up' });
  }
}

function assertMovable(plan: DrainPlan, result: AttemptResult): void {
  if (result.kind !== 'blocked' || plan.limits.unmovable !== 'rollback') return;
  const [first] = result.unmovable;
  if (first) throw unmovable(plan, first);
}

export function unmovable(plan: DrainPlan, { id, user, database, reason }: Blocker): DbproxyError {
  return new DbproxyError('DBP_SWITCH_UNMOVABLE', {
    session: id,
    user,
    database,
    why: reason,
    command: plan.command,
  });
}

function timedOut(plan: DrainPlan, attempts: number, result: AttemptResult): DbproxyError {
  const common = { attempts, deadlineMs: plan.limits.deadlineMs, command: plan.command };
  const blocker = result.kind === 'blocked' ? (result.blockers[0] ?? result.unmovable[0]) : undefined;
  if (!blocker) return new DbproxyError('DBP_SWITCH_TIMEOUT', { ...common, reason: reasonOf(result) });
  const { id, user, database, reason } = blocker;
  return new DbproxyError('DBP_SWITCH_DEADLINE', { ...common, session: id, user, database, why: reason });
}
