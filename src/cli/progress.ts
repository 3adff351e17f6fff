/**
 * Progress of a long command: one line that is redrawn on a terminal, with a bar where it is known how much is done; elsewhere
 * one plain line a step, one for each quarter of it, and what is news within it.
 */
import type { WriteStream } from 'node:tty';
import { clip, duration } from './format.js';
import type { Style } from './style.js';
import { widthOf } from './terminal.js';

const FRAMES = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 80;
const BAR_WIDTH = 20;
const QUARTERS = 4;
export const CLEAR_LINE = '\r\u001b[2K';

export class Progress {
  readonly #stream: WriteStream;
  readonly #style: Style;
  readonly #animated: boolean;
  readonly #silent: boolean;
  #timer: NodeJS.Timeout | undefined;
  #frame = 0;
  #step = '';
  #detail = '';
  #fraction: number | undefined;
  #quarter = 0;
  #since = performance.now();

  constructor(stream: WriteStream, style: Style, mode: { animated: boolean; silent: boolean }) {
    this.#stream = stream;
    this.#style = style;
    this.#animated = mode.animated;
    this.#silent = mode.silent;
  }

  /** `isNews`: a line of its own, also within a step. */
  step(name: string, detail: string, fraction?: number, isNews = false): void {
    const quarter = Math.floor((fraction ?? 0) * QUARTERS);
    const isNew = name !== this.#step;
    const isTold = isNew || isNews || quarter > this.#quarter;
    if (isNew) this.#since = performance.now();
    this.#step = name;
    this.#detail = detail;
    this.#fraction = fraction;
    this.#quarter = quarter;
    if (this.#animated) this.#draw();
    else if (isTold && !this.#silent) this.#stream.write(`${this.#plain()}\n`);
  }

  /** Removes the line, so that something else can be written; the next frame draws it again. */
  clear(): void {
    if (this.#animated) this.#stream.write(CLEAR_LINE);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.clear();
  }

  #draw(): void {
    this.#timer ??= setInterval(() => this.#draw(), FRAME_MS).unref();
    const frame = FRAMES[this.#frame++ % FRAMES.length] ?? '';
    const time = duration(performance.now() - this.#since);
    const bar = this.#fraction === undefined ? '' : `${barOf(this.#fraction)} `;
    const text = clip(this.#plain(), widthOf(this.#stream) - bar.length - time.length - 6);
    this.#stream.write(
      `${CLEAR_LINE}${this.#style.accent(`${frame} ${bar}`.trimEnd())} ${text}  ${this.#style.dim(time)}`,
    );
  }

  #plain(): string {
    return this.#detail === '' ? this.#step : `${this.#step}: ${this.#detail}`;
  }
}

/** `███████░░░░░` */
export function barOf(fraction: number): string {
  const done = Math.round(Math.min(Math.max(fraction, 0), 1) * BAR_WIDTH);
  return '█'.repeat(done) + '░'.repeat(BAR_WIDTH - done);
}
