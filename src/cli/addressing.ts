/**
 * Next steps are written without an instance (`dbproxy scale --to large`), wherever they come from: the error catalogue, a command,
 * another process. Typed as they stand they would act on the default instance; here they get the one that the command was for.
 *
 *   `--name shop --writer 2` of the command that runs ─▶ `dbproxy scale --to large` ─▶ `dbproxy scale --name shop --writer 2 --to large`
 */
import type { Config } from '@oclif/core/interfaces';
import { parseWriterName } from '../control/multiwriter/names.js';
import { beforeDashes } from './terminal.js';

/** A text with commands in it, each said for the instance that is meant. */
export type Addressing = (text: string) => string;

export const unaddressed: Addressing = (text) => text;

/** They are about all the writers of an instance. */
const OF_ALL_WRITERS = ['up', 'conflict'];
/** What can stand in a command without quotes; anything else is no name of an instance. */
export const INSTANCE_NAME = /^[a-z][a-z0-9-]*$/;
/** `dbproxy`, and the words behind it that may be a command's, of which there are two at most. */
const COMMAND = /\bdbproxy((?: [a-z][a-z-]*){1,2})(?![\w-])((?:(?!\bdbproxy ).)*)/gs;

/** `command`: the one that runs, as typed (`workload run`); `argv`: its flags, which may be wrong. */
export function addressingOf(config: Config, command: string, argv: readonly string[]): Addressing {
  const hasInstance = (typed: string): boolean =>
    config.findCommand(typed.replaceAll(' ', ':'))?.flags.name !== undefined;
  const own = beforeDashes(argv);
  const given = flagValue(own, '--name', '-n') ?? 'default';
  const { instance, writer } = parseWriterName(given) ?? {
    instance: given,
    writer: Number(flagValue(own, '--writer') ?? 1),
  };
  if (!hasInstance(command) || !INSTANCE_NAME.test(instance)) return unaddressed;

  const nameFlag = instance === 'default' ? '' : ` --name ${instance}`;
  const flagsFor = (verb: string, behind: string): string => {
    const isOfOne = writer > 1 && !OF_ALL_WRITERS.includes(verb) && !/ --writer\b/.test(behind);
    return nameFlag + (isOfOne ? ` --writer ${writer}` : '');
  };
  return (text) =>
    text.replace(COMMAND, (all: string, words: string, rest: string) => {
      const [, first = '', second = ''] = words.split(' ');
      const verb = [`${first} ${second}`.trim(), first].find(hasInstance);
      if (verb === undefined) return all;
      const behind = words.slice(verb.length + 1) + rest;
      if (/ --all\b/.test(behind)) return all;
      const named = / (?:--name|-n) (\S+)/.exec(behind);
      if (named) return OF_ALL_WRITERS.includes(verb) ? ofAll(all, named[1]) : all;
      return `dbproxy ${verb}${flagsFor(verb, behind)}${behind}`;
    });
}

/** A writer is started with all of them: `--name shop.w2` is that of shop. */
const ofAll = (text: string, name = ''): string =>
  text.replace(` ${name}`, ` ${parseWriterName(name)?.instance ?? name}`);

/** `--name shop`, `--name=shop`, `-n shop`, `-nshop`; of several the last. */
export function flagValue(argv: readonly string[], flag: string, short?: string): string | undefined {
  const at = argv.findLastIndex(
    (word) =>
      word === flag || word.startsWith(`${flag}=`) || (short && /^-\w/.test(word) && word.startsWith(short)),
  );
  const word = argv[at];
  if (word === undefined) return undefined;
  if (word === flag || word === short) return argv[at + 1];
  return word.startsWith(flag) ? word.slice(flag.length + 1) : word.slice(2).replace(/^=/, '');
}
