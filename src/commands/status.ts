/** `dbproxy status`: the instance as it is, after it was reconciled with what really runs; with --all which instances there are. */
import { boolean } from '@oclif/core/flags';
import type { StatusResult } from '../control/api.js';
import { InstanceCommand } from '../cli/instance-command.js';
import type { JsonResult } from '../cli/output.js';
import { instancesView, type InstanceLine } from '../cli/views/instances.js';
import { statusView } from '../cli/views/status.js';

interface InstancesResult extends JsonResult {
  readonly schema: 'dbproxy.instances/1';
  readonly instances: readonly InstanceLine[];
}

export default class Status extends InstanceCommand<typeof Status, StatusResult | InstancesResult> {
  static override summary = 'engines, proxy, sessions and the operation in progress';
  static override examples = [
    '<%= config.bin %> status',
    '<%= config.bin %> status --name shop --json',
    '<%= config.bin %> status --all',
  ];
  static override flags = {
    all: boolean({ description: 'which instances there are, those that are down, too' }),
  };

  protected override async execute(): Promise<StatusResult | InstancesResult> {
    if (!this.flags.all) return this.ask('status', {});
    const { listInstances } = await import('../control/client.js');
    const instances = (await listInstances())
      .filter(({ writerOf }) => writerOf === null)
      .map(({ name, state, port, engines, directory }) => ({
        ...{ name, state, port },
        engines: engines.map(({ id, role, size, postgres }) => ({ id, role, size, postgres })),
        directory,
      }));
    return { schema: 'dbproxy.instances/1', instances };
  }

  protected override show(result: StatusResult | InstancesResult): void {
    const { style } = this.out;
    this.out.data(
      result.schema === 'dbproxy.status/1'
        ? statusView(result, style, this.out.width)
        : instancesView(result.instances, style),
    );
  }
}
