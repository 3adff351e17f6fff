/** `dbproxy workload ls`: what can be run. */
import { BaseCommand } from '../../cli/base-command.js';
import { table } from '../../cli/table.js';
import type { WorkloadListing } from '../../workload/index.js';

/** `dbproxy.workloads/1` */
interface WorkloadsResult {
  readonly schema: 'dbproxy.workloads/1';
  readonly workloads: readonly WorkloadListing[];
}

export default class WorkloadLs extends BaseCommand<typeof WorkloadLs, WorkloadsResult> {
  static override summary = 'list the workloads there are';
  static override description =
    'Scripts are files in the syntax of pgbench, to be copied and changed. Probes keep state in their session and check that it is still there.';
  static override examples = ['<%= config.bin %> workload ls', '<%= config.bin %> workload ls --json'];

  protected override async execute(): Promise<WorkloadsResult> {
    const { listWorkloads } = await import('../../workload/index.js');
    return { schema: 'dbproxy.workloads/1', workloads: await listWorkloads() };
  }

  protected override show({ workloads }: WorkloadsResult): void {
    const { style } = this.out;
    const rows = workloads.map(({ name, kind, summary }) => [style.strong(name), kind, summary]);
    this.out.data(table([{ head: 'workload' }, { head: 'kind' }, { head: 'what it does' }], rows, style));
    const script = workloads.find(({ file }) => file !== null)?.file;
    if (script) this.out.hint('copy one', [`cp ${script} mine.sql`, 'dbproxy workload run mine.sql']);
  }
}
