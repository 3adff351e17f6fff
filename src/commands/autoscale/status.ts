/** `dbproxy autoscale status`: on or off, the policy, what is measured, and what was decided last. */
import type { AutoscaleResult } from '../../control/api.js';
import { InstanceCommand } from '../../cli/instance-command.js';
import { autoscaleView } from '../../cli/views/autoscale.js';

export default class AutoscaleStatus extends InstanceCommand<typeof AutoscaleStatus, AutoscaleResult> {
  static override summary = 'on or off, its policy, what is measured now, and the last decision';
  static override examples = [
    '<%= config.bin %> autoscale status',
    '<%= config.bin %> autoscale status --name shop --json',
  ];

  protected override async execute(): Promise<AutoscaleResult> {
    return this.ask('autoscale', {});
  }

  protected override show(result: AutoscaleResult): void {
    this.out.data(autoscaleView(result, this.out.style));
  }
}
