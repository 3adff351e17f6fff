/** `dbproxy check`: could every session move now, and at what cost? */
import type { CheckResult } from '../control/api.js';
import type { ExitCode } from '../errors/index.js';
import { durationFlag } from '../cli/flags.js';
import { sessionLimitFlags, sessionLimitsOf } from '../cli/session-limits.js';
import { InstanceCommand } from '../cli/instance-command.js';
import { checkView } from '../cli/views/check.js';

export default class Check extends InstanceCommand<typeof Check, CheckResult> {
  static override summary = 'what state each session has, and whether it can move';
  static override description =
    'Looks at every session when it is between two transactions, and holds nobody for longer than that look. With the limits ' +
    'that `scale` will be given it tells what `scale` would do. Exit code 3 when a session cannot move as it is now.';
  static override examples = [
    '<%= config.bin %> check',
    '<%= config.bin %> check --within 5s --json',
    '<%= config.bin %> check --max-temp-bytes 8MB',
  ];
  static override flags = {
    within: durationFlag({
      default: 1_000,
      description: 'how long to wait for a session to come between two transactions',
    }),
    ...sessionLimitFlags,
  };

  protected override async execute(): Promise<CheckResult> {
    this.out.step('check', 'looking at every session at its next safe point');
    return this.ask('check', { withinMs: this.flags.within, limits: sessionLimitsOf(this.flags) });
  }

  protected override show(result: CheckResult): void {
    this.out.data(checkView(result, this.out.style));
  }

  protected override exitCodeOf(result: CheckResult): ExitCode {
    return result.movable ? 0 : 3;
  }
}
