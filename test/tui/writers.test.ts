/** The top of the screen where there are several writers. */
import { expect, test } from 'vitest';
import type { StatusResult } from '../../src/control/api.js';
import { equivalent, press as pressKey } from '../../src/tui/keyboard.js';
import type { Model } from '../../src/tui/model.js';
import { frame } from '../../src/tui/views/frame.js';
import { writersView } from '../../src/tui/views/writers.js';
import { collided, status } from './model-fixtures.js';

const writer = (id: string, more: Partial<StatusResult['writers'][number]> = {}) => ({
  ...{ id, instance: id === 'w1' ? 'shop' : `shop.${id}`, url: '', port: 6432, state: 'running' as const },
  ...{ leads: false, reason: null, proxyPid: 1, engine: 'e1', ...more },
});
const node = (id: string, more: Partial<NonNullable<StatusResult['store']>['nodes'][number]> = {}) => ({
  ...{ id, pid: 1, state: 'in-service' as const, reason: null, logBytes: 1, position: 1, syncs: 1 },
  ...{ undecided: 0, epoch: 3, delayMs: null, ...more },
});
const text = (result: StatusResult, width: number): string[] =>
  writersView({ status: result }, width).map((line) =>
    line
      .map((each) => each.text)
      .join('')
      .trimEnd(),
  );

const screen = (model: Model): string[] =>
  frame(model, { columns: 120, rows: 20 }).map((line) => line.map((each) => each.text).join(''));
const press = (model: Model, ...keys: string[]): Model =>
  keys.reduce((now, text) => pressKey(now, { text, name: null, ctrl: false }).model, model);

test('verdicts: the newest above, scrolled to the last one and not beyond; the keys of all go on', () => {
  const open = press(collided(), 'V');
  expect(screen(open).find((line) => /^\d\d:/.test(line))).toMatch(/ 5 by w1/);
  const scrolled = press(open, ...Array<string>(100).fill('j'));
  expect(screen(scrolled).join('\n')).toMatch(/ 1 by w1, epoch 3\n/);
  expect(screen(press(scrolled, 'k'))).not.toEqual(screen(press(scrolled, 's')));
  expect(press(open, 's').ui).toMatchObject({ verdicts: 0, dialog: { name: 'scale' } });
  expect(press(open, '+').ui.verdicts).toBe(0);
  expect(press(open, 'q').ui.verdicts).toBe(null);
  expect(equivalent(open)).toBe('dbproxy events');
});

test('verdicts: why there are none', () => {
  expect(screen(press(collided(1), 'v')).join('\n')).toContain('one writer: nothing can collide');
  const quiet = { ...collided(), events: [] };
  expect(screen(press(quiet, 'v')).join('\n')).toContain('nothing has collided yet; c makes it happen');
});

test('with one writer it takes no room', () => {
  expect(text(status([]), 120)).toEqual([]);
});

test('who leads, which nodes vote, and why one does not', () => {
  const shown = status([], {
    writers: [
      writer('w1', { leads: true }),
      writer('w2', { port: 6433, engine: 'e2001', state: 'degraded' }),
    ],
    store: {
      ...{ etcd: null, quorums: { nodes: 3, fast: 3, classic: 2 }, policy: 'first', epoch: 3 },
      nodes: [
        node('s1'),
        node('s2', { delayMs: 150 }),
        node('s3', { state: 'out-of-service', reason: 'no space left' }),
      ],
    },
  });
  expect(text(shown, 120)).toEqual([
    'writers  w1 primary :6432 e1 running   w2 :6433 e2001 degraded',
    'store    s1 ✔   s2 late by 150 ms   s3 ✖ out-of-service no space left   3/3/2, first, epoch 3',
  ]);
  expect(text(shown, 60)[0]).toBe('writers  w1 primary :6432 running   w2 :6433 degraded');
});

test.each([2, 3, 4])('of %i writers each is there with its state, in 80 columns and in 60', (count) => {
  const ids = Array.from({ length: count }, (_, index) => `w${index + 1}`);
  const writers = ids.map((id, index) =>
    writer(id, { leads: index === 0, engine: 'e2001', state: index === 1 ? 'degraded' : 'operating' }),
  );
  const store = {
    etcd: null,
    quorums: { nodes: 3, fast: 3, classic: 2 },
    policy: 'first' as const,
    epoch: 3,
  };
  const shown = status([], { writers, store: { ...store, nodes: [node('s1')] } });
  for (const width of [80, 60]) {
    const line = text(shown, width)[0] ?? '';
    expect(line.length).toBeLessThanOrEqual(width);
    for (const id of ids) expect(line).toContain(id);
    expect(line).toMatch(/w2 (:6432 (e2001 )?)?(degraded|✖ degraded)/);
  }
});
