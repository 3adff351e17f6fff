/** A real terminal for tests: tmux, with a shell in it. Keys go in, the screen comes out; every wait has a bound. */
import { execFile, spawnSync } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Without it the tests of the terminal UI are skipped by name. */
export const hasTmux = spawnSync('tmux', ['-V']).status === 0;

/** With these, nothing is animated, or other colours are taken. */
const SET_IN_CI = ['CI', 'NO_COLOR', 'FORCE_COLOR'];

const LOOK_EVERY_MS = 50;
/** Node starts, an instance repairs itself: on a busy machine that takes its time. */
const DEFAULT_BOUND_MS = 40_000;

export interface TerminalOptions {
  readonly columns: number;
  readonly rows: number;
  readonly env: Readonly<Record<string, string>>;
}

export class Terminal {
  readonly #socket: string;

  private constructor(socket: string) {
    this.#socket = socket;
  }

  static async open({ columns, rows, env }: TerminalOptions): Promise<Terminal> {
    const terminal = new Terminal(`dbproxy-test-${process.pid}-${Math.random().toString(36).slice(2)}`);
    const variables = Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
    // A person's shell, also where the tests run in CI; what the test itself asks for stays.
    const unset = SET_IN_CI.filter((name) => !(name in env)).map((name) => `-u ${name}`);
    const shell = `env ${unset.join(' ')} bash --norc --noprofile`;
    const size = ['-x', String(columns), '-y', String(rows)];
    try {
      await terminal.#tmux('new-session', '-d', ...size, ...variables, '-s', 'test', shell);
      // What a program copies is kept where it can be read; what runs in the terminal is not one of its own clipboards.
      await terminal.#tmux('set-option', '-g', 'set-clipboard', 'on');
      await terminal.type("PS1='ready> '; clear");
      await terminal.shows(/^ready>$/m);
      return terminal;
    } catch (error) {
      await terminal.close();
      throw error;
    }
  }

  /** A line for the shell. */
  async type(line: string): Promise<void> {
    await this.#tmux('send-keys', '-t', 'test', '-l', line);
    await this.keys('Enter');
  }

  /** Keys by tmux's names, or characters. */
  async keys(...keys: readonly string[]): Promise<void> {
    await this.#tmux('send-keys', '-t', 'test', ...keys);
  }

  /** What is on the screen, without what is blank at the end of its lines. */
  screen(): Promise<string> {
    return this.#tmux('capture-pane', '-p', '-t', 'test');
  }

  /** With its escape codes for colours. */
  colored(): Promise<string> {
    return this.#tmux('capture-pane', '-e', '-p', '-t', 'test');
  }

  /** Resolves with the screen once `what` is on it. */
  shows(what: string | RegExp, boundMs?: number): Promise<string> {
    return this.until(`shows ${String(what)}`, (screen) => matches(screen, what), boundMs);
  }

  showsNot(what: string | RegExp, boundMs?: number): Promise<string> {
    return this.until(`no longer shows ${String(what)}`, (screen) => !matches(screen, what), boundMs);
  }

  /** Resolves with the screen once it is as `test` wants it; `what` completes "the screen …". */
  async until(what: string, test: (screen: string) => boolean, boundMs = DEFAULT_BOUND_MS): Promise<string> {
    const end = performance.now() + boundMs;
    for (;;) {
      const screen = await this.screen();
      if (test(screen)) return screen;
      if (performance.now() > end) throw new Error(`not within ${boundMs} ms: the screen ${what}\n${screen}`);
      await delay(LOOK_EVERY_MS);
    }
  }

  /** Is a program on the alternate screen, and is the cursor shown? */
  async state(): Promise<{ alternate: boolean; cursor: boolean }> {
    const found = await this.#tmux('display-message', '-p', '-t', 'test', '#{alternate_on} #{cursor_flag}');
    const [alternate, cursor] = found.trim().split(' ');
    return { alternate: alternate === '1', cursor: cursor === '1' };
  }

  /** The program in this terminal whose command line has that word. */
  async programPid(word: string): Promise<number> {
    for (const entry of await readdir('/proc')) {
      const read = (name: string): Promise<string> =>
        readFile(`/proc/${entry}/${name}`, 'utf8').catch(() => '');
      const words = /^\d+$/.test(entry) ? (await read('cmdline')).split('\0') : [];
      if (words.includes(word) && (await read('environ')).includes(`/${this.#socket},`)) return Number(entry);
    }
    throw new Error(`no ${word} runs in this terminal`);
  }

  async resize(columns: number, rows: number): Promise<void> {
    await this.#tmux('resize-window', '-t', 'test', '-x', String(columns), '-y', String(rows));
  }

  /** What was copied last (OSC 52). */
  copied(): Promise<string> {
    return this.#tmux('show-buffer').catch(() => '');
  }

  async close(): Promise<void> {
    await this.#tmux('kill-server').catch(() => undefined);
  }

  async #tmux(...args: readonly string[]): Promise<string> {
    const { stdout } = await run('tmux', ['-L', this.#socket, '-f', '/dev/null', ...args], {
      env: { ...process.env, TERM: 'xterm-256color', LANG: 'C.UTF-8' },
    });
    return stdout;
  }
}

const matches = (screen: string, what: string | RegExp): boolean =>
  typeof what === 'string' ? screen.includes(what) : what.test(screen);
