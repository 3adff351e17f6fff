/** `dbproxy autocomplete`: the function that completes our words at TAB, for a shell to read. */
import { string as stringArg } from '@oclif/core/args';
import { BaseCommand } from '../cli/base-command.js';
import type { JsonResult } from '../cli/output.js';
import { SHELLS, type Shell } from '../cli/shells.js';

interface AutocompleteResult extends JsonResult {
  readonly schema: 'dbproxy.autocomplete/1';
  readonly shell: Shell;
  readonly script: string;
}

export default class Autocomplete extends BaseCommand<typeof Autocomplete, AutocompleteResult> {
  static override summary = 'completion at TAB, for bash and zsh';
  static override description =
    'Prints what the shell has to read: a line in ~/.bashrc, or in ~/.zshrc behind compinit. It completes commands, flags and their ' +
    'values: sizes, the instances that exist, versions of PostgreSQL that are here, scenarios, workloads.';
  static override examples = [
    '<%= config.bin %> autocomplete bash',
    "echo 'source <(<%= config.bin %> autocomplete bash)' >> ~/.bashrc",
    "echo 'source <(<%= config.bin %> autocomplete zsh)' >> ~/.zshrc",
  ];
  static override args = {
    shell: stringArg({ options: Object.keys(SHELLS), description: 'which one (else that of $SHELL)' }),
  };

  protected override async execute(): Promise<AutocompleteResult> {
    const { shell = process.env.SHELL?.endsWith('zsh') ? 'zsh' : 'bash' } = this.args;
    return { schema: 'dbproxy.autocomplete/1', shell: shell as Shell, script: SHELLS[shell as Shell] };
  }

  protected override show({ shell, script }: AutocompleteResult): void {
    this.out.data(script.trimEnd());
    if (process.stdout.isTTY) this.out.note(`in ~/.${shell}rc: source <(dbproxy autocomplete ${shell})`);
  }
}
