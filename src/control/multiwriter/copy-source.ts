/** Which writer is copied when another one is built again. */
import type { WriterApi, WriterState, WriterStatus } from '../../multiwriter/writer/config.js';
import { RpcClient } from '../../rpc/index.js';
import { writerStatus } from './writer-status.js';

/** The best comes first. What one that has stopped holds is wrong. */
const STATES: readonly WriterState[] = ['open', 'catching-up', 'opening', 'without-engine'];

export interface Candidate {
  readonly name: string;
  /** Null: its proxy does not answer. */
  readonly status: Pick<WriterStatus, 'state' | 'queues'> | null;
}

/** What its copy lacks comes out of the log, transaction after transaction: the one that lacks least. Null: there is none. */
export const bestSource = (candidates: readonly Candidate[]): string | null => {
  const able = candidates.flatMap(({ name, status }) =>
    status && STATES.includes(status.state) ? [{ name, status }] : [],
  );
  const [best] = able.toSorted(
    ({ status: a }, { status: b }) =>
      STATES.indexOf(a.state) - STATES.indexOf(b.state) ||
      a.queues.apply - b.queues.apply ||
      a.queues.applyBytes - b.queues.applyBytes,
  );
  return best?.name ?? null;
};

export async function askedForStatus(name: string, proxySocket: string): Promise<Candidate> {
  const rpc = await RpcClient.connect<WriterApi>(proxySocket).catch(() => null);
  try {
    return { name, status: rpc && (await writerStatus(rpc)) };
  } catch {
    return { name, status: null };
  } finally {
    rpc?.close();
  }
}
