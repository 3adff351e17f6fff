/** What keys do: the model they make, the effects they ask for, the command that is shown beside. */
import { describe, expect, it } from 'vitest';
import { equivalent, press, REFRESHES_MS, type Effect, type Key } from '../../src/tui/keyboard.js';
import { update, type Model } from '../../src/tui/model.js';
import { NOW_MS, play, quiet, session, status } from './model-fixtures.js';

const named = (name: NonNullable<Key['name']>): Key => ({ text: '', name, ctrl: false });
const typed = (text: string): Key[] => [...text].map((each) => ({ text: each, name: null, ctrl: false }));
const ctrl = (text: string): Key => ({ text, name: null, ctrl: true });
const ENTER = named('enter');
const ESCAPE = named('escape');

function type(model: Model, ...keys: readonly (Key | Key[])[]): { model: Model; effects: Effect[] } {
  const effects: Effect[] = [];
  const end = keys.flat().reduce((now, key) => {
    const pressed = press(now, key);
    effects.push(...pressed.effects);
    return pressed.model;
  }, model);
  return { model: end, effects };
}

describe('scale', () => {
  it.each(['s', 'S'])('%s asks for the size, shows the command, and runs it', (letter) => {
    const asked = type(quiet(), typed(letter)).model;
    expect(equivalent(asked)).toBe('dbproxy scale --to medium');
    const chosen = type(asked, named('right')).model;
    expect(equivalent(chosen)).toBe('dbproxy scale --to large');
    const { model, effects } = type(chosen, ENTER);
    expect(effects).toEqual([{ kind: 'run', args: ['scale', '--to', 'large'] }]);
    expect(model.ui.dialog).toBeNull();
  });

  it('has the engine resized where it runs, when that is chosen', () => {
    const chosen = type(quiet(), typed('s'), named('right'), named('down'), named('right')).model;
    expect(equivalent(chosen)).toBe('dbproxy scale --to large --strategy resize');
  });

  it('takes the first letter of a size; Esc does nothing', () => {
    const asked = type(quiet(), typed('sx')).model;
    expect(equivalent(asked)).toBe('dbproxy scale --to xlarge');
    expect(type(asked, ESCAPE)).toMatchObject({ effects: [], model: { ui: { dialog: null } } });
  });

  it('names an instance that is not the default', () => {
    const { effects } = type({ ...quiet(), instance: 'shop' }, typed('s'), ENTER);
    expect(effects).toEqual([{ kind: 'run', args: ['scale', '--to', 'medium', '--name', 'shop'] }]);
  });
});

describe('patch', () => {
  it('offers the versions that are here, of the same major, and this build', () => {
    const asked = type(quiet(), typed('p'));
    expect(asked.effects).toEqual([{ kind: 'list-versions' }]);
    const known = update(asked.model, { type: 'versions', versions: ['16.9', '17.9', '17.10'] });
    expect(equivalent(known)).toBe('dbproxy patch --to 17.9');
    expect(equivalent(type(known, named('down'), named('right')).model)).toBe(
      'dbproxy patch --to 17.9 --strategy in-place',
    );
    expect(type(known, named('right'), ENTER).effects).toEqual([{ kind: 'run', args: ['patch', '--self'] }]);
  });
});

describe('workload', () => {
  it('asks for script, clients and time', () => {
    const { model, effects } = type(
      quiet(),
      typed('w'),
      named('right'),
      named('down'),
      named('backspace'),
      typed('1x6'),
    );
    expect(effects).toEqual([]);
    expect(equivalent(model)).toBe('dbproxy workload run select-only --clients 16 --for 60s');
  });

  it('ends the one that runs', () => {
    const task = { id: 4, args: ['workload', 'run', 'tpcb-like'], sinceMs: NOW_MS };
    const running = update(quiet(), { type: 'task', task });
    expect(type(running, typed('W')).effects).toEqual([{ kind: 'stop', task: 4 }]);
  });

  it('makes the tables after it was told that there are none', () => {
    const notice = { text: 'no tables', tone: 'bad', untilMs: NOW_MS } as const;
    const told = update(quiet(), { type: 'task-ended', id: 1, errorCode: 'DBP_WORKLOAD_TARGET', notice });
    expect(equivalent(type(told, typed('w')).model)).toMatch(/ --init$/);
  });
});

