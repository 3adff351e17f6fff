/**
 * The terminal is given back however we end: at a key, by a signal, by a crash. And in between: Ctrl-Z gives it to the shell, `fg`
 * brings it back. (Only kill -9 leaves it as it is; `reset` helps then.)
 */
import type { ReadStream } from 'node:tty';
import type { Screen } from './screen.js';

export type EndSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';
const END_SIGNALS: readonly EndSignal[] = ['SIGINT', 'SIGTERM', 'SIGHUP'];

export class TerminalGuard {
  readonly #screen: Screen;
  readonly #stdin: ReadStream;
  readonly #onEnd: (signal: EndSignal) => void;
  readonly #onResumed: () => void;

  constructor(screen: Screen, stdin: ReadStream, onEnd: (signal: EndSignal) => void, onResumed: () => void) {
    this.#screen = screen;
    this.#stdin = stdin;
    this.#onEnd = onEnd;
    this.#onResumed = onResumed;
  }

  open(): void {
    process.on('exit', this.#giveBack);
    // Called before Node prints what was thrown and ends: then it is printed where it stays.
    process.on('uncaughtExceptionMonitor', this.#giveBack);
    for (const signal of END_SIGNALS) process.on(signal, this.#end);
    process.on('SIGTSTP', this.suspend);
    process.on('SIGCONT', this.#resume);
    // The terminal itself is gone.
    process.stdout.on('error', this.#gone);
    this.#stdin.on('end', this.#gone);
    this.#screen.enter();
  }

  close(): void {
    this.#giveBack();
    process.off('exit', this.#giveBack);
    process.off('uncaughtExceptionMonitor', this.#giveBack);
    for (const signal of END_SIGNALS) process.off(signal, this.#end);
    process.off('SIGTSTP', this.suspend);
    process.off('SIGCONT', this.#resume);
    this.#stdin.off('end', this.#gone);
  }

  /**
   * Stops us as the shell's job control does: the whole process group, by the signal's default action, which the kernel leaves out
   * where nobody could start us again.
   */
  readonly suspend = (): void => {
    this.#giveBack();
    process.off('SIGTSTP', this.suspend);
    process.kill(0, 'SIGTSTP');
    process.on('SIGTSTP', this.suspend);
    this.#resume();
  };

  readonly #resume = (): void => {
    this.#stdin.setRawMode(true);
    this.#screen.leave();
    this.#screen.enter();
    this.#onResumed();
  };

  readonly #giveBack = (): void => {
    this.#stdin.setRawMode(false);
    this.#screen.leave();
  };

  readonly #end = (signal: NodeJS.Signals): void => this.#onEnd(signal as EndSignal);
  readonly #gone = (): void => this.#onEnd('SIGHUP');
}
