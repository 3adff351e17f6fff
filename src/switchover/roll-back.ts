/** Back to where it was, from any step before `commit`: the sessions go on, the target and its traces are removed. */
import { dropReplicationSlot } from '../engine/index.js';
import type { EngineOperations, EngineRecord } from '../engine/types.js';
import type { ProxyApi } from '../proxy/control-api.js';
import type { Rpc } from '../rpc/index.js';

const COMMAND_BOUND_MS = 10_000;

export interface RollBackParts {
  /** Null when it is dead: then nobody is held and nothing is warm. */
  readonly proxy: Rpc<ProxyApi> | null;
  readonly provider: EngineOperations;
  readonly from: EngineRecord;
  readonly target: EngineRecord;
}

/** Every part is tried, whatever the others do; idempotent. Returns what could not be undone. */
export async function rollBack({ proxy, provider, from, target }: RollBackParts): Promise<string[]> {
  const leftovers: string[] = [];
  const undo = async (what: string, work: () => Promise<unknown>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      leftovers.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  // The sessions first: they wait.
  if (proxy) {
    await undo('release', () => proxy.call('release', {}, { timeoutMs: COMMAND_BOUND_MS }));
    // Refused: it has committed after all. The target must live then; whoever reconciles goes forward.
    if (leftovers.length > 0 && (await isCommitted(proxy))) return leftovers;
    await undo('unwarm', () => proxy.call('unwarm', {}, { timeoutMs: COMMAND_BOUND_MS }));
  }
  // The slot after its user: an active slot cannot be dropped.
  await undo(`remove ${target.id}`, () => provider.remove(target));
  await undo(`slot of ${target.id} on ${from.id}`, () => dropReplicationSlot(from, target.id));
  return leftovers;
}

async function isCommitted(proxy: Rpc<ProxyApi>): Promise<boolean> {
  try {
    const { gate } = await proxy.call('status', {}, { timeoutMs: COMMAND_BOUND_MS });
    return gate === 'committed' || gate === 'moving';
  } catch {
    return false;
  }
}
