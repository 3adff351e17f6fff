/** A scenario's judgement, its windows and its steps. The scenario as a whole is `npm run demo`, which judges itself. */
import { describe, expect, test } from 'vitest';
import type { MoveRecord } from '../../src/control/api.js';
import {
  exitCodeOf,
  SCENARIOS,
  type DemoProgress,
  type DemoResult,
  type SwitchReport,
} from '../../src/scenario/index.js';
import { judge } from '../../src/scenario/expectations.js';
import { Steps } from '../../src/scenario/steps.js';
import { windowsOf } from '../../src/scenario/watch-switch.js';
import type { WorkloadResult } from '../../src/workload/index.js';

const record = {
  outcome: 'completed',
  sessions: { total: 16, moved: 16, kept: 0, failed: [], dropped: 0 },
  phasesMs: { provision: 900, warm: 100, drain: 30, fence: 2, catchup: 4, promote: 12, move: 9, retire: 50 },
  attempts: 1,
} as unknown as MoveRecord;

const report = (over: Partial<SwitchReport> = {}): SwitchReport => ({
  record,
  stallMs: { from: 0, to: 30, calls: 5, p50: 20, p99: 30, max: 31 },
  timeline: [],
  ...over,
});

const workload = (over: Partial<WorkloadResult> = {}): WorkloadResult =>
  ({
    ...{ failed: 0, unknown: 0, unfinished: 0, disconnects: 0, errors: {} },
    ledger: { ok: true, problems: [] },
    ...over,
  }) as unknown as WorkloadResult;

const broken = (switches: readonly SwitchReport[], load: WorkloadResult): string[] =>
  judge(switches, load).flatMap(({ ok, text, actual }) => (ok ? [] : [`${text}: ${actual}`]));

describe('the promise', () => {
  test('holds when everything did', () => {
    expect(broken([report(), report()], workload())).toEqual([]);
  });

  test.each<[string, readonly SwitchReport[], WorkloadResult]>([
    [
      'both switches completed: 1 of 2',
      [report(), report({ record: { ...record, outcome: 'rolled-back' } })],
      workload(),
    ],
    [
      'every session moved: 1 did not',
      [report(), report({ record: { ...record, sessions: { ...record.sessions, moved: 15 } } })],
      workload(),
    ],
    [
      'not one transaction failed: 2 failed, 1 unknown (3 × 08006)',
      [report(), report()],
      workload({ failed: 2, unknown: 1, errors: { '08006': 3 } }),
    ],
    ['not one transaction failed: 4 unfinished', [report(), report()], workload({ unfinished: 4 })],
    ['not one connection was lost: 1 disconnects', [report(), report()], workload({ disconnects: 1 })],
    ['the ledger is exact: not checked', [report(), report()], workload({ ledger: null })],
    [
      'no call stalled for more than 1000 ms: 1000.1 ms',
      [report(), report({ stallMs: { ...report().stallMs, max: 1000.1 } })],
      workload(),
    ],
    [
      'no call stalled for more than 1000 ms: no call met a switch',
      [report(), report({ stallMs: { ...report().stallMs, max: null } })],
      workload(),
    ],
  ])('%s', (words, switches, load) => {
    expect(broken(switches, load)).toEqual([words]);
  });

  test('decides the exit code', () => {
    expect(exitCodeOf({ outcome: 'passed' } as DemoResult)).toBe(0);
    expect(exitCodeOf({ outcome: 'failed' } as DemoResult)).toBe(3);
    expect(SCENARIOS.map(({ name }) => name)).toContain('live-scale');
  });
});

describe('the windows of a switch', () => {
  test('from the moment when everybody is held to the end of the move', () => {
    const seen = [
      { step: 'provision', at: 0 },
      { step: 'warm', at: 900 },
      { step: 'drain', at: 1_000 },
      { step: 'fence', at: 1_030 },
      { step: 'catchup', at: 1_032 },
      { step: 'promote', at: 1_036 },
      { step: 'move', at: 1_048 },
      { step: 'retire', at: 1_060 },
    ];
    expect(windowsOf(record, seen)).toEqual([{ from: 1_030, to: 1_036 + 12 + 9 }]);
  });

  test('an attempt that failed has a window of its own, as long as its budget', () => {
    const seen = [
      { step: 'drain', at: 1_000 },
      { step: 'drain', at: 2_000 },
      { step: 'fence', at: 2_040 },
      { step: 'promote', at: 2_050 },
    ];
    expect(windowsOf(record, seen)).toEqual([
      { from: 1_000, to: 1_250 },
      { from: 2_040, to: 2_050 + 12 + 9 },
    ]);
  });

  test('without a hold there is none', () => {
    expect(windowsOf(record, [{ step: 'provision', at: 0 }])).toEqual([]);
  });
});

describe('steps', () => {
  test('are told, timed and kept in order, also the one that fails', async () => {
    const told: DemoProgress[] = [];
    const steps = new Steps({ onProgress: (progress) => told.push(progress) });
    await steps.run('one', 'first', async () => 1);
    await expect(steps.run('two', 'second', () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(steps.results.map(({ name, outcome }) => [name, outcome])).toEqual([
      ['one', 'done'],
      ['two', 'failed'],
    ]);
    expect(told).toEqual([
      { kind: 'step', name: 'one', detail: 'first' },
      { kind: 'step', name: 'two', detail: 'second' },
    ]);
  });

  test('an interruption ends the step that runs and every later one, but not the clean-up', async () => {
    const interruption = new AbortController();
    const steps = new Steps({ signal: interruption.signal });
    const forever = steps.run('load', '', () => new Promise(() => {}));
    interruption.abort('SIGTERM');
    await expect(forever).rejects.toMatchObject({ code: 'DBP_INTERRUPTED', details: { signal: 'SIGTERM' } });
    let begun = false;
    await expect(steps.run('scale', '', async () => (begun = true))).rejects.toMatchObject({
      code: 'DBP_INTERRUPTED',
    });
    expect(begun).toBe(false);
    expect(await steps.always('down', '', async () => 'gone')).toBe('gone');
  });

  test('a wait fails as soon as what it watches fails', async () => {
    const steps = new Steps({});
    const beganMs = performance.now();
    await expect(steps.wait('watch', '', 30_000, Promise.reject(new Error('the load died')))).rejects.toThrow(
      'the load died',
    );
    expect(performance.now() - beganMs).toBeLessThan(5_000);
  });
});
