/** What the streams we write to can do: colour, animation, width. Every other file asks here, never the environment. */

export interface TerminalStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export type ColorLevel = 0 | 1 | 2 | 3;
type Environment = Readonly<Record<string, string | undefined>>;

const DEFAULT_WIDTH = 100;

/**
 * How many colours may be written: none, 16, 256, all. `--no-color` and NO_COLOR (no-color.org) win over FORCE_COLOR
 * (force-color.org), which wins over what the stream is.
 */
export function colorLevel(
  stream: TerminalStream,
  env: Environment = process.env,
  argv: readonly string[] = process.argv,
): ColorLevel {
  if (beforeDashes(argv).includes('--no-color') || env.NO_COLOR) return 0;
  if (env.FORCE_COLOR !== undefined) return forcedLevel(env.FORCE_COLOR);
  if (!stream.isTTY || env.TERM === 'dumb') return 0;
  if (/truecolor|24bit/i.test(env.COLORTERM ?? '')) return 3;
  return /256/.test(env.TERM ?? '') ? 2 : 1;
}

/** May a line be redrawn in place? Not in a pipe, not on a dumb terminal, not in a CI log. */
export const canAnimate = (stream: TerminalStream, env: Environment = process.env): boolean =>
  stream.isTTY === true && env.TERM !== 'dumb' && !env.CI;

/** A terminal that nobody has told its width says 0. */
export const widthOf = (stream: TerminalStream): number => stream.columns || DEFAULT_WIDTH;

/** Arguments of ours: what stands after `--` belongs to somebody else. */
export function beforeDashes(argv: readonly string[]): readonly string[] {
  const end = argv.indexOf('--');
  return end === -1 ? argv : argv.slice(0, end);
}

function forcedLevel(value: string): ColorLevel {
  if (value === '0' || value === 'false') return 0;
  return value === '2' ? 2 : value === '3' ? 3 : 1;
}
