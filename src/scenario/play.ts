/**
 * Plays a scenario: an instance of its own, the load, the steps, the judgement, and the clean-up, whatever happens.
 *
 *   up → initialise → load ┬ steady ─ steps ─ steady ┬ judge → down
 *                          └── clients, another process ┘
 */
import { randomBytes } from 'node:crypto';
import type { UpResult } from '../control/api.js';
import { removeAbandoned, startInstance, stopInstance, UP_DEFAULTS } from '../control/client.js';
import { selfIdentity } from '../control/processes.js';
import { freePort } from '../control/port-holder.js';
import { DbproxyError } from '../errors/index.js';
import { findWorks, initialiseWorkload, startWorkloadProcess } from '../workload/index.js';
import { EventFeed } from './event-feed.js';
import { judgeAtEnd, judgeSteady } from './expectations/judge.js';
import type { Scenario, Step } from './file/read.js';
import { composeDemo, type Played } from './result.js';
import { SqlSessions } from './sql-sessions.js';
import { noteMovesOfOthers, switchWindowsOf, type Stage } from './stage.js';
import { runStep, titleOf } from './steps/index.js';
import { loadOptions } from './steps/workload.js';
import { reasonOf, timedOut, Timeline, type Task } from './timeline.js';
import type { DemoResult, ExpectationResult, ScenarioOptions } from './types.js';

/** How long the load may take to give its result once it is told to end. */
const LOAD_END_BOUND_MS = 60_000;

/** Does not throw: what went wrong is in the result. */
export async function playScenario(scenario: Scenario, options: ScenarioOptions = {}): Promise<DemoResult> {
  const { onProgress = () => {} } = options;
  const whole = new AbortController();
  const timer = setTimeout(() => whole.abort(timedOut('the scenario', scenario.timeout)), scenario.timeout);
  const signal = options.signal ? AbortSignal.any([options.signal, whole.signal]) : whole.signal;
  const player = new Player(scenario, new Timeline(signal, onProgress), signal, options);
  const startedAt = new Date().toISOString();
  let error: DbproxyError | null = null;
  try {
    await player.play();
  } catch (thrown) {
    error = DbproxyError.from(thrown);
  } finally {
    clearTimeout(timer);
  }
  error = (await player.cleanUp()) ?? error;
  return composeDemo(scenario, { ...player.played, startedAt, error });
}

class Player {
  readonly #scenario: Scenario;
  readonly #timeline: Timeline;
  readonly #signal: AbortSignal;
  readonly #options: ScenarioOptions;
  readonly #name = `demo-${randomBytes(3).toString('hex')}`;
  readonly #expectations: ExpectationResult[] = [];
  readonly #undo: (() => unknown)[] = [];
  #stage: Stage | null = null;
  #workload: Played['workload'] = null;
  #kept: Played['kept'] = null;

  constructor(scenario: Scenario, timeline: Timeline, signal: AbortSignal, options: ScenarioOptions) {
    this.#scenario = scenario;
    this.#timeline = timeline;
    this.#signal = signal;
    this.#options = options;
  }

  get played(): Omit<Played, 'startedAt' | 'error'> {
    return {
      timeline: this.#timeline,
      expectations: this.#expectations,
      stage: this.#stage,
      workload: this.#workload,
      kept: this.#kept,
    };
  }

  async play(): Promise<void> {
    const stage = await this.#up();
    await this.#initialise(stage);
    await this.#startLoad(stage);
    await this.#steady(stage, 'before');
    const failure = await this.#steps(stage);
    if (!failure) await this.#steady(stage, 'after');
    await this.#judge(stage);
    if (failure) throw failure;
  }

