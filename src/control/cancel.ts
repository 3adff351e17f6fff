/** `cancel`: gives up the operation that runs, also one that the supervisor does not know of yet. Resolves when it has ended. */
import { setTimeout as delay } from 'node:timers/promises';
import type { CancelResult } from './api.js';
import { giveUpAsked } from './asked-self-patch.js';
import { askSupervisor } from './client.js';
import { InstanceDirectory } from './instance-directory.js';

const POLL_MS = 20;

/** Throws what `askSupervisor` does. */
export async function cancelOperation(name: string): Promise<CancelResult> {
  const { paths } = InstanceDirectory.of(name);
  let wasAsked = false;
  for (;;) {
    const result = await askSupervisor(name, 'cancel', {});
    if (result.operation !== null) return result;
    if (!(await giveUpAsked(paths)))
      return wasAsked ? { ...result, operation: 'patch', outcome: 'rolled-back' } : result;
    wasAsked = true;
    await delay(POLL_MS);
  }
}
