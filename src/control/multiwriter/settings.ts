/** What `up` was asked for about writers, checked before anything is made. */
import { DbproxyError } from '../../errors/index.js';
import { parseEtcdUrl, withoutEtcdPassword } from '../../multiwriter/etcd/index.js';
import { quorumsFor, whyUnsafe, type Policy, type Quorums } from '../../multiwriter/protocol/index.js';
import type { MultiwriterSpec } from '../api.js';

export const MAX_STORAGE_NODES = 9;
const DEFAULT_NODES = 3;

export interface WritersRequest {
  readonly writers?: number | undefined;
  /** `3`, or with the sizes of its quorums `5/4/3`. */
  readonly storageNodes?: string | undefined;
  readonly writerPolicy?: Policy | undefined;
  /** `etcd://host:2379/prefix`: the log is kept there, not by storage nodes. */
  readonly store?: string | undefined;
}

export const quorumsText = ({ nodes, fast, classic }: Quorums): string => `${nodes}/${fast}/${classic}`;

/** `N`, or `N/Qf/Qc`: nodes, votes that commit, answers that let the primary decide. Throws DBP_USAGE, DBP_STORE_QUORUMS. */
export function parseStorageNodes(text: string): Quorums {
  const found = /^(\d+)(?:\/(\d+)\/(\d+))?$/.exec(text);
  const nodes = Number(found?.[1]);
  if (!found || nodes < 1 || nodes > MAX_STORAGE_NODES) {
    const reason = `--storage-nodes is 1 to ${MAX_STORAGE_NODES}, or N/Qf/Qc such as 5/4/3, not ${text}`;
    throw new DbproxyError('DBP_USAGE', { reason });
  }
  if (found[2] === undefined) return quorumsFor(nodes);
  const quorums = { nodes, fast: Number(found[2]), classic: Number(found[3]) };
  const reason = whyUnsafe(quorums);
  if (reason) throw new DbproxyError('DBP_STORE_QUORUMS', { sizes: text, reason });
  return quorums;
}

/**
 * What is wanted now, for an instance that had `before`. What is left out stays as it was. A store keeps its nodes, and writers may
 * come, but not go: what is left of their log would never be dropped. Throws DBP_USAGE, DBP_STORE_QUORUMS.
 */
export function multiwriterOf(
  request: WritersRequest,
  before: MultiwriterSpec | undefined,
): MultiwriterSpec | undefined {
  const { writers, storageNodes, writerPolicy, store } = request;
  const wanted = writers ?? before?.writers ?? 1;
  if (wanted === 1) {
    if (before) throw refused(`its store has ${before.writers} writers, and cannot go back to one`);
    if (storageNodes !== undefined) throw refused('--storage-nodes is for several writers: --writers 2');
    if (writerPolicy !== undefined) throw refused('--writer-policy is for several writers: --writers 2');
    if (store !== undefined) throw refused('--store is for several writers: --writers 2');
    return undefined;
  }
  if (before && wanted < before.writers)
    throw refused(`it has ${before.writers} writers; they may become more, not fewer`);
  if (store !== undefined || before?.store !== undefined) return onEtcd(request, wanted, before);
  const quorums = storageNodes === undefined ? undefined : parseStorageNodes(storageNodes);
  if (before && quorums && quorumsText(quorums) !== quorumsText(before.quorums)) {
    throw refused(`its store has ${quorumsText(before.quorums)} storage nodes, which stay`);
  }
  return {
    writers: wanted,
    quorums: before?.quorums ?? quorums ?? quorumsFor(DEFAULT_NODES),
    policy: writerPolicy ?? before?.policy ?? 'first',
  };
}

/** Etcd decides by itself: who votes, and who goes first, is nothing to choose. */
function onEtcd(
  { storageNodes, writerPolicy, store }: WritersRequest,
  writers: number,
  before: MultiwriterSpec | undefined,
): MultiwriterSpec {
  if (storageNodes !== undefined)
    throw refused('--storage-nodes are processes of this machine; with --store the log is on etcd instead');
  if (writerPolicy !== undefined && writerPolicy !== 'first') {
    throw refused(`with --store who commits first goes first: there is no --writer-policy ${writerPolicy}`);
  }
  if (before && before.store === undefined)
    throw refused(`its store has ${quorumsText(before.quorums)} storage nodes, which stay`);
  if (store !== undefined) parseEtcdUrl(store);
  const shown = store === undefined ? before?.store : withoutEtcdPassword(store);
  return { writers, store: shown, quorums: quorumsFor(1), policy: 'first' };
}

const refused = (reason: string): DbproxyError => new DbproxyError('DBP_USAGE', { reason });
