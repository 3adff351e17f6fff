/** `check` for people: what stands in the way, what may be lost and what it would cost, without colours, too. */
import { expect, it } from 'vitest';
import { makeStyle } from '../../src/cli/style.js';
import { checkView } from '../../src/cli/views/check.js';
import type { SessionReport } from '../../src/proxy/control-api.js';

const session: SessionReport = {
  id: 7,
  user: 'app',
  database: 'shop',
  application: 'web',
  movable: true,
  looked: true,
  reasons: [],
  state: [],
  estimatedMs: 1.2,
  estimatedBytes: 0,
};

const shown = (...sessions: SessionReport[]): string =>
  checkView(
    {
      schema: 'dbproxy.check/1',
      instance: 'default',
      movable: sessions.every(({ movable }) => movable),
      sessions,
    },
    makeStyle(0),
  );

it('a session that can move: what it holds, time and data', () => {
  const state = [{ kind: 'settings', count: 1, movable: true, detail: '1 setting: work_mem' }] as const;
  const lines = shown({ ...session, state, estimatedBytes: 2048 }).split('\n');
  expect(lines[0]).toBe('✔ every session can move  1 session');
  expect(lines.at(-1)).toMatch(/7 {2}app@shop +web +yes +1\.2 ms +2\.0 kB +1 setting: work_mem$/);
});

it('one that cannot: the reasons come first, each with a mark, and what can move stays plain', () => {
  const text = shown(session, {
    ...session,
    id: 8,
    movable: false,
    reasons: [
      'holds 1 dblink connection: far',
      'could not log in again: role "app" is not permitted to log in',
    ],
    state: [
      { kind: 'settings', count: 1, movable: true, detail: '1 setting: work_mem' },
      { kind: 'extensionMemory', count: 1, movable: false, detail: '1 dblink connection: far' },
    ],
  });
  expect(text).toMatch(/^✖ 1 session of 2 cannot move as it is now\n\n/);
  expect(text.match(/[✖!] .*$|1 setting.*$/gm)?.slice(1)).toEqual([
    '✖ holds 1 dblink connection: far',
    '✖ could not log in again: role "app" is not permitted to log in',
    '1 setting: work_mem',
  ]);
});

it('one in a transaction: not now, and no figures that were never taken', () => {
  const text = shown({
    ...session,
    movable: false,
    looked: false,
    reasons: ['has been idle in a transaction for 3.1 s'],
    estimatedMs: 0,
  });
  expect(text).toMatch(/not now +– +– +✖ has been idle in a transaction for 3\.1 s$/);
});

it('what may be lost is told once, and counted', () => {
  const lost = 'the position of random() after setseed()';
  const state = [{ kind: 'extensionMemory', count: 1, movable: true, detail: lost, lost }] as const;
  const text = shown(session, { ...session, id: 8, state });
  expect(text).toMatch(/^✔ every session can move {2}2 sessions\n! 1 session may lose something\n/);
  expect(text.split(lost)).toHaveLength(2);
  expect(text).toContain(`! may be lost: ${lost}`);
});
