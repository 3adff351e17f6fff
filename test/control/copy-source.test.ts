import { describe, expect, test } from 'vitest';
import { bestSource, type Candidate } from '../../src/control/multiwriter/copy-source.js';
import type { WriterState } from '../../src/multiwriter/writer/config.js';

const writer = (name: string, state: WriterState, apply = 0, applyBytes = 0): Candidate => ({
  name,
  status: { state, queues: { proposed: 0, waiting: 0, apply, applyBytes } },
});
const silent: Candidate = { name: 'silent', status: null };

describe('which writer is copied', () => {
  test('one that lags is not, though it comes first', () => {
    expect(bestSource([writer('w1', 'open', 900, 5), writer('w2', 'open', 3, 9_000)])).toBe('w2');
    expect(bestSource([writer('w1', 'open', 3, 9_000), writer('w2', 'open', 3, 100)])).toBe('w2');
  });

  test('one that is open goes before one that is catching up, however long its queue', () => {
    expect(bestSource([writer('w1', 'catching-up'), writer('w2', 'open', 50)])).toBe('w2');
    expect(bestSource([writer('w1', 'without-engine'), writer('w2', 'opening')])).toBe('w2');
  });

  test('the first of equals', () => {
    expect(bestSource([writer('w1', 'open'), writer('w2', 'open')])).toBe('w1');
  });

  test('none that has stopped or does not answer', () => {
    expect(bestSource([silent, writer('w2', 'stopped'), writer('w3', 'catching-up', 70)])).toBe('w3');
    expect(bestSource([silent, writer('w2', 'stopped')])).toBeNull();
    expect(bestSource([])).toBeNull();
  });
});
