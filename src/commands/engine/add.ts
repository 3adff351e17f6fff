/** `dbproxy engine add`: fetch a version of PostgreSQL. */
import { string } from '@oclif/core/args';
import type { EngineAddResult } from '../../control/engines.js';
import { BaseCommand } from '../../cli/base-command.js';
import { engineAddView } from '../../cli/views/engines.js';

export default class EngineAdd extends BaseCommand<typeof EngineAdd, EngineAddResult> {
  static override summary = 'fetch a version of PostgreSQL';
  static override description =
    'From the npm registry of your npm configuration, checked against its SHA-512 before anything of it is unpacked or ' +
    'started. A download that was broken off goes on where it was. Does nothing when the version is here.';
  static override examples = [
    '<%= config.bin %> engine add 17.9',
    '<%= config.bin %> engine add 17',
    '<%= config.bin %> engine add 17.9 --json',
  ];
  static override args = {
    version: string({ required: true, description: '17.9, or 17 for the newest one that the registry has' }),
  };

  protected override async execute(): Promise<EngineAddResult> {
    this.out.step('engine', this.args.version);
    const { addEngine } = await import('../../control/engines.js');
    return addEngine(this.args.version, {
      signal: this.signal,
      onProgress: ({ step, detail, fraction }) => this.out.step(step, detail, fraction),
    });
  }

  protected override show(result: EngineAddResult): void {
    this.out.data(engineAddView(result, this.out.style));
    this.out.hint('next', [`dbproxy up --postgres ${result.postgres}`, 'dbproxy engine ls']);
  }

  /** The lock is to be given back, or whoever comes next waits until it is stale. */
  protected override endsItself(): boolean {
    return true;
  }

  protected override afterInterruption(): string {
    return `what was fetched is kept; dbproxy engine add ${this.args.version} goes on from there`;
  }
}
