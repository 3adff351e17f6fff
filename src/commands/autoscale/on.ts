/** `dbproxy autoscale on`: from now on the size follows the load. */
import type { AutoscaleResult } from '../../control/api.js';
import { autoscaleFlags, policyChangeOf } from '../../cli/autoscale-flags.js';
import { InstanceCommand } from '../../cli/instance-command.js';
import { autoscaleView } from '../../cli/views/autoscale.js';

export default class AutoscaleOn extends InstanceCommand<typeof AutoscaleOn, AutoscaleResult> {
  static override summary = 'have the size follow the load, within bounds';
  static override description =
    'A larger size when CPU, active sessions or sessions that wait for a cpu stay above a threshold, a smaller one when they stay ' +
    'low; one size at a time, as `scale` does it, and not again before the cool-down is over. Every decision, also one not to act, ' +
    'is an event with its figures. Again: changes what is given, the rest stays as it was.';
  static override examples = [
    '<%= config.bin %> autoscale on',
    '<%= config.bin %> autoscale on --min small --max large',
    '<%= config.bin %> autoscale on --cpu-above 70% --cpu-below 25% --for 1min --cooldown 10min',
    '<%= config.bin %> autoscale on --queue-above off --active-above 8 --json',
  ];
  static override flags = autoscaleFlags;

  protected override async execute(): Promise<AutoscaleResult> {
    return this.ask('autoscaleOn', policyChangeOf(this.flags));
  }

  protected override show(result: AutoscaleResult): void {
    this.out.data(autoscaleView(result, this.out.style));
    this.out.hint('next', ['dbproxy autoscale status', 'dbproxy events --follow']);
  }
}
