/** `dbproxy patch`: move every session to another minor version of PostgreSQL. */
import { string } from '@oclif/core/flags';
import type { MoveRecord } from '../control/api.js';
import type { ExitCode } from '../errors/index.js';
import { sizeFlag } from '../cli/flags.js';
import { InstanceCommand } from '../cli/instance-command.js';
import { moveFlags, moveParamsOf } from '../cli/move-flags.js';
import { exitCodeOfMove, MOVE_GOES_ON, showMove, tellProgress } from '../cli/move-outcome.js';

export default class Patch extends InstanceCommand<typeof Patch, MoveRecord> {
  static override summary = 'move every live session to another minor version of PostgreSQL';
  static override description =
    'Up or down, within one major version. No client connection is closed and no statement is lost. What cannot be moved, or a ' +
    'server that does not start, makes the operation roll back: the old version goes on serving, and the exit code is 1, or 5 ' +
    'when the deadline passed. A version that is not here is fetched first. Another major version is refused (exit code 2).';
  static override examples = [
    '<%= config.bin %> patch --to 17.10',
    '<%= config.bin %> patch --to 17.10 --size large',
    '<%= config.bin %> patch --to 17.9 --deadline 30s --on-timeout cancel --json',
  ];
  static override flags = {
    to: string({
      required: true,
      helpValue: 'VERSION',
      description: '17.10, or 17 for the newest one that is here',
    }),
    size: sizeFlag({ description: 'the size to move to in the same step (it stays without this)' }),
    ...moveFlags,
  };

  protected override async execute(): Promise<MoveRecord> {
    const { to, size } = this.flags;
    this.out.step('patch', `to PostgreSQL ${to}`);
    const params = { to, ...(size === undefined ? {} : { size }), ...moveParamsOf(this.flags) };
    return this.ask('patch', params, { onProgress: (progress) => tellProgress(this.out, progress) });
  }

  protected override show(record: MoveRecord): void {
    showMove(this.out, record);
  }

  protected override exitCodeOf(record: MoveRecord): ExitCode {
    return exitCodeOfMove(record);
  }

  protected override afterInterruption(): string {
    return MOVE_GOES_ON;
  }
}
