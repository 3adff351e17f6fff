/**
 * Real conflicts between the writers of an instance, made on purpose, and what became of them: who proposed, who voted, who was asked,
 * who won, what the loser's client saw.
 *
 *   scenes, one after the other ──▶ verdicts as they come ──▶ does every writer hold the same?
 */
import { setTimeout as delay } from 'node:timers/promises';
import type { StoreStatus, Verdict, WriterSummary } from '../control/api.js';
import { assertWriterExists, connectSupervisor, type Supervisor } from '../control/client.js';
import { supervisorsOf } from '../control/supervisors.js';
import { InstanceDirectory } from '../control/instance-directory.js';
import { etcdNodes } from '../control/multiwriter/etcd-store.js';
import { parseWriterName } from '../control/multiwriter/names.js';
import { StoreDirectory } from '../control/multiwriter/store-directory.js';
import { DbproxyError } from '../errors/index.js';
import { Tally, WriterClient } from './clients.js';
import { divergedTables } from './converged.js';
import { hotRow } from './scenes/hot-row.js';
import { foreignKey, uniqueKey } from './scenes/pairs.js';
import type { Scene, SceneContext } from './scenes/scene.js';
import { splitVote } from './scenes/split-vote.js';
import { makeTables, SCHEMA } from './tables.js';
import {
  SCENE_NAMES,
  type ConflictOptions,
  type ConflictResult,
  type SceneName,
  type SceneResult,
} from './types.js';

export type { ClientError, ConflictOptions, ConflictResult, SceneName, SceneResult } from './types.js';

const SCENES: Readonly<Record<SceneName, Scene>> = {
  'hot-row': hotRow,
  'unique-key': uniqueKey,
  'foreign-key': foreignKey,
  'split-vote': splitVote,
};

const CLIENTS_PER_WRITER = 2;
const ROUNDS = 10;
/** Verdicts come by another way than the clients' answers. */
const LATE_VERDICTS_MS = 700;
const SHOWN_VERDICTS = 100;
/** How long a writer that has died may take to be back, ms. */
const REPAIR_BOUND_MS = 20_000;
const LOOK_EVERY_MS = 100;
const ETCD_LOOK_EVERY_MS = 500;
const ETCD_AWAY_BOUND_MS = 3_000;

/** Between all writers of an instance, also when it is named by one of them. Throws DBP_WRITERS_SINGLE, DBP_WRITERS_STOPPED, DBP_WRITERS_UNKNOWN, DBP_USAGE, DBP_CONFLICT_RUNS, DBP_CONFLICT_FOREIGN, DBP_CONFLICT_CLIENT, DBP_ETCD_AWAY, and what keeps the instance from being asked. */
export async function runConflict(named: string, options: ConflictOptions = {}): Promise<ConflictResult> {
  const instance = parseWriterName(named)?.instance ?? named;
  const startedMs = performance.now();
  await assertWriterExists(named);
  const { signal = new AbortController().signal, onProgress = () => undefined } = options;
  const supervisor = await connectSupervisor(instance);
  const tally = new Tally();
  const observers: WriterClient[] = [];
  const over = new AbortController();
  const gone = new AbortController();
  try {
    const writers = await writersOf(supervisor, instance, signal, onProgress);
    const { store } = await supervisor.call('status', {});
    const names = scenesOf(options, store?.etcd ?? null);
    assertLogAnswers(store);
    const verdicts: Verdict[] = [];
    void followVerdicts(supervisor, verdicts, over.signal);
    if ((store?.etcd ?? null) !== null) void watchEtcd(instance, gone, over.signal);
    for (const writer of writers) observers.push(await WriterClient.open(writer, new Tally(), gone.signal));
    await assertAlone(observers[0], instance);
    const clients = options.clients ?? CLIENTS_PER_WRITER * writers.length;
    const primary = observers[writers.findIndex(({ leads }) => leads)];
    if (!primary) throw new DbproxyError('DBP_INTERNAL', { reason: 'no writer leads' });
    const context: SceneContext = {
      ...{ instance, writers, observers, primary, tally, options, clients, signal },
      gone: gone.signal,
      rounds: options.rounds ?? ROUNDS,
      splitVotes: () => verdicts.filter(({ split }) => split).length,
    };
    await makeTables(primary);
    const scenes: SceneResult[] = [];
    let lostUpdates = 0;
    for (const name of names) {
      if (signal.aborted) break;
      onProgress({ step: name, detail: `${writers.length} writers` });
      const { lost, ...scene } = await playScene(name, context, verdicts);
      lostUpdates += lost;
      scenes.push(scene);
    }
    onProgress({ step: 'compare', detail: 'what every writer holds' });
    const differing = await divergedTables(observers, signal);
    const { transactions, committed, conflicts, retries } = tally;
    return {
      schema: 'dbproxy.conflict/1',
      instance,
      writers: writers.map(({ id, instance: name, port }) => ({ id, instance: name, port })),
      ...{ transactions, committed, conflicts, retries, lostUpdates },
      adjudicated: verdicts.length,
      splitVotes: context.splitVotes(),
      diverged: differing.length > 0,
      divergedTables: differing,
      commitMs: { p50: quantile(tally.commitMs, 0.5), p99: quantile(tally.commitMs, 0.99) },
      scenes,
      verdicts: verdicts.slice(-SHOWN_VERDICTS),
      totalMs: Math.round(performance.now() - startedMs),
    };
  } catch (error) {
    throw gone.signal.aborted ? gone.signal.reason : error;
  } finally {
    over.abort();
    await Promise.all(observers.map((observer) => observer.close()));
    supervisor.close();
  }
}

