/** The colours and marks of the human output, by meaning. Views use these and nothing of chalk itself. */
import { Chalk } from 'chalk';
import type { ColorLevel } from './terminal.js';

type Paint = (text: string) => string;

export interface Style {
  readonly strong: Paint;
  readonly dim: Paint;
  readonly good: Paint;
  readonly warn: Paint;
  readonly bad: Paint;
  readonly accent: Paint;
  readonly ok: string;
  readonly caution: string;
  readonly fail: string;
}

export function makeStyle(level: ColorLevel): Style {
  const chalk = new Chalk({ level });
  return {
    strong: chalk.bold,
    dim: chalk.dim,
    good: chalk.green,
    warn: chalk.yellow,
    bad: chalk.red,
    accent: chalk.cyan,
    ok: chalk.green('✔'),
    caution: chalk.yellow('!'),
    fail: chalk.red('✖'),
  };
}
