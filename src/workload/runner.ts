/**
 * One run of a workload, from the first connection to the result. The order is the recipe in `runWorkload`.
 */
import { DbproxyError } from '../errors/index.js';
import { Alarm } from './alarm.js';
import { Arrivals } from './arrivals.js';
import { findWorks } from './catalogue.js';
import { LoadClient, type ClientEvents } from './client.js';
import { Driver, type OpenLoop } from './driver.js';
import { checkLedger, readLedger, type LedgerSums, type LedgerVerdict } from './ledger.js';
import { seededRandom } from './random.js';
import { Recorder } from './recorder.js';
import { composeResult } from './result.js';
import { readScale } from './target.js';
import type { Protocol, WorkloadOptions, WorkloadResult } from './types.js';
import type { Work } from './work.js';

/** What the options say once every default is filled in. */
export interface Plan {
  readonly options: WorkloadOptions;
  readonly works: readonly Work[];
  readonly protocol: Protocol;
  readonly scale: number;
  readonly seed: number;
  readonly warmupSeconds: number;
  readonly baseline: LedgerSums | null;
}

/** Epoch − performance.now(): performance.timeOrigin does not follow a clock that is set while we run. */
const epochOffsetMs = (): number => Date.now() - performance.now();

/** Throws DBP_WORKLOAD_TARGET, DBP_WORKLOAD_UNKNOWN, DBP_WORKLOAD_SCRIPT, DBP_USAGE. */
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
    await Promise.all([load.alarm?.stop(), ...load.clients.map((client) => client.stop())]);
  }

  const cpu = process.cpuUsage(cpuBefore);
  const windows = (await options.windows?.()) ?? [];
  const ledger = await closeLedger(plan, load.recorder);
  return composeResult(plan, load, { offsetMs, cpuUs: cpu.user + cpu.system, windows, ledger });
}

async function makePlan(options: WorkloadOptions): Promise<Plan> {
  const script = typeof options.script === 'string' ? [options.script] : options.script;
  const works = await findWorks(script);
  const next = `dbproxy workload run ${script.join(' ')} --init`;
  const scale = options.scale ?? (await scaleFor(works, options.url, next));
  const wantsLedger =
    options.ledger !== false &&
    works.some(({ ledger }) => ledger !== 'none') &&
    works.every(({ sparesLedger }) => sparesLedger);
  return {
    ...{ options, works, scale },
    protocol: options.protocol ?? 'prepared',
    seed: options.seed ?? Math.floor(Math.random() * 2 ** 31),
    warmupSeconds: options.warmupSeconds ?? 0,
    baseline: wantsLedger ? await readLedger(options.url) : null,
  };
}

/** `next`: what makes the tables. */
async function scaleFor(works: readonly Work[], url: string, next: string): Promise<number> {
  const scale = await readScale(url);
  const reason = scale === null ? 'it has no pgbench tables' : 'pgbench_branches is empty';
  if (!scale && works.some(({ needsPgbenchTables }) => needsPgbenchTables))
    throw new DbproxyError('DBP_WORKLOAD_TARGET', { reason, next });
  return scale ?? 1;
}

export interface Load {
  readonly clients: readonly LoadClient[];
  readonly driver: Driver;
  readonly recorder: Recorder;
  /** Of an open loop. */
  readonly alarm: Alarm | null;
  readonly fromMs: number;
}

/** Connects everybody, then sets the clock: the first arrival is due once all are there. */
async function startLoad(plan: Plan): Promise<Load> {
  const { options, works, protocol, scale, seed } = plan;
  const load: { driver?: Driver; recorder?: Recorder } = {};
  const events: ClientEvents = {
    onEnd: (client, end, doneMs) => load.driver?.clientEnded(client, end, doneMs),
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
  const connect = (clientId: number) => (): Promise<LoadClient> => {
    // Stream 0 is the arrivals'.
    const random = seededRandom(seed, clientId + 1);
    const giveUp = (error: unknown): void => load.driver?.fail(error);
    const context = { clientId, scale, seed, protocol, random, giveUp };
    return LoadClient.connect({ url: options.url, works, context, retries: options.retries ?? 0 }, events);
  };
  const clients = await connectAll(Array.from({ length: options.clients }, (_, id) => connect(id)));

  const { ratePerSecond } = options;
  const alarm = ratePerSecond === undefined ? null : await Alarm.start(() => load.driver?.wake());
  const startMs = performance.now();
  const fromMs = startMs + plan.warmupSeconds * 1000;
  const open: OpenLoop | null =
    alarm && ratePerSecond
      ? { alarm, arrivals: new Arrivals(seededRandom(seed), ratePerSecond, startMs, options.arrivals) }
      : null;
  const recorder = new Recorder(fromMs, works);
  const driver = new Driver(recorder, open, fromMs + options.seconds * 1000);
  Object.assign(load, { driver, recorder });
  return { clients, driver, recorder, alarm, fromMs };
}

/** All or none: those that did connect are closed when one cannot. */
async function connectAll(connects: readonly (() => Promise<LoadClient>)[]): Promise<LoadClient[]> {
  const settled = await Promise.allSettled(connects.map((connect) => connect()));
  const clients = settled.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  const refused = settled.find((each) => each.status === 'rejected');
  if (!refused) return clients;
  await Promise.all(clients.map((client) => client.stop()));
  const cause: unknown = refused.reason;
  if (cause instanceof DbproxyError) throw cause;
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

async function closeLedger(
  { options, works, baseline }: Plan,
  recorder: Recorder,
): Promise<LedgerVerdict | null> {
  if (!baseline) return null;
  const kinds = new Set(works.flatMap(({ ledger }) => (ledger === 'none' ? [] : [ledger])));
  const { acknowledged, undecided: unknown } = recorder;
  return checkLedger(options.url, { acknowledged, unknown, baseline, kinds });
}
