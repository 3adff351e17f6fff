/**
 * The unplanned failover: the primary is gone, its standby runs.
 *
 *   fence ──▶ promote ──▶ record ──▶ revive
 *
 * Decided and resumed by what runs: who comes after a supervisor that died on the way finds the primary gone and the standby there,
 * promoted or not, and does the same again; or the new primary on record, and that nobody was told of it yet. It is on record
 * before any client is answered by it; from then on the old one is not started any more, and its data is removed; unless it has
 * commits that the new one may not have: then it stays, for somebody to look into. Before anything is promoted every process of the
 * old one is ended.
 */
import { switchPosition } from '../../engine/index.js';
import type { EngineRecord } from '../../engine/types.js';
import { faultPoint } from '../../fault-point.js';
import { promoteForSure, roundMs, routeTo } from '../../switchover/index.js';
import { byLoss } from '../losses.js';
import type { FailoverRecord } from '../api.js';
import type { ReviveResult } from '../../proxy/control-api.js';
import type { Instance } from '../instance.js';
import type { Proxy } from '../proxy-process.js';
import { makePrimary, type ProxyFacts } from '../settle-operation.js';

/** Longer than the proxy takes for any number of sessions. */
const REVIVE_BOUND_MS = 60_000;

/** Says what it did, for people; null: there was nothing to do, or there is no standby that could take over. */
export async function failOver(instance: Instance, found: ProxyFacts | null): Promise<string | null> {
  const standby = await successorOf(instance);
  const { primary } = instance;
  if (!standby || !primary) return null;
  const watch = stopwatch();
  const sync = instance.record.standby?.sync === true;
  const id = await instance.nextOperationId('failover');
  instance.events.append(
    'failover.started',
    `${id}: engine ${primary.id} is gone, ${standby.id} takes over`,
    {
      operation: id,
      from: primary.id,
      to: standby.id,
    },
  );

  await instance.provider.stop(primary, 'immediate');
  const fence = watch();
  const promoted: EngineRecord = {
    ...(await promoteForSure(instance.provider, standby, null)),
    role: 'primary',
  };
  const keptBefore = instance.record.kept;
  await makePrimary(instance, promoted, {
    standby: undefined,
    // Before it is known whether there is a reason to: what is removed cannot be kept.
    kept: sync ? keptBefore : [primary.id],
    failover: { operation: id, from: primary.id, sync, keptBefore, phasesMs: { fence, promote: watch() } },
  });
  await faultPoint('failover.recorded');
  return finishFailover(instance, found?.proxy ?? null);
}

/**
 * What is still to be done when the new primary, which runs, is on record: what is lost is measured, the sessions go on, it is
 * told. Null: nothing is.
 */
export async function finishFailover(
  instance: Instance,
  proxy: Pick<Proxy, 'rpc'> | null,
): Promise<string | null> {
  const { record, primary: promoted } = instance;
  if (!record.failover || !promoted) return null;
  const { operation: id, from, sync, keptBefore, phasesMs } = record.failover;
  const watch = stopwatch();
  const old = instance.engine(from);
  const lostBytes = old && (await lostOf(instance, old, promoted));
  const dataLoss = sync ? null : inWords(lostBytes, from);
  if (!sync && dataLoss === null) await instance.update({ kept: keptBefore });
  const move = proxy && (await reviveSessions(proxy, promoted, id, dataLoss));
  const moveMs = watch();
  await instance.provider.afterPromotion(promoted);

  const found: FailoverRecord = {
    schema: 'dbproxy.failover/1',
    operation: id,
    from,
    to: promoted.id,
    mode: sync ? 'sync' : 'async',
    lostBytes,
    kept: dataLoss === null || !old ? null : placeOf(old),
    sessions: { total: move?.total ?? 0, moved: move?.moved ?? 0, failed: move?.failed ?? [] },
    lost: move?.lost ?? [],
    holdMs: move?.holdMs ?? { count: 0, p50: 0, p99: 0, max: 0 },
    phasesMs: { ...phasesMs, move: moveMs },
  };
  for (const { what, whose, ids } of byLoss(found.lost)) {
    const data = { operation: id, what, sessions: ids };
    instance.events.append('session.lost', `${id}: ${whose} lost ${what}`, data);
  }
  const where = `${found.kept} (how to look into it: docs/reliability.md; dbproxy down removes it)`;
  const loss = dataLoss === null ? 'nothing acknowledged is lost' : `lost: ${dataLoss}, in ${where}`;
  const done = `${id}: ${promoted.id} took over from ${from}, ${found.sessions.moved} sessions went on; ${loss}`;
  instance.events.append('failover.completed', done, { ...found });
  await instance.update({ failover: undefined });
  return done;
}

/** Sessions whose engine is gone go on on that one. */
export const reviveSessions = (
  { rpc }: Pick<Proxy, 'rpc'>,
  engine: EngineRecord,
  operation: string,
  dataLoss: string | null,
): Promise<ReviveResult> =>
  rpc.call('revive', { target: routeTo(engine), operation, dataLoss }, { timeoutMs: REVIVE_BOUND_MS });

/** The standby that runs, of a primary that does not; null: there is none. */
async function successorOf(instance: Instance): Promise<EngineRecord | null> {
  const { record, primary, provider } = instance;
  const standby = instance.engine(record.standby?.engine ?? null);
  if (!primary || !standby || record.standby?.of !== primary.id) return null;
  if ((await provider.inspect(primary)).state !== 'stopped') return null;
  const health = await provider.inspect(standby);
  return health.state === 'running' ? { ...standby, process: health.process } : null;
}

/** Bytes of WAL that only the old primary has; null: it cannot be told. */
async function lostOf(
  { provider }: Instance,
  old: EngineRecord,
  promoted: EngineRecord,
): Promise<number | null> {
  const position = await switchPosition(promoted).catch(() => null);
  return position === null ? null : provider.walAfter(old, position);
}

/** For clients, who need not know of directories; null: nothing is lost. */
function inWords(lostBytes: number | null, engine: string): string | null {
  if (lostBytes === 0) return null;
  const bound = lostBytes === null ? '' : ` (at most ${lostBytes} bytes of WAL)`;
  const what = `what was committed in the last moment before and had not reached the standby${bound}`;
  return `${what}; the data of ${engine} is kept`;
}

/** Where somebody would look into its data: a directory, or the volume of a container, which is called as it is. */
const placeOf = ({ directory, container }: EngineRecord): string =>
  container ? `volume ${container.name}` : directory;

/** ms since it was made, or last asked. */
function stopwatch(): () => number {
  let last = performance.now();
  return () => {
    const now = performance.now();
    const ms = roundMs(now - last);
    last = now;
    return ms;
  };
}
