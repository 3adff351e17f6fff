/**
 * One run of a workload, from the first connection to the result. The order is the recipe in `runWorkload`.
 */
import { DbproxyError } from '../errors/index.js';
import { Arrivals } from './arrivals.js';
import { LoadClient, type ClientEvents } from './client.js';
import { Driver } from './driver.js';
import { checkLedger, readLedger, type LedgerSums, type LedgerVerdict } from './ledger.js';
import { seededRandom } from './random.js';
import { Recorder } from './recorder.js';
import { scripts, type Script } from './scripts.js';
import { readScale } from './target.js';
import type { Protocol, SwitchWindow, WorkloadOptions, WorkloadResult } from './types.js';

/** Above this the generator was too busy to be believed (p99 of the schedule lag). */
export const MAX_SCHEDULE_LAG_MS = 5;

/** What the options say once every default is filled in. */
interface Plan {
  readonly options: WorkloadOptions;
  readonly script: Script;
  readonly protocol: Protocol;
  readonly scale: number;
  readonly seed: number;
  readonly warmupSeconds: number;
  readonly baseline: LedgerSums | null;
}

/** Epoch − performance.now(): performance.timeOrigin does not follow a clock that is set while we run. */
const epochOffsetMs = (): number => Date.now() - performance.now();

export async function runWorkload(options: WorkloadOptions): Promise<WorkloadResult> {
  const plan = await makePlan(options);
  const offsetMs = epochOffsetMs();
  const cpuBefore = process.cpuUsage();

  const load = await startLoad(plan);
  options.onStart?.();
  const stopProgress = reportProgress(plan, load);
  const abort = (): void => load.driver.stop();
  options.signal?.addEventListener('abort', abort);
  if (options.signal?.aborted) abort();
  try {
    await load.driver.run(load.clients);
  } finally {
    options.signal?.removeEventListener('abort', abort);
    stopProgress();
    await Promise.all(load.clients.map((client) => client.stop()));
  }

  const cpu = process.cpuUsage(cpuBefore);
  const windows = (await options.windows?.()) ?? [];
  const ledger = await closeLedger(plan, load.recorder);
  return composeResult(plan, load, { offsetMs, cpuUs: cpu.user + cpu.system, windows, ledger });
}

async function makePlan(options: WorkloadOptions): Promise<Plan> {
  const script = scripts[options.script];
  const scale = options.scale ?? (await readScale(options.url));
  const wantsLedger = options.ledger !== false && script.writes;
  return {
    options,
    script,
    scale,
    protocol: options.protocol ?? 'prepared',
    seed: options.seed ?? Math.floor(Math.random() * 2 ** 31),
    warmupSeconds: options.warmupSeconds ?? 0,
    baseline: wantsLedger ? await readLedger(options.url) : null,
  };
}

interface Load {
  readonly clients: readonly LoadClient[];
  readonly driver: Driver;
  readonly recorder: Recorder;
  readonly fromMs: number;
}

/** Connects everybody, then sets the clock: the first arrival is due once all are there. */
async function startLoad(plan: Plan): Promise<Load> {
  const { options, script, protocol, scale, seed } = plan;
  const load: { driver?: Driver; recorder?: Recorder } = {};
  const events: ClientEvents = {
    onIdle: (client) => load.driver?.clientIdle(client),
    onDisconnect: (client) => {
      if (load.recorder) load.recorder.disconnects++;
      load.driver?.clientLost(client);
    },
    onReconnect: () => {
      if (load.recorder) load.recorder.reconnects++;
    },
    onGone: () => load.driver?.clientGone(),
  };
  const clients = await connectAll(
    Array.from(
      { length: options.clients },
      (_, i) => () =>
        LoadClient.connect(
          {
            target: { url: options.url, protocol, statements: script.statements },
            ...{ script, scale, retries: options.retries ?? 0 },
            // Stream 0 is the arrivals'.
            random: seededRandom(seed, i + 1),
          },
          events,
        ),
    ),
  );

  const startMs = performance.now();
  const fromMs = startMs + plan.warmupSeconds * 1000;
  const { ratePerSecond } = options;
  const arrivals =
    ratePerSecond === undefined ? null : new Arrivals(seededRandom(seed), ratePerSecond, startMs);
  const recorder = new Recorder(fromMs);
  const driver = new Driver(recorder, arrivals, fromMs + options.seconds * 1000);
  Object.assign(load, { driver, recorder });
  return { clients, driver, recorder, fromMs };
}

