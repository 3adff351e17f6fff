/**
 * The scenario of the main job: real load runs on without one error while its database is replaced under it, twice.
 *
 *   up → initialise → load ┬ scale to large ─ scale to small ┬ judge → down
 *                          └── 16 clients, open loop, another process ┘
 *
 * It has an instance of its own and removes it, whatever happens. A demo, not a benchmark: bench/stall.ts measures.
 */
import { randomBytes } from 'node:crypto';
import { createServer, type AddressInfo } from 'node:net';
import type { UpResult } from '../control/api.js';
import { connectSupervisor, startInstance, stopInstance, type Supervisor } from '../control/client.js';
import type { SizeName } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import {
  initialiseWorkload,
  startWorkloadProcess,
  type SwitchWindow,
  type WorkloadProcess,
  type WorkloadResult,
} from '../workload/index.js';
import { judge } from './expectations.js';
import { Steps } from './steps.js';
import type { DemoResult, ScenarioOptions, SwitchReport } from './types.js';
import { watchSwitch, type WatchedSwitch } from './watch-switch.js';

const CLIENTS = 16;
const SCALE = 10;
/** Well below what two cores can do, so that what is seen is the switch and not a queue. */
const RATE_PER_SECOND = 200;
const WARMUP_SECONDS = 2;
/** Load without a switch: before the first, between the two, after the last. */
const QUIET_MS = 3_000;
/** Upper bound; the load is stopped when the scenario is through. */
const LOAD_SECONDS = 300;
/** What the picture of a switch shows on both sides of it. */
const PICTURE_MS = 2_000;

/** Throws what made a step impossible; a promise that did not hold is a result. */
export async function runLiveScale(options: ScenarioOptions = {}): Promise<DemoResult> {
  const name = `demo-${randomBytes(3).toString('hex')}`;
  const steps = new Steps(options);
  const cleanUp: (() => unknown)[] = [];
  let result: Omit<DemoResult, 'steps' | 'totalMs'>;
  try {
    result = await play(name, steps, cleanUp, options);
  } finally {
    await steps.always('down', 'removing the instance and its data', async () => {
      for (const undo of cleanUp.reverse()) await undo();
    });
  }
  return { ...result, steps: steps.results, totalMs: steps.totalMs };
}

async function play(
  name: string,
  steps: Steps,
  cleanUp: (() => unknown)[],
  { onProgress }: ScenarioOptions,
): Promise<Omit<DemoResult, 'steps' | 'totalMs'>> {
  const up = await steps.run('up', 'PostgreSQL behind the proxy', async () => {
    const starting = startInstance({ name, port: await freePort(), size: 'small' });
    // An interrupted start is waited for: only what is there can be stopped.
    cleanUp.push(() => starting.catch(() => {}).then(() => stopInstance(name, { purge: true })));
    return starting;
  });
  await steps.run('initialise', `tpcb-like at scale ${SCALE}, a million accounts`, (signal) =>
    initialiseWorkload({ url: up.url, scale: SCALE, signal }),
  );

  const windows: SwitchWindow[] = [];
  const load = await steps.run('load', `${CLIENTS} clients, ${RATE_PER_SECOND} transactions/s`, async () => {
    const load = startLoad(up, windows, (progress) =>
      onProgress?.({ kind: 'load', step: steps.current, load: progress }),
    );
    cleanUp.push(() => load.kill());
    await load.started;
    return load;
  });
  await steps.wait(
    'watch',
    'the load before anything happens',
    WARMUP_SECONDS * 1000 + QUIET_MS,
    load.result,
  );

  const supervisor = await connectSupervisor(name);
  cleanUp.push(() => supervisor.close());
  const toLarge = await scaleTo('large', supervisor, steps, load, windows);
  const toSmall = await scaleTo('small', supervisor, steps, load, windows);

  const workload = await steps.run('judge', 'stopping the load, adding up the ledger', () => {
    load.stop();
    return load.result;
  });
  return compose(up, [toLarge, toSmall], workload);
}

async function scaleTo(
  size: SizeName,
  supervisor: Supervisor,
  steps: Steps,
  load: WorkloadProcess,
  windows: SwitchWindow[],
): Promise<WatchedSwitch> {
  const name = `scale to ${size}`;
  const watched = await steps.run(name, 'moving every session to another engine', () =>
    watchSwitch(supervisor, size, ({ step, detail }) => steps.tell(name, `${step}: ${detail}`)),
  );
  windows.push(...watched.windows);
  await steps.wait('watch', `the load on ${watched.record.to.engine}`, QUIET_MS, load.result);
  return watched;
}

function startLoad(
  up: UpResult,
  windows: readonly SwitchWindow[],
  onProgress: NonNullable<Parameters<typeof startWorkloadProcess>[0]['onProgress']>,
): WorkloadProcess {
  return startWorkloadProcess({
    url: up.url,
    script: 'tpcb-like',
    clients: CLIENTS,
    ratePerSecond: RATE_PER_SECOND,
    seconds: LOAD_SECONDS,
    warmupSeconds: WARMUP_SECONDS,
    scale: SCALE,
    windows: () => windows,
    onProgress,
  });
}

function compose(
  up: UpResult,
  watched: readonly WatchedSwitch[],
  workload: WorkloadResult,
): Omit<DemoResult, 'steps' | 'totalMs'> {
  const switches = watched.map((each) => reportSwitch(each, workload));
  const expectations = judge(switches, workload);
  return {
    schema: 'dbproxy.demo/1',
    scenario: 'live-scale',
    outcome: expectations.every(({ ok }) => ok) ? 'passed' : 'failed',
    expectations,
    switches,
    workload,
    engine: {
      provider: up.provider,
      providerReason: up.providerReason,
      postgres: up.engines[0]?.postgres ?? '',
    },
  };
}

/** Joins the supervisor's record with what the clients saw in its last window. */
function reportSwitch({ record, windows }: WatchedSwitch, workload: WorkloadResult): SwitchReport {
  const window = windows.at(-1) ?? { from: Date.parse(record.startedAt), to: Date.parse(record.startedAt) };
  const seen = workload.stallMs.windows.find(({ from }) => from === window.from);
  const heldFromT = window.from - workload.startedAt;
  const heldToT = window.to - workload.startedAt;
  return {
    record,
    stallMs: seen ?? { ...window, calls: 0, p50: null, p99: null, max: null },
    timeline: workload.timeline
      .filter(({ t }) => t >= heldFromT - PICTURE_MS && t <= heldToT + PICTURE_MS)
      .map((bin) => ({ ...bin, t: Math.round(bin.t - heldFromT) })),
  };
}

/** A port that was free just now; `up` finds out if it was taken since. */
function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', (cause) =>
      reject(new DbproxyError('DBP_INTERNAL', { reason: `no free port: ${cause.message}` }, { cause })),
    );
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
