/** The keys, and what the letters and colours mean. */
import { span, type Line } from '../text.js';
import { KINDS } from './kinds.js';

const KEYS: readonly (readonly [string, string])[] = [
  ['s  p', 'scale, patch: move every session elsewhere'],
  ['w  f', 'load, again: stop it; kill a process of ours'],
  ['c  v', 'write conflicts; what was decided on them'],
  ['↑ ↓ Enter', 'choose a session, look at it closely'],
  ['/  Esc', 'show only what matches; show all'],
  ['space  + -', 'stand still; look more often, less often'],
  ['y  Ctrl-L', 'copy the command below (OSC 52); draw anew'],
  ['q  Ctrl-Z', 'quit; to the shell, and back with fg'],
];

/** Fits the smallest screen. */
export function helpView(width: number, height: number): Line[] {
  const letters = Object.values(KINDS).map(({ letter, name }) => `${letter} ${name}`);
  const lines: Line[] = [
    ...KEYS.map(([key, meaning]): Line => [span(key.padEnd(13), 'key'), span(meaning)]),
    [span('holds', 'title'), span(': what a session would take along', 'dim')],
    ...inColumns(letters, width).map((text): Line => [span(text)]),
    [span('latency', 'title'), span(': busy sessions ÷ transactions a second', 'dim')],
    [span('hold', 'title'), span(': how long the proxy lets sessions wait', 'dim')],
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
