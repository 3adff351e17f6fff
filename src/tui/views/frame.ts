/** The whole screen as lines: from the model and the terminal's size, and from nothing else. */
import type { Model } from '../model.js';
import { clip, span, type Line } from '../text.js';
import { autoscaleView } from './autoscale.js';
import { detailView } from './detail.js';
import { dialogView } from './dialog.js';
import { enginesView } from './engines.js';
import { eventsView } from './events.js';
import { footerView } from './footer.js';
import { headerView } from './header.js';
import { helpView } from './help.js';
import { operationView } from './operation.js';
import { sessionsView } from './sessions.js';
import { verdictsView } from './verdicts.js';
import { writersView } from './writers.js';

export interface Size {
  readonly columns: number;
  readonly rows: number;
}

export const SMALLEST: Size = { columns: 60, rows: 20 };
/** More would push the sessions off a low screen: a switch has two, and one that is going. */
const MOST_ENGINES = 3;
const FEWEST_EVENTS = 3;
const MOST_EVENTS = 10;

/** At most `rows - 1` lines: writing the last one to its end would scroll some terminals. */
export function frame(model: Model, { columns, rows }: Size): Line[] {
  const height = Math.max(1, rows - 1);
  if (columns < SMALLEST.columns || rows < SMALLEST.rows) return tooSmall({ columns, rows }, height);
  const footer = footerView(model, columns);
  const top = model.ui.help ? [] : topView(model, columns);
  const body = bodyView(model, columns, height - top.length - footer.length);
  return [...top, ...body, ...footer].slice(0, height);
}

const topView = (model: Model, columns: number): Line[] => [
  headerView(model, columns),
  ...enginesView(model, columns, MOST_ENGINES),
  ...autoscaleView(model, columns),
  ...writersView(model, columns),
  ...operationView(model, columns),
];

/** Exactly `height` lines. */
function bodyView(model: Model, columns: number, height: number): Line[] {
  const { detail, dialog, help, verdicts } = model.ui;
  if (help) return filled(helpView(columns, height), height);
  if (detail && !dialog) return filled(detailView(model, detail, columns, height), height);
  if (verdicts !== null && !dialog) return filled(verdictsView(model, verdicts, height), height);
  if (dialog) return aboveEvents(model, dialogView(dialog, columns), columns, height);
  const eventRows = Math.min(MOST_EVENTS, Math.max(FEWEST_EVENTS, Math.floor(height / 3)));
  const sessions = sessionsView(model, columns, height - eventRows);
  return aboveEvents(model, filled(sessions, height - eventRows), columns, height);
}

/** Events have what is left, if that is worth anything. */
function aboveEvents(model: Model, lines: readonly Line[], columns: number, height: number): Line[] {
  const left = Math.min(MOST_EVENTS, height - lines.length);
  const rows = left < FEWEST_EVENTS ? 0 : left;
  return [...filled(lines, height - rows), ...filled(eventsView(model, columns, rows), rows)];
}

const filled = (lines: readonly Line[], height: number): Line[] =>
  Array.from({ length: Math.max(0, height) }, (_, index) => lines[index] ?? []);

function tooSmall({ columns, rows }: Size, height: number): Line[] {
  const { columns: wide, rows: high } = SMALLEST;
  const words = [`dbproxy watch needs ${wide}×${high}`, `this terminal: ${columns}×${rows}`, 'q quits'];
  return words.slice(0, height).map((text) => [span(clip(text, columns), 'warn')]);
}
