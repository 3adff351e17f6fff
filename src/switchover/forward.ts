/**
 * Only forward: from `commit` on, the target has to become the primary and the sessions have to arrive there. An engine
 * that dies now is started again on its data; whoever finds a switchover in this state (a new supervisor) does the same.
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { EngineOperations, EngineRecord } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import type { MoveResult, ProxyApi } from '../proxy/control-api.js';
import type { Rpc } from '../rpc/index.js';
import { EngineLink } from './engine-link.js';
import { promote } from './promote.js';

/** How long the target may take to come back, should it die between commit and promotion. */
const FORWARD_BOUND_MS = 60_000;
const RETRY_PAUSE_MS = 100;
/** The proxy bounds every session's move. After this long it is asked whether it is there at all. */
const MOVE_ANSWER_MS = 60_000;
const STATUS_BOUND_MS = 10_000;

/**
 * Promotes the target, over the kept connection if it still works. Returns its record: its process may be a new one. `isOver`: the
 * proxy has given up, and clients are on the old engine again; then there is no other primary. Throws DBP_SWITCH_HOLD_LOST.
 */
export async function promoteForSure(
  provider: EngineOperations,
  target: EngineRecord,
  kept: EngineLink | null,
  isOver: () => Promise<boolean> = () => Promise.resolve(false),
): Promise<EngineRecord> {
  if (kept) {
    try {
      await promote(kept);
      return target;
    } catch {
      // Whatever broke the connection, the engine itself is asked next.
    }
  }
  const end = performance.now() + FORWARD_BOUND_MS;
  for (;;) {
    if (await isOver())
      throw new DbproxyError('DBP_SWITCH_HOLD_LOST', {
        reason: 'the proxy has given up the switch',
        command: 'scale --to SIZE',
      });
    try {
      return await restartAndPromote(provider, target);
    } catch (error) {
      if (performance.now() > end) throw error;
      await delay(RETRY_PAUSE_MS);
    }
  }
}

async function restartAndPromote(provider: EngineOperations, target: EngineRecord): Promise<EngineRecord> {
  const health = await provider.inspect(target);
  const running =
    health.state === 'stopped' ? await provider.start(target) : { ...target, process: health.process };
  const link = await EngineLink.open(running);
  try {
    await promote(link);
    return running;
  } finally {
    await link.close();
  }
}

/** Moves the sessions; idempotent. A proxy that died has taken its sessions with it: they are named as failed. */
export async function moveSessions(proxy: Rpc<ProxyApi>, sessionIds: readonly number[]): Promise<MoveResult> {
  for (;;) {
    try {
      return await proxy.call('move', {}, { timeoutMs: MOVE_ANSWER_MS });
    } catch (error) {
      if (!(error instanceof DbproxyError) || error.code !== 'DBP_RPC_UNREACHABLE') throw error;
      if (await answers(proxy)) continue;
      const failed = sessionIds.map((id) => ({ id, reason: 'the proxy died during the move' }));
      return { ...NOTHING_MOVED, total: failed.length, failed };
    }
  }
}

const answers = (proxy: Rpc<ProxyApi>): Promise<boolean> =>
  proxy.call('status', {}, { timeoutMs: STATUS_BOUND_MS }).then(
    () => true,
    () => false,
  );

export const NOTHING_MOVED: MoveResult = {
  total: 0,
  moved: 0,
  kept: 0,
  failed: [],
  dropped: 0,
  lost: [],
  holdMs: { count: 0, p50: 0, p99: 0, max: 0 },
  stateMoved: {
    settings: 0,
    preparedStatements: 0,
    tempTables: 0,
    tempBytes: 0,
    cursors: 0,
    listens: 0,
    advisoryLocks: 0,
    sequences: 0,
  },
};
