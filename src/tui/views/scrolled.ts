/** A title, what of the lines there is room for, and how many there are below. */
import { span, type Line } from '../text.js';

/** At most `height` lines; scrolled beyond the end, it is the last ones. */
export function scrolled(title: Line, lines: readonly Line[], scroll: number, height: number): Line[] {
  const rows = Math.max(1, height - 2);
  const top = Math.max(0, Math.min(scroll, lines.length - rows));
  const below = lines.length - rows - top;
  const more: Line = [span(below > 0 ? `${below} more lines below` : '', 'dim')];
  return [title, ...lines.slice(top, top + rows), more].slice(0, height);
}
