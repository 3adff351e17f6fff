/** One session for people: who it is, what it holds, what it has locked, how it moved. */
import type { SessionResult } from '../../control/api.js';
import { clip, duration, size } from '../format.js';
import type { Style } from '../style.js';
import { facts, table } from '../table.js';

const DETAIL_WIDTH = 80;

export function sessionView(result: SessionResult, style: Style): string {
  const { session, report, holds, locks, moves, waitsFor, transactionMs } = result;
  const { user, database, application, client, engine, state, sinceMs, backendPid, query } = session;
  const verdict = report.movable
    ? `${style.ok} can move  ${style.dim(`takes about ${duration(report.estimatedMs)}`)}`
    : report.reasons.map((reason) => `${style.fail} ${style.bad(reason)}`).join('\n');
  const blocks = [
    `${style.strong(`session ${session.id}`)}  ${user}@${database}  ${style.dim(application)}`,
    facts(
      [
        ['state', `${state} for ${duration(sinceMs)}`],
        ['engine', `${engine}, backend ${backendPid}`],
        ['client', client],
        ['query', query === null ? undefined : clip(query, DETAIL_WIDTH)],
        ['waits for', waitsFor ?? undefined],
        ['transaction', transactionMs === null ? undefined : `open for ${duration(transactionMs)}`],
      ],
      style,
    ),
    verdict,
  ];
  if (holds.length > 0) {
    const columns = [
      { head: 'holds' },
      { head: 'name' },
      { head: 'what' },
      { head: 'size', align: 'right' },
    ] as const;
    const rows = holds.map(({ kind, name, detail, bytes }) => [
      kind,
      clip(name, DETAIL_WIDTH / 2),
      clip(detail, DETAIL_WIDTH),
      bytes === null ? '' : size(bytes),
    ]);
    blocks.push(table(columns, rows, style));
  }
  if (locks.length > 0) {
    const rows = locks.map(({ mode, on, granted }) => [mode, on, granted ? '' : style.bad('waits')]);
    blocks.push(table([{ head: 'lock' }, { head: 'on' }, { head: '' }], rows, style));
  }
  if (moves.length > 0) {
    const rows = moves.map(({ at, from, to, heldMs }) => [at, `${from} → ${to}`, duration(heldMs)]);
    blocks.push(
      table([{ head: 'moved' }, { head: 'engines' }, { head: 'held', align: 'right' }], rows, style),
    );
  }
  return blocks.join('\n\n');
}
