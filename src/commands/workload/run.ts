/** `dbproxy workload run`: load on the instance, or on any database, and what it saw. */
import { string as stringArg } from '@oclif/core/args';
import { boolean, integer, string } from '@oclif/core/flags';
import { DbproxyError, type ExitCode } from '../../errors/index.js';
import { durationFlag } from '../../cli/flags.js';
import { InstanceCommand } from '../../cli/instance-command.js';
import { workloadProgressLine, workloadView } from '../../cli/views/workload.js';
import type * as Workload from '../../workload/index.js';
import type { Protocol, ScriptName, WorkloadResult } from '../../workload/index.js';

const SCRIPTS: readonly ScriptName[] = ['tpcb-like', 'select-only', 'simple-update'];
const PROTOCOLS: readonly Protocol[] = ['simple', 'extended', 'prepared'];

export default class WorkloadRun extends InstanceCommand<typeof WorkloadRun, WorkloadResult> {
  static override summary = "run one of pgbench's scripts and report latencies, errors and the ledger";
  static override description =
    'Without --rate each client goes on as soon as it can; with it transactions are due at given times, and latency ' +
    'counts from then. Exit code 3 when the ledger does not add up.';
  static override examples = [
    '<%= config.bin %> workload run tpcb-like --init --scale 10',
    '<%= config.bin %> workload run tpcb-like --clients 16 --rate 400 --for 60s',
    '<%= config.bin %> workload run select-only --for 10s --json',
  ];
  static override args = {
    script: stringArg({ required: true, options: [...SCRIPTS], description: 'what a transaction does' }),
  };
  static override flags = {
    clients: integer({ char: 'c', min: 1, max: 10_000, default: 8, description: 'connections' }),
    rate: integer({ char: 'r', min: 1, description: 'transactions per second, at random times (open loop)' }),
    for: durationFlag({ default: 10_000, description: 'measured time' }),
    warmup: durationFlag({ description: 'load before the measured time' }),
    init: boolean({ description: "make pgbench's tables first; replaces them if they exist" }),
    scale: integer({ char: 's', min: 1, description: 'for --init: 100,000 accounts each (1)' }),
    protocol: string({
      options: [...PROTOCOLS],
      default: 'prepared',
      description: 'how statements are sent',
    }),
    retries: integer({ min: 0, description: 'tries again after 40001 and 40P01' }),
    seed: integer({ description: 'repeats the same arrivals and rows' }),
    ledger: boolean({ default: true, allowNo: true, description: 'add up the ledger before and after' }),
    url: string({ description: 'another database than that of the instance' }),
  };

  protected override async execute(): Promise<WorkloadResult> {
    const { flags } = this;
    const url = flags.url ?? (await this.ask('ready', {})).url;
    const workload = await import('../../workload/index.js');
    if (flags.init) await this.#initialise(workload, url);
    else if (flags.scale !== undefined)
      throw new DbproxyError('DBP_USAGE', { reason: '--scale needs --init' });
    return workload.runWorkload({
      url,
      script: this.args.script as ScriptName,
      clients: flags.clients,
      seconds: flags.for / 1000,
      protocol: flags.protocol as Protocol,
      ledger: flags.ledger,
      ...(flags.rate === undefined ? {} : { ratePerSecond: flags.rate }),
      ...(flags.warmup === undefined ? {} : { warmupSeconds: flags.warmup / 1000 }),
      ...(flags.retries === undefined ? {} : { retries: flags.retries }),
      ...(flags.seed === undefined ? {} : { seed: flags.seed }),
      onProgress: (progress) => this.out.step(progress.phase, workloadProgressLine(progress)),
      signal: this.signal,
    });
  }

  protected override show(result: WorkloadResult): void {
    this.out.data(workloadView(result, this.out.style));
  }

  protected override exitCodeOf({ ledger }: WorkloadResult): ExitCode {
    return ledger?.ok === false ? 3 : 0;
  }

  protected override endsItself(): boolean {
    return true;
  }

  protected override afterInterruption(): string {
    return 'finishing what is in flight';
  }

  async #initialise(workload: typeof Workload, url: string): Promise<void> {
    await workload.initialiseWorkload({
      url,
      scale: this.flags.scale ?? 1,
      signal: this.signal,
      onProgress: ({ step, fraction }) => this.out.step(`init ${step}`, `${Math.round(fraction * 100)} %`),
    });
  }
}
