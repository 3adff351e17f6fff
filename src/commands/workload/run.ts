/** `dbproxy workload run`: load on the instance, or on any database, and what it saw. */
import { string as stringArg } from '@oclif/core/args';
import { boolean, integer, string } from '@oclif/core/flags';
import { DbproxyError, type ExitCode } from '../../errors/index.js';
import { durationFlag, reportFlag } from '../../cli/flags.js';
import { InstanceCommand } from '../../cli/instance-command.js';
import { canAnimate } from '../../cli/terminal.js';
import { workloadProgressLine, workloadView } from '../../cli/views/workload.js';
import type { SwitchWindow } from '../../control/switch-windows.js';
import type * as Workload from '../../workload/index.js';
import type { ArrivalKind, Protocol, WorkloadProgress, WorkloadResult } from '../../workload/index.js';

const PROTOCOLS: readonly Protocol[] = ['simple', 'extended', 'prepared'];
const ARRIVALS: readonly ArrivalKind[] = ['poisson', 'uniform'];
/** Where nothing can be redrawn, a line after so many seconds. */
const LINE_EVERY_SECONDS = 5;
/** SQLSTATE feature_not_supported: what several writers say of definitions elsewhere than at the primary. */
const NOT_SUPPORTED = '0A000';

/** The tables are made where the load was to run, whatever else `--init` would find. */
function nextOnTarget(error: unknown): unknown {
  if (!(error instanceof DbproxyError) || error.details.next === undefined) return error;
  return new DbproxyError(
    error.code,
    { ...error.details, next: `${error.details.next} --target URL` },
    { cause: error },
  );
}

export default class WorkloadRun extends InstanceCommand<typeof WorkloadRun, WorkloadResult> {
  static override summary = 'run a load and report latencies, errors and the ledger';
  static override description =
    "A workload is a name of `workload ls`, or a file in pgbench's syntax; several are a mixture, each with `@WEIGHT`. " +
    'Without --rate each client goes on as soon as it can; with it transactions are due at given times, and latency ' +
    'counts from then. Exit code 3 when the ledger does not add up, or a probe found that its session had lost state.';
  static override examples = [
    '<%= config.bin %> workload run tpcb-like --init --scale 10',
    '<%= config.bin %> workload run tpcb-like --clients 16 --rate 400 --for 60s',
    '<%= config.bin %> workload run select-only@9 simple-update@1 --for 10s --json',
    '<%= config.bin %> workload run temp-table held-cursor prepared --rate 100 --for 30s',
    '<%= config.bin %> workload run select-only --target postgres://me@localhost/shop',
  ];
  static override args = {
    workload: stringArg({
      required: true,
      multiple: true,
      description: 'what a transaction does: NAME or FILE.sql, with @WEIGHT where there are several',
    }),
  };
  static override flags = {
    clients: integer({ char: 'c', min: 1, max: 10_000, default: 8, description: 'connections' }),
    rate: integer({
      char: 'r',
      min: 1,
      max: 1_000_000,
      description: 'transactions per second that are due (open loop)',
    }),
    arrivals: string({
      options: [...ARRIVALS],
      dependsOn: ['rate'],
      description:
        'when they are due: at random times, as of many independent users, or at equal distances (poisson)',
    }),
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
    target: string({ helpValue: 'URL', description: 'any other PostgreSQL instead of the instance' }),
    report: reportFlag,
  };

  #nextLineAt = LINE_EVERY_SECONDS;

  protected override async execute(): Promise<WorkloadResult> {
    const { flags } = this;
    const workload = await import('../../workload/index.js');
    const script = this.args.workload;
    // What is wrong with a file is said before a database is touched.
    await workload.findWorks(script);
    if (!flags.init && flags.scale !== undefined)
      throw new DbproxyError('DBP_USAGE', { reason: '--scale needs --init' });
    const url = flags.target ?? (await this.ask('ready', {})).url;
    if (flags.init) await this.#initialise(workload, url);
    const result = workload.runWorkload({
      ...{ url, script, clients: flags.clients, seconds: flags.for / 1000, ledger: flags.ledger },
      protocol: flags.protocol as Protocol,
      ...(flags.rate === undefined ? {} : { ratePerSecond: flags.rate }),
      ...(flags.arrivals === undefined ? {} : { arrivals: flags.arrivals as ArrivalKind }),
      ...(flags.warmup === undefined ? {} : { warmupSeconds: flags.warmup / 1000 }),
      ...(flags.retries === undefined ? {} : { retries: flags.retries }),
      ...(flags.seed === undefined ? {} : { seed: flags.seed }),
      ...(flags.target === undefined ? { windows: this.#windowsSince(Date.now()) } : {}),
      onProgress: (progress) => this.#tell(progress),
      signal: this.signal,
    });
    return result.catch((error: unknown) => {
      throw flags.target === undefined ? error : nextOnTarget(error);
    });
  }

  protected override show(result: WorkloadResult): void {
    this.out.data(workloadView(result, this.out.style));
  }

  protected override async reportOf(result: WorkloadResult): Promise<string> {
    const { workloadReport } = await import('../../report/index.js');
    return workloadReport(result);
  }

  protected override exitCodeOf({ ledger, errors }: WorkloadResult): ExitCode {
    return ledger?.ok === false || errors['state-lost'] !== undefined ? 3 : 0;
  }

  protected override endsItself(): boolean {
    return true;
  }

  protected override afterInterruption(): string {
    return 'finishing what is in flight';
  }

  async #initialise(workload: typeof Workload, url: string): Promise<void> {
    const options = { url, scale: this.flags.scale ?? 1, signal: this.signal };
    try {
      await workload.initialiseWorkload({
        ...options,
        onProgress: ({ step, fraction }) => this.out.step('init', step, fraction),
      });
    } catch (error) {
      throw (await this.#isForPrimary(error)) ?? error;
    }
  }

  /** Another writer than the primary has refused to make the tables: who is the primary, and what makes them there. Else null. */
  async #isForPrimary(error: unknown): Promise<DbproxyError | null> {
    const { code } = ((error as Error).cause ?? {}) as { code?: unknown };
    if (code !== NOT_SUPPORTED || this.flags.target !== undefined) return null;
    const { askSupervisor } = await import('../../control/client.js');
    const { parseWriterName } = await import('../../control/multiwriter/names.js');
    const instance = parseWriterName(this.instance)?.instance ?? this.instance;
    const { writers } = await askSupervisor(instance, 'status', {});
    const place = writers.findIndex(({ leads }) => leads) + 1;
    if (place === 0) return null;
    return new DbproxyError(
      'DBP_WORKLOAD_TARGET',
      {
        reason: `${(error as DbproxyError).details.reason}, which is w${place}`,
        next: `dbproxy workload run ${this.args.workload.join(' ')} --init --writer ${place}`,
      },
      { cause: error },
    );
  }

  /** When operations of the instance held sessions meanwhile; whoever runs them tells nobody but the event log. */
  #windowsSince(sinceMs: number): () => Promise<readonly SwitchWindow[]> {
    return async () => {
      const { switchWindows } = await import('../../control/switch-windows.js');
      const events = await this.ask('events', { after: 0, follow: false }).catch(() => []);
      return switchWindows(events.filter(({ at }) => Date.parse(at) >= sinceMs));
    };
  }

  #tell(progress: WorkloadProgress): void {
    const line = workloadProgressLine(progress);
    this.out.step(progress.phase, line);
    if (canAnimate(process.stderr) || progress.elapsedSeconds < this.#nextLineAt) return;
    this.#nextLineAt += LINE_EVERY_SECONDS;
    this.out.note(line);
  }
}
