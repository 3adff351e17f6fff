/** `dbproxy engine ls`: the versions of PostgreSQL that are here, and those that could be. */
import { boolean } from '@oclif/core/flags';
import type { EnginesResult } from '../../control/engines.js';
import { BaseCommand } from '../../cli/base-command.js';
import { enginesView } from '../../cli/views/engines.js';

export default class EngineLs extends BaseCommand<typeof EngineLs, EnginesResult> {
  static override summary = 'the versions of PostgreSQL that are here, and who uses them';
  static override description =
    'One comes with dbproxy, others are fetched when they are asked for (`up --postgres`, `engine add`) and shared by all ' +
    'instances.';
  static override examples = [
    '<%= config.bin %> engine ls',
    '<%= config.bin %> engine ls --available',
    '<%= config.bin %> engine ls --json',
  ];
  static override flags = {
    available: boolean({ description: 'ask the npm registry, too, what it has for this platform' }),
  };

  protected override async execute(): Promise<EnginesResult> {
    const { available } = this.flags;
    this.out.step('engine', available ? 'asking the registry' : 'looking');
    const { listEngines } = await import('../../control/engines.js');
    return listEngines({ available }, { signal: this.signal });
  }

  protected override show(result: EnginesResult): void {
    this.out.data(enginesView(result, this.out.style));
  }
}
