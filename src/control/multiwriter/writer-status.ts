/** What the proxy of a writer says of it. */
import type { WriterApi, WriterStatus } from '../../multiwriter/writer/config.js';
import type { RpcClient } from '../../rpc/index.js';

/** Bound of its answers, ms. */
const ANSWER_BOUND_MS = 2_000;

/** Throws when it does not answer in time. */
export const writerStatus = (rpc: Pick<RpcClient<WriterApi>, 'call'>): Promise<WriterStatus> =>
  rpc.call('writer.status', {}, { timeoutMs: ANSWER_BOUND_MS });
