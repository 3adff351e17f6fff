/** Everybody goes on where they are: nobody is held, nothing is prepared any more. */
import type { ProxyApi } from '../proxy/control-api.js';
import type { Rpc } from '../rpc/index.js';

const COMMAND_BOUND_MS = 10_000;

/** Both commands are tried; idempotent. Returns what failed. */
export async function letGo(proxy: Rpc<ProxyApi>): Promise<string[]> {
  const failed: string[] = [];
  for (const command of ['release', 'unwarm'] as const) {
    await proxy
      .call(command, {}, { timeoutMs: COMMAND_BOUND_MS })
      .catch((error: unknown) => failed.push(`${command}: ${String(error)}`));
  }
  return failed;
}
