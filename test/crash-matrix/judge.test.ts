/** The checker finds what it is there for. */
import { describe, expect, it } from 'vitest';
import { cellsOf, inOrderOf } from './cells.js';
import type { CellResult } from './cell.js';
import { judge, type Fate, type Statement } from './judge.js';
import { OPERATIONS } from './operations.js';
import { tablesOf } from './table.js';

const statement = (id: number, fate: Fate, more: Partial<Statement> = {}): Statement => ({
  ...{ id, fate, sentMs: id * 10, settledMs: id * 10 + 5, engine: 'a' },
  ...more,
});
const once = (...ids: number[]): Map<number, number> => new Map(ids.map((id) => [id, 1]));

describe('judge', () => {
  it('nothing wrong: acknowledged is there, failed is not, unknown is either', () => {
    const all = [
      statement(1, 'acknowledged'),
      statement(2, 'failed'),
      statement(3, 'unknown'),
      statement(4, 'unknown'),
    ];
    expect(judge(all, once(1, 3))).toEqual([]);
  });

  it.each([
    ['acknowledged and missing', 'acknowledged', new Map(), '1 acknowledged and missing (1)'],
    ['doubled, acknowledged', 'acknowledged', new Map([[1, 2]]), '1 doubled (1)'],
    ['doubled, unknown', 'unknown', new Map([[1, 2]]), '1 doubled (1)'],
    ['failed and yet there', 'failed', once(1), '1 failed and yet there (1)'],
    ['stuck', 'pending', new Map(), '1 stuck (1)'],
  ] as const)('%s', (_what, fate, rows, found) => {
    expect(judge([statement(1, fate)], rows)).toEqual([found]);
  });

  it('a row that nobody sent', () => {
    expect(judge([statement(1, 'acknowledged')], once(1, 2))).toEqual(['1 that nobody sent (2)']);
  });

  it('an engine that still writes after the next one has answered', () => {
    const moved = [statement(1, 'acknowledged'), statement(2, 'acknowledged', { engine: 'b' })];
    expect(judge(moved, once(1, 2))).toEqual([]);
    expect(judge([...moved, statement(3, 'acknowledged')], once(1, 2, 3))).toEqual([
      'two primaries: 1 written elsewhere after b answered',
    ]);
    // Sent before: the answer was only late.
    const late = statement(3, 'acknowledged', { sentMs: 21, settledMs: 40 });
    expect(judge([...moved, late], once(1, 2, 3))).toEqual([]);
  });
});

describe('cells', () => {
  it('every operation at every step of its, everybody who is there, each fault', () => {
    const cells = cellsOf({});
    for (const { name, steps } of OPERATIONS)
      expect(new Set(cells.filter((cell) => cell.operation === name).map(({ step }) => step))).toEqual(
        new Set(steps),
      );
    expect(cells).toContainEqual({
      ...{ operation: 'scale', step: 'promote', victim: 'new-engine', fault: 'kill' },
    });
  });

  it('what is asked for; a name that does not exist is refused', () => {
    const asked = { operation: 'scale', step: 'warm,drain', victim: 'supervisor', fault: 'kill' };
    expect(cellsOf(asked).map(({ step }) => step)).toEqual(['warm', 'drain']);
    expect(() => cellsOf({ victim: 'postmaster' })).toThrow('postmaster is none of supervisor');
  });

  it('a seed is an order', () => {
    const items = Array.from({ length: 20 }, (_, n) => n);
    expect(inOrderOf(items, undefined)).toEqual(items);
    expect(inOrderOf(items, '7')).toEqual(inOrderOf(items, '7'));
    expect(inOrderOf(items, '7')).not.toEqual(inOrderOf(items, '8'));
    expect(inOrderOf(items, '7').sort((a, b) => a - b)).toEqual(items);
  });
});

it('a table says what was wrong', () => {
  const cell: CellResult = {
    ...{ operation: 'scale', step: 'warm', victim: 'old-proxy', fault: 'kill', outcome: 'completed' },
    ...{ lost: 5, clients: 5, acknowledged: 9, failed: 0, unknown: 2, violations: ['1 doubled (7)'] },
  };
  expect(tablesOf([cell])).toBe(
    '### scale, `kill -9`\n\n| step | old-proxy |\n| --- | --- |\n| warm | completed, 5 lost; **1 doubled (7)** |',
  );
});
