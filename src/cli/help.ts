/** Help pages that begin with what can be typed: the examples, then usage and flags. */
import { CommandHelp, Help } from '@oclif/core/help';

class ExamplesFirst extends CommandHelp {
  protected override sections(): ReturnType<CommandHelp['sections']> {
    const sections = super.sections();
    const isExample = ({ header }: { header: string }): boolean => header === 'EXAMPLES';
    return [...sections.filter(isExample), ...sections.filter((section) => !isExample(section))];
  }
}

export default class DbproxyHelp extends Help {
  protected override CommandHelpClass = ExamplesFirst;
}