/** All or none: those that did connect are closed when one cannot. */
async function connectAll(connects: readonly (() => Promise<LoadClient>)[]): Promise<LoadClient[]> {
  const settled = await Promise.allSettled(connects.map((connect) => connect()));
  const clients = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const refused = settled.find((each) => each.status === 'rejected');
  if (!refused) return clients;
  await Promise.all(clients.map((client) => client.stop()));
  const cause: unknown = refused.reason;
  const reason = cause instanceof Error ? cause.message : String(cause);
  throw new DbproxyError('DBP_WORKLOAD_TARGET', { reason }, { cause });
}

function reportProgress({ options }: Plan, { recorder, fromMs }: Load): () => void {
  const { onProgress } = options;
  if (!onProgress) return () => {};
  let lastMs = performance.now();
  const timer = setInterval(() => {
    const nowMs = performance.now();
    const { secondCount, secondMaxMs } = recorder.takeSecond();
    onProgress({
      phase: nowMs < fromMs ? 'warm-up' : 'measured',
      elapsedSeconds: (nowMs - fromMs) / 1000,
      transactions: recorder.committed,
      failed: recorder.failed,
      unknown: recorder.unknown,
      disconnects: recorder.disconnects,
      tps: (secondCount * 1000) / (nowMs - lastMs),
      maxMs: secondMaxMs,
    });
    lastMs = nowMs;
  }, 1000);
  return () => clearInterval(timer);
}

async function closeLedger(plan: Plan, recorder: Recorder): Promise<LedgerVerdict | null> {
  if (!plan.baseline) return null;
  return checkLedger(plan.options.url, {
    acknowledged: recorder.acknowledged,
    unknown: recorder.undecided,
    baseline: plan.baseline,
    script: plan.script.name,
  });
}

interface Ending {
  readonly offsetMs: number;
  readonly cpuUs: number;
  readonly windows: readonly SwitchWindow[];
  readonly ledger: LedgerVerdict | null;
}

function composeResult(
  plan: Plan,
  { clients, driver, recorder, fromMs }: Load,
  ending: Ending,
): WorkloadResult {
  const { options } = plan;
  const toEpoch = (ms: number): number => Math.round(ms + ending.offsetMs);
  const fromEpoch = (ms: number): number => ms - ending.offsetMs;
  const seconds = Math.max(driver.stopAtMs - fromMs, 0) / 1000;
  const gap = recorder.longestGap(driver.stopAtMs);
  const lag = options.ratePerSecond === undefined ? null : recorder.lag.summary();
  const unfinished = recorder.unfinished + driver.notBegun();
  const stalls = recorder.stalls(
    ending.windows.map(({ from, to }) => ({ from: fromEpoch(from), to: fromEpoch(to) })),
  );
  const gone = clients.filter((client) => client.state === 'gone').length;
  const invalidReasons = [
    ...((lag?.p99 ?? 0) > MAX_SCHEDULE_LAG_MS
      ? [
          `the generator was late: p99 of the schedule lag is ${lag?.p99} ms, at most ${MAX_SCHEDULE_LAG_MS} is allowed`,
        ]
      : []),
    ...(unfinished > 0 ? [`${unfinished} transactions that were due were not answered in time`] : []),
    ...(gone > 0 ? [`${gone} clients could not connect again`] : []),
    ...(seconds === 0 ? ['it ended before the warm-up did'] : []),
  ];
  return {
    schema: 'dbproxy.workload/1',
    script: plan.script.name,
    protocol: plan.protocol,
    mode: options.ratePerSecond === undefined ? 'closed' : 'open',
    clients: options.clients,
    rate: options.ratePerSecond ?? null,
    scale: plan.scale,
    seed: plan.seed,
    startedAt: toEpoch(fromMs),
    seconds,
    warmupSeconds: plan.warmupSeconds,
    transactions: recorder.committed,
    failed: recorder.failed,
    unknown: recorder.unknown,
    unfinished,
    retried: recorder.retried,
    disconnects: recorder.disconnects,
    reconnects: recorder.reconnects,
    errors: Object.fromEntries(recorder.errors),
    latencyMs: recorder.latency.summary(),
    serviceMs: recorder.service.summary(),
    scheduleLagMs: lag,
    tps: seconds === 0 ? 0 : recorder.committed / seconds,
    stallMs: {
      ...stalls,
      windows: stalls.windows.map((window, i) => ({ ...window, ...ending.windows[i] })),
    },
    longestGapMs: { ms: gap.ms, at: toEpoch(gap.at) },
    timeline: recorder.timeline(),
    ledger: ending.ledger,
    generatorCpuUs: recorder.finished === 0 ? null : ending.cpuUs / recorder.finished,
    valid: invalidReasons.length === 0,
    invalidReasons,
  };
}