describe('fault', () => {
  it('shows the signal and sends it', () => {
    const asked = type(quiet(), typed('f')).model;
    expect(equivalent(asked)).toBe('kill -9 100');
    expect(type(asked, typed('s'), ENTER).effects).toEqual([{ kind: 'kill', pid: 300, what: 'supervisor' }]);
    expect(type(asked, named('right'), ENTER).effects).toEqual([{ kind: 'kill', pid: 200, what: 'proxy' }]);
  });
});

describe('conflict', () => {
  it('with one writer says how to have two, and runs nothing', () => {
    const model = quiet();
    const one = {
      id: 'w1',
      instance: 'default',
      url: '',
      port: 6432,
      state: 'running',
      leads: true,
      reason: null,
    } as const;
    const writers = [{ ...one, proxyPid: 1, engine: 'e1' }];
    const alone = { ...model, verbs: ['conflict'], status: model.status && { ...model.status, writers } };
    const asked = type(alone, typed('c')).model;
    expect(asked.ui.dialog?.note).toContain('--writers 2');
    expect(type(asked, ENTER).effects).toEqual([]);
  });

  it('runs where there are several', () => {
    const { effects } = type({ ...quiet(), verbs: ['conflict'] }, typed('c'), ENTER);
    expect(effects).toEqual([{ kind: 'run', args: ['conflict'] }]);
  });
});

describe('sessions', () => {
  const model = play({
    type: 'status',
    status: status([session(1), session(2, { application: 'other' }), session(10, { query: 'VACUUM' })]),
    atMs: NOW_MS,
  });

  it('are chosen by arrows and by j and k, and looked at with Enter', () => {
    expect(type(model, named('down'), named('down')).model.ui.selected).toBe(2);
    expect(type(model, typed('jjjjjk')).model.ui.selected).toBe(2);
    const looked = type(model, named('end'), ENTER);
    expect(looked.effects).toEqual([{ kind: 'look', id: 10 }]);
    expect(equivalent(looked.model)).toBe('dbproxy sessions 10');
    expect(type(looked.model, typed('q')).model.ui.detail).toBeNull();
  });

  it('are filtered by what is typed, letters that are keys included', () => {
    const filtered = type(model, typed('/vacuumq'), named('backspace'), ENTER).model;
    expect(filtered.ui).toMatchObject({ filter: 'vacuum', editsFilter: false });
    expect(type(filtered, ENTER).effects).toEqual([{ kind: 'look', id: 10 }]);
    expect(type(filtered, ESCAPE).model.ui.filter).toBe('');
  });
});

it('refresh has a fastest and a slowest', () => {
  expect(type(quiet(), typed('+++++++')).model.ui.refreshMs).toBe(REFRESHES_MS[0]);
  expect(type(quiet(), typed('-------')).model.ui.refreshMs).toBe(REFRESHES_MS.at(-1));
  const slower = type(quiet(), typed('-'));
  expect(slower.model.ui.refreshMs).toBe(500);
  expect(slower.effects).toEqual([{ kind: 'refresh' }]);
});

it('space stands still, and goes on', () => {
  expect(type(quiet(), typed(' ')).model.ui.paused).toBe(true);
  expect(type(quiet(), typed('  ')).model.ui.paused).toBe(false);
});

it('y copies the command that is shown', () => {
  expect(type(quiet(), typed('Y')).effects).toEqual([{ kind: 'copy', text: 'dbproxy status' }]);
  expect(type(quiet(), typed('sy')).effects).toEqual([{ kind: 'copy', text: 'dbproxy scale --to medium' }]);
});

it('q and Ctrl-C quit, Ctrl-Z suspends, Ctrl-L draws anew; also while a dialog is open', () => {
  expect(type(quiet(), typed('Q')).effects).toEqual([{ kind: 'quit' }]);
  expect(type(quiet(), typed('s'), ctrl('c')).effects).toEqual([{ kind: 'quit' }]);
  expect(type(quiet(), ctrl('z'), ctrl('l')).effects).toEqual([{ kind: 'suspend' }, { kind: 'redraw' }]);
});
