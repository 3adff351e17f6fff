/** `dbproxy demo run`: a scenario that plays itself, judges itself and cleans up. */
import { string as stringArg } from '@oclif/core/args';
import { DbproxyError, type ExitCode } from '../../errors/index.js';
import { BaseCommand } from '../../cli/base-command.js';
import { reportFlag } from '../../cli/flags.js';
import { demoView } from '../../cli/views/demo.js';
import { workloadProgressLine } from '../../cli/views/workload.js';
import type { DemoProgress, DemoResult } from '../../scenario/index.js';

export default class DemoRun extends BaseCommand<typeof DemoRun, DemoResult> {
  static override summary = 'watch live sessions move between engines under load';
  static override description =
    'Has an instance of its own and removes it, also after Ctrl-C. Exit code 3 when a promise did not hold.';
  static override examples = [
    '<%= config.bin %> demo run',
    '<%= config.bin %> demo run live-scale --json',
    '<%= config.bin %> demo run --report demo.html',
  ];
  static override args = {
    scenario: stringArg({ default: 'live-scale', description: 'which one' }),
  };
  static override flags = { report: reportFlag };

  protected override async execute(): Promise<DemoResult> {
    this.out.step('demo', this.args.scenario);
    const { SCENARIOS } = await import('../../scenario/index.js');
    const scenario = SCENARIOS.find(({ name }) => name === this.args.scenario);
    if (!scenario) {
      const names = SCENARIOS.map(({ name }) => name).join(', ');
      throw new DbproxyError('DBP_USAGE', {
        reason: `there is no scenario "${this.args.scenario}"; there is ${names}`,
      });
    }
    this.out.note(`${scenario.title}. About ${scenario.aboutSeconds} s.`);
    return scenario.run({ signal: this.signal, onProgress: (progress) => this.#tell(progress) });
  }

  protected override show(result: DemoResult): void {
    this.out.data(demoView(result, this.out.style));
  }

  protected override async reportOf(result: DemoResult): Promise<string> {
    const { demoReport } = await import('../../report/index.js');
    return demoReport([result]);
  }

  protected override exitCodeOf({ outcome }: DemoResult): ExitCode {
    return outcome === 'passed' ? 0 : 3;
  }

  protected override endsItself(): boolean {
    return true;
  }

  protected override afterInterruption(): string {
    return 'removing what was started';
  }

  #tell(progress: DemoProgress): void {
    if (progress.kind === 'step') this.out.step(progress.name, progress.detail);
    else this.out.step(progress.step, workloadProgressLine(progress.load));
  }
}
