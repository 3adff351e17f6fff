/** Tables without borders: a dim head, two spaces between columns. */
import { stripVTControlCharacters } from 'node:util';
import Table from 'cli-table3';
import { clip } from './format.js';
import type { Style } from './style.js';

export interface Column {
  readonly head: string;
  readonly align?: 'left' | 'right';
  /** Where the terminal is too narrow: is left out; is cut off, once nothing is left that could go. */
  readonly whenNarrow?: 'go' | 'cut';
  /** Of its text, which is plain without it. */
  readonly paint?: (text: string) => string;
}

const INDENT = 2;
const GAP = 2;
/** Narrower than this a cell says nothing. */
const LEAST_WIDTH = 8;

const NO_BORDERS = Object.fromEntries(
  ['top', 'top-mid', 'top-left', 'top-right', 'bottom', 'bottom-mid', 'bottom-left', 'bottom-right']
    .concat(['left', 'left-mid', 'mid', 'mid-mid', 'right', 'right-mid'])
    .map((name) => [name, '']),
);

/** `width`: of the terminal; Infinity in a pipe, where lines are as long as they are. */
export function table(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  style: Style,
  width = Number.POSITIVE_INFINITY,
): string {
  const { kept, widths } = fit(columns, rows, width);
  return draw(
    kept.map((index) => columns[index] ?? { head: '' }),
    rows.map((row) => kept.map((index, at) => cell(row[index] ?? '', columns[index], widths[at]))),
    style,
  );
}

const cell = (text: string, column: Column | undefined, width = 0): string => {
  const { whenNarrow, paint = (plain: string) => plain } = column ?? {};
  return paint(whenNarrow === 'cut' ? clip(text, width) : text);
};

/** The columns that stay, and how wide each of them is: from the right they go, then from the right they are cut off. */
function fit(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number,
): { kept: number[]; widths: number[] } {
  const natural = columns.map(({ head }, index) =>
    Math.max(head.length, ...rows.map((row) => stripVTControlCharacters(row[index] ?? '').length)),
  );
  let kept = columns.map((_, index) => index);
  const least = (index: number): number =>
    columns[index]?.whenNarrow === 'cut' ? Math.min(LEAST_WIDTH, natural[index] ?? 0) : (natural[index] ?? 0);
  const sum = (of: readonly number[]): number => of.reduce((all, each) => all + each + GAP, INDENT - GAP);
  while (sum(kept.map(least)) > width) {
    const goes = kept.findLast((index) => columns[index]?.whenNarrow === 'go');
    if (goes === undefined) break;
    kept = kept.filter((index) => index !== goes);
  }
  const widths = kept.map((index) => natural[index] ?? 0);
  for (const [at, index] of [...kept.entries()].reverse()) {
    const over = sum(widths) - width;
    if (over > 0) widths[at] = Math.max(least(index), (widths[at] ?? 0) - over);
  }
  return { kept, widths };
}

function draw(columns: readonly Column[], rows: readonly (readonly string[])[], style: Style): string {
  const drawn = new Table({
    head: columns.map(({ head }) => style.dim(head)),
    colAligns: columns.map(({ align }) => align ?? 'left'),
    chars: { ...NO_BORDERS, middle: '  ' },
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 0 },
  });
  drawn.push(...rows.map((row) => [...row]));
  return indent(trimLines(drawn.toString()));
}

/** `label  value` lines with the values below each other; an undefined value leaves its line out. */
export function facts(entries: readonly (readonly [string, string | undefined])[], style: Style): string {
  const shown = entries.filter((entry): entry is readonly [string, string] => entry[1] !== undefined);
  const width = Math.max(...shown.map(([label]) => label.length));
  return shown.map(([label, value]) => `  ${style.dim(label.padEnd(width))}  ${value}`).join('\n');
}

const trimLines = (text: string): string =>
  text
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');

const indent = (text: string): string => text.replace(/^(?=.)/gm, '  ');
