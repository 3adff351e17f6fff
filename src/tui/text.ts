/**
 * Lines of a screen: spans of text, each with a tone. How wide they are, and how they are cut. What comes from outside (queries,
 * names of applications) passes `clean` first: nobody's text moves the cursor.
 */
import stringWidth from 'string-width';

/** What a text means; paint.ts knows how that looks. */
export type Tone =
  | 'plain'
  | 'dim'
  | 'strong'
  | 'good'
  | 'warn'
  | 'bad'
  | 'accent'
  | 'held'
  | 'moving'
  | 'title'
  | 'key'
  | 'selected';

export interface Span {
  readonly text: string;
  readonly tone: Tone;
}

export type Line = readonly Span[];

export const span = (text: string, tone: Tone = 'plain'): Span => ({ text, tone });
export const EMPTY: Line = [];

/** Latin, punctuation, arrows, boxes and blocks: a column each. Asking a library for every one of them took a third of a frame. */
const NARROW = /^[ -~\u00a0-\u02ff\u2010-\u2027\u2190-\u21ff\u2248\u2500-\u25ff\u2714\u2716\u2800-\u28ff]*$/;

export const widthOf = (text: string): number => (NARROW.test(text) ? text.length : stringWidth(text));
export const widthOfLine = (line: Line): number => line.reduce((sum, { text }) => sum + widthOf(text), 0);

const segments = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** At most `width` columns of it; what is cut ends with an ellipsis. */
export function clip(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  if (width <= 0) return '';
  if (NARROW.test(text)) return `${text.slice(0, width - 1)}…`;
  let taken = '';
  let columns = 0;
  for (const { segment } of segments.segment(text)) {
    columns += stringWidth(segment);
    if (columns > width - 1) break;
    taken += segment;
  }
  return `${taken}…`;
}

/** Exactly `width` columns. */
export function fit(text: string, width: number, align: 'left' | 'right' = 'left'): string {
  const clipped = clip(text, width);
  const padding = ' '.repeat(Math.max(0, width - widthOf(clipped)));
  return align === 'left' ? clipped + padding : padding + clipped;
}

export function clipLine(line: Line, width: number): Line {
  let left = width;
  const clipped: Span[] = [];
  for (const { text, tone } of line) {
    if (left <= 0) break;
    const part = clip(text, left);
    clipped.push({ text: part, tone });
    left -= widthOf(part);
  }
  return clipped;
}

/** `left` and, as far as there is room, `right` at the other edge. */
export function between(left: Line, right: Line, width: number): Line {
  const room = width - widthOfLine(left) - widthOfLine(right);
  return room < 1 ? clipLine(left, width) : [...left, span(' '.repeat(room)), ...right];
}

/** Control characters, and those that turn the direction of writing. */
const UNSAFE = /[\p{Cc}\u200e\u200f\u2028-\u202e\u2066-\u2069]/gu;

/** One line that holds nothing but characters. */
export const clean = (text: string): string => text.replace(/\s+/g, ' ').replace(UNSAFE, '·').trim();
