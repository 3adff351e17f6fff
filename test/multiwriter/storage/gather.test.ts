/** What a writer says to the nodes: at once where it is alone, together where many come at a time, and nobody waits in vain for long. */
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { lsn, type Proposal, type ToNode } from '../../../src/multiwriter/protocol/index.js';
import { Gather } from '../../../src/multiwriter/storage/gather.js';

let open: number;
let inFlight: Set<number>;
let sent: number[][];
let gather: Gather;

beforeEach(() => {
  vi.useFakeTimers();
  [open, inFlight, sent] = [7, new Set(), []];
  gather = new Gather(
    () => ({ open, inFlight: inFlight.size }),
    (messages) => sent.push(messages.map(lsnOf)),
  );
});
afterEach(() => {
  gather.close();
  vi.useRealTimers();
});

/** Negative: committed. */
const lsnOf = (message: ToNode): number =>
  message.kind === 'propose'
    ? message.proposal.lsn
    : message.kind === 'committed'
      ? -Number(message.lsn)
      : NaN;
const propose = (at: number): void => {
  inFlight.add(at);
  gather.add({ kind: 'propose', proposal: { lsn: lsn(at) } as Proposal });
};
const committed = (at: number): void => {
  inFlight.delete(at);
  gather.add({ kind: 'committed', lsn: lsn(at) });
};
/** One turn of the loop. */
const turn = (): void => void vi.advanceTimersByTime(0);
const time = (ms: number): void => void vi.advanceTimersByTime(ms);

it('alone: at once, with what the same turn of the loop brings', () => {
  open = 0;
  propose(1);
  propose(2);
  expect(sent).toEqual([]);
  turn();
  committed(1);
  turn();
  expect(sent).toEqual([[1, 2], [-1]]);
});

it('few: at once, also where they come at a time', () => {
  open = 2;
  for (const at of [1, 2, 3]) {
    propose(at);
    turn();
  }
  expect(sent).toEqual([[1], [2], [3]]);
});

it('many that queue for one row: at once', () => {
  for (const at of [1, 2, 3]) {
    propose(at);
    turn();
    inFlight.delete(at);
  }
  expect(sent).toEqual([[1], [2], [3]]);
});

it('many at a time: as many together as there were at once, and what was decided goes along', () => {
  propose(1);
  turn();
  for (const at of [2, 3]) {
    propose(at);
    turn();
  }
  committed(1);
  turn();
  expect(sent).toEqual([[1]]);
  propose(4);
  turn();
  expect(sent).toEqual([[1], [2, 3, -1, 4]]);
});

it('not more than three quarters of those that could come', () => {
  const before = Array.from({ length: 12 }, (_, i) => i + 1);
  for (const at of before) inFlight.add(at);
  const proposed = Array.from({ length: 9 }, (_, i) => i + 13);
  for (const [i, at] of proposed.entries()) {
    expect(sent).toEqual([]);
    open = 11 - i;
    propose(at);
    turn();
  }
  expect(sent).toEqual([proposed]);
});

it('nobody comes: it goes alone after a moment, and the next waits for nobody', () => {
  propose(1);
  turn();
  propose(2);
  time(4);
  expect(sent).toEqual([[1]]);
  time(1);
  expect(sent).toEqual([[1], [2]]);
  inFlight.clear();
  propose(3);
  turn();
  expect(sent).toEqual([[1], [2], [3]]);
});

it('nothing is said once it is closed', () => {
  propose(1);
  gather.close();
  time(10);
  expect(sent.flat()).toEqual([]);
});
