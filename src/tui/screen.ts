/**
 * The terminal while it is ours: its alternate screen, lines put where they belong, and the way back.
 *
 * ink's own output is not used. It makes an object of every cell: 35 to 60 ms of processor for a frame of 200×60, which is 14 to
 * 24 % of a core at four frames a second (docs/watch.md); and it moves the cursor relative to where it was, which a resize or a
 * suspension makes untrue. Here a line is written when it has changed, at its absolute place.
 */
import type { WriteStream } from 'node:tty';
import type { Size } from './views/frame.js';

const ESC = '\u001b[';
const ALTERNATE = `${ESC}?1049h`;
const MAIN = `${ESC}?1049l`;
const HIDE_CURSOR = `${ESC}?25l`;
const SHOW_CURSOR = `${ESC}?25h`;
const CLEAR = `${ESC}2J`;
const CLEAR_LINE = `${ESC}2K`;
const RESET = `${ESC}0m`;
/** Terminals that know synchronised output show a frame as a whole; the others do not mind. */
const BEGIN_FRAME = `${ESC}?2026h`;
const END_FRAME = `${ESC}?2026l`;

export class Screen {
  readonly #stream: WriteStream;
  #shown: readonly string[] = [];
  #isOurs = false;

  constructor(stream: WriteStream) {
    this.#stream = stream;
  }

  get size(): Size {
    return { columns: this.#stream.columns || 80, rows: this.#stream.rows || 24 };
  }

  onResize(call: () => void): () => void {
    this.#stream.on('resize', call);
    return () => this.#stream.off('resize', call);
  }

  enter(): void {
    if (this.#isOurs) return;
    this.#isOurs = true;
    this.#shown = [];
    this.#stream.write(ALTERNATE + HIDE_CURSOR + CLEAR);
  }

  /** Gives the terminal back as it was. May be called at any time, also from an exit hook, and again. */
  leave(): void {
    if (!this.#isOurs) return;
    this.#isOurs = false;
    this.#stream.write(RESET + END_FRAME + SHOW_CURSOR + MAIN);
  }

  /** What the terminal shows is not known any more: the next frame is written as a whole. */
  forget(): void {
    this.#shown = [];
    if (this.#isOurs) this.#stream.write(CLEAR);
  }

  draw(lines: readonly string[]): void {
    if (!this.#isOurs) return;
    const height = Math.max(lines.length, this.#shown.length);
    let changed = '';
    for (let row = 0; row < height; row++) {
      const line = lines[row] ?? '';
      if (line !== (this.#shown[row] ?? '')) changed += `${ESC}${row + 1};1H${CLEAR_LINE}${line}`;
    }
    this.#shown = lines;
    if (changed !== '') this.#stream.write(BEGIN_FRAME + changed + END_FRAME);
  }

  /** To the terminal's clipboard (OSC 52), also across ssh. */
  copy(text: string): void {
    this.#stream.write(`\u001b]52;c;${Buffer.from(text).toString('base64')}\u0007`);
  }
}
