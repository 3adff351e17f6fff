/** Turns what the command framework throws into an error of the catalogue: short, and without its parser's insides. */
import type { Command } from '@oclif/core/command';
import type { Config } from '@oclif/core/interfaces';
import { DbproxyError } from '../errors/index.js';
import { nearest } from '../suggest.js';
import { beforeDashes } from './terminal.js';

/** The fields of the framework's parse errors that we read (its lib/parser/errors.js). */
interface ParseFailure {
  readonly message: string;
  readonly parse?: { readonly input?: { readonly flags?: Readonly<Record<string, unknown>> } };
  readonly flags?: readonly string[];
  readonly oclif?: { readonly exit?: number };
}

/** `command`: the one that was typed, as far as there is one; help on it is the next step where its flags are wrong. */
export function toDbproxyError(thrown: unknown, command?: string): DbproxyError {
  const error = inOurWords(thrown);
  if (error.code !== 'DBP_USAGE' || command === undefined) return error;
  return new DbproxyError('DBP_USAGE', { command, ...error.details }, { cause: thrown });
}

function inOurWords(thrown: unknown): DbproxyError {
  if (thrown instanceof Error && 'oclif' in thrown && !(thrown instanceof DbproxyError)) {
    return new DbproxyError(
      'DBP_USAGE',
      { reason: explain(thrown as unknown as ParseFailure) },
      { cause: thrown },
    );
  }
  // The framework writes around in the message of what a flag's parser threw.
  return thrown instanceof DbproxyError ? DbproxyError.fromJSON(thrown.toJSON()) : DbproxyError.from(thrown);
}

/** Up to the first flag. */
const wordsOf = (argv: readonly string[]): readonly string[] => {
  const flagAt = argv.findIndex((word) => word.startsWith('-'));
  return flagAt === -1 ? argv : argv.slice(0, flagAt);
};

/** The command that `argv` begins with, as it is typed: `workload run`. */
export function commandIn(argv: readonly string[], config: Config): string | undefined {
  const words = wordsOf(argv);
  const length = words.findLastIndex((_, i) => config.findCommand(words.slice(0, i + 1).join(':'))) + 1;
  return length === 0 ? undefined : words.slice(0, length).join(' ');
}

/**
 * Refuses what names no command: the framework would answer some of these with a help page and exit code 0.
 * `named`: what commandIn says. Throws DBP_USAGE_UNKNOWN_COMMAND or DBP_USAGE.
 */
export function assertCommandExists(
  argv: readonly string[],
  config: Config,
  named: string | undefined,
): void {
  const words = wordsOf(argv);
  const [first, second] = words;
  if (first === undefined) {
    const ours = beforeDashes(argv).filter((word) => !['--help', '-h', '--no-color'].includes(word));
    if (ours.length > 0)
      throw new DbproxyError('DBP_USAGE', { reason: `${ours[0]} must come after a command` });
    return;
  }
  const typed = named?.split(' ') ?? [];
  const command = config.findCommand(typed.join(':'));
  if (command) return assertTakes(words.slice(typed.length), command);
  if (config.findTopic(first) && second === undefined) return;
  throw unknownCommand(words.slice(0, config.findTopic(first) ? 2 : 1).join(' '), config);
}

/** The framework would take a superfluous argument for the name of a command below this one. */
function assertTakes(extra: readonly string[], command: Command.Loadable): void {
  const takesAny = command.strict === false || Object.keys(command.args).length > 0;
  if (extra.length === 0 || takesAny) return;
  throw new DbproxyError('DBP_USAGE', { reason: `unexpected argument ${extra.join(' ')}` });
}

function unknownCommand(name: string, config: Config): DbproxyError {
  const known = config.commands.filter(({ hidden }) => !hidden).map(({ id }) => id.replaceAll(':', ' '));
  const meant = nearest(name, known);
  return new DbproxyError('DBP_USAGE_UNKNOWN_COMMAND', {
    command: name,
    next: meant ? `dbproxy ${meant}` : 'dbproxy help',
  });
}

function explain(failure: ParseFailure): string {
  const known = Object.keys(failure.parse?.input?.flags ?? {});
  if (failure.flags && failure.flags.length > 0) {
    const named = failure.flags.map((flag) => describeFlag(flag, known));
    return `unknown flag ${named.join(', ')}`;
  }
  return failure.message
    .replace(/\n+See more help with --help\s*$/, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/^The following errors? occurred: /, '')
    .replace(/^Missing required flag (\S+)/, 'missing required flag --$1')
    .replace(/^Parsing (--\S+) (.)/, (_, flag: string, first: string) => `${flag}: ${first.toLowerCase()}`)
    .replace(/^[A-Z]/, (first) => first.toLowerCase());
}

function describeFlag(flag: string, known: readonly string[]): string {
  const meant = nearest(flag.replace(/^-+/, ''), known);
  return meant === undefined ? flag : `${flag} (did you mean --${meant}?)`;
}
