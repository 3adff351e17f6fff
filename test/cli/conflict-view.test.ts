/** `conflict` for people: who has decided is said as it was. */
import { expect, it } from 'vitest';
import { makeStyle } from '../../src/cli/style.js';
import { conflictView } from '../../src/cli/views/conflict.js';
import type { ConflictResult } from '../../src/conflict/index.js';
import type { Verdict } from '../../src/control/api.js';

const verdict = (primary: string): Verdict => ({
  ...{ at: '2026-12-01T00:00:00Z', primary, epoch: 1, slot: 7, asked: 9, split: false, transactions: [] },
});
const verdictsIn = (over: Partial<ConflictResult>): string | undefined =>
  conflictView(
    {
      ...{ schema: 'dbproxy.conflict/1', instance: 'shop', writers: [], scenes: [], totalMs: 1 },
      ...{ transactions: 0, committed: 0, conflicts: 0, retries: 0, adjudicated: 0, splitVotes: 0 },
      ...{ lostUpdates: 0, diverged: false, divergedTables: [], commitMs: { p50: 1, p99: 2 }, verdicts: [] },
      ...over,
    },
    makeStyle(0),
  )
    .split('\n')
    .find((line) => line.startsWith('  verdicts'))
    ?.replace(/^ +verdicts +/, '');

it('etcd decides by itself: no primary is asked', () => {
  expect(verdictsIn({ adjudicated: 43, verdicts: [verdict('etcd')] })).toBe('43 by etcd');
});

it('of several primaries each is named', () => {
  const verdicts = [verdict('w1'), verdict('w2'), verdict('w1')];
  expect(verdictsIn({ adjudicated: 3, splitVotes: 1, verdicts })).toBe('3 by w1, w2, 1 split vote');
});

it('nobody was asked', () => {
  expect(verdictsIn({})).toBe('none: nobody had to be asked');
});
