/** The alarm of the open loop: never early, once for each time that was given last, and not by the millisecond. */
import { afterEach, expect, test } from 'vitest';
import { Alarm } from '../../src/workload/alarm.js';

let alarm: Alarm;
afterEach(() => alarm.stop());

/** How late each was, ms. */
async function ring(times: number, gapMs: () => number): Promise<number[]> {
  const lateMs: number[] = [];
  let dueMs = 0;
  await new Promise<void>((resolve) => {
    const next = (): void => {
      dueMs = performance.now() + gapMs();
      alarm.at(dueMs);
    };
    void Alarm.start(() => {
      lateMs.push(performance.now() - dueMs);
      if (lateMs.length === times) resolve();
      else next();
    }).then((started) => {
      alarm = started;
      next();
    });
  });
  return lateMs;
}

test('rings for every time, and never before it', async () => {
  const lateMs = await ring(500, () => Math.random() * 0.8);
  // Two clocks of one machine are compared: their zeros are known to some µs.
  expect(Math.min(...lateMs)).toBeGreaterThan(-0.1);
  expect(lateMs).toHaveLength(500);
});

test('a later time takes the place of the one before, an earlier one comes first', async () => {
  const rung: number[] = [];
  let heard: () => void = () => {};
  const next = (): Promise<void> => new Promise((resolve) => (heard = resolve));
  alarm = await Alarm.start(() => {
    rung.push(performance.now());
    heard();
  });
  const beganMs = performance.now();
  const ringing = next();
  alarm.at(beganMs + 500);
  alarm.at(beganMs + 800);
  await ringing;
  expect(rung).toHaveLength(1);
  expect(rung[0]! - beganMs).toBeGreaterThan(799);

  const again = next();
  const nowMs = performance.now();
  alarm.at(nowMs + 60_000);
  alarm.at(nowMs + 5);
  await again;
  expect(rung[1]! - nowMs).toBeGreaterThan(4);
  expect(rung[1]! - nowMs).toBeLessThan(60_000);
});
