/** The screen as a function of the model: what it looks like at every width, with colours and without. */
import { beforeAll, describe, expect, it } from 'vitest';
import { press, type Key } from '../../src/tui/keyboard.js';
import { update, type Model } from '../../src/tui/model.js';
import { makePaint, type ColorLevel } from '../../src/tui/paint.js';
import { widthOf } from '../../src/tui/text.js';
import { frame, type Size } from '../../src/tui/views/frame.js';
import {
  autoscaling,
  collided,
  DETAIL,
  NOW_MS,
  play,
  quiet,
  session,
  status,
  switching,
} from './model-fixtures.js';

beforeAll(() => {
  process.env.TZ = 'UTC';
});

const paint = (model: Model, size: Size, colors: ColorLevel = 0): string[] =>
  frame(model, size).map((line) => makePaint(colors)(line, size.columns));
const golden = (model: Model, size: Size, colors: ColorLevel = 0): string =>
  `${paint(model, size, colors)
    .map((line) => line.trimEnd())
    .join('\n')}\n`;

const key = (text: string, name: Key['name'] = null): Key => ({ text, name, ctrl: false });
const after = (model: Model, ...keys: readonly Key[]): Model =>
  keys.reduce((now, each) => press(now, each).model, model);

const SIZES: readonly Size[] = [
  { columns: 60, rows: 20 },
  { columns: 80, rows: 24 },
  { columns: 120, rows: 40 },
  { columns: 200, rows: 60 },
];

const detailed = (): Model =>
  update(after(switching(), key('', 'down'), key('', 'down'), key('', 'enter')), {
    type: 'detail',
    id: 2,
    result: DETAIL,
  });

const SCENES: Readonly<Record<string, () => Model>> = {
  switching,
  quiet,
  autoscaling,
  detail: detailed,
  help: () => after(quiet(), key('?')),
  scale: () => after(quiet(), key('S')),
  workload: () => after(quiet(), key('w')),
  verdicts: () => after(collided(), key('v')),
};

describe.each(SIZES)('$columns×$rows', (size) => {
  it.each(Object.keys(SCENES))('%s', async (name) => {
    const text = golden(SCENES[name]!(), size);
    await expect(text).toMatchFileSnapshot(`golden/${name}-${size.columns}x${size.rows}.txt`);
  });

  it.each(Object.keys(SCENES))('%s: leaves a line free, and is no wider than the screen', (name) => {
    const lines = paint(SCENES[name]!(), size);
    expect(lines.length).toBeLessThan(size.rows);
    expect(Math.max(...lines.map(widthOf))).toBeLessThanOrEqual(size.columns);
  });
});

it.each([
  ['is off: no line of its own', { enabled: false }, null],
  ['has just begun', { load: null, beyond: null }, /small to large {2}begins to look/],
  [
    'rests after a change, and cannot tell the cpu',
    { coolDownMs: 240_000, beyond: null, load: { cpuPercent: null, activePerCpu: 3, queued: 0 } },
    /small to large {2}active 3 a cpu {2}queue 0 +cool-down 4 min/,
  ],
  [
    'has failed, and wants to go down',
    { failures: 2, beyond: { direction: 'down', forMs: 4_000 } },
    /failed 2 × {2}↓ low for 4 of 30 s/,
  ],
] as const)('autoscale %s', (_what, change, expected) => {
  const before = autoscaling().status!;
  const autoscale = { ...before.autoscale!, ...change };
  const screen = golden(play({ type: 'status', status: { ...before, autoscale }, atMs: NOW_MS }), {
    columns: 120,
    rows: 40,
  });
  if (expected === null) expect(screen).not.toContain('autoscale');
  else expect(screen).toMatch(expected);
});

describe('colours', () => {
  it('of 16', async () => {
    await expect(golden(switching(), { columns: 80, rows: 24 }, 1)).toMatchFileSnapshot(
      'golden/colors-16.txt',
    );
  });

  it('never more than 16, whatever the terminal can do', () => {
    const size = { columns: 120, rows: 40 };
    expect(golden(switching(), size, 3)).toBe(golden(switching(), size, 1));
    const codes = golden(switching(), size, 3).match(/\u001b\[[\d;]*m/g) ?? [];
    expect(codes.length).toBeGreaterThan(20);
    expect(codes.filter((code) => /[34]8;/.test(code))).toEqual([]);
  });

  it('none: what they say is said in words or marks, too', () => {
    const screen = golden(after(switching(), key('', 'down')), { columns: 80, rows: 40 });
    expect(screen).not.toContain('\u001b');
    for (const word of ['held', 'moving', 'in tx', '›', '✔']) expect(screen).toContain(word);
  });
});

it('text of clients moves no cursor and turns no writing around', () => {
  const screen = golden(switching(), { columns: 200, rows: 60 });
  expect(screen).toContain('漢字');
  expect(screen.replaceAll('\n', '')).not.toMatch(/[\p{Cc}\u202e]/u);
});

it.each([
  { columns: 20, rows: 5 },
  { columns: 3, rows: 2 },
  { columns: 59, rows: 50 },
  { columns: 200, rows: 19 },
])('$columns×$rows is too small, and says so', (size) => {
  const lines = paint(switching(), size);
  expect(lines.length).toBeLessThan(size.rows);
  const words = 'dbproxy watch needs 60×20';
  expect(lines[0]).toBe(size.columns < words.length ? `${words.slice(0, size.columns - 1)}…` : words);
});

it('two hundred sessions: the cursor stays in sight', () => {
  const many = Array.from({ length: 200 }, (_, index) =>
    session(index + 1, { application: `app-${index + 1}` }),
  );
  const model = play({ type: 'status', status: status(many), atMs: NOW_MS });
  const size = { columns: 80, rows: 24 };
  expect(golden(after(model, key('', 'end')), size)).toMatch(/› +200 .*app-200/);
  expect(golden(after(model, key('', 'end'), key('', 'pageup')), size)).toMatch(/› +190 .*app-190/);
  expect(golden(after(model, key('', 'end'), key('', 'home')), size)).toMatch(/› +1 .*app-1 /);
});

it('a session that has just moved is marked, for a while', () => {
  const size = { columns: 80, rows: 40 };
  const moved = switching();
  expect(golden(moved, size)).toMatch(/ 1 app@shop .* e2 .*✔12 ms/);
  const sessions = moved.status!.sessions;
  const later = update(moved, { type: 'status', status: status(sessions), atMs: NOW_MS + 4_000 });
  expect(golden(later, size)).not.toContain('✔12 ms');
});

it('a supervisor that is gone is told, with how long', () => {
  const link = { state: 'reconnecting', sinceMs: NOW_MS - 3_000, reason: 'closed' } as const;
  const model = update(update(quiet(), { type: 'link', link }), { type: 'tick', atMs: NOW_MS });
  const screen = golden(model, { columns: 80, rows: 24 });
  expect(screen).toContain('reconnecting, 3.0 s');
  expect(screen).toContain('waiting: closed');
});