  /** Everything that was started goes, in reverse; an error on the way is the last word. */
  async cleanUp(): Promise<DbproxyError | null> {
    const { keep } = this.#options;
    const name = keep ? 'leave' : 'down';
    const detail = keep ? 'ending the load, the instance stays' : 'removing the instance and its data';
    let failure: DbproxyError | null = null;
    await this.#timeline.always({ name, verb: 'down', detail }, async () => {
      for (const undo of this.#undo.reverse()) {
        try {
          await undo();
        } catch (error) {
          failure ??= DbproxyError.from(error);
        }
      }
      return { detail: '', ok: failure === null };
    });
    return failure;
  }

  async #up(): Promise<Stage> {
    const { engine } = this.#scenario;
    let stage: Stage | undefined;
    await this.#run({ name: 'up', verb: 'up', detail: 'PostgreSQL behind the proxy' }, async () => {
      await removeAbandoned();
      this.#options.onInstance?.(this.#name);
      // However this process ends, its instance goes with it: also by kill -9, also by a Ctrl-C that does not wait.
      const owner = this.#options.keep ? undefined : selfIdentity();
      const starting = startInstance(
        { name: this.#name, port: await freePort(UP_DEFAULTS.host), owner, ...engine, ...this.#where },
        ({ step, detail }) => this.#timeline.tell(`${step}: ${detail}`),
      );
      // An interrupted start is waited for: only what is there can be stopped.
      this.#undo.push(() =>
        starting.then(
          (up) => this.#end(up),
          () => this.#end(null),
        ),
      );
      const up = await starting;
      stage = this.#stage = this.#openStage(up);
      return { detail: `PostgreSQL ${up.engines[0]?.postgres}, ${engine.size} (${up.provider})`, ok: true };
    });
    return stage as Stage;
  }

  get #where(): Pick<ScenarioOptions, 'provider' | 'image'> {
    const { provider = this.#scenario.engine.provider, image } = this.#options;
    return { provider, image };
  }

  async #end(up: UpResult | null): Promise<void> {
    if (this.#options.keep && up) {
      this.#kept = { instance: this.#name, url: up.url };
      return;
    }
    await stopInstance(this.#name, { purge: true });
  }

  #openStage(up: UpResult): Stage {
    const feed = EventFeed.open(this.#name);
    const sessions = new SqlSessions(up.url);
    feed.listen((event) => this.#options.onProgress?.({ kind: 'event', event }));
    this.#undo.push(
      () => feed.close(),
      () => sessions.close(),
    );
    return {
      ...{ instance: this.#name, up, feed, sessions, load: null, progress: null },
      ...{ moves: [], handovers: [], conflicts: [], stepLoads: [], windows: [] },
    };
  }

  async #initialise({ up }: Stage): Promise<void> {
    const { workload, steps } = this.#scenario;
    const scripts = [workload?.script, ...steps.map((step) => step.workload?.script)].flat();
    const works = await findWorks(scripts.filter((script) => script !== undefined));
    if (!works.some(({ needsPgbenchTables }) => needsPgbenchTables)) return;
    const scale = workload?.scale ?? 1;
    const detail = `pgbench's tables at scale ${scale}`;
    await this.#run({ name: 'initialise', verb: 'initialise', detail }, async (signal) => {
      await initialiseWorkload({ url: up.url, scale, signal });
      return { detail, ok: true };
    });
  }

  async #startLoad(stage: Stage): Promise<void> {
    const { workload } = this.#scenario;
    if (!workload) return;
    const { clients, rate } = workload;
    const detail = `${clients} clients${rate === undefined ? '' : `, ${rate} transactions/s`}`;
    await this.#run({ name: 'load', verb: 'load', detail }, async () => {
      const load = (stage.load = startWorkloadProcess({
        ...loadOptions(stage.up.url, workload),
        seconds: this.#scenario.timeout / 1000,
        ...(workload.warmup === undefined ? {} : { warmupSeconds: workload.warmup / 1000 }),
        windows: () => switchWindowsOf(stage),
        onProgress: (progress) => {
          stage.progress = progress;
          this.#options.onProgress?.({ kind: 'load', step: this.#timeline.current, load: progress });
        },
      }));
      this.#undo.push(() => load.kill());
      await load.started;
      return { detail, ok: true };
    });
  }

  async #steady(stage: Stage, when: 'before' | 'after'): Promise<void> {
    const { steady } = this.#scenario;
    if (steady.length === 0) return;
    await this.#run({ name: 'steady', verb: 'steady', detail: `what holds ${when} the steps` }, async () => {
      const results = await judgeSteady(steady, stage, when);
      this.#note(results);
      const broken = results.filter(({ ok }) => !ok);
      return {
        detail: broken.map(({ text, actual }) => `${text}: ${actual}`).join('; '),
        ok: broken.length === 0,
      };
    });
  }

  /** What ended them before their end; null when all were done. */
  async #steps(stage: Stage): Promise<DbproxyError | null> {
    const beganMs = performance.now();
    let failure: DbproxyError | null = null;
    let stopped = false;
    for (const step of this.#scenario.steps) {
      const task: Task = { name: titleOf(step), verb: step.verb, line: step.line };
      if (stopped) {
        this.#timeline.skip(task);
        continue;
      }
      try {
        const end = await this.#step(step, task, stage, beganMs);
        stopped = !end.ok;
      } catch (error) {
        failure = error as DbproxyError;
        stopped = true;
      }
    }
    return failure;
  }

  #step(step: Step, task: Task, stage: Stage, beganMs: number): ReturnType<Timeline['run']> {
    return this.#run({ ...task, timeoutMs: step.timeout }, async (signal) => {
      // A load that has died makes everything after it pointless.
      const died = stage.load?.result ?? new Promise<never>(() => {});
      const waitMs = (step.at ?? 0) - (performance.now() - beganMs);
      if (waitMs > 0) await this.#timeline.until(waitMs, signal, died);
      const working = runStep(step, { stage, signal, tell: (detail) => this.#timeline.tell(detail) });
      return Promise.race([working, died.then(() => working)]);
    });
  }

  async #judge(stage: Stage): Promise<void> {
    const task: Task = {
      name: 'judge',
      verb: 'judge',
      detail: 'stopping the load',
      timeoutMs: LOAD_END_BOUND_MS,
    };
    await this.#run(task, async () => {
      stage.load?.stop();
      this.#workload = (await stage.load?.result) ?? null;
      await noteMovesOfOthers(stage);
      const results = await judgeAtEnd(this.#scenario.expect, stage, this.#workload);
      this.#note(results);
      const broken = results.filter(({ ok }) => !ok).length;
      return {
        detail: `${results.length - broken} of ${results.length} expectations hold`,
        ok: broken === 0,
      };
    });
  }

  #note(results: readonly ExpectationResult[]): void {
    this.#expectations.push(...results);
    for (const expectation of results) this.#options.onProgress?.({ kind: 'expectation', expectation });
  }

  #run(...[task, work]: Parameters<Timeline['run']>): ReturnType<Timeline['run']> {
    if (this.#signal.aborted) throw reasonOf(this.#signal);
    return this.#timeline.run(task, work);
  }
}
