/** `dbproxy cancel`: the scale or patch that runs is given up. */
import { InstanceCommand } from '../cli/instance-command.js';
import { cancelView } from '../cli/views/cancel.js';
import type { CancelResult } from '../control/api.js';
import { ExitCode } from '../errors/index.js';

export default class Cancel extends InstanceCommand<typeof Cancel, CancelResult> {
  static override summary = 'give up the scale or patch that is running';
  static override description =
    'Until its point of no return it is rolled back: every session goes on where it is, and nothing is left of the new engine or, of `patch ' +
    '--self`, of the new process. After that it is completed all the same, and the exit code is 1. Answers when it has ended. With nothing ' +
    'running it says so (exit code 0).';
  static override examples = [
    '<%= config.bin %> cancel',
    '<%= config.bin %> cancel --name shop --writer 2',
    '<%= config.bin %> cancel --json',
  ];

  protected override async execute(): Promise<CancelResult> {
    const { cancelOperation } = await import('../control/cancel.js');
    return cancelOperation(this.instance);
  }

  protected override show(result: CancelResult): void {
    this.out.data(cancelView(result, this.out.style));
  }

  protected override exitCodeOf({ outcome }: CancelResult): ExitCode {
    return outcome === 'completed' ? ExitCode.failed : ExitCode.done;
  }
}
