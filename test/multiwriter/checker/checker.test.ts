/** The checker finds each anomaly in a history made by hand, and none in one that really was serial. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { check } from './check.js';
import type { Append, History, Read, Transaction } from './history.js';

const append = (list: string, element: number): Append => ({ kind: 'append', list, element });
const read = (list: string, ...elements: number[]): Read => ({ kind: 'read', list, elements });
const did = (
  id: string,
  operations: (Append | Read)[],
  outcome: Transaction['outcome'] = 'committed',
): Transaction => ({ id, session: id, outcome, operations });
const on = (lists: Record<string, number[]>) => ({ w0: lists, w1: lists });
const kinds = (history: History, isolation: 'snapshot' | 'committed' = 'snapshot') =>
  check(history, { isolation }).map((one) => (one.kind === 'cycle' ? `${one.kind}: ${one.of}` : one.kind));

const T1 = did('t1', [append('x', 1)]);
const T2 = did('t2', [read('x', 1), append('x', 2)]);

it('a history without anomalies', () => {
  const unknown = did('t3', [append('x', 3)], 'unknown');
  expect(kinds({ transactions: [T1, T2, unknown], final: on({ x: [1, 2] }) })).toEqual([]);
  expect(kinds({ transactions: [T1, T2, unknown], final: on({ x: [1, 2, 3] }) })).toEqual([]);
});

describe('each anomaly', () => {
  it.each<[string, History, string[]]>([
    [
      'an append that one writer lost',
      { transactions: [T1, T2], final: { w0: { x: [1, 2] }, w1: { x: [1] } } },
      ['writers-differ', 'lost'],
    ],
    [
      'writers in two orders',
      { transactions: [T1, did('t2', [append('x', 2)])], final: { w0: { x: [1, 2] }, w1: { x: [2, 1] } } },
      ['writers-differ'],
    ],
    [
      'an append that is there twice',
      { transactions: [T1, T2], final: on({ x: [1, 2, 2] }) },
      ['duplicate', 'duplicate'],
    ],
    [
      'an aborted append that was read',
      { transactions: [did('t1', [append('x', 1)], 'aborted'), did('t2', [read('x', 1)])], final: on({}) },
      ['aborted-read', 'incompatible-order'],
    ],
    [
      'an aborted append that stayed',
      { transactions: [did('t1', [append('x', 1)], 'aborted')], final: on({ x: [1] }) },
      ['aborted-read', 'aborted-read'],
    ],
    ['an element nobody appended', { transactions: [T1], final: on({ x: [1, 9] }) }, ['phantom', 'phantom']],
    [
      'a read that is no beginning',
      { transactions: [T1, T2, did('t3', [read('x', 2)])], final: on({ x: [1, 2] }) },
      ['incompatible-order', 'cycle: one-anti-dependency'],
    ],
    [
      'half of a transaction',
      {
        transactions: [did('t1', [append('x', 1), append('x', 2)]), did('t2', [read('x', 1)])],
        final: on({ x: [1, 2] }),
      },
      ['intermediate-read', 'cycle: one-anti-dependency'],
    ],
    [
      'an append of its own that it did not see',
      { transactions: [did('t1', [append('x', 1), read('x')])], final: on({ x: [1] }) },
      ['own-append-missed'],
    ],
    [
      'writes around each other (G0)',
      {
        transactions: [
          did('t1', [append('x', 1), append('y', 1)]),
          did('t2', [append('x', 2), append('y', 2)]),
        ],
        final: on({ x: [1, 2], y: [2, 1] }),
      },
      ['cycle: writes'],
    ],
    [
      'each read the other (G1c)',
      {
        transactions: [did('t1', [append('x', 1), read('y', 2)]), did('t2', [append('y', 2), read('x', 1)])],
        final: on({ x: [1], y: [2] }),
      },
      ['cycle: information'],
    ],
    [
      'a lost update: both read nothing, both appended',
      {
        transactions: [did('t1', [read('x'), append('x', 1)]), did('t2', [read('x'), append('x', 2)])],
        final: on({ x: [1, 2] }),
      },
      ['cycle: one-anti-dependency'],
    ],
    [
      'read skew: one part of a transaction seen, the other not',
      {
        transactions: [did('t1', [append('x', 1), append('y', 1)]), did('t2', [read('x', 1), read('y')])],
        final: on({ x: [1], y: [1] }),
      },
      ['cycle: one-anti-dependency'],
    ],
  ])('%s', (_, history, expected) => {
    expect(kinds(history)).toEqual(expected);
  });

  it('write skew and long fork are no anomalies of snapshot isolation', () => {
    const skew = [did('t1', [read('x'), append('y', 1)]), did('t2', [read('y'), append('x', 1)])];
    expect(kinds({ transactions: skew, final: on({ x: [1], y: [1] }) })).toEqual([]);
    const fork = [
      ...[did('t1', [append('x', 1)]), did('t2', [append('y', 1)])],
      ...[did('t3', [read('x', 1), read('y')]), did('t4', [read('x'), read('y', 1)])],
    ];
    expect(kinds({ transactions: fork, final: on({ x: [1], y: [1] }) })).toEqual([]);
  });

  it('what READ COMMITTED may do is told from what nobody may', () => {
    const lost = [did('t1', [read('x'), append('x', 1)]), did('t2', [read('x'), append('x', 2)])];
    expect(kinds({ transactions: lost, final: on({ x: [1, 2] }) }, 'committed')).toEqual([]);
  });
});

describe('serial histories', () => {
  const plan = fc.array(
    fc.record({
      steps: fc.array(fc.tuple(fc.boolean(), fc.constantFrom('x', 'y', 'z')), { minLength: 1, maxLength: 5 }),
      isAborted: fc.boolean(),
    }),
    { minLength: 2, maxLength: 15 },
  );
  const play = (plans: { steps: [boolean, string][]; isAborted: boolean }[]): History => {
    let [lists, element]: [Record<string, number[]>, number] = [{}, 0];
    const transactions = plans.map(({ steps, isAborted }, i) => {
      const seen = structuredClone(lists);
      const operations = steps.map(([isAppend, list]) => {
        if (!isAppend) return read(list, ...(seen[list] ?? []));
        (seen[list] ??= []).push(++element);
        return append(list, element);
      });
      if (!isAborted) lists = seen;
      return did(`t${i}`, operations, isAborted ? 'aborted' : 'committed');
    });
    return { transactions, final: on(lists) };
  };

  it('have none', () => {
    fc.assert(
      fc.property(plan, (plans) => {
        expect(kinds(play(plans))).toEqual([]);
      }),
    );
  });

  it('with one committed element taken out of one writer, have one', () => {
    fc.assert(
      fc.property(plan, fc.nat(), (plans, which) => {
        const history = play(plans);
        const all = Object.entries(history.final.w0 ?? {}).flatMap(([list, elements]) =>
          elements.map((one) => [list, one] as const),
        );
        fc.pre(all.length > 0);
        const [list, element] = all[which % all.length]!;
        const lists = {
          ...history.final.w1,
          [list]: history.final.w1![list]!.filter((one) => one !== element),
        };
        expect(kinds({ ...history, final: { ...history.final, w1: lists } })).toEqual([
          'writers-differ',
          'lost',
        ]);
      }),
    );
  });
});
