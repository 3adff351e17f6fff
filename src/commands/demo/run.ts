/** `dbproxy demo run`: scenarios that play themselves, judge themselves and clean up. */
import { spawn } from 'node:child_process';
import { string as stringArg } from '@oclif/core/args';
import { boolean, string } from '@oclif/core/flags';
import { DbproxyError, type ExitCode } from '../../errors/index.js';
import { BaseCommand } from '../../cli/base-command.js';
import { reportFlag } from '../../cli/flags.js';
import { OutputFile } from '../../cli/output-file.js';
import { canAnimate } from '../../cli/terminal.js';
import { demoView } from '../../cli/views/demo.js';
import { workloadProgressLine } from '../../cli/views/workload.js';
import type * as Scenarios from '../../scenario/index.js';
import type {
  DemoProgress,
  DemoResult,
  DemosResult,
  EventFile,
  ReporterName,
  Scenario,
} from '../../scenario/index.js';

/** Of several results: the worst decides. */
const OUTCOMES = ['interrupted', 'errored', 'failed', 'passed'] as const;

export default class DemoRun extends BaseCommand<typeof DemoRun, DemoResult | DemosResult> {
  static override summary = 'play scenarios: live sessions move between engines under load';
  static override description =
    'A scenario is a name of `demo ls` or a YAML file. Each has an instance of its own and removes it, also after Ctrl-C. ' +
    'Exit code 3 when an expectation did not hold, 5 when it took too long, 2 when the file is wrong (with its line). ' +
    'Under GITHUB_ACTIONS=true what is wrong is annotated, and the Markdown goes to the summary of the step, too.';
  static override examples = [
    '<%= config.bin %> demo run',
    '<%= config.bin %> demo run session-state long-transaction',
    '<%= config.bin %> demo run --report demo.html',
    '<%= config.bin %> demo run --provider docker session-state',
    '<%= config.bin %> demo run mine.yaml --junit junit.xml --markdown summary.md',
    '<%= config.bin %> demo run live-scale --json --events events.ndjson',
  ];
  static override args = {
    scenario: stringArg({ multiple: true, description: 'names or files; live-scale without any' }),
  };
  static override flags = {
    keep: boolean({ description: 'leave the instance, to look at it' }),
    provider: string({
      options: ['auto', 'embedded', 'docker'],
      description: 'where the engines run, whatever the scenario says (else $DBPROXY_PROVIDER, or auto)',
    }),
    image: string({
      helpValue: 'NAME[:TAG]',
      description:
        'image of the containers; without a tag the version is its tag (else $DBPROXY_IMAGE, or postgres)',
    }),
    events: string({
      helpValue: 'FILE',
      description: 'everything that happens, one JSON object a line (NDJSON)',
    }),
    junit: string({ helpValue: 'FILE', description: "JUnit's XML" }),
    report: reportFlag,
    markdown: string({ helpValue: 'FILE', description: 'a summary in Markdown' }),
  };

