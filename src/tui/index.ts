/**
 * The terminal UI: `dbproxy watch`. What happens in the instance comes in by feed.ts, keys by ink (app.tsx); both change the model
 * (model.ts, keyboard.ts), of which the screen is a function (views/, paint.ts, screen.ts).
 */
import { Writable } from 'node:stream';
import type { ReadStream, WriteStream } from 'node:tty';
import type { Supervisor } from '../control/client.js';
import { Feed } from './feed.js';
import type { Effect } from './keyboard.js';
import { isSwitching, newModel } from './model.js';
import { makePaint, type ColorLevel } from './paint.js';
import { Screen } from './screen.js';
import { Store } from './store.js';
import { Tasks, type RunningCommand } from './tasks.js';
import { TerminalGuard, type EndSignal } from './terminal-guard.js';

export type { CommandEnd, RunningCommand } from './tasks.js';
export type { EndSignal } from './terminal-guard.js';

export interface WatchOptions {
  readonly instance: string;
  readonly refreshMs: number;
  readonly colors: ColorLevel;
  readonly stdin: ReadStream;
  readonly stdout: WriteStream;
  /** Verbs that the command line has. */
  readonly verbs: readonly string[];
  readonly connect: () => Promise<Supervisor>;
  /** Runs a command of ours beside us. */
  readonly run: (args: readonly string[]) => RunningCommand;
  /** Versions of PostgreSQL that are here. */
  readonly versions: () => Promise<readonly string[]>;
}

const NOTICE_MS = 4_000;
const LOOK_MS = 300;
const CLOCK_MS = 1_000;

/** Shows the instance until it is told to end, and says how: null, by a key. Throws what hinders the first connection. */
export async function watch(options: WatchOptions): Promise<EndSignal | null> {
  const ended = new Ending();
  const store = new Store(newModel(options.instance, options.refreshMs, options.verbs), (effect) =>
    carryOut(effect),
  );
  const { tell } = store;
  const feed = new Feed(options.connect, tell, () => ({
    ...store.model.ui,
    switching: isSwitching(store.model),
  }));
  await feed.open();
  const { render, createElement, App } = await loadInk();

  const screen = new Screen(options.stdout);
  const tasks = new Tasks(options.run, tell);
  const redraw = (): void => {
    screen.forget();
    tell({ type: 'tick', atMs: Date.now() });
  };
  const guard = new TerminalGuard(screen, options.stdin, (signal) => ended.by(signal), redraw);
  const say = (text: string, tone: 'accent' | 'bad' = 'accent'): void =>
    tell({ type: 'notice', notice: { text, tone, untilMs: Date.now() + NOTICE_MS } });

  async function look(id: number): Promise<void> {
    try {
      const result = await feed.supervisor?.call('session', { id, withinMs: LOOK_MS });
      if (result) tell({ type: 'detail', id, result });
    } catch (error) {
      tell({ type: 'no-detail', id, error: (error as Error).message });
    }
  }

  function carryOut(effect: Effect): void {
    switch (effect.kind) {
      case 'quit':
        return ended.by(null);
      case 'suspend':
        return guard.suspend();
      case 'redraw':
        return redraw();
      case 'refresh':
        return feed.nudge();
      case 'run':
        return tasks.start(effect.args);
      case 'stop':
        say('stopping the load');
        return tasks.stop(effect.task);
      case 'kill':
        return kill(effect.pid, effect.what);
      case 'copy':
        screen.copy(effect.text);
        return say(`copied: ${effect.text}`);
      case 'look':
        return void look(effect.id);
      case 'list-versions':
        return void options
          .versions()
          .then((versions) => tell({ type: 'versions', versions }))
          .catch(() => undefined);
    }
  }

  function kill(pid: number, what: string): void {
    try {
      process.kill(pid, 'SIGKILL');
      say(`${what} (${pid}) was killed; the supervisor repairs it`);
    } catch (error) {
      say(`${what} (${pid}): ${(error as Error).message}`, 'bad');
    }
  }

  let clock: NodeJS.Timeout | undefined;
  const app = createElement(App, { store, screen, paint: makePaint(options.colors) });
  try {
    guard.open();
    // Its own output goes nowhere (screen.ts says why); what it is asked for is keys, and to run the component.
    const ink = render(app, {
      stdin: options.stdin,
      stdout: nowhere(),
      debug: true,
      patchConsole: false,
      exitOnCtrlC: false,
    });
    void feed.run();
    // Times go on, and notices go, also while nothing comes in.
    clock = setInterval(() => tell({ type: 'tick', atMs: Date.now() }), CLOCK_MS);
    // A component that throws ends ink, and then us.
    void ink.waitUntilExit().catch((error: unknown) => ended.fail(error));
    try {
      return await ended.reached;
    } finally {
      ink.unmount();
    }
  } finally {
    clearInterval(clock);
    feed.close();
    tasks.close();
    store.close();
    guard.close();
  }
}

/** How it ends: by a signal, or by a key (null), or by a defect. */
class Ending {
  readonly reached: Promise<EndSignal | null>;
  by: (signal: EndSignal | null) => void = () => undefined;
  fail: (error: unknown) => void = () => undefined;

  constructor() {
    this.reached = new Promise((resolve, reject) => {
      this.by = resolve;
      this.fail = reject;
    });
  }
}

function nowhere(): WriteStream {
  const stream = new Writable({ write: (_chunk, _encoding, written) => written() });
  return Object.assign(stream, { columns: 80, rows: 24 }) as unknown as WriteStream;
}

/** Loaded only for this; and as it is meant to be run, not as for its developers, which is twice as slow. */
async function loadInk() {
  process.env.NODE_ENV ??= 'production';
  const [{ render }, { createElement }, { App }] = await Promise.all([
    import('ink'),
    import('react'),
    import('./app.js'),
  ]);
  return { render, createElement, App };
}
