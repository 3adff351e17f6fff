/** Turns what the command framework throws into an error of the catalogue: short, and without its parser's insides. */
import type { Command } from '@oclif/core/command';
import type { Config } from '@oclif/core/interfaces';
import { DbproxyError } from '../errors/index.js';
import { SIZE_NAMES } from '../engine/types.js';
import { nearest } from '../suggest.js';
import { INSTANCE_NAME } from './addressing.js';
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
  const error = forCommand(inOurWords(thrown), command);
  if (error.code !== 'DBP_USAGE' || command === undefined) return error;
  const next = RIGHT_FORMS.find((form) => form.command === command && form.of.test(error.message))?.next;
  return new DbproxyError(
    'DBP_USAGE',
    { command, ...(next !== undefined && { next }), ...error.details },
    { cause: thrown },
  );
}

/** An unknown version is said by whoever looks for it; what is typed instead, by the command. */
function forCommand(error: DbproxyError, command?: string): DbproxyError {
  const verb = error.code === 'DBP_USAGE_UNKNOWN_VERSION' && command && VERSION_VERBS[command];
  return verb ? new DbproxyError(error.code, { ...error.details, verb }, { cause: error.cause }) : error;
}

const VERSION_VERBS: Readonly<Record<string, string>> = { patch: 'patch --to', 'engine add': 'engine add' };

/** How a command is typed that is often typed in another way. */
const RIGHT_FORMS = [
  { command: 'scale', of: /^missing required flag/, next: 'dbproxy scale --to large' },
  { command: 'patch', of: /^exactly one of/, next: 'dbproxy patch --to 17' },
  { command: 'workload run', of: /^missing argument/, next: 'dbproxy workload run tpcb-like --init' },
  { command: 'engine add', of: /^missing argument/, next: 'dbproxy engine add 17' },
  { command: 'psql', of: /^unknown flag/, next: "dbproxy psql -- -c 'select version()'" },
] as const;

/** What other tools call it. */
const OTHER_WORDS: Readonly<Record<string, string>> = {
  ...{ start: 'up', run: 'up', create: 'up' },
  ...{ stop: 'down', rm: 'down --purge', remove: 'down --purge', destroy: 'down --purge' },
  ...{ ls: 'status --all', list: 'status --all', ps: 'status --all', instances: 'status --all' },
  ...{ ui: 'watch', tui: 'watch', monitor: 'watch', dashboard: 'watch' },
  ...{ connect: 'psql', sql: 'psql', shell: 'psql' },
  ...{ resize: 'scale', upgrade: 'patch', update: 'patch' },
  ...{ bench: 'workload run', pgbench: 'workload run', load: 'workload run' },
};

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
  if (command) return assertTakes(words.slice(typed.length), command, argv);
  if (config.findTopic(first) && second === undefined) return assertForPeople(first, argv);
  throw unknownCommand(words.slice(0, config.findTopic(first) ? 2 : 1).join(' '), config);
}

/** The help of a topic is no JSON. */
function assertForPeople(topic: string, argv: readonly string[]): void {
  if (!argv.includes('--json')) return;
  throw new DbproxyError('DBP_USAGE', { reason: `${topic} is no command by itself`, command: topic });
}

/** A variable of a shell that is not set: what an empty value means nobody can know (every host is one of its meanings). */
export function assertNothingEmpty(argv: readonly string[]): void {
  const words = beforeDashes(argv);
  const at = words.findIndex((word) => word === '' || /^--[\w-]+=$/.test(word));
  if (at === -1) return;
  const flag = words[at] === '' ? words[at - 1] : words[at]?.slice(0, -1);
  const of = flag?.startsWith('-') ? `the value of ${flag}` : 'an argument';
  throw new DbproxyError('DBP_USAGE', { reason: `${of} is empty` });
}

/** The framework would take a superfluous argument for the name of a command below this one. */
function assertTakes(extra: readonly string[], command: Command.Loadable, argv: readonly string[]): void {
  const takesAny = command.strict === false || Object.keys(command.args).length > 0;
  if (extra.length === 0 || takesAny) return;
  const next = flagFor(extra, command, argv);
  throw new DbproxyError('DBP_USAGE', {
    reason: `unexpected argument ${extra.join(' ')}`,
    ...(next && { next }),
  });
}

/** `scale large` means a flag: the command with it. */
function flagFor(
  [word = '', ...more]: readonly string[],
  { id, flags }: Command.Loadable,
  argv: readonly string[],
): string | undefined {
  if (more.length > 0) return undefined;
  const typed = `dbproxy ${id.replaceAll(':', ' ')}`;
  const isGiven = (name: string): boolean => argv.some((each) => each.startsWith(name));
  const isValue = id === 'patch' ? /^\d+(\.\d+)?$/.test(word) : SIZE_NAMES.some((name) => name === word);
  if (isValue && flags.to) return `${typed} --to ${word}`;
  if (!flags.name || isGiven('--name') || isGiven('-n') || !INSTANCE_NAME.test(word)) return undefined;
  return `${typed} --name ${word}`;
}

function unknownCommand(name: string, config: Config): DbproxyError {
  const known = config.commands.filter(({ hidden }) => !hidden).map(({ id }) => id.replaceAll(':', ' '));
  const meant = OTHER_WORDS[name] ?? nearest(name, known);
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
    .replace(/^Missing \d+ required args?: (\S+).*$/, 'missing argument: $1')
    .replace(/^Missing required flag (\S+)/, 'missing required flag --$1')
    .replace(/^Parsing (--\S+) (.)/, (_, flag: string, first: string) => `${flag}: ${first.toLowerCase()}`)
    .replace(/^[A-Z]/, (first) => first.toLowerCase());
}

function describeFlag(flag: string, known: readonly string[]): string {
  const meant = nearest(flag.replace(/^-+/, ''), known);
  return meant === undefined ? flag : `${flag} (did you mean --${meant}?)`;
}
