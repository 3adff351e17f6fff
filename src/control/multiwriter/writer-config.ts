/** What the proxy of a writer is told when it is started: who it is, where the store is, who the others are. */
import { DbproxyError } from '../../errors/index.js';
import type { WriterConfig } from '../../multiwriter/writer/config.js';
import type { InstanceSpec } from '../api.js';
import { InstanceDirectory } from '../instance-directory.js';
import { instancePaths } from '../paths.js';
import { addressOf } from '../verify.js';
import { writerName, writerOf } from './names.js';
import { StoreDirectory } from './store-directory.js';

/** Where applications are: the only database whose writes cross writers. */
export const DATABASE = 'postgres';

/** Null: it is the only writer. Counts up its incarnation: for a process that is about to be started. */
export async function writerConfig(spec: InstanceSpec): Promise<WriterConfig | null> {
  const self = writerOf(spec);
  if (!self) return null;
  const { paths } = InstanceDirectory.of(self.instance);
  const multiwriter = (await new InstanceDirectory(paths).readInstance())?.spec.multiwriter;
  if (!multiwriter) throw new DbproxyError('DBP_INSTANCE_NOT_RUNNING', { name: self.instance });
  const store = new StoreDirectory(paths);
  const isOnEtcd = multiwriter.store !== undefined;
  const writers = Array.from({ length: multiwriter.writers }, (_, id) => id);
  return {
    id: self.writer - 1,
    writers,
    incarnation: await store.nextIncarnation(self.writer),
    secretFile: store.secretFile,
    database: DATABASE,
    nodes: isOnEtcd ? [] : store.nodes(multiwriter.quorums),
    etcd: isOnEtcd ? { store: (await store.open()).id, urlFile: store.etcdUrlFile } : undefined,
    quorums: multiwriter.quorums,
    policy: multiwriter.policy,
    url: `postgres://${addressOf(spec)}/${DATABASE}`,
    peers: writers
      .filter((id) => id !== self.writer - 1)
      .map((id) => ({
        id,
        socket: instancePaths(writerName(self.instance, id + 1), paths.home).proxySocket,
      })),
  };
}
