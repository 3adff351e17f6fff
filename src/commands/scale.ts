/** `dbproxy scale`: move every session to an engine of another size. */
import { string } from '@oclif/core/flags';
import type { MoveRecord, ScaleStrategy } from '../control/api.js';
import type { ProviderKind } from '../engine/types.js';
import type { ExitCode } from '../errors/index.js';
import { sizeFlag } from '../cli/flags.js';
import { InstanceCommand } from '../cli/instance-command.js';
import { moveFlags, moveParamsOf } from '../cli/move-flags.js';
import { exitCodeOfMove, MOVE_GOES_ON, showMove, tellProgress } from '../cli/move-outcome.js';

export default class Scale extends InstanceCommand<typeof Scale, MoveRecord> {
  static override summary = 'move every live session to an engine of another size';
  static override description =
    'No client connection is closed and no statement is lost. What cannot be moved makes the operation roll back: the ' +
    'sessions go on where they were, and the exit code is 1, or 5 when the deadline passed. `check` with the same limits tells ' +
    'beforehand which sessions can move. With --strategy resize nothing moves and nobody waits: the engine itself gets more CPU, memory and ' +
    'settings as it runs; what it has only when it is started again (shared_buffers) is named, and a later scale to the same size brings it. ' +
    'A resize only grows: to a smaller size the sessions have to move.';
  static override examples = [
    '<%= config.bin %> scale --to large',
    '<%= config.bin %> scale --to small --deadline 30s --on-timeout cancel',
    '<%= config.bin %> scale --to large --unmovable drop --json',
    '<%= config.bin %> scale --to large --strategy resize',
    '<%= config.bin %> scale --to large --provider docker',
    '<%= config.bin %> scale --to large --unmovable wait --deadline 10min --max-temp-bytes 8MB',
  ];
  static override flags = {
    to: sizeFlag({ required: true, description: 'the size to move to' }),
    strategy: string({
      options: ['standby', 'resize'],
      default: 'standby',
      description:
        'a copy of the data on an engine of that size takes over; or the engine itself gets more as it runs: no move, no hold, and not all of the size',
    }),
    provider: string({
      options: ['embedded', 'docker'],
      description: 'move between a process and a container in the same step',
    }),
    image: string({
      helpValue: 'NAME[:TAG]',
      description: 'with --provider docker: the image; without a tag the version is its tag',
    }),
    ...moveFlags,
  };

  protected override async execute(): Promise<MoveRecord> {
    const { to, image } = this.flags;
    const provider = this.flags.provider as ProviderKind | undefined;
    const strategy = this.flags.strategy as ScaleStrategy;
    this.out.step('scale', `to ${to}`);
    const params = {
      ...{ to, strategy },
      ...(provider === undefined ? {} : { provider }),
      ...(image === undefined ? {} : { image }),
      ...moveParamsOf(this.flags),
    };
    return this.ask('scale', params, { onProgress: (progress) => tellProgress(this.out, progress) });
  }

  protected override show(record: MoveRecord): void {
    showMove(this.out, record);
  }

  protected override async reportOf(record: MoveRecord): Promise<string> {
    const { moveReport } = await import('../report/index.js');
    return moveReport(record);
  }

  protected override exitCodeOf(record: MoveRecord): ExitCode {
    return exitCodeOfMove(record);
  }

  protected override afterInterruption(): string {
    return MOVE_GOES_ON;
  }
}
