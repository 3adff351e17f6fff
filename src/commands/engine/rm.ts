/** `dbproxy engine rm`: remove fetched versions of PostgreSQL. */
import { string } from '@oclif/core/args';
import type { EngineRemoveResult } from '../../control/engines.js';
import { BaseCommand } from '../../cli/base-command.js';
import { engineRemoveView } from '../../cli/views/engines.js';

export default class EngineRm extends BaseCommand<typeof EngineRm, EngineRemoveResult> {
  static override summary = 'remove a version of PostgreSQL that was fetched';
  static override description =
    'Not the one that came with dbproxy, and none that an instance uses, be it stopped: its data needs it.';
  static override examples = ['<%= config.bin %> engine rm 17.9', '<%= config.bin %> engine rm 17.9 --json'];
  static override args = {
    version: string({ required: true, description: 'exactly as `engine ls` shows it' }),
  };

  protected override async execute(): Promise<EngineRemoveResult> {
    this.out.step('engine', this.args.version);
    const { removeEngine } = await import('../../control/engines.js');
    return removeEngine(this.args.version);
  }

  protected override show(result: EngineRemoveResult): void {
    this.out.data(engineRemoveView(result, this.out.style));
  }
}
