/** The log on etcd, for whoever starts writers: where it is, whose it is, how it is. */
import { EtcdClient } from './client.js';
import { Layout } from './layout.js';
import { claimPrefix } from './own-place.js';
import { parseEtcdUrl } from './url.js';

export { type EtcdMember, etcdMembers } from './members.js';
export { type EtcdTarget, parseEtcdUrl, withoutEtcdPassword } from './url.js';

/** A store that is new takes the prefix; another one finds its own. Throws DBP_USAGE, DBP_ETCD_…. */
export const claimStore = (url: string, store: string, isNew: boolean): Promise<void> =>
  withClient(url, (client, layout) => claimPrefix(client, layout, { store, isNew }));

/** All that it has below the prefix is removed, and nothing else; nothing at all, if it is another's. Throws DBP_USAGE, DBP_ETCD_…. */
export const removeStore = (url: string, store: string): Promise<void> =>
  withClient(url, async (client, layout) => {
    const { found } = await client.get(layout.store);
    const [owner] = found;
    if (owner?.value.toString('utf8') !== store) return;
    await client.txn({
      if: [{ key: layout.store, changedAt: owner.revision }],
      then: layout.removal(),
    });
  });

async function withClient(
  url: string,
  work: (client: EtcdClient, layout: Layout) => Promise<void>,
): Promise<void> {
  const target = parseEtcdUrl(url);
  const client = new EtcdClient(target);
  try {
    await work(client, new Layout(target.prefix));
  } finally {
    client.close();
  }
}
