/** In which order sessions move. */
import { expect, it } from 'vitest';
import { inTurn, type Mover } from '../../src/proxy/in-turn.js';

/** A held session; its move ends when the test says so. */
class Held implements Mover {
  onWaits: (() => void) | null = null;
  hasWaitingBytes: boolean;
  began = false;
  end: () => void = () => undefined;
  readonly moved = new Promise<void>((resolve) => (this.end = resolve));
  readonly costMs: number;
  readonly waitingSinceMs: number;

  constructor(waitingSinceMs: number | null, costMs = 1) {
    this.hasWaitingBytes = waitingSinceMs !== null;
    this.waitingSinceMs = waitingSinceMs ?? 0;
    this.costMs = costMs;
  }

  /** Its client sends something. */
  send(): void {
    this.hasWaitingBytes = true;
    this.onWaits?.();
  }
}

const LONG = { slots: 1, slotMs: 60_000 };
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const begun = (...sessions: readonly Held[]): boolean[] => sessions.map(({ began }) => began);
const run = (bounds: typeof LONG, ...sessions: readonly Held[]): Promise<void> =>
  inTurn(
    sessions,
    (session) => {
      session.began = true;
      return session.moved;
    },
    ({ costMs }) => costMs,
    bounds,
  );

it('whose client waits goes first, of them who takes the least, then who has waited the longest', async () => {
  const [idle, heavy, late, early] = [new Held(null), new Held(1, 50), new Held(30), new Held(20)];
  const done = run(LONG, idle, heavy, late, early);
  const seen: Held[] = [];
  for (let i = 0; i < 4; i++) {
    const [next, ...others] = [idle, heavy, late, early].filter(
      (session) => session.began && !seen.includes(session),
    );
    expect(others).toEqual([]);
    seen.push(next!);
    next!.end();
    await settle();
  }
  expect(seen).toEqual([early, late, heavy, idle]);
  await done;
});

it('who takes nothing goes at once, whose client waits first', async () => {
  const [heavy, idle, ready] = [new Held(1), new Held(null, 0), new Held(2, 0)];
  const order: Held[] = [];
  await inTurn(
    [heavy, idle, ready],
    async (session) => {
      order.push(session);
    },
    ({ costMs }) => costMs,
    LONG,
  );
  expect(order).toEqual([ready, idle, heavy]);
});

it('who comes to wait is the next', async () => {
  const [first, second, third] = [new Held(null), new Held(null), new Held(null)];
  const done = run(LONG, first, second, third);
  third.send();
  expect(begun(first, second, third)).toEqual([true, false, false]);
  first.end();
  await settle();
  expect(begun(second, third)).toEqual([false, true]);
  for (const session of [second, third]) session.end();
  await done;
});

it('one that takes long does not keep the others waiting, and is waited for', async () => {
  const [long, others] = [new Held(1, 0.5), [new Held(1), new Held(null)]];
  const done = run({ slots: 1, slotMs: 1 }, long, ...others);
  for (const session of others) session.end();
  await Promise.all(others.map(({ moved }) => moved));
  let over = false;
  void done.then(() => (over = true));
  while (!others.every(({ began }) => began)) await settle();
  expect(over).toBe(false);
  long.end();
  await done;
});

it('a move that fails lets the others begin, and is told', async () => {
  const other = new Held(2);
  const failing = Object.assign(new Held(1), { moved: Promise.reject(new Error('gone')) });
  const done = run(LONG, failing, other);
  done.catch(() => undefined);
  while (!other.began) await settle();
  other.end();
  await expect(done).rejects.toThrow('gone');
});

it('nobody is nothing to wait for', async () => {
  await run(LONG);
});
