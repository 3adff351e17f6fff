/** One session: who it is, whether it can move, everything it holds, its locks, its moves. */
import type { SessionResult } from '../../control/api.js';
import { duration, size } from '../../cli/format.js';
import type { Detail, Model } from '../model.js';
import { clean, fit, span, type Line } from '../text.js';
import { KINDS } from './kinds.js';
import { scrolled } from './scrolled.js';

const NAME_WIDTH = 24;

export function detailView(model: Model, detail: Detail, width: number, height: number): Line[] {
  const live = model.status?.sessions.find(({ id }) => id === detail.id);
  const title: Line = [
    span(`session ${detail.id}`, 'title'),
    span(
      live ? `  ${live.state} for ${duration(live.sinceMs)} on ${live.engine}` : '  has ended',
      live ? 'plain' : 'bad',
    ),
  ];
  if (!detail.result)
    return [title, [span(detail.error ?? 'looking …', detail.error === null ? 'dim' : 'bad')]];
  return scrolled(title, contents(detail.result, width), detail.scroll, height);
}

const contents = (result: SessionResult, width: number): Line[] => [
  ...identity(result),
  ...movability(result),
  ...holdings(result, width),
  ...locks(result),
  ...moves(result),
];

function identity({ session, waitsFor, transactionMs }: SessionResult): Line[] {
  const { user, database, application, client, connectedAt, backendPid, query } = session;
  const transaction = transactionMs === null ? [] : [`transaction open for ${duration(transactionMs)}`];
  const waits = waitsFor === null ? [] : [`waits for ${waitsFor}`];
  return [
    [
      span(clean(`${user}@${database}`), 'strong'),
      span(`  ${clean(application)}`),
      span(`  from ${client}`, 'dim'),
    ],
    [span(`since ${new Date(connectedAt).toLocaleTimeString('en-GB')}, backend ${backendPid}`, 'dim')],
    ...[...transaction, ...waits].map((text): Line => [span(text, 'warn')]),
    ...(query === null ? [] : [[span('query  ', 'dim'), span(clean(query))]]),
  ];
}

function movability({ report }: SessionResult): Line[] {
  const { movable, reasons, estimatedMs, estimatedBytes } = report;
  if (!movable) return reasons.map((reason): Line => [span(`✖ ${clean(reason)}`, 'bad')]);
  const bytes = estimatedBytes > 0 ? `, ${size(estimatedBytes)}` : '';
  const lost = report.state.flatMap((state) => state.lost ?? []);
  return [
    [span('✔ can move', 'good'), span(`  takes about ${duration(estimatedMs)}${bytes}`, 'dim')],
    ...lost.map((what): Line => [span(`! may be lost: ${clean(what)}`, 'warn')]),
  ];
}

function holdings({ holds }: SessionResult, width: number): Line[] {
  if (holds.length === 0) return section('holds nothing that would have to move', []);
  const kinds = [...new Set(holds.map(({ kind }) => kind))];
  return kinds.flatMap((kind) => {
    const items = holds.filter((item) => item.kind === kind);
    return section(
      `${KINDS[kind].name} ${items.length}`,
      items.map(({ name, detail, bytes }): Line => [
        span(`  ${fit(clean(name), Math.min(NAME_WIDTH, Math.floor(width / 3)))}  `),
        span(clean(detail), 'dim'),
        span(bytes === null ? '' : `  ${size(bytes)}`, 'accent'),
      ]),
    );
  });
}

function locks({ locks: all }: SessionResult): Line[] {
  if (all.length === 0) return [];
  return section(
    `locks ${all.length}`,
    all.map(({ mode, on, granted }): Line => [
      span(`  ${fit(mode, NAME_WIDTH)}  `),
      span(clean(on), 'dim'),
      span(granted ? '' : '  waiting', 'bad'),
    ]),
  );
}

function moves({ moves: all }: SessionResult): Line[] {
  return section(
    all.length === 0 ? 'has not moved yet' : `moves ${all.length}`,
    all.map(({ at, from, to, heldMs }): Line => [
      span(`  ${new Date(at).toLocaleTimeString('en-GB')}  ${from} → ${to}  `),
      span(heldMs === null ? '' : `held ${duration(heldMs)}`, 'warn'),
    ]),
  );
}

const section = (title: string, lines: readonly Line[]): Line[] => [[span(title, 'title')], ...lines];
