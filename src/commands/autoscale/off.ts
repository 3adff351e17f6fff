/** `dbproxy autoscale off`: the size stays as it is. */
import type { AutoscaleResult } from '../../control/api.js';
import { InstanceCommand } from '../../cli/instance-command.js';
import { autoscaleView } from '../../cli/views/autoscale.js';

export default class AutoscaleOff extends InstanceCommand<typeof AutoscaleOff, AutoscaleResult> {
  static override summary = 'no longer change the size by itself';
  static override description =
    'The size stays as it is, and the policy is kept for the next `autoscale on`. A change that is under way goes on to its end.';
  static override examples = [
    '<%= config.bin %> autoscale off',
    '<%= config.bin %> autoscale off --name shop --json',
  ];

  protected override async execute(): Promise<AutoscaleResult> {
    return this.ask('autoscaleOff', {});
  }

  protected override show(result: AutoscaleResult): void {
    this.out.data(autoscaleView(result, this.out.style));
  }
}
