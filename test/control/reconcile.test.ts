/** Every state in which a supervisor can find a half-done operation, and what has to become of it. */
import { describe, expect, test } from 'vitest';
import { judge, type OperationFacts } from '../../src/control/reconcile.js';
import type { EngineHealth } from '../../src/engine/types.js';
import type { EngineRoute, GateState } from '../../src/proxy/control-api.js';
import { SWITCHOVER_STEPS } from '../../src/switchover/index.js';

const process = { pid: 1, startTime: '1' };
const standby: EngineHealth = { state: 'running', process, inRecovery: true, timeline: 1 };
const promoted: EngineHealth = { state: 'running', process, inRecovery: false, timeline: 2 };
const stopped: EngineHealth = { state: 'stopped' };
const hung: EngineHealth = { state: 'unresponsive', process, reason: 'no answer' };

const route = (id: string): EngineRoute => ({
  id,
  access: { kind: 'socket', directory: '/d', port: 1 },
  superuser: 'postgres',
});
const proxy = (gate: GateState, primary = 'e1'): OperationFacts['proxy'] => ({
  gate,
  primary: route(primary),
});
const at = (step: string, facts: Partial<OperationFacts>): ReturnType<typeof judge> =>
  judge({
    operation: { step, target: 'e2' },
    recordedPrimary: 'e1',
    target: standby,
    proxy: proxy('open'),
    ...facts,
  });

describe.each(SWITCHOVER_STEPS)('found at step %s', (step) => {
  test('the record already names the target as primary: forward, dead or alive', () => {
    for (const target of [standby, promoted, stopped, hung]) {
      expect(at(step, { recordedPrimary: 'e2', target })).toBe('forward');
    }
  });

  test('the proxy has committed: forward, whatever the record says', () => {
    for (const gate of ['committed', 'moving'] as const) {
      for (const target of [standby, promoted, stopped, hung]) {
        expect(at(step, { proxy: proxy(gate), target })).toBe('forward');
      }
    }
  });

  test('the proxy serves the target: forward', () => {
    expect(at(step, { proxy: proxy('open', 'e2'), target: promoted })).toBe('forward');
    expect(at(step, { proxy: proxy('open', 'e2'), target: stopped })).toBe('forward');
  });

  test('the target has left recovery: forward, with a proxy or without', () => {
    expect(at(step, { target: promoted })).toBe('forward');
    expect(at(step, { target: promoted, proxy: null })).toBe('forward');
  });

  test('the target is a standby and nothing was committed: back', () => {
    for (const gate of ['open', 'holding', 'held'] as const) {
      expect(at(step, { proxy: proxy(gate) })).toBe('roll-back');
    }
    expect(at(step, { proxy: null })).toBe('roll-back');
  });

  test('the target was never recorded: back', () => {
    expect(at(step, { target: null })).toBe('roll-back');
  });

  test('the target is dead: back before any hold, else its data is asked', () => {
    const verdict = step === 'provision' || step === 'warm' ? 'roll-back' : 'look';
    expect(at(step, { target: stopped })).toBe(verdict);
    expect(at(step, { target: stopped, proxy: null })).toBe(verdict);
    expect(at(step, { target: hung })).toBe(verdict);
  });
});
