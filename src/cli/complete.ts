/**
 * What a shell offers at TAB. The functions that `dbproxy autocomplete` prints call `dbproxy __complete WORD…` with the words up to the
 * cursor, and get one candidate a line; FILES asks for names of files. The manifest has the commands, so that nothing else is loaded.
 */
import { readFile } from 'node:fs/promises';
import type { Command } from '@oclif/core/command';
import { flagValue } from './addressing.js';

/** In place of candidates: the shell knows files better. */
export const FILES = ':files';

type Flag = Command.Flag.Cached & { readonly helpValue?: string };
interface Manifest {
  readonly commands: Readonly<
    Record<
      string,
      Pick<Command.Cached, 'id' | 'aliases' | 'hidden' | 'args'> & { flags: Record<string, Flag> }
    >
  >;
}
type Known = Manifest['commands'][string];

/** What lies behind walls of ours: the entry in bin/ hands it in. */
export interface Playground {
  scenarios(): Promise<readonly string[]>;
  workloads(): Promise<readonly string[]>;
}

/** `typed`: the words behind `dbproxy`, the last one as far as it is typed. */
async function complete(typed: readonly string[], playground: Playground): Promise<string[]> {
  const manifest = await readManifest();
  const words = withoutEquals(typed);
  const current = words.at(-1) ?? '';
  const before = words.slice(0, -1);
  if (before.includes('--')) return [FILES];
  const { command, path } = commandOf(before, manifest);
  if (!command) return startingWith(current, nextWords(path, manifest));

  const [, flag = '', value] = /^(--[a-z-]+)=(.*)$/s.exec(current) ?? [];
  if (value !== undefined)
    return startingWith(value, await valuesOf(flagNamed(flag, command))).map((each) =>
      each === FILES ? each : `${flag}=${each}`,
    );
  const awaiting = flagNamed(before.at(-1) ?? '', command);
  if (awaiting?.type === 'option') return startingWith(current, await valuesOf(awaiting));
  if (current.startsWith('-')) return startingWith(current, flagsOf(command, before));
  return startingWith(current, await argumentsOf(command, before, playground));
}

export async function printCompletions(typed: readonly string[], playground: Playground): Promise<void> {
  const found = await complete(typed, playground);
  // There is nobody to tell.
  process.stdout.on('error', () => undefined);
  if (found.length > 0) process.stdout.write(`${found.join('\n')}\n`);
}

async function readManifest(): Promise<Manifest> {
  const text = await readFile(new URL('../../oclif.manifest.json', import.meta.url), 'utf8');
  return JSON.parse(text) as Manifest;
}

/** bash takes `--to=la` for three words. */
const withoutEquals = (words: readonly string[]): string[] =>
  words
    .filter((word, i) => word !== '=' || !words[i - 1]?.startsWith('--'))
    .concat(words.at(-1) === '=' && words.at(-2)?.startsWith('--') ? [''] : []);

const startingWith = (start: string, candidates: readonly string[]): string[] =>
  [...new Set(candidates)].filter((each) => each === FILES || each.startsWith(start));

/** `path`: the words of it, as far as they are typed. */
function commandOf(
  words: readonly string[],
  { commands }: Manifest,
): { command?: Known; path: readonly string[] } {
  const flagAt = words.findIndex((word) => word.startsWith('-'));
  const path = (flagAt === -1 ? words : words.slice(0, flagAt)).filter((word, i) => i > 0 || word !== 'help');
  const find = (length: number): Known | undefined => {
    const id = path.slice(0, length).join(':');
    return commands[id] ?? Object.values(commands).find(({ aliases }) => aliases.includes(id));
  };
  const command = find(2) ?? find(1);
  return { path, ...(command && { command }) };
}

function nextWords(path: readonly string[], { commands }: Manifest): string[] {
  const shown = Object.values(commands).filter(({ hidden }) => !hidden);
  const next = shown
    .flatMap(({ id, aliases }) => [id, ...aliases])
    .map((id) => id.split(':'))
    .filter((parts) => path.every((word, i) => parts[i] === word))
    .flatMap((parts) => parts[path.length] ?? []);
  return path.length === 0 ? [...next, 'help'].sort() : next;
}

const flagNamed = (word: string, { flags }: Known): Flag | undefined =>
  Object.values(flags).find(({ name, char }) => word === `--${name}` || (char && word === `-${char}`));

const flagsOf = ({ flags }: Known, given: readonly string[]): string[] =>
  Object.values(flags)
    .filter((flag) => !flag.hidden)
    .flatMap((flag) => [
      `--${flag.name}`,
      ...(flag.type === 'boolean' && flag.allowNo ? [`--no-${flag.name}`] : []),
    ])
    .concat('--help')
    .filter((each) => !given.includes(each));

async function valuesOf(flag: Flag | undefined): Promise<string[]> {
  if (flag?.type !== 'option') return [];
  if (flag.options) return [...flag.options];
  const { name, helpValue = '' } = flag;
  if (name === 'name') return instances();
  if (name === 'postgres' || helpValue === 'VERSION') return versions();
  if (/^(FILE|DIR)/.test(helpValue)) return [FILES];
  // `small|medium`, `NUMBER|off`: what is written in capitals is for people to fill in.
  return helpValue.includes('|') ? helpValue.split('|').filter((each) => /^[a-z]/.test(each)) : [];
}

async function argumentsOf(
  { id, args }: Known,
  before: readonly string[],
  playground: Playground,
): Promise<string[]> {
  const options = Object.values(args).flatMap((arg): readonly string[] => arg.options ?? []);
  switch (id) {
    case 'demo:run':
      return [...(await playground.scenarios()), FILES];
    case 'workload:run':
      return [...(await playground.workloads()), FILES];
    case 'demo:init':
      return [FILES];
    case 'engine:rm':
      return versions();
    case 'logs':
      return ['engine', 'proxy', 'supervisor', ...(await logs(before))];
    default:
      return options;
  }
}

async function instances(): Promise<string[]> {
  const { listInstanceNames } = await import('../control/instance-directory.js');
  return listInstanceNames();
}

/** Of the instance that is typed: its engines and storage nodes, too. */
async function logs(before: readonly string[]): Promise<string[]> {
  const { instanceLogs } = await import('../control/client.js');
  const { writerName } = await import('../control/multiwriter/names.js');
  const name = writerName(
    flagValue(before, '--name', '-n') ?? 'default',
    Number(flagValue(before, '--writer') ?? 1),
  );
  const found = await instanceLogs(name).catch(() => []);
  return found.map((log) => log.name);
}

/** Of PostgreSQL, as far as they are here. */
async function versions(): Promise<string[]> {
  const { packagesAtHand } = await import('../engine/index.js');
  const { engineCache } = await import('../control/paths.js');
  return (await packagesAtHand(engineCache())).map(({ postgres }) => postgres);
}
