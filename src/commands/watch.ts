/** `dbproxy watch`: the instance as it lives, on the whole terminal. Elsewhere than on a terminal: one look at it. */
import type { StatusResult } from '../control/api.js';
import { durationFlag } from '../cli/flags.js';
import { InstanceCommand } from '../cli/instance-command.js';
import { DEFAULT_REFRESH_MS, hasScreen, openWatch } from '../cli/open-watch.js';
import type { JsonResult } from '../cli/output.js';
import { statusView } from '../cli/views/status.js';

/** The screen has shown what there was to show. */
interface WatchResult extends JsonResult {
  readonly schema: 'dbproxy.watch/1';
}

export default class Watch extends InstanceCommand<typeof Watch, StatusResult | WatchResult> {
  static override aliases = ['top'];
  static override summary =
    'the terminal UI: engines, sessions and events as they live, with keys for scale, patch and load';
  static override description =
    'Needs a terminal of 60 by 20. In a pipe, with --json, on a dumb terminal and in CI it prints what `status` prints, once. ' +
    'The keys are at the bottom of the screen, with the command that does the same; ? explains them.';
  static override examples = [
    '<%= config.bin %> watch',
    '<%= config.bin %> top --name shop --refresh 1s',
    '<%= config.bin %> watch --json',
  ];
  static override flags = {
    refresh: durationFlag({
      default: DEFAULT_REFRESH_MS,
      description: 'time between two looks at the instance, from 100ms on',
    }),
  };

  protected override async execute(): Promise<StatusResult | WatchResult> {
    if (!this.leavesSignals()) return this.ask('status', {});
    await openWatch(this.instance, this.flags.refresh, this.config.commandIDs);
    return { schema: 'dbproxy.watch/1' };
  }

  protected override show(result: StatusResult | WatchResult): void {
    if (result.schema === 'dbproxy.status/1')
      this.out.data(statusView(result, this.out.style, this.out.width));
  }

  /** The screen knows what to do with them. */
  protected override leavesSignals(): boolean {
    return !this.out.json && hasScreen();
  }
}
