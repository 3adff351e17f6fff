/** A process of node's that is to be one of ours. */
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { DbproxyError } from './index.js';

/** Resolves when it runs, and need not end before this one does. Throws DBP_ENV_NODE: there is nothing to run it with. `instance`: whose it is. */
export async function spawned(child: ChildProcess, instance: string): Promise<void> {
  try {
    await once(child, 'spawn');
  } catch (cause) {
    const { spawnfile: node } = child;
    throw new DbproxyError(
      'DBP_ENV_NODE',
      { name: instance, node, reason: (cause as Error).message },
      { cause },
    );
  }
  child.unref();
}
