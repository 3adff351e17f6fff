/** The keys, and what the letters and colours mean. */
import { EMPTY, span, type Line } from '../text.js';
import { KINDS } from './kinds.js';

const KEYS: readonly (readonly [string, string])[] = [
  ['s  p', 'scale, patch: move every session to another engine'],
  ['w', 'load from the bundled scripts; again: stop it'],
  ['c  f', 'write conflicts; end a process as a crash would'],
  ['↑ ↓ Enter', 'choose a session, look at it closely'],
  ['/  Esc', 'show only what matches; show all'],
  ['space  + -', 'stand still; look more often, less often'],
  ['y', 'copy the command at the bottom (OSC 52)'],
  ['Ctrl-Z  Ctrl-L', 'to the shell and back with fg; draw anew'],
  ['q', 'quit; what runs in the instance goes on'],
];

export function helpView(width: number, height: number): Line[] {
  const letters = Object.values(KINDS).map(({ letter, name }) => `${letter} ${name}`);
  const lines: Line[] = [
    [span('help', 'title'), span('  any key closes it', 'dim')],
    EMPTY,
    ...KEYS.map(([key, meaning]): Line => [span(key.padEnd(15), 'key'), span(meaning)]),
    EMPTY,
    [span('what sessions hold', 'title')],
    ...inColumns(letters, width).map((text): Line => [span(text)]),
    EMPTY,
    [span('latency', 'title'), span(' is estimated: busy sessions ÷ transactions per second', 'dim')],
    [span('hold', 'title'), span(' is how long the proxy kept a session waiting', 'dim')],
  ];
  return lines.slice(0, height);
}

function inColumns(items: readonly string[], width: number): string[] {
  const room = Math.max(...items.map(({ length }) => length)) + 2;
  const perLine = Math.max(1, Math.floor(width / room));
  return Array.from({ length: Math.ceil(items.length / perLine) }, (_, row) =>
    items
      .slice(row * perLine, (row + 1) * perLine)
      .map((item) => item.padEnd(room))
      .join(''),
  );
}
