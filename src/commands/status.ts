/** `dbproxy status`: the instance as it is, after it was reconciled with what really runs. */
import type { StatusResult } from '../control/api.js';
import { InstanceCommand } from '../cli/instance-command.js';
import { statusView } from '../cli/views/status.js';

export default class Status extends InstanceCommand<typeof Status, StatusResult> {
  static override summary = 'engines, proxy, sessions and the operation in progress';
  static override examples = ['<%= config.bin %> status', '<%= config.bin %> status --name shop --json'];

  protected override async execute(): Promise<StatusResult> {
    return this.ask('status', {});
  }

  protected override show(result: StatusResult): void {
    this.out.data(statusView(result, this.out.style));
  }
}
