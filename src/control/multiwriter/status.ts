/** Writers and storage nodes as `status` shows them: what is on record joined with what they answer now. */
import { readFile } from 'node:fs/promises';
import type { MultiwriterSpec, StorageNodeStatus, StoreStatus, WriterStatus } from '../api.js';
import { InstanceDirectory } from '../instance-directory.js';
import { isAlive } from '../processes.js';
import { urlOf } from '../verify.js';
import { etcdNodes } from './etcd-store.js';
import { writerName, type WriterNumber } from './names.js';
import { nodeStatus, whyEnded } from './nodes.js';
import type { Election } from './election.js';
import type { StoreDirectory, StoreNode } from './store-directory.js';

export async function storeStatus(
  store: StoreDirectory,
  { quorums, policy, store: etcd }: MultiwriterSpec,
): Promise<StoreStatus> {
  const [record, nodes] = await Promise.all([
    store.read(),
    etcd === undefined
      ? Promise.all(store.nodes(quorums).map((node) => statusOf(store, node)))
      : etcdNodes(store),
  ]);
  return { etcd: etcd ?? null, quorums, policy, epoch: record?.epoch ?? 0, nodes };
}

async function statusOf(store: StoreDirectory, node: StoreNode): Promise<StorageNodeStatus> {
  const found = await nodeStatus(node);
  if (!found) {
    const alive = isAlive((await store.readProcess(node.node))?.process);
    const reason = alive ? 'it does not answer' : await whyEnded(store, node.node);
    return { ...NOTHING, id: node.node, reason };
  }
  const { service } = found;
  return {
    id: node.node,
    pid: found.pid,
    state: service.kind,
    reason: service.kind === 'out-of-service' ? service.why : null,
    logBytes: found.logBytes,
    position: found.position,
    syncs: found.syncs,
    undecided: found.undecided,
    epoch: found.epoch,
    delayMs: found.delayMs,
  };
}

const NOTHING: Omit<StorageNodeStatus, 'id' | 'reason'> = {
  pid: null,
  state: 'stopped',
  logBytes: null,
  position: null,
  syncs: null,
  undecided: null,
  epoch: null,
  delayMs: null,
};

/** `own`: of the first one, as its supervisor knows it. */
export async function writerStatuses(
  own: Omit<WriterStatus, 'id' | 'leads' | 'reason'>,
  further: readonly WriterNumber[],
  { leader, stopped }: Pick<Election, 'leader' | 'stopped'>,
): Promise<WriterStatus[]> {
  const others = await Promise.all(
    further.map(async (writer): Promise<WriterStatus> => {
      const id = `w${writer}`;
      const leads = leader === writer;
      return {
        id,
        leads,
        ...stoppedAs(await recordedWriter(writerName(own.instance, writer)), stopped, writer),
      };
    }),
  );
  return [{ id: 'w1', leads: leader === 1, ...stoppedAs(own, stopped, 1) }, ...others];
}

/** What has stopped by itself runs, and serves nobody. */
const stoppedAs = <Status extends Pick<WriterStatus, 'state'>>(
  status: Status,
  stopped: ReadonlyMap<WriterNumber, string>,
  writer: WriterNumber,
): Status & Pick<WriterStatus, 'reason'> => {
  const reason = stopped.get(writer) ?? null;
  return status.state === 'running' && reason !== null
    ? { ...status, state: 'degraded', reason }
    : { ...status, reason: null };
};

/** A further writer, from its files: its supervisor is not asked. */
async function recordedWriter(name: string): Promise<Omit<WriterStatus, 'id' | 'leads' | 'reason'>> {
  const directory = InstanceDirectory.of(name);
  const [record, supervisor, proxy, password] = await Promise.all([
    directory.readInstance().catch(() => null),
    directory.readSupervisor().catch(() => null),
    directory.readProxy().catch(() => null),
    readFile(directory.paths.passwordFile, 'utf8').catch(() => ''),
  ]);
  const proxyPid = proxy && isAlive(proxy.process) ? proxy.process.pid : null;
  const isWell = isAlive(supervisor?.process) && proxyPid !== null;
  return {
    instance: name,
    url: record ? urlOf(record.spec, password.trim()) : '',
    port: record?.spec.port ?? 0,
    state: record?.wanted === 'running' ? (isWell ? 'running' : 'degraded') : 'stopped',
    proxyPid,
    engine: record?.primary ?? null,
  };
}
