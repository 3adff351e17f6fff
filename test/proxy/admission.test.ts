/** In which order moved sessions go on. */
import { expect, it } from 'vitest';
import { Admission, type Admitted } from '../../src/proxy/admission.js';

/** A session that is held and swapped; its request ends when the test says so. */
class Held implements Admitted {
  onWaits: (() => void) | null = null;
  began = false;
  freed = false;
  released = false;
  end: () => void = () => undefined;
  waitingSinceMs: number;

  constructor(waitingSinceMs: number | null) {
    this.hasWaitingBytes = waitingSinceMs !== null;
    this.waitingSinceMs = waitingSinceMs ?? 0;
  }

  hasWaitingBytes: boolean;

  step(): Promise<boolean> {
    this.began = true;
    return new Promise((resolve) => (this.end = () => resolve(true)));
  }

  async release(): Promise<void> {
    this.released = true;
  }

  /** Its client sends something. */
  send(atMs: number): void {
    this.hasWaitingBytes = true;
    this.waitingSinceMs = atMs;
    this.onWaits?.();
  }
}

const LONG = { slots: 1, slotMs: 60_000, limitMs: 60_000 };
const pass = (admission: Admission, ...sessions: readonly Held[]): Promise<unknown> =>
  Promise.all(sessions.map((session) => admission.pass(session, () => (session.freed = true))));
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const begun = (...sessions: readonly Held[]): boolean[] => sessions.map(({ began }) => began);

it('whose client has waited the longest goes first, one after the other', async () => {
  const [late, early, middle] = [new Held(30), new Held(10), new Held(20)];
  const admission = new Admission(4, true, LONG);
  const done = pass(admission, late, early, middle);
  // The first to arrive is not made to wait for who may come.
  expect(begun(late, early, middle)).toEqual([true, false, false]);
  late.end();
  await settle();
  expect(begun(early, middle)).toEqual([true, false]);
  expect(late.released).toBe(true);
  early.end();
  await settle();
  expect(begun(middle)).toEqual([true]);
  middle.end();
  admission.withdraw();
  await done;
});

it('who is quiet goes on when the last of the queue has begun; what it sends before that queues up', async () => {
  const [first, second, quiet, silent] = [new Held(1), new Held(2), new Held(null), new Held(null)];
  const admission = new Admission(4, true, LONG);
  const done = pass(admission, first, second, quiet, silent);
  quiet.send(3);
  expect(begun(first, second)).toEqual([true, false]);
  expect([quiet, silent].map(({ released }) => released)).toEqual([false, false]);
  first.end();
  await settle();
  expect(begun(first, second)).toEqual([true, true]);
  expect([quiet, silent].map(({ released }) => released)).toEqual([true, true]);
  expect(second.released).toBe(false);
  second.end();
  await done;
  expect([first, second, quiet, silent].every(({ released, freed }) => released && freed)).toBe(true);
});

it('nobody waits for one that takes long, and nobody for long', async () => {
  const [stuck, next, other] = [new Held(1), new Held(2), new Held(3)];
  await pass(new Admission(3, true, { slots: 1, slotMs: 5, limitMs: 60_000 }), stuck, next, other);
  expect(begun(stuck, next, other)).toEqual([true, true, true]);

  // More are expected than come.
  const [working, waiting, quiet] = [new Held(1), new Held(2), new Held(null)];
  const limited = new Admission(100, true, { slots: 1, slotMs: 60_000, limitMs: 5 });
  const done = pass(limited, working);
  await pass(limited, waiting, quiet);
  expect(begun(working, waiting)).toEqual([true, false]);
  expect([working, waiting, quiet].map(({ released }) => released)).toEqual([false, true, true]);
  working.end();
  await done;
});

it('without an order everybody goes on at once', async () => {
  const [waiting, other, quiet] = [new Held(2), new Held(1), new Held(null)];
  await pass(new Admission(3, false, LONG), waiting, other, quiet);
  expect([waiting, other, quiet].every(({ released, freed, began }) => released && freed && !began)).toBe(
    true,
  );
});
