/** `dbproxy patch`: move every session to another minor version of PostgreSQL, or replace our own processes under them. */
import { boolean, string } from '@oclif/core/flags';
import { handoverView } from '../cli/views/handover.js';
import type { SelfPatchResult } from '../control/replace-self.js';
import { parseWriterName } from '../control/multiwriter/names.js';
import type { MoveRecord, PatchStrategy } from '../control/api.js';
import type { ExitCode } from '../errors/index.js';
import { sizeFlag } from '../cli/flags.js';
import { InstanceCommand } from '../cli/instance-command.js';
import { moveFlags, moveParamsOf } from '../cli/move-flags.js';
import { exitCodeOfMove, MOVE_GOES_ON, showMove, tellProgress } from '../cli/move-outcome.js';

/** With --self nothing moves. Of several writers all sessions stand still before they go over; of one these mean nothing. */
const HEEDED: ReadonlySet<string> = new Set(['report', 'hold-budget', 'deadline', 'on-timeout']);

export default class Patch extends InstanceCommand<typeof Patch, MoveRecord | SelfPatchResult> {
  static override summary =
    'move every live session to another minor version of PostgreSQL, or to a new build of dbproxy';
  static override description =
    'Up or down, within one major version. No client connection is closed and no statement is lost. What cannot be moved, or a ' +
    'server that does not start, makes the operation roll back: the old version goes on serving, and the exit code is 1, or 5 ' +
    'when the deadline passed. A version that is not here is fetched first. Another major version is refused (exit code 2). ' +
    '--self replaces the processes of dbproxy itself by those of the build that runs the command: first the supervisor, then the ' +
    'proxy, whose successor inherits every socket. Nobody reconnects, open transactions go on.';
  static override examples = [
    '<%= config.bin %> patch --to 17.10',
    '<%= config.bin %> patch --to 17.10 --size large',
    '<%= config.bin %> patch --self',
    '<%= config.bin %> patch --to 17.10 --strategy in-place',
    '<%= config.bin %> patch --to 17.9 --deadline 30s --on-timeout cancel --json',
  ];
  static override flags = {
    to: string({
      exactlyOne: ['to', 'self'],
      helpValue: 'VERSION',
      description: '17.10, or 17 for the newest one that is here',
    }),
    self: boolean({
      exclusive: ['strategy', 'size', 'image', ...Object.keys(moveFlags).filter((name) => !HEEDED.has(name))],
      description: 'replace the running proxy and supervisor by this build',
    }),
    strategy: string({
      options: ['standby', 'in-place'],
      default: 'standby',
      description:
        'a copy of the data with the new version takes over; or the server itself is stopped and started again: no second copy, a longer hold',
    }),
    size: sizeFlag({ description: 'the size to move to in the same step (it stays without this)' }),
    image: string({
      helpValue: 'NAME[:TAG]',
      description: 'for containers: another image; without a tag the version is its tag',
    }),
    ...moveFlags,
  };

  protected override async execute(): Promise<MoveRecord | SelfPatchResult> {
    const { to, size, image } = this.flags;
    if (to === undefined) return this.#replaceSelf();
    const strategy = this.flags.strategy as PatchStrategy;
    this.out.step('patch', `to PostgreSQL ${to}`);
    const params = {
      ...{ to, strategy },
      ...(size === undefined ? {} : { size }),
      ...(image === undefined ? {} : { image }),
      ...moveParamsOf(this.flags),
    };
    return this.ask('patch', params, { onProgress: (progress) => tellProgress(this.out, progress) });
  }

  async #replaceSelf(): Promise<SelfPatchResult> {
    const { replaceSelf } = await import('../control/replace-self.js');
    const { holdBudgetMs, deadlineMs, onTimeout } = moveParamsOf(this.flags);
    const limits = { holdBudgetMs, deadlineMs, onTimeout };
    return replaceSelf(this.instance, ({ step, detail }) => this.out.step(step, detail), limits);
  }

  protected override show(record: MoveRecord | SelfPatchResult): void {
    if (isMove(record)) showMove(this.out, record);
    else {
      this.out.data(handoverView(record, this.out.style));
      const { others = [] } = record;
      const commands = others.map((name) => `dbproxy patch --self --writer ${parseWriterName(name)?.writer}`);
      if (commands.length > 0) this.out.hint('next', commands);
    }
  }

  protected override async reportOf(record: MoveRecord | SelfPatchResult): Promise<string> {
    const { handoverReport, moveReport } = await import('../report/index.js');
    return isMove(record) ? moveReport(record) : handoverReport(record);
  }

  protected override exitCodeOf(record: MoveRecord | SelfPatchResult): ExitCode {
    if (isMove(record)) return exitCodeOfMove(record);
    return record.sessions.lost === 0 ? 0 : 1;
  }

  protected override afterInterruption(): string {
    return MOVE_GOES_ON;
  }
}

const isMove = (record: MoveRecord | SelfPatchResult): record is MoveRecord =>
  record.schema === 'dbproxy.move/1';
