/** A switch for people: sessions that were lost in it are told in the first line, with the reason. */
import { expect, it } from 'vitest';
import { makeStyle } from '../../src/cli/style.js';
import { moveView } from '../../src/cli/views/move.js';
import type { MoveRecord } from '../../src/control/api.js';
import { move } from '../report/results.js';

const linesOf = (over: Partial<MoveRecord>): string[] => moveView(move(over), makeStyle(0)).split('\n');
const reason = 'temporary table t: not re-created within 20000 ms';
const failed = [
  { id: 7, reason },
  { id: 9, reason: 'the connection to the new engine was lost' },
];

it('all have moved: done, and no more', () => {
  expect(linesOf({})[0]).toBe('✔ small → large  17 sessions moved  1.1 s');
});

it('some were lost: a warning that says how many and why, and each by its id', () => {
  const lines = linesOf({ sessions: { total: 17, moved: 15, kept: 0, failed, dropped: 0 } });
  expect(lines[0]).toBe('! small → large  15 sessions moved, 2 client sessions lost  1.1 s');
  expect(lines[1]).toBe(`! 2 client sessions were ended, and their clients told so: ${reason} (and others)`);
  expect(lines.filter((line) => line.includes('session 9: the connection'))).toHaveLength(1);
});

it('one was lost on the way back to the old version', () => {
  const error = { code: 'DBP_SWITCH_ROLLED_BACK', message: 'it is so', suggestions: [], details: {} };
  const lines = linesOf({
    outcome: 'rolled-back',
    error,
    sessions: { total: 17, moved: 0, kept: 16, failed: failed.slice(0, 1), dropped: 0 },
  });
  expect(lines[0]).toBe('! small → large  rolled back, 16 sessions stay on e1, 1 client session lost  1.1 s');
  expect(lines[1]).toBe(`! 1 client session was ended, and its client told so: ${reason}`);
});

it('transactions that were cancelled are named, each with what it was', () => {
  const canceled = [{ id: 4, reason: 'has been in COPY for 2.0 s' }];
  const text = linesOf({
    sessions: { total: 17, moved: 17, kept: 0, failed: [], dropped: 0, canceled },
  }).join('\n');
  expect(text).toContain('17 of 17 moved, 1 had a transaction cancelled');
  expect(text).toContain('session 4: it has been in COPY for 2.0 s');
});
