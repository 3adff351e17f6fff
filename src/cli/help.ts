/** Help pages that begin with what can be typed: the examples, then usage and flags. */
import type { Command } from '@oclif/core/command';
import { CommandHelp, Help } from '@oclif/core/help';
import type { Interfaces } from './oclif-types.js';

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

  /** An alias is in the help of its command; what is a command is no topic (the framework finds `scale:` in `autoscale:on`). */
  protected override get sortedCommands(): Command.Loadable[] {
    return super.sortedCommands.filter(({ id, aliases }) => !aliases.includes(id));
  }

  protected override get sortedTopics(): Interfaces.Topic[] {
    return super.sortedTopics.filter(({ name }) => !this.config.findCommand(name));
  }

  protected override CommandHelpClass = ExamplesFirst;
}
