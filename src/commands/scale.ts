/** `dbproxy scale`: move every session to an engine of another size. */
import { string } from '@oclif/core/flags';
import type { MoveRecord } from '../control/api.js';
import { catalogue, knownCode, type ExitCode } from '../errors/index.js';
import { durationFlag, sizeFlag } from '../cli/flags.js';
import { sessionLimitFlags, sessionLimitsOf } from '../cli/session-limits.js';
import { InstanceCommand } from '../cli/instance-command.js';
import { moveView } from '../cli/views/move.js';

export default class Scale extends InstanceCommand<typeof Scale, MoveRecord> {
  static override summary = 'move every live session to an engine of another size';
  static override description =
    'No client connection is closed and no statement is lost. What cannot be moved makes the operation roll back: the ' +
    'sessions go on where they were, and the exit code is 1, or 5 when the deadline passed. `check` with the same limits tells ' +
    'beforehand which sessions can move.';
  static override examples = [
    '<%= config.bin %> scale --to large',
    '<%= config.bin %> scale --to small --deadline 30s --on-timeout cancel',
    '<%= config.bin %> scale --to large --unmovable drop --json',
    '<%= config.bin %> scale --to large --unmovable wait --deadline 10min --max-temp-bytes 8MB',
  ];
  static override flags = {
    to: sizeFlag({ required: true, description: 'the size to move to' }),
    'hold-budget': durationFlag({ default: 250, description: 'longest that one attempt may hold a session' }),
    deadline: durationFlag({ default: 300_000, description: 'longest that all attempts together may take' }),
    'on-timeout': string({
      options: ['rollback', 'cancel'],
      default: 'rollback',
      description: 'at the deadline: give up, or cancel the transactions that are still open',
    }),
    unmovable: string({
      options: ['rollback', 'wait', 'drop'],
      default: 'rollback',
      description:
        'a session whose state cannot move: give up, wait until it can or the deadline has come, or end that session with a clear error',
    }),
    ...sessionLimitFlags,
  };

  protected override async execute(): Promise<MoveRecord> {
    this.out.step('scale', `to ${this.flags.to}`);
    return this.ask(
      'scale',
      {
        to: this.flags.to,
        holdBudgetMs: this.flags['hold-budget'],
        deadlineMs: this.flags.deadline,
        onTimeout: this.flags['on-timeout'] as 'rollback' | 'cancel',
        unmovable: this.flags.unmovable as 'rollback' | 'wait' | 'drop',
        sessionLimits: sessionLimitsOf(this.flags),
      },
      {
        onProgress: ({ step, detail, attempt }) =>
          this.out.step(step, attempt > 1 ? `${detail} (attempt ${attempt})` : detail),
      },
    );
  }

  protected override show(record: MoveRecord): void {
    this.out.data(moveView(record, this.out.style));
    if (!record.error) return;
    const { suggestions } = catalogue[knownCode(record.error.code)];
    this.out.hint(
      'next',
      suggestions.filter((text) => !text.includes('{')),
    );
  }

  protected override exitCodeOf(record: MoveRecord): ExitCode {
    return record.error ? catalogue[knownCode(record.error.code)].exit : 0;
  }

  protected override afterInterruption(): string {
    return 'the operation goes on to its end; watch it: dbproxy events --follow';
  }
}
