/**
 * The storage nodes' processes: started, found again by pid and start time, ended. They outlive the supervisor, and are started
 * again when they die; what they know is in their logs.
 */
import { spawn } from 'node:child_process';
import { open, readFile, stat } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { processIdentity } from '../../engine/index.js';
import type { ProcessIdentity } from '../../engine/types.js';
import { DbproxyError } from '../../errors/index.js';
import { spawned } from '../../errors/spawned.js';
import type { Quorums } from '../../multiwriter/protocol/index.js';
import type { NodeStatus, StoreApi, StoreConfig } from '../../multiwriter/storage/api.js';
import { RpcClient } from '../../rpc/index.js';
import { VERSION } from '../../version.js';
import type { NodeReplaced } from '../api.js';
import { endProcess, isAlive, waitForExit } from '../processes.js';
import { START_BOUND_MS } from '../launch.js';
import type { StoreRecord } from '../records.js';
import type { StoreDirectory, StoreNode } from './store-directory.js';

export const NODE_MAIN = fileURLToPath(new URL('../../../dist/multiwriter/storage/main.js', import.meta.url));
const STATUS_BOUND_MS = 2_000;
/** Two that were away hear of each other within a tick (200 ms); a long log takes its time. */
const SERVICE_BOUND_MS = 20_000;
const STOP_BOUND_MS = 3_000;
const POLL_MS = 20;

/** Null: it does not answer. */
export async function nodeStatus({ socket }: StoreNode): Promise<NodeStatus | null> {
  let rpc: RpcClient<StoreApi> | null = null;
  try {
    rpc = await RpcClient.connect<StoreApi>(socket);
    return await rpc.call('status', {}, { timeoutMs: STATUS_BOUND_MS });
  } catch (error) {
    if (error instanceof DbproxyError) return null;
    throw error;
  } finally {
    rpc?.close();
  }
}

/** That writer's proposals reach the node late, for a while. Throws when it does not answer. */
export async function holdBack({ socket }: StoreNode, given: StoreApi['holdBack']['params']): Promise<void> {
  const rpc = await RpcClient.connect<StoreApi>(socket);
  try {
    await rpc.call('holdBack', given, { timeoutMs: STATUS_BOUND_MS });
  } finally {
    rpc.close();
  }
}

/** Starts it, or finds that it runs. True: it was started. Throws DBP_STORE_NODE_START with what the node said, DBP_ENV_NODE. */
export async function ensureNode(
  store: StoreDirectory,
  record: StoreRecord,
  quorums: Quorums,
  node: StoreNode,
): Promise<boolean> {
  if (isAlive((await store.readProcess(node.node))?.process)) return false;
  const found = await nodeStatus(node);
  if (found) {
    const identity = processIdentity(found.pid);
    if (identity) await store.writeProcess(node.node, { process: identity, version: VERSION });
    return false;
  }
  await startNode(store, configOf(store, record, quorums, node));
  return true;
}

/**
 * By a process of this build, on the same log, once all others vote: without one of them there may be no majority. Resolves when all
 * vote again. Throws DBP_STORE_NODE_START.
 */
export async function replaceNode(
  store: StoreDirectory,
  record: StoreRecord,
  quorums: Quorums,
  node: StoreNode,
): Promise<NodeReplaced> {
  const others = store.nodes(quorums).filter((other) => other.node !== node.node);
  await waitForService(store, others, others.length);
  const before = await processOf(store, node);
  await endNode(node, before);
  await ensureNode(store, record, quorums, node);
  await waitForService(store, store.nodes(quorums), quorums.nodes);
  const now = await processOf(store, node);
  return { node: node.node, from: before?.pid ?? null, to: now?.pid ?? 0 };
}

/** What it has answered is on its disk; it is asked to end, and ended if it does not. */
async function endNode({ socket }: StoreNode, running: ProcessIdentity | null): Promise<void> {
  if (!running) return;
  const rpc = await RpcClient.connect<StoreApi>(socket).catch(() => null);
  await rpc?.call('shutdown', {}, { timeoutMs: STATUS_BOUND_MS }).catch(() => undefined);
  rpc?.close();
  if (!(await waitForExit(running, STOP_BOUND_MS))) await endProcess(running, STOP_BOUND_MS);
}

/** A node that ended says why in the last line of its log. */
export async function whyEnded(store: StoreDirectory, node: string): Promise<string> {
  const text = await readFile(store.logOf(node), 'utf8').catch(() => '');
  const said = text.trimEnd().split('\n').at(-1) ?? '';
  return said === '' ? 'it ended without a word' : said;
}

