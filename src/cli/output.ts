/**
 * The one writer. Data goes to stdout, everything said about it to stderr. With --json, stdout gets one object (or one a
 * line from a command that follows something) and nothing is said unless stderr is a terminal.
 */
import type { DbproxyError } from '../errors/index.js';
import { type Addressing, unaddressed } from './addressing.js';
import { CLEAR_LINE, Progress } from './progress.js';
import type { Style } from './style.js';
import { makeStyle } from './style.js';
import { canAnimate, colorLevel, widthOf } from './terminal.js';

/** What every command answers: the JSON contract names its shape first. */
export interface JsonResult {
  readonly schema: `dbproxy.${string}/${number}`;
}

export class Output {
  readonly json: boolean;
  /** For what is written to stdout. */
  readonly style: Style;
  /** Of the terminal; a pipe takes lines of any length. */
  readonly width: number;
  readonly #messageStyle: Style;
  /** Every command that is said, here or in JSON, is one for the instance that this command was for. */
  readonly #addressed: Addressing;
  #progress: Progress | undefined;

  constructor(json: boolean, addressed: Addressing = unaddressed) {
    this.json = json;
    this.#addressed = addressed;
    this.style = makeStyle(colorLevel(process.stdout));
    this.#messageStyle = makeStyle(colorLevel(process.stderr));
    this.width = process.stdout.isTTY ? widthOf(process.stdout) : Number.POSITIVE_INFINITY;
    // bin/run.js has shown a line before anything was loaded.
    if (canAnimate(process.stderr)) process.stderr.write(CLEAR_LINE);
  }

  /** A result for programs. */
  result(value: JsonResult): void {
    this.endProgress();
    process.stdout.write(`${this.#jsonOf(value)}\n`);
  }

  /** A result for people, or the bare text a shell wants. */
  data(text: string): void {
    this.endProgress();
    process.stdout.write(`${text}\n`);
  }

  /** Says something beside the result. */
  note(text: string): void {
    this.#progress?.clear();
    if (!this.json) process.stderr.write(`${this.#messageStyle.dim(this.#addressed(text))}\n`);
  }

  /** What to type next. */
  hint(label: string, commands: readonly string[]): void {
    const list = commands
      .map((command) => this.#messageStyle.accent(this.#addressed(command)))
      .join(this.#messageStyle.dim(' · '));
    if (!this.json) process.stderr.write(`\n  ${this.#messageStyle.dim(label)}  ${list}\n`);
  }

  /** What is being done now, and how much of it is done (0…1), where that is known; shown at once. */
  step(name: string, detail = '', fraction?: number, isNews = false): void {
    this.#progress ??= new Progress(process.stderr, this.#messageStyle, {
      animated: canAnimate(process.stderr),
      silent: this.json && !canAnimate(process.stderr),
    });
    this.#progress.step(name, detail, fraction, isNews);
  }

  endProgress(): void {
    this.#progress?.end();
    this.#progress = undefined;
  }

  /** The error that ends the command. With --json it is the one object on stdout. */
  failure(error: DbproxyError): void {
    this.endProgress();
    if (this.json) {
      process.stdout.write(`${this.#jsonOf(error)}\n`);
      return;
    }
    this.complaint(error);
  }

  /** Something beside the result failed: the result stays what is on stdout. */
  complaint(error: DbproxyError): void {
    this.endProgress();
    const style = this.#messageStyle;
    const [first = '', ...rest] = error.message.split('\n');
    const lines = [
      `${style.fail} ${style.strong(first)}  ${style.dim(error.code)}`,
      ...rest.map((line) => `  ${line}`),
    ];
    if (error.suggestions.length > 0) {
      const next = error.suggestions.map((text) => style.accent(this.#addressed(text)));
      lines.push('', ...next.map((text) => `  ${style.dim('try')}  ${text}`));
    }
    process.stderr.write(`${lines.join('\n')}\n`);
  }

  #jsonOf(value: object): string {
    return JSON.stringify(value, (key, part: unknown) =>
      key === 'suggestions' && Array.isArray(part) ? part.map((text) => this.#addressed(String(text))) : part,
    );
  }
}
