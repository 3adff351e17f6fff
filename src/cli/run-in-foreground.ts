/** Runs another program on this terminal until it ends. Signals of the terminal reach it by itself. */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { DbproxyError } from '../errors/index.js';

/** The exit code of the program, 128 + n when signal n ended it. Throws DBP_ENV_MISSING_TOOL. */
export async function runInForeground(
  tool: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
  { hint, quiet }: { hint: string; quiet: boolean },
): Promise<number> {
  const child = spawn(tool, args, {
    env: { ...process.env, ...env },
    // stdout belongs to the one JSON object when that was asked for.
    stdio: ['inherit', quiet ? process.stderr : 'inherit', 'inherit'],
  });
  const passOn = (signal: NodeJS.Signals): void => void child.kill(signal);
  const ignore = (): void => undefined;
  process.on('SIGTERM', passOn).on('SIGINT', ignore);
  try {
    return await new Promise<number>((resolve, reject) => {
      child.once('error', (cause: NodeJS.ErrnoException) => {
        reject(
          cause.code === 'ENOENT'
            ? new DbproxyError('DBP_ENV_MISSING_TOOL', { tool, hint }, { cause })
            : cause,
        );
      });
      child.once('close', (code, signal) => resolve(code ?? 128 + (signal ? constants.signals[signal] : 0)));
    });
  } finally {
    process.off('SIGTERM', passOn).off('SIGINT', ignore);
  }
}
