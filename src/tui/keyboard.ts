/**
 * What a key does: a change of the model, and effects for app.tsx to carry out. Letters work in both cases. While a dialog or the
 * filter is open, keys belong to it.
 */
import { actionOf, commandLine, nameFlag, openDialog, type Dialog, type DialogName } from './dialogs.js';
import { shownSessions, type Model, type Ui } from './model.js';

export interface Key {
  /** What was typed; empty for keys that write nothing. */
  readonly text: string;
  readonly name: 'up' | 'down' | 'left' | 'right' | 'pageup' | 'pagedown' | 'home' | 'end' | NamedKey | null;
  readonly ctrl: boolean;
}
type NamedKey = 'enter' | 'escape' | 'tab' | 'backspace';

export type Effect =
  | { readonly kind: 'quit' }
  | { readonly kind: 'suspend' }
  | { readonly kind: 'redraw' }
  /** The next look at the instance is due now. */
  | { readonly kind: 'refresh' }
  | { readonly kind: 'run'; readonly args: readonly string[] }
  | { readonly kind: 'stop'; readonly task: number }
  | { readonly kind: 'kill'; readonly pid: number; readonly what: string }
  | { readonly kind: 'copy'; readonly text: string }
  | { readonly kind: 'look'; readonly id: number }
  | { readonly kind: 'list-versions' };

export interface Pressed {
  readonly model: Model;
  readonly effects: readonly Effect[];
}

export const REFRESHES_MS = [100, 250, 500, 1_000, 2_000, 5_000] as const;
const PAGE = 10;
const FILTER_LENGTH = 60;
/** At most, of two transactions. */
const LINES_OF_VERDICT = 7;

export function press(model: Model, key: Key): Pressed {
  if (key.ctrl) return pressCtrl(model, key);
  if (model.ui.dialog) return pressInDialog(model, model.ui.dialog, key);
  if (model.ui.editsFilter) return pressInFilter(model, key);
  return model.ui.help ? set(model, { help: false }) : pressInView(model, key);
}

/** The command that does what is on the screen, for people who learn the command line. */
export function equivalent(model: Model): string {
  const { dialog, detail, verdicts } = model.ui;
  const inShell = (...words: string[]): string =>
    ['dbproxy', ...words, ...nameFlag(model.instance)].join(' ');
  if (dialog) {
    const action = actionOf(dialog, model);
    return action ? commandLine(action) : inShell('conflict');
  }
  if (detail) return inShell('sessions', String(detail.id));
  if (verdicts !== null) return inShell('events');
  return model.ui.filter === '' ? inShell('status') : inShell('sessions');
}

function pressCtrl(model: Model, { text }: Key): Pressed {
  if (text === 'c') return act(model, { kind: 'quit' });
  if (text === 'z') return act(model, { kind: 'suspend' });
  return text === 'l' ? act(model, { kind: 'redraw' }) : same(model);
}

function pressInView(model: Model, { text, name }: Key): Pressed {
  const { detail, verdicts } = model.ui;
  if (!detail && verdicts !== null) return pressInVerdicts(model, verdicts, { text, name });
  if (name === 'escape') return detail ? set(model, { detail: null }) : set(model, { filter: '' });
  if (name === 'enter') return detail ? look(model, detail.id) : lookAtSelected(model);
  if (name !== null) return detail ? scroll(model, name) : select(model, name);
  const letter = text.toLowerCase();
  switch (letter) {
    case 'q':
      return detail ? set(model, { detail: null }) : act(model, { kind: 'quit' });
    case 'k':
      return detail ? scroll(model, 'up') : select(model, 'up');
    case 'j':
      return detail ? scroll(model, 'down') : select(model, 'down');
    default:
      return pressLetter(model, letter);
  }
}

/** Those that mean the same whatever is looked at. */
function pressLetter(model: Model, letter: string): Pressed {
  switch (letter) {
    case 's':
      return open(model, 'scale');
    case 'p':
      return act(open(model, 'patch').model, { kind: 'list-versions' });
    case 'c':
      return open(model, 'conflict');
    case 'v':
      return set(model, { verdicts: 0, detail: null });
    case 'w':
      return load(model);
    case 'f':
      return open(model, 'fault');
    case '/':
      return set(model, { editsFilter: true, detail: null });
    case ' ':
      return act(set(model, { paused: !model.ui.paused }).model, { kind: 'refresh' });
    case '+':
    case '=':
      return refresh(model, -1);
    case '-':
      return refresh(model, 1);
    case 'y':
      return act(model, { kind: 'copy', text: equivalent(model) });
    case '?':
    case 'h':
      return set(model, { help: true });
    default:
      return same(model);
  }
}

function pressInVerdicts(model: Model, at: number, { text, name }: Pick<Key, 'text' | 'name'>): Pressed {
  const letter = text.toLowerCase();
  if (name === 'escape' || letter === 'q' || letter === 'v') return set(model, { verdicts: null });
  const way = letter === 'k' ? 'up' : letter === 'j' ? 'down' : name;
  if (way === 'enter') return same(model);
  if (way !== null) {
    // As for a session: what is scrolled beyond the last line is not seen.
    const most = model.events.length * LINES_OF_VERDICT;
    return set(model, { verdicts: Math.min(most, Math.max(0, target(way, at, most + 1))) });
  }
  return letter === '/' ? same(model) : pressLetter(model, letter);
}

// --- sessions ---------------------------------------------------------------------------------------------------------

function select(model: Model, name: Key['name']): Pressed {
  const ids = shownSessions(model).map(({ id }) => id);
  if (ids.length === 0) return same(model);
  const at = Math.max(0, ids.indexOf(model.ui.selected ?? -1));
  const from = model.ui.selected === null && name === 'down' ? -1 : at;
  const to = Math.min(ids.length - 1, Math.max(0, target(name, from, ids.length)));
  return set(model, { selected: ids[to] ?? null });
}

