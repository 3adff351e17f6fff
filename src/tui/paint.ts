/** From tones to escape codes, in the 16 colours that every terminal has, or none. */
import { Chalk } from 'chalk';
import { clipLine, widthOfLine, type Line, type Tone } from './text.js';

/** How many colours the terminal takes (chalk's levels). */
export type ColorLevel = 0 | 1 | 2 | 3;
export type Paint = (line: Line, width: number) => string;

export function makePaint(level: ColorLevel): Paint {
  const chalk = new Chalk({ level: level === 0 ? 0 : 1 });
  const tones: Readonly<Record<Tone, (text: string) => string>> = {
    plain: (text) => text,
    dim: chalk.dim,
    strong: chalk.bold,
    good: chalk.green,
    warn: chalk.yellow,
    bad: chalk.red,
    accent: chalk.cyan,
    held: chalk.black.bgCyan,
    moving: chalk.black.bgMagenta,
    title: chalk.bold.cyan,
    key: chalk.bold.yellow,
    selected: chalk.inverse,
  };
  return (line, width) => {
    const shown = clipLine(line, width);
    // A row that is chosen is marked to its end.
    if (shown.some(({ tone }) => tone === 'selected')) {
      const text = shown.map((part) => part.text).join('');
      return tones.selected(text + ' '.repeat(Math.max(0, width - widthOfLine(shown))));
    }
    return shown.map(({ text, tone }) => tones[tone](text)).join('');
  };
}
