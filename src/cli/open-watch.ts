/** Opens the terminal UI on an instance: for `watch`, and for `up --watch`. */
import { spawn } from 'node:child_process';
import { DbproxyError } from '../errors/index.js';
import type { CommandEnd, RunningCommand } from '../tui/index.js';
import { canAnimate, colorLevel } from './terminal.js';

export const DEFAULT_REFRESH_MS = 250;
/** Shorter ones show nothing more, and cost. */
const SHORTEST_REFRESH_MS = 100;

/** Is there a screen to draw on, and a keyboard? */
export const hasScreen = (): boolean => canAnimate(process.stdout) && process.stdin.isTTY;

/** Until the user leaves it. Throws DBP_USAGE, DBP_INTERRUPTED or DBP_TERMINATED after a signal, and what `connectSupervisor` throws. */
export async function openWatch(
  instance: string,
  refreshMs: number,
  verbs: readonly string[],
): Promise<void> {
  if (refreshMs < SHORTEST_REFRESH_MS)
    throw new DbproxyError('DBP_USAGE', { reason: `--refresh is ${SHORTEST_REFRESH_MS}ms or more` });
  const [{ watch }, { connectSupervisor }] = await Promise.all([
    import('../tui/index.js'),
    import('../control/client.js'),
  ]);
  const signal = await watch({
    ...{ instance, refreshMs, verbs, run: runBeside, versions: versionsHere },
    colors: colorLevel(process.stdout),
    stdin: process.stdin,
    stdout: process.stdout,
    connect: () => connectSupervisor(instance),
  });
  if (signal === 'SIGINT') throw new DbproxyError('DBP_INTERRUPTED', { signal });
  if (signal !== null) throw new DbproxyError('DBP_TERMINATED', { signal });
}

async function versionsHere(): Promise<readonly string[]> {
  const { listEngines } = await import('../control/engines.js');
  const { engines } = await listEngines({ available: false });
  return [...new Set(engines.map(({ postgres }) => postgres))];
}

/** The command line in a process of its own: what a key does is what the command that is shown does. */
function runBeside(args: readonly string[]): RunningCommand {
  const entry = process.argv[1] ?? '';
  const child = spawn(process.execPath, [entry, ...args, '--json'], { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
  const end = new Promise<CommandEnd>((resolve) => {
    child.once('error', () => resolve({ code: null, json: null }));
    child.once('close', (code) => resolve({ code, json: firstObject(text) }));
  });
  return { end, stop: () => void child.kill('SIGINT') };
}

function firstObject(text: string): CommandEnd['json'] {
  try {
    return JSON.parse(text.split('\n')[0] ?? '') as Record<string, unknown>;
  } catch {
    return null;
  }
}
