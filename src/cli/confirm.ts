/** The one question that is ever asked: before data is lost, and only of a person. */
import { createInterface } from 'node:readline/promises';
import { DbproxyError } from '../errors/index.js';

/** Asks on a terminal; a pipe or a script is taken at its word. Throws DBP_USAGE_NOT_CONFIRMED. */
export async function confirmLoss(what: string, signal: AbortSignal): Promise<void> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) return;
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  // In raw mode Ctrl-C is a key press; make it the signal that it is everywhere else.
  terminal.on('SIGINT', () => {
    process.stderr.write('\n');
    process.kill(process.pid, 'SIGINT');
  });
  try {
    const answer = await terminal.question(`Remove ${what}? It cannot be brought back. [y/N] `, { signal });
    if (!/^y(es)?$/i.test(answer.trim())) throw new DbproxyError('DBP_USAGE_NOT_CONFIRMED', { what });
  } finally {
    terminal.close();
  }
}
