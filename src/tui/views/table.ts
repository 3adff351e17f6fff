/** Rows of columns: those that the width has room for; the last one takes what is left. */
import { clip, fit, span, widthOf, type Line, type Span } from '../text.js';

export interface Column<Row> {
  readonly head: string;
  readonly width: number;
  readonly align?: 'left' | 'right';
  /** From this width of the screen on. */
  readonly from?: number;
  readonly cell: (row: Row, width: number) => Span;
}

const GAP = span(' ');

export class TableLayout<Row> {
  readonly #columns: readonly Column<Row>[];

  constructor(columns: readonly Column<Row>[], width: number) {
    const shown = columns.filter(({ from = 0 }) => width >= from);
    const fixed = shown.slice(0, -1).reduce((sum, column) => sum + column.width + GAP.text.length, 0);
    this.#columns = shown.map((column, index) =>
      index === shown.length - 1
        ? { ...column, width: Math.max(0, width - fixed - GAP.text.length) }
        : column,
    );
  }

  get head(): Line {
    return this.#columns.flatMap(({ head, width, align }) => [span(fit(head, width, align), 'dim'), GAP]);
  }

  row(row: Row): Line {
    return this.#columns.flatMap(({ cell, width, align }) => {
      const { text, tone } = cell(row, width);
      const shown = span(clip(text, width), tone);
      const padding = ' '.repeat(Math.max(0, width - widthOf(shown.text)));
      return align === 'right' ? [span(padding), shown, GAP] : [shown, span(padding), GAP];
    });
  }
}
