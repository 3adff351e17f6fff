/** Help pages that begin with what can be typed: the examples, then usage and flags. */
import { CommandHelp, Help } from '@oclif/core/help';

class ExamplesFirst extends CommandHelp {
  protected override sections(): ReturnType<CommandHelp['sections']> {
    const sections = super.sections();
    const isExample = ({ header }: { header: string }): boolean => header === 'EXAMPLES';
    return [...sections.filter(isExample), ...sections.filter((section) => !isExample(section))];
  }
}

const FIRST_STEPS: readonly (readonly [command: string, what: string])[] = [
  ['up', 'start PostgreSQL behind the proxy'],
  ['psql', 'open psql on it'],
  ['scale --to large', 'move every live session to a bigger engine'],
  ['demo run', 'watch that happen under load'],
  ['down', 'stop it; the data stays'],
];

export default class DbproxyHelp extends Help {
  override formatRoot(): string {
    const steps = FIRST_STEPS.map(([command, what]): [string, string] => [
      `$ ${this.config.bin} ${command}`,
      what,
    ]);
    const list = this.renderList(steps, {
      indentation: 2,
      spacer: '\n',
      stripAnsi: this.opts.stripAnsi ?? false,
    });
    return `${this.section('FIRST STEPS', list)}\n\n${super.formatRoot()}`;
  }

  protected override CommandHelpClass = ExamplesFirst;
}
