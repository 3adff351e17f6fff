/**
 * The command line from its arguments to its exit code. bin/run.js calls this. The one place that ends the process: the
 * exit code of an error is the same with and without --json.
 */
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { Config } from '@oclif/core/config';
import { run } from '@oclif/core/run';
import { ExitCode } from '../errors/index.js';
import { type Addressing, addressingOf, unaddressed } from './addressing.js';
import { Output } from './output.js';
import { drained, ReaderGone, takeOverStreams } from './stdout.js';
import { beforeDashes, colorLevel } from './terminal.js';
import { assertCommandExists, assertNothingEmpty, commandIn, toDbproxyError } from './usage-error.js';

/**
 * Runs the command and ends the process. `entry` is the URL of the script in bin/. The manifest of the commands saves
 * loading them all, but it is only as fresh as the last build of a release: `ignoreManifest` looks at the files.
 */
export async function main(
  argv: readonly string[],
  entry: string,
  { ignoreManifest = false }: { ignoreManifest?: boolean } = {},
): Promise<never> {
  process.exitCode = ExitCode.done;
  takeOverStreams();
  // The framework's help has colours of its own; it reads this.
  if (colorLevel(process.stdout) === 0) process.env.NO_COLOR ??= '1';
  let command: string | undefined;
  let addressed: Addressing = unaddressed;
  try {
    const words = rewrite(argv);
    const config = await Config.load({ root: fileURLToPath(entry), ignoreManifest });
    command = commandIn(words, config);
    if (command !== undefined) addressed = addressingOf(config, command, words);
    assertCommandExists(words, config, command);
    assertNothingEmpty(words);
    await run([...words], config);
  } catch (thrown) {
    if (thrown instanceof ReaderGone) return end();
    const error = toDbproxyError(thrown, command);
    if (error.code === 'DBP_ENV_OUTPUT') return end();
    new Output(beforeDashes(argv).includes('--json'), addressed).failure(error);
    process.exitCode = error.exitCode;
    if (process.env.DBPROXY_DEBUG) process.stderr.write(`${inspect(thrown)}\n`);
  }
  return end();
}

async function end(): Promise<never> {
  const unwritable = await drained();
  if (unwritable && !(unwritable instanceof ReaderGone)) {
    new Output(false).complaint(unwritable);
    process.exitCode ||= unwritable.exitCode;
    await drained();
  }
  process.exit();
}

/** `help scale` is `scale --help`, `--version --json` is `version --json`. */
function rewrite([first, ...rest]: readonly string[]): readonly string[] {
  if (first === 'help') return [...rest, '--help'];
  if (first === '--version' || first === '-v') return ['version', ...rest];
  return first === undefined ? [] : [first, ...rest];
}