/** Also where a new supervisor takes over, which may have heard some before it is asked. */
async function followVerdicts(first: Supervisor, verdicts: Verdict[], over: AbortSignal): Promise<void> {
  const heard = new Set<string>();
  const hear = (verdict: Verdict): void => {
    const { slot, asked } = verdict;
    if (!heard.has(`${slot} ${asked}`)) verdicts.push(verdict);
    heard.add(`${slot} ${asked}`);
  };
  const follow = (supervisor: Supervisor): Promise<unknown> =>
    supervisor.call('verdicts', { last: 0, follow: true }, { onProgress: hear }).catch(() => undefined);
  await follow(first);
  for await (const next of supervisorsOf(first.instance, over, true)) {
    const ended = follow(next);
    const missed = next.call('verdicts', { last: SHOWN_VERDICTS, follow: false });
    for (const verdict of await missed.catch(() => [])) hear(verdict);
    await ended;
  }
}

/** Two at once would count each other's rows, and find commits missing. It ends with the session. Throws DBP_CONFLICT_RUNS. */
async function assertAlone(observer: WriterClient | undefined, instance: string): Promise<void> {
  const taken = await observer?.query<{ is: boolean }>(
    `select pg_try_advisory_lock(hashtext('${SCHEMA}'), 0) as is`,
  );
  if (!taken?.[0]?.is) throw new DbproxyError('DBP_CONFLICT_RUNS', { name: instance });
}

/** Those that nobody has stopped, once all of them serve (one that is degraded is built again, which may take a while) and one of them leads: what has just died is waited for. */
async function writersOf(
  supervisor: Supervisor,
  instance: string,
  signal: AbortSignal,
  onProgress: NonNullable<ConflictOptions['onProgress']>,
): Promise<(WriterSummary & { readonly leads: boolean })[]> {
  const end = performance.now() + REPAIR_BOUND_MS;
  for (;;) {
    try {
      const { writers } = await supervisor.call('ready', {}, { onProgress });
      if (writers.length < 2)
        throw new DbproxyError('DBP_WRITERS_SINGLE', { name: instance, other: `${instance}-2` });
      const now = (await supervisor.call('status', {})).writers;
      const leading = now.find(({ leads }) => leads)?.id;
      const stopped = now.filter(({ state }) => state === 'stopped').map(({ id }) => id);
      const running = writers.filter(({ id }) => !stopped.includes(id));
      if (running.length < 2)
        throw new DbproxyError('DBP_WRITERS_STOPPED', { name: instance, running: running[0]?.id ?? 'none' });
      if (leading !== undefined || performance.now() > end)
        return running.map((writer) => ({ ...writer, leads: writer.id === leading }));
    } catch (error) {
      const isRepaired = error instanceof DbproxyError && error.code === 'DBP_RPC_UNREACHABLE';
      if (!isRepaired || performance.now() > end) throw error;
    }
    await delay(LOOK_EVERY_MS, undefined, { signal });
  }
}

/** Nothing lost, nothing diverged, every scene as it has to be. */
export const isSound = ({ lostUpdates, diverged, scenes }: ConflictResult): boolean =>
  lostUpdates === 0 && !diverged && scenes.every(({ ok }) => ok);

/** A table of the user's is fought over by its row alone. Where etcd decides nobody votes. Throws DBP_USAGE. */
function scenesOf({ scenes, table }: ConflictOptions, etcd: string | null): readonly SceneName[] {
  const wanted = scenes ?? (table === undefined ? SCENE_NAMES : ['hot-row']);
  if (etcd === null) return wanted;
  const reason = `the log is on ${etcd}, where nobody votes: there is no split vote`;
  if (scenes?.includes('split-vote')) throw new DbproxyError('DBP_USAGE', { reason });
  return wanted.filter((name) => name !== 'split-vote');
}

/** Storage nodes are started again by the supervisor; etcd is not. Throws DBP_ETCD_AWAY. */
function assertLogAnswers(store: StoreStatus | null): void {
  const error = store && store.etcd !== null ? etcdAway(store.nodes) : null;
  if (error) throw error;
}

/** Null: one of its members answers. */
function etcdAway(nodes: StoreStatus['nodes']): DbproxyError | null {
  if (nodes.some(({ state }) => state !== 'stopped')) return null;
  const endpoints = nodes.map(({ id }) => id).join(', ');
  return new DbproxyError('DBP_ETCD_AWAY', { endpoints, reason: 'no member answers' });
}

/** Commits wait for one that is away; a short absence is no reason to give up. Aborts `gone` with DBP_ETCD_AWAY. */
async function watchEtcd(instance: string, gone: AbortController, over: AbortSignal): Promise<void> {
  const store = new StoreDirectory(InstanceDirectory.of(instance).paths);
  for (let seenMs = performance.now(); !over.aborted; await delay(ETCD_LOOK_EVERY_MS)) {
    const nodes = await etcdNodes(store).catch(() => null);
    const away = nodes && etcdAway(nodes);
    if (!away) seenMs = performance.now();
    else if (performance.now() - seenMs > ETCD_AWAY_BOUND_MS) return gone.abort(away);
  }
}

async function playScene(
  name: SceneName,
  context: SceneContext,
  verdicts: readonly Verdict[],
): Promise<SceneResult & { lost: number }> {
  const { tally } = context;
  const before = { ...tally, verdicts: verdicts.length };
  tally.clientSaw = null;
  const end = await SCENES[name](context);
  await delay(LATE_VERDICTS_MS);
  return {
    scene: name,
    ...end,
    transactions: tally.transactions - before.transactions,
    committed: tally.committed - before.committed,
    conflicts: tally.conflicts - before.conflicts,
    clientSaw: tally.clientSaw,
    verdicts: verdicts.slice(before.verdicts),
  };
}

function quantile(values: readonly number[], q: number): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const value = sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? 0;
  return Math.round(value * 100) / 100;
}
