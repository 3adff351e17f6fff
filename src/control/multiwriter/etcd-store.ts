/**
 * A store on etcd, which nobody here starts: the first writer's supervisor takes the prefix for it, `status` asks its members, and
 * `down --purge` removes what it has below the prefix.
 */
import {
  claimStore,
  etcdMembers,
  removeStore,
  type EtcdMember,
  parseEtcdUrl,
} from '../../multiwriter/etcd/index.js';
import { DbproxyError } from '../../errors/index.js';
import type { StorageNodeStatus } from '../api.js';
import type { StoreDirectory } from './store-directory.js';

/** Its prefix is ours. Throws DBP_ETCD_AWAY, DBP_ETCD_REFUSED, DBP_ETCD_FULL, DBP_ETCD_FOREIGN, DBP_ETCD_LOST. */
export async function foundEtcdStore(store: StoreDirectory): Promise<void> {
  const record = await store.open();
  await claimStore(await store.readEtcdUrl(), record.id, !record.founded);
  if (!record.founded) await store.write({ ...record, founded: true });
}

/** Each member as a storage node is shown. */
export async function etcdNodes(store: StoreDirectory): Promise<StorageNodeStatus[]> {
  const members = await etcdMembers(parseEtcdUrl(await store.readEtcdUrl()));
  return members.map(statusOf);
}

const statusOf = ({ endpoint, answer, reason }: EtcdMember): StorageNodeStatus => ({
  id: endpoint,
  pid: null,
  state: answer === null ? 'stopped' : reason === null ? 'in-service' : 'out-of-service',
  reason,
  logBytes: answer?.dbBytes ?? null,
  position: answer?.revision ?? null,
  ...{ syncs: null, undecided: null, epoch: null, delayMs: null },
});

/** Null: nothing of it is left on etcd. Else what could not be removed, for people. */
export async function purgeEtcdStore(store: StoreDirectory): Promise<string | null> {
  const record = await store.read().catch(() => null);
  const url = await store.readEtcdUrl().catch(() => null);
  if (!record || url === null) return null;
  try {
    await removeStore(url, record.id);
    return null;
  } catch (error) {
    return `what etcd has below ${parseEtcdUrl(url).prefix} stays there: ${DbproxyError.from(error).message}`;
  }
}
