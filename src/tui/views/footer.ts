/** The last lines: what commands of ours are doing or did, the keys, and the command that does the same. */
import { duration } from '../../cli/format.js';
import { equivalent } from '../keyboard.js';
import type { Model, Ui } from '../model.js';
import { between, clip, clipLine, span, widthOf, type Line, type Span } from '../text.js';

/** In the order of their worth: a narrow screen shows the first ones. */
const KEYS: readonly (readonly [string, string])[] = [
  ['q', 'quit'],
  ['s', 'scale'],
  ['p', 'patch'],
  ['w', 'load'],
  ['Enter', 'session'],
  ['/', 'filter'],
  ['?', 'help'],
  ['f', 'fault'],
  ['c', 'conflict'],
  ['v', 'verdicts'],
  ['space', 'pause'],
  ['y', 'copy'],
  ['+/-', 'refresh'],
];
const KEYS_OF_DIALOG = [
  ['Enter', 'run it'],
  ['Esc', 'leave it'],
  ['←/→', 'choose'],
  ['↑/↓', 'field'],
  ['y', 'copy'],
] as const;
const KEYS_OF_DETAIL = [
  ['Esc', 'back'],
  ['↑/↓', 'scroll'],
  ['Enter', 'look again'],
  ['y', 'copy'],
  ['s', 'scale'],
  ['p', 'patch'],
] as const;
const KEYS_OF_VERDICTS = [
  ['Esc', 'back'],
  ['↑/↓', 'scroll'],
  ['c', 'conflict'],
  ['y', 'copy'],
] as const;
const KEYS_OF_HELP = [['any key', 'closes help']] as const;
const KEYS_OF_FILTER = [
  ['Enter', 'keep it'],
  ['Esc', 'show all'],
  ['↑/↓', 'choose'],
] as const;

const NOTICE_LINES = 2;

export function footerView(model: Model, width: number): Line[] {
  return [...noticeLines(model, width), keysLine(model, width), commandLine(model, width)];
}

function noticeLines({ link, ui: { notice } }: Model, width: number): Line[] {
  if (link.state === 'reconnecting') return [[span(`waiting: ${link.reason}`, 'warn')]];
  if (!notice) return [];
  return wrapped(notice.text, width, NOTICE_LINES).map((text) => [span(text, notice.tone)]);
}

function keysLine({ ui }: Model, width: number): Line {
  const shown: Span[] = [];
  let left = width;
  for (const [key, meaning] of keysOf(ui)) {
    left -= widthOf(key) + widthOf(meaning) + 3;
    if (left < 0) break;
    shown.push(span(key, 'key'), span(` ${meaning}  `, 'dim'));
  }
  return shown;
}

function keysOf({ dialog, editsFilter, help, detail, verdicts }: Ui): readonly (readonly [string, string])[] {
  if (dialog) return KEYS_OF_DIALOG;
  if (editsFilter) return KEYS_OF_FILTER;
  if (help) return KEYS_OF_HELP;
  if (detail) return KEYS_OF_DETAIL;
  return verdicts === null ? KEYS : KEYS_OF_VERDICTS;
}

function commandLine(model: Model, width: number): Line {
  const running = model.tasks.map(
    ({ args, sinceMs }) => `${args.slice(0, 3).join(' ')} ${duration(Math.max(0, model.nowMs - sinceMs))}`,
  );
  const tasks: Line =
    running.length === 0 ? [] : [span(`▸ ${clip(running.join(', '), width / 2)}`, 'accent')];
  const command: Line = [span('$ ', 'dim'), span(equivalent(model), 'accent')];
  return between(clipLine(command, width), tasks, width);
}

/** In at most `most` lines, cut between words. */
export function wrapped(text: string, width: number, most: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && widthOf(line) + 1 + widthOf(word) > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  lines.push(line);
  const [kept, rest] = [lines.slice(0, most - 1), lines.slice(most - 1)];
  return [...kept, clip(rest.join(' '), width)];
}