  protected override async execute(): Promise<DemoResult | DemosResult> {
    this.out.step('demo', 'reading');
    const scenarios = await import('../../scenario/index.js');
    const names = this.args.scenario ?? [scenarios.FIRST_SCENARIO];
    // All of them are read, and every report is opened, before the first one is played.
    const { found, wrong } = await scenarios.findScenarios(names);
    this.#annotate((root) => scenarios.annotationsOfWrong(wrong, root));
    const error = scenarios.together(wrong);
    if (error) throw error;
    const reports = await this.#openReports(scenarios.REPORTERS);
    const events = this.flags.events === undefined ? null : await scenarios.EventFile.open(this.flags.events);

    const demos: DemoResult[] = [];
    for (const scenario of found) {
      if (this.signal.aborted) break;
      demos.push(await this.#play(scenarios, scenario, events));
    }
    await this.#report(scenarios, demos, reports).catch((error: unknown) => this.#notWritten(error));
    await events?.close().catch((error: unknown) => this.#notWritten(error));
    const [first] = demos;
    if (found.length === 1 && first) return first;
    const outcome = OUTCOMES.find((each) => demos.some((demo) => demo.outcome === each)) ?? 'passed';
    return { schema: 'dbproxy.demos/1', outcome, demos };
  }

  protected override show(result: DemoResult | DemosResult): void {
    for (const demo of demosOf(result)) {
      this.out.data(demoView(demo, this.out.style));
      if (demo.kept)
        this.out.hint(
          'it is still there',
          ['dbproxy status', 'dbproxy psql', 'dbproxy down --purge'].map(
            (command) => `${command} --name ${demo.kept?.instance}`,
          ),
        );
      else if (demo.error && demo.error.suggestions.length > 0) this.out.hint('next', demo.error.suggestions);
    }
  }

  protected override async reportOf(result: DemoResult | DemosResult): Promise<string> {
    const { demoReport } = await import('../../report/index.js');
    return demoReport(demosOf(result));
  }

  protected override exitCodeOf(result: DemoResult | DemosResult): ExitCode {
    return this.#exitCode(demosOf(result)) || this.#unwritten;
  }

  protected override endsItself(): boolean {
    return true;
  }

  protected override afterInterruption(): string {
    return this.flags.keep ? 'ending the load; the instance stays' : 'removing what was started';
  }

  protected override afterForce(): string | null {
    if (this.flags.keep) return null;
    if (this.#instance !== null) removeBehindUs(this.#instance);
    return 'not waiting: what was started is removed in the background';
  }

  /** Of the scenario that is played. */
  #instance: string | null = null;
  /** Exit code of a report that could not be written. */
  #unwritten: ExitCode = 0;
  #exitCode: (demos: readonly DemoResult[]) => ExitCode = () => 0;

  async #play(
    scenarios: typeof Scenarios,
    scenario: Scenario,
    events: EventFile | null,
  ): Promise<DemoResult> {
    this.#exitCode = (demos) => demos.map(scenarios.exitCodeOf).find((code) => code !== 0) ?? 0;
    this.out.note(scenario.about === undefined ? scenario.name : `${scenario.name}. ${scenario.about}`);
    return scenarios.playScenario(scenario, {
      signal: this.signal,
      keep: this.flags.keep,
      onInstance: (name) => (this.#instance = name),
      provider: this.flags.provider as 'auto' | 'embedded' | 'docker' | undefined,
      image: this.flags.image,
      onProgress: (progress) => {
        events?.add(scenario.name, progress);
        this.#tell(progress);
      },
    });
  }

  async #openReports(reporters: typeof Scenarios.REPORTERS): Promise<Map<ReporterName, OutputFile>> {
    const files = new Map<ReporterName, OutputFile>();
    for (const name of Object.keys(reporters) as ReporterName[]) {
      const file = this.flags[name];
      if (file !== undefined) files.set(name, await OutputFile.at(file));
    }
    return files;
  }

  async #report(
    { REPORTERS, annotations, appendReport }: typeof Scenarios,
    demos: readonly DemoResult[],
    files: ReadonlyMap<ReporterName, OutputFile>,
  ): Promise<void> {
    for (const [name, file] of files) this.#noteUnwritten(await file.write(REPORTERS[name](demos), this.out));
    const { GITHUB_ACTIONS, GITHUB_STEP_SUMMARY } = process.env;
    if (GITHUB_ACTIONS === 'true' && GITHUB_STEP_SUMMARY)
      await appendReport(GITHUB_STEP_SUMMARY, await REPORTERS.markdown(demos));
    this.#annotate((root) => annotations(demos, root));
  }

  #annotate(linesOf: (root: string) => readonly string[]): void {
    const { GITHUB_ACTIONS, GITHUB_WORKSPACE } = process.env;
    if (GITHUB_ACTIONS !== 'true') return;
    this.out.endProgress();
    // The runner reads both streams; stdout belongs to the result.
    for (const line of linesOf(GITHUB_WORKSPACE ?? process.cwd())) process.stderr.write(`${line}\n`);
  }

  /** A result is not lost with its report. */
  #notWritten(error: unknown): void {
    const failure = DbproxyError.from(error);
    this.out.complaint(failure);
    this.#noteUnwritten(failure.exitCode);
  }

  #noteUnwritten(code: ExitCode): void {
    this.#unwritten ||= code;
  }

  #tell(progress: DemoProgress): void {
    if (progress.kind === 'step') this.out.step(progress.name, progress.detail);
    // A line a second is for a terminal.
    else if (progress.kind === 'load' && canAnimate(process.stderr))
      this.out.step(progress.step, workloadProgressLine(progress.load));
  }
}

/**
 * Its supervisor removes an instance whose process has gone, but in the middle of `patch --self` there is none for a moment; so
 * another process sees to it. Both at once are settled by the lock of the instance.
 */
function removeBehindUs(instance: string): void {
  const entry = process.argv[1] ?? '';
  const args = [entry, 'down', '--purge', '--yes', '--name', instance];
  spawn(process.execPath, args, { detached: true, stdio: 'ignore' }).unref();
}

const demosOf = (result: DemoResult | DemosResult): readonly DemoResult[] =>
  result.schema === 'dbproxy.demo/1' ? [result] : result.demos;