/** Resolves when so many of them vote; the others may be away. Throws DBP_STORE_NODE_START. */
export async function waitForService(
  store: StoreDirectory,
  nodes: readonly StoreNode[],
  wanted: number,
): Promise<void> {
  const end = performance.now() + SERVICE_BOUND_MS;
  for (;;) {
    const seen = await Promise.all(nodes.map(nodeStatus));
    if (seen.filter((status) => status?.service.kind === 'in-service').length >= wanted) return;
    if (performance.now() > end) {
      const missing = nodes.filter((_, index) => seen[index]?.service.kind !== 'in-service');
      const reasons = await Promise.all(
        missing.map(async (node) => `${node.node}: ${await whyAway(store, node, seen[nodes.indexOf(node)])}`),
      );
      const node = missing.map((one) => one.node).join(', ');
      throw new DbproxyError('DBP_STORE_NODE_START', { node, reason: reasons.join('; ') });
    }
    await delay(POLL_MS);
  }
}

async function whyAway(
  store: StoreDirectory,
  { node }: StoreNode,
  status: NodeStatus | null | undefined,
): Promise<string> {
  if (status?.service.kind === 'out-of-service') return status.service.why;
  if (status) return 'it still asks its peers whether it has all it once had';
  const process = (await store.readProcess(node).catch(() => null))?.process;
  return isAlive(process) ? `process ${process?.pid} does not answer` : whyEnded(store, node);
}

/** Who of them does not vote, and why. */
export async function nodesAway(store: StoreDirectory): Promise<{ node: string; reason: string }[]> {
  const nodes = await store.traces();
  const away = await Promise.all(
    nodes.map(async (node) => {
      const status = await nodeStatus(node);
      if (status?.service.kind === 'in-service') return [];
      return [{ node: node.node, reason: await whyAway(store, node, status) }];
    }),
  );
  return away.flat();
}

/** Those that run, answering or not. */
export async function runningNodes(store: StoreDirectory): Promise<{ node: string; pid: number }[]> {
  const nodes = await store.traces();
  const found = await Promise.all(nodes.map(async (node) => [node, await processOf(store, node)] as const));
  return found.flatMap(([{ node }, process]) => (process ? [{ node, pid: process.pid }] : []));
}

/** Ends all that ever ran here, answering or not. Returns what was ended: `storage node s1 (123)`. */
export async function stopNodes(store: StoreDirectory): Promise<string[]> {
  const nodes = await store.traces();
  const ended = await Promise.all(
    nodes.map(async (node) => {
      const answering = await processOf(store, node);
      const wasThere = await endProcess(answering, STOP_BOUND_MS);
      await store.forgetProcess(node.node);
      return wasThere && answering ? [`storage node ${node.node} (${answering.pid})`] : [];
    }),
  );
  return ended.flat();
}

async function processOf(store: StoreDirectory, node: StoreNode): Promise<ProcessIdentity | null> {
  const recorded = (await store.readProcess(node.node).catch(() => null))?.process ?? null;
  if (isAlive(recorded)) return recorded;
  const status = await nodeStatus(node);
  return status && processIdentity(status.pid);
}

const configOf = (
  store: StoreDirectory,
  { id, founded }: StoreRecord,
  quorums: Quorums,
  { node, socket }: StoreNode,
): StoreConfig => ({
  ...{ store: id, node, socket, quorums },
  directory: store.dataOf(node),
  peers: store.nodes(quorums).filter((one) => one.node !== node),
  isNew: !founded,
});

async function startNode(store: StoreDirectory, config: StoreConfig): Promise<void> {
  const { node } = config;
  const log = await open(store.logOf(node), 'a', 0o600);
  const before = (await stat(store.logOf(node))).size;
  try {
    const child = spawn(process.execPath, [NODE_MAIN], {
      detached: true,
      cwd: '/',
      stdio: ['ignore', log.fd, log.fd],
      env: { ...process.env, DBPROXY_STORE_CONFIG: JSON.stringify(config) },
    });
    await spawned(child, store.instance);
    const identity = child.pid === undefined ? null : processIdentity(child.pid);
    if (identity) await store.writeProcess(node, { process: identity, version: VERSION });
    const end = performance.now() + START_BOUND_MS;
    while (child.exitCode === null && child.signalCode === null) {
      if (await nodeStatus(config)) return;
      if (performance.now() > end) {
        await endProcess(identity, STOP_BOUND_MS);
        throw new DbproxyError('DBP_STORE_NODE_START', {
          node,
          reason: `it did not answer within ${START_BOUND_MS} ms`,
        });
      }
      await delay(POLL_MS);
    }
    const said = (await readFile(store.logOf(node))).subarray(before).toString('utf8').trim();
    const reason = said === '' ? `it ended (${child.signalCode ?? child.exitCode})` : said;
    throw new DbproxyError('DBP_STORE_NODE_START', { node, reason });
  } finally {
    await log.close();
  }
}
