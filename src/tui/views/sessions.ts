/** The middle: a row for every session, with the cursor; what just moved is marked for a moment. */
import type { SessionStatus } from '../../control/api.js';
import { count, duration } from '../../cli/format.js';
import { shownSessions, type Model } from '../model.js';
import { between, clipLine, span, type Line, type Span, type Tone } from '../text.js';
import { lettersOf } from './kinds.js';
import { TableLayout, type Column } from './table.js';

interface Row extends SessionStatus {
  readonly marked: boolean;
  /** It has moved a moment ago. */
  readonly justMoved: boolean;
}

const STATES: Readonly<Record<string, Tone>> = {
  ...{ active: 'good', idle: 'dim', 'in tx': 'warn', held: 'held', moving: 'moving' },
};

const columns: readonly Column<Row>[] = [
  { head: '', width: 1, cell: ({ marked }) => span(marked ? '›' : ' ', 'key') },
  { head: 'id', width: 4, align: 'right', cell: ({ id }) => span(String(id)) },
  { head: 'user@database', width: 18, from: 80, cell: ({ user, database }) => span(`${user}@${database}`) },
  { head: 'application', width: 11, cell: ({ application }) => span(application) },
  { head: 'on', width: 3, cell: ({ engine }) => span(engine) },
  { head: 'state', width: 7, cell: stateCell },
  { head: 'time', width: 8, align: 'right', cell: timeCell },
  { head: 'moves', width: 5, align: 'right', from: 120, cell: ({ moves }) => span(count(moves)) },
  {
    head: 'last hold',
    width: 9,
    align: 'right',
    from: 120,
    cell: ({ lastMoveMs }) => span(duration(lastMoveMs)),
  },
  { head: 'client', width: 21, from: 180, cell: ({ client }) => span(client, 'dim') },
  { head: 'holds', width: 6, cell: ({ stateKinds }) => span(lettersOf(stateKinds), 'accent') },
  { head: 'query', width: 0, cell: ({ query }) => span(query ?? '', 'dim') },
];

function stateCell({ state, txStatus }: Row): Span {
  if (txStatus === 'E') return span('failed', 'bad');
  return span(state, STATES[state] ?? 'plain');
}

function timeCell({ state, sinceMs, heldMs, justMoved, lastMoveMs }: Row): Span {
  if (justMoved && state !== 'held') return span(`✔${duration(lastMoveMs)}`, 'good');
  if (state === 'held' || state === 'moving') return span(duration(heldMs), 'held');
  return span(coarse(sinceMs), state === 'idle' ? 'dim' : 'plain');
}

/** What has stood still for seconds counts in seconds. */
const coarse = (ms: number): string => duration(ms < 1_000 ? ms : Math.floor(ms / 1_000) * 1_000);

/** At most `height` lines, title and head among them. */
export function sessionsView(model: Model, width: number, height: number): Line[] {
  const sessions = shownSessions(model);
  const rows = Math.max(0, height - 2);
  const cursor = sessions.findIndex(({ id }) => id === model.ui.selected);
  const top = Math.max(0, Math.min(cursor - Math.floor(rows / 2), sessions.length - rows));
  const table = new TableLayout(columns, width);
  const shown = sessions.slice(top, top + rows).map((session) => {
    const marked = session.id === model.ui.selected;
    const line = table.row({ ...session, marked, justMoved: model.movedAt.has(session.id) });
    return marked ? line.map(({ text }) => span(text, 'selected')) : line;
  });
  const empty: Line[] = [[span(emptyText(model), 'dim')]];
  return [title(model, sessions.length, width), table.head, ...(shown.length > 0 ? shown : empty)].slice(
    0,
    height,
  );
}

function title(model: Model, shown: number, width: number): Line {
  const all = model.status?.sessions ?? [];
  const { filter, editsFilter } = model.ui;
  const filtered: Line =
    filter !== '' || editsFilter
      ? [
          span('  /', 'key'),
          span(filter + (editsFilter ? '▏' : ''), 'strong'),
          span(`  ${shown} of ${all.length}`, 'dim'),
        ]
      : [];
  const total = span(`sessions ${all.length}`, 'title');
  return between(clipLine([total, ...filtered], width), counts(all), width);
}

/** `3 active · 12 idle · 1 in tx` */
function counts(sessions: readonly SessionStatus[]): Line {
  const states = ['active', 'idle', 'in tx', 'held', 'moving'];
  return states.flatMap((state) => {
    const number = sessions.filter((session) => session.state === state).length;
    return number === 0 ? [] : [span('  '), span(`${number} ${state}`, STATES[state] ?? 'plain')];
  });
}

const emptyText = ({ status, ui }: Model): string => {
  if (ui.filter !== '') return 'no session matches; Esc shows all';
  return status ? `no sessions; connect with ${new URL(status.url).host}, or press w for a load` : '';
};
