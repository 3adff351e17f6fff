/** `dbproxy demo init`: a scenario of one's own, to begin with. */
import { string as stringArg } from '@oclif/core/args';
import { boolean } from '@oclif/core/flags';
import { BaseCommand } from '../../cli/base-command.js';

/** `dbproxy.demo-init/1` */
interface InitResult {
  readonly schema: 'dbproxy.demo-init/1';
  readonly file: string;
}

export default class DemoInit extends BaseCommand<typeof DemoInit, InitResult> {
  static override summary = 'write a scenario to begin with';
  static override description =
    'A copy of live-scale, with its comments. Editors that know the YAML language server complete and check it by the schema ' +
    'that its first line names.';
  static override examples = ['<%= config.bin %> demo init', '<%= config.bin %> demo init ci/upgrade.yaml'];
  static override args = {
    file: stringArg({ default: 'demo.yaml', description: 'where to' }),
  };
  static override flags = {
    force: boolean({ description: 'also where a file is already' }),
  };

  protected override async execute(): Promise<InitResult> {
    const { file } = this.args;
    const { initScenario } = await import('../../scenario/index.js');
    await initScenario(file, { force: this.flags.force });
    return { schema: 'dbproxy.demo-init/1', file };
  }

  protected override show({ file }: InitResult): void {
    this.out.data(`${this.out.style.ok} ${file}`);
    this.out.hint('next', [`dbproxy demo run ${file}`]);
  }
}
