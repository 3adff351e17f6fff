/** When operations held sessions, out of the event log. */
import { expect, test } from 'vitest';
import type { LogEvent } from '../../src/control/api.js';
import { switchWindows } from '../../src/control/switch-windows.js';

let seq = 0;
const event = (ms: number, type: string, operation: string, step?: string): LogEvent => ({
  ...{ seq: ++seq, at: new Date(ms).toISOString(), type, message: '' },
  data: { operation, ...(step === undefined ? {} : { step }) },
});
const steps = (operation: string, at: Readonly<Record<string, number>>): LogEvent[] =>
  Object.entries(at).map(([step, ms]) => event(ms, 'operation.step', operation, step));

test('from the moment when everybody is held to the end of the move', () => {
  const seen = steps('scale-1', {
    ...{ provision: 0, warm: 900, drain: 1_000, fence: 1_030, catchup: 1_032, promote: 1_036 },
    ...{ move: 1_048, retire: 1_060 },
  });
  expect(switchWindows([...seen, event(1_500, 'operation.completed', 'scale-1')])).toEqual([
    { from: 1_030, to: 1_060 },
  ]);
});

test('an attempt that was given up has a window of its own', () => {
  expect(
    switchWindows([
      event(1_000, 'operation.step', 'scale-1', 'drain'),
      event(1_250, 'operation.attempt', 'scale-1'),
      event(2_000, 'operation.step', 'scale-1', 'drain'),
      event(2_040, 'operation.step', 'scale-1', 'fence'),
      event(2_080, 'operation.rolled-back', 'scale-1'),
    ]),
  ).toEqual([
    { from: 1_000, to: 1_250 },
    { from: 2_040, to: 2_080 },
  ]);
});

test('a handover is one from its beginning to its end', () => {
  expect(
    switchWindows([
      event(10, 'operation.started', 'handover-1'),
      event(400, 'operation.completed', 'handover-1'),
      event(500, 'operation.started', 'scale-2'),
      event(900, 'operation.completed', 'scale-2'),
    ]),
  ).toEqual([{ from: 10, to: 400 }]);
});

test('what is no operation, and an operation without a hold, has none', () => {
  expect(
    switchWindows([
      { seq: 1, at: new Date(0).toISOString(), type: 'instance.up', message: '' },
      event(0, 'operation.step', 'scale-1', 'provision'),
      event(5, 'operation.rolled-back', 'scale-1'),
    ]),
  ).toEqual([]);
});
