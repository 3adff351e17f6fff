/** Does this build run at all? A module that is missing, or written halfway, is found while nothing was ended for it yet. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { DbproxyError } from '../errors/index.js';
import { LOAD_ONLY } from '../load-only.js';
import { START_BOUND_MS, SUPERVISOR_MAIN } from './launch.js';
import { NODE_MAIN } from './multiwriter/nodes.js';
import { PROXY_MAIN } from './proxy-process.js';

/** Throws DBP_PROXY_HANDOVER with what Node says of the module. */
export async function assertBuildRuns(hasNodes: boolean): Promise<void> {
  await Promise.all([SUPERVISOR_MAIN, PROXY_MAIN, ...(hasNodes ? [NODE_MAIN] : [])].map(assertLoads));
}

async function assertLoads(main: string): Promise<void> {
  try {
    await promisify(execFile)(process.execPath, [main, LOAD_ONLY], { timeout: START_BOUND_MS });
  } catch (cause) {
    const reason = `this build does not run: ${main} cannot be loaded: ${why(cause as Ended)}`;
    throw new DbproxyError('DBP_PROXY_HANDOVER', { reason }, { cause });
  }
}

type Ended = Error & { readonly stderr?: string; readonly killed?: boolean };

/** Of a page of Node's the place and the error: "file:///….js:7", "SyntaxError: …". */
function why({ stderr = '', killed, message }: Ended): string {
  if (killed) return `it takes longer than ${START_BOUND_MS} ms`;
  const said = stderr.split('\n').filter((line) => /^(file:|\w*Error\b)/.test(line));
  return said.length > 0 ? said.join(' ') : message;
}