function target(name: Key['name'], at: number, length: number): number {
  switch (name) {
    case 'up':
      return at - 1;
    case 'down':
      return at + 1;
    case 'pageup':
      return at - PAGE;
    case 'pagedown':
      return at + PAGE;
    case 'home':
      return 0;
    case 'end':
      return length - 1;
    default:
      return at;
  }
}

function lookAtSelected(model: Model): Pressed {
  const ids = shownSessions(model).map(({ id }) => id);
  const { selected } = model.ui;
  const id = selected !== null && ids.includes(selected) ? selected : ids[0];
  return id === undefined ? same(model) : look(model, id);
}

function look(model: Model, id: number): Pressed {
  const { detail } = model.ui;
  const shown = detail?.id === id ? detail : { id, result: null, error: null, scroll: 0 };
  return act(set(model, { selected: id, detail: shown }).model, { kind: 'look', id });
}

function scroll(model: Model, name: Key['name']): Pressed {
  const { detail } = model.ui;
  if (!detail) return same(model);
  // The view stops at the last line; what is scrolled beyond it is not seen, and is not counted back.
  const most = (detail.result?.holds.length ?? 0) + (detail.result?.locks.length ?? 0) + PAGE;
  return set(model, {
    detail: { ...detail, scroll: Math.min(most, Math.max(0, target(name, detail.scroll, 0))) },
  });
}

function pressInFilter(model: Model, { text, name }: Key): Pressed {
  const { filter } = model.ui;
  if (name === 'enter') return set(model, { editsFilter: false });
  if (name === 'escape') return set(model, { editsFilter: false, filter: '' });
  if (name === 'backspace') return set(model, { filter: filter.slice(0, -1) });
  if (name !== null) return select(model, name);
  return set(model, { filter: (filter + text).slice(0, FILTER_LENGTH) });
}

// --- dialogs ----------------------------------------------------------------------------------------------------------

const open = (model: Model, name: DialogName): Pressed => set(model, { dialog: openDialog(name, model) });

/** While a load of ours runs, the key ends it. */
function load(model: Model): Pressed {
  const running = model.tasks.find(({ args }) => args[0] === 'workload');
  return running ? act(model, { kind: 'stop', task: running.id }) : open(model, 'workload');
}

function pressInDialog(model: Model, dialog: Dialog, { text, name }: Key): Pressed {
  if (name === 'escape') return set(model, { dialog: null });
  if (name === 'enter') return confirm(model, dialog);
  if (text.toLowerCase() === 'y') return act(model, { kind: 'copy', text: equivalent(model) });
  const last = dialog.fields.length - 1;
  if (name === 'up') return focus(model, dialog, Math.max(0, dialog.focus - 1));
  if (name === 'down' || name === 'tab') return focus(model, dialog, Math.min(last, dialog.focus + 1));
  const changed = changeField(dialog, text, name);
  return changed === dialog ? same(model) : set(model, { dialog: changed });
}

const focus = (model: Model, dialog: Dialog, to: number): Pressed =>
  set(model, { dialog: { ...dialog, focus: Math.max(0, to) } });

function confirm(model: Model, dialog: Dialog): Pressed {
  const action = actionOf(dialog, model);
  const closed = set(model, { dialog: null }).model;
  if (!action) return { model: closed, effects: [] };
  const effect: Effect = action.kind === 'command' ? { ...action, kind: 'run' } : action;
  return act(closed, effect);
}

function changeField(dialog: Dialog, text: string, name: Key['name']): Dialog {
  const field = dialog.fields[dialog.focus];
  if (!field) return dialog;
  const value = field.kind === 'choice' ? chosen(field, text, name) : typed(field, text, name);
  if (value === field.value) return dialog;
  const fields = dialog.fields.map((each, index) => (index === dialog.focus ? { ...each, value } : each));
  return { ...dialog, fields };
}

/** The next or the one before, or the next that begins with what was typed. */
function chosen(
  { options, value }: { readonly options: readonly string[]; readonly value: string },
  text: string,
  name: Key['name'],
): string {
  const at = options.indexOf(value);
  const next = (by: number): string => options[(at + by + options.length) % options.length] ?? value;
  if (name === 'left') return next(-1);
  if (name === 'right' || text === ' ') return next(1);
  if (text === '') return value;
  const others = [...options.slice(at + 1), ...options.slice(0, at)];
  return others.find((option) => option.startsWith(text.toLowerCase())) ?? value;
}

function typed(
  { value, accepts }: { readonly value: string; readonly accepts: RegExp },
  text: string,
  name: Key['name'],
): string {
  if (name === 'backspace') return value.slice(0, -1);
  const wanted = [...text].filter((character) => accepts.test(character)).join('');
  return (value + wanted).slice(0, 6);
}

// --- common -----------------------------------------------------------------------------------------------------------

function refresh(model: Model, by: 1 | -1): Pressed {
  const slower = REFRESHES_MS.findIndex((ms) => ms >= model.ui.refreshMs);
  const at = Math.min(REFRESHES_MS.length - 1, Math.max(0, slower + by));
  const changed = set(model, { refreshMs: REFRESHES_MS[at] ?? model.ui.refreshMs });
  return act(changed.model, { kind: 'refresh' });
}

const same = (model: Model): Pressed => ({ model, effects: [] });
const act = (model: Model, ...effects: Effect[]): Pressed => ({ model, effects });
const set = (model: Model, change: Partial<Ui>): Pressed =>
  same({ ...model, ui: { ...model.ui, ...change } });
