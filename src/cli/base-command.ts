/**
 * What every command is made of: flags → `execute` (asks the control client) → the writer. A command states its result
 * type, so that no command can end without its JSON form. Errors are not handled here: main.ts turns them into the exit code.
 */
import { Command } from '@oclif/core/command';
import { boolean } from '@oclif/core/flags';
import type { Interfaces } from './oclif-types.js';
import { DbproxyError, type ExitCode } from '../errors/index.js';
import { addressingOf } from './addressing.js';
import { Interruption } from './interruption.js';
import { OutputFile } from './output-file.js';
import { Output, type JsonResult } from './output.js';

export const outputFlags = {
  json: boolean({ description: 'print one JSON object instead of text', helpGroup: 'GLOBAL' }),
  'no-color': boolean({ description: 'no colours (also: NO_COLOR=1)', helpGroup: 'GLOBAL' }),
};

type FlagsOf<T extends typeof Command> = Interfaces.InferredFlags<T['flags']>;
type ArgsOf<T extends typeof Command> = Interfaces.InferredArgs<T['args']>;

export abstract class BaseCommand<T extends typeof Command, Result extends JsonResult> extends Command {
  static override baseFlags: Interfaces.FlagInput = outputFlags;

  protected flags!: FlagsOf<T>;
  protected args!: ArgsOf<T>;
  /** Arguments after `--`, where the command takes any. */
  protected rest: readonly string[] = [];
  protected out!: Output;
  #interruption!: Interruption;

  /** Does the work and answers the result. May call `this.out.step`. */
  protected abstract execute(): Promise<Result>;
  /** The result for people. */
  protected abstract show(result: Result): void;

  /** For a result that is not an error and yet not what was wanted. */
  protected exitCodeOf(_result: Result): ExitCode {
    return 0;
  }

  /** The result as a page, for a command with `reportFlag`. */
  protected reportOf(_result: Result): Promise<string> {
    throw new DbproxyError('DBP_INTERNAL', { reason: `${this.id} makes no report` });
  }

  /** What Ctrl-C leaves behind, said at once. */
  protected afterInterruption(): string {
    return 'stopping';
  }

  /** What a second Ctrl-C leaves behind, if that has to be said. */
  protected afterForce(): string | null {
    return null;
  }

  /** True: `execute` ends by itself when `this.signal` is aborted (it has something to clean up). */
  protected endsItself(): boolean {
    return false;
  }

  /** True: Ctrl-C is for a program that the command runs in the foreground. */
  protected leavesSignals(): boolean {
    return false;
  }

  protected get signal(): AbortSignal {
    return this.#interruption.signal;
  }

  /** `promise`, ended early when the process is asked to end. */
  protected untilInterrupted<V>(promise: Promise<V>): Promise<V> {
    return Promise.race([promise, this.#interruption.raised]);
  }

  async run(): Promise<void> {
    await this.#readArguments();
    this.#interruption = new Interruption(
      (signal) => {
        this.out.endProgress();
        // What ends at once cannot be forced any more.
        const force = this.endsItself() ? ' (once more to force)' : '';
        this.out.note(`${signal}: ${this.afterInterruption()}${force}`);
      },
      () => {
        this.out.endProgress();
        const said = this.afterForce();
        if (said !== null) this.out.note(said);
      },
    );
    if (!this.leavesSignals()) this.#interruption.listen();
    this.#interruption.watchOutput();
    try {
      const report = await this.#openReport();
      const result = await this.#executeUntilInterrupted();
      if (this.out.json) this.out.result(result);
      else this.show(result);
      process.exitCode = this.#exitCodeAfter(result);
      // Only now: whatever becomes of the file, the result is told.
      if (report) {
        const written = await report.write(this.reportOf(result), this.out);
        process.exitCode ||= written;
      }
    } finally {
      this.out.endProgress();
      this.#interruption.dispose();
    }
  }

  /** Errors pass through to main.ts, which alone knows how to end. */
  protected override async catch(error: Error): Promise<never> {
    throw error;
  }

  async #readArguments(): Promise<void> {
    const { flags, args, argv } = await this.parse({
      flags: this.ctor.flags,
      baseFlags: this.ctor.baseFlags,
      args: this.ctor.args,
      strict: this.ctor.strict,
    });
    this.flags = flags as FlagsOf<T>;
    this.args = args as ArgsOf<T>;
    // As they were typed: the parser sorts them, which brings words that come twice together.
    const dashes = this.argv.indexOf('--');
    this.rest = dashes === -1 ? (argv as string[]) : this.argv.slice(dashes + 1);
    const addressed = addressingOf(this.config, this.id ?? '', this.argv);
    this.out = new Output((flags as { json?: boolean }).json === true, addressed);
  }

  async #openReport(): Promise<OutputFile | null> {
    const { report } = this.flags as { report?: string };
    return report === undefined ? null : OutputFile.at(report);
  }

  async #executeUntilInterrupted(): Promise<Result> {
    if (!this.endsItself()) return this.untilInterrupted(this.execute());
    return this.execute().catch((error: unknown) => {
      throw this.signal.aborted ? this.signal.reason : error;
    });
  }

  /** An interrupted command that has a result shows it, and still ends as one that was interrupted. */
  #exitCodeAfter(result: Result): ExitCode {
    if (!this.signal.aborted) return this.exitCodeOf(result);
    const reason: unknown = this.signal.reason;
    if (!(reason instanceof DbproxyError)) return this.exitCodeOf(result);
    if (!this.out.json) this.out.failure(reason);
    return reason.exitCode;
  }
}
