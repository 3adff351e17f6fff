/** Sessions and state of a move, in words: the command line and the reports say the same. */
import type { MoveRecord } from '../control/api.js';
import { count, plural, size } from './format.js';

/** `16 of 17 moved, 1 stayed` */
export function sessionsInWords({ sessions, strategy }: Pick<MoveRecord, 'sessions' | 'strategy'>): string {
  if (strategy === 'resize') return `${count(sessions.kept)} stay where they are`;
  const { total, moved, kept, dropped, failed, canceled = [] } = sessions;
  const others = [
    [kept, 'stayed'],
    [dropped, 'ended on request'],
    [failed.length, 'lost'],
    [canceled.length, 'had a transaction cancelled'],
  ] as const;
  const told = others.filter(([n]) => n > 0).map(([n, what]) => `${count(n)} ${what}`);
  return [`${count(moved)} of ${count(total)} moved`, ...told].join(', ');
}

/** `3 settings, 1 temporary table, 80 KB of temporary data`; undefined: nothing came along. */
export function stateInWords({ stateMoved }: Pick<MoveRecord, 'stateMoved'>): string | undefined {
  const { settings, preparedStatements, tempTables, cursors, listens, advisoryLocks, sequences, tempBytes } =
    stateMoved;
  const parts = [
    [settings, 'setting'],
    [preparedStatements, 'prepared statement'],
    [tempTables, 'temporary table'],
    [cursors, 'cursor'],
    [listens, 'LISTEN'],
    [advisoryLocks, 'advisory lock'],
    [sequences, 'sequence value'],
  ] as const;
  const told = parts.filter(([n]) => n > 0).map(([n, what]) => plural(n, what));
  if (tempBytes > 0) told.push(`${size(tempBytes)} of temporary data`);
  return told.length === 0 ? undefined : told.join(', ');
}
