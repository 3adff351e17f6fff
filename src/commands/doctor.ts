/** `dbproxy doctor`: what works here, what does not, what to do. */
import { boolean } from '@oclif/core/flags';
import type { DoctorResult } from '../control/doctor.js';
import type { ExitCode } from '../errors/index.js';
import { BaseCommand } from '../cli/base-command.js';
import { doctorView } from '../cli/views/doctor.js';

export default class Doctor extends BaseCommand<typeof Doctor, DoctorResult> {
  static override summary = 'what works here, what does not, what to do';
  static override description =
    'Starts an engine to see that it can, and looks for what dead processes have left. Exit code 4 when something has ' +
    'to be put right first.';
  static override examples = ['<%= config.bin %> doctor', '<%= config.bin %> doctor --fix'];
  static override flags = {
    fix: boolean({ description: 'repair instances whose supervisor died, end and remove what is left over' }),
  };

  protected override async execute(): Promise<DoctorResult> {
    const { examine } = await import('../control/doctor.js');
    return examine({ fix: this.flags.fix, onCheck: (name) => this.out.step('doctor', name) });
  }

  protected override show(result: DoctorResult): void {
    this.out.data(doctorView(result, this.out.style));
  }

  protected override exitCodeOf({ healthy }: DoctorResult): ExitCode {
    return healthy ? 0 : 4;
  }
}
