/** `dbproxy demo ls`: the scenarios that come with dbproxy. */
import { BaseCommand } from '../../cli/base-command.js';
import { table } from '../../cli/table.js';
import type { ScenarioListing } from '../../scenario/index.js';

/** `dbproxy.scenarios/1` */
interface ScenariosResult {
  readonly schema: 'dbproxy.scenarios/1';
  readonly scenarios: readonly ScenarioListing[];
}

export default class DemoLs extends BaseCommand<typeof DemoLs, ScenariosResult> {
  static override summary = 'list the scenarios that come with dbproxy';
  static override description =
    'Short commented YAML files, made to be copied: `demo init` makes one of your own.';
  static override examples = ['<%= config.bin %> demo ls', '<%= config.bin %> demo ls --json'];

  protected override async execute(): Promise<ScenariosResult> {
    const { listScenarios } = await import('../../scenario/index.js');
    return { schema: 'dbproxy.scenarios/1', scenarios: await listScenarios() };
  }

  protected override show({ scenarios }: ScenariosResult): void {
    const { style } = this.out;
    const rows = scenarios.map(({ id, name, about }) => [style.strong(id), name, style.dim(about)]);
    this.out.data(table([{ head: 'scenario' }, { head: 'what it shows' }, { head: '' }], rows, style));
    this.out.hint('next', ['dbproxy demo run session-state', 'dbproxy demo init']);
  }
}
