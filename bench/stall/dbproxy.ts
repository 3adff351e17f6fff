/** Our way: an instance, `up` and `scale` as a user runs them, and the load in a process of its own. */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { MoveRecord } from '../../src/control/api.js';
import { connectSupervisor, startInstance, stopInstance, type Supervisor } from '../../src/control/client.js';
import { watchSwitch } from '../../src/scenario/index.js';
import {
  initialiseWorkload,
  runWorkload,
  startWorkloadProcess,
  type SwitchWindow,
} from '../../src/workload/index.js';
import { engineKind } from '../../test/support/provider.js';
import { freePort } from '../support/processes.js';
import { IdleSessions } from './idle-sessions.js';
import { loadOptions, warmupMs, type StallPlan, type StallSeries } from './plan.js';

const NAME = 'bench';
/** Some 100 MB: a branch with its 100 000 accounts is 15 MB. */
const IDLE_SCALE = 7;
const SATURATION_SECONDS = 10;
/** Of the bench's own. */
const SPARE_SESSIONS = 20;

export interface DbproxySeries extends StallSeries {
  readonly upMs: readonly number[];
  readonly idle: { readonly databaseBytes: number; readonly scaleMs: readonly number[] } | null;
  readonly saturationTps: number | null;
  /** Of the sessions that did nothing. */
  readonly idleLost: number;
  readonly records: readonly MoveRecord[];
}

export async function measureDbproxy(plan: StallPlan): Promise<DbproxySeries> {
  const upMs = plan.brief ? [] : await measureUp();
  try {
    const { url, engines } = await startInstance({
      name: NAME,
      port: await freePort(),
      size: 'small',
      provider: engineKind(),
      maxSessions: plan.clients + plan.idle + SPARE_SESSIONS,
    });
    const supervisor = await connectSupervisor(NAME);
    try {
      const idle = plan.brief ? null : await measureIdle(url, supervisor);
      await initialiseWorkload({ url, scale: plan.scale });
      const saturationTps = plan.ratePerSecond === undefined ? await measureSaturation(url, plan) : null;
      const ratePerSecond = plan.ratePerSecond ?? Math.round((saturationTps ?? 0) / 2);
      const idlers = await IdleSessions.open(url, plan.idle);
      const measured = await measureSwitches(url, supervisor, plan, ratePerSecond);
      const idleLost = await idlers.lost();
      return {
        name: 'dbproxy',
        note: 'scale, small and large in turn',
        postgres: engines[0]?.postgres ?? '',
        ...{ upMs, idle, saturationTps, idleLost, ratePerSecond },
        ...measured,
      };
    } finally {
      supervisor.close();
    }
  } finally {
    await stopInstance(NAME, { purge: true });
  }
}

/** The first one may have to copy the engine's binaries; those after it find them. */
async function measureUp(): Promise<number[]> {
  const upMs: number[] = [];
  for (let i = 0; i < 4; i++) {
    const port = await freePort();
    const beganMs = performance.now();
    await startInstance({ name: NAME, port, size: 'small', provider: engineKind() });
    upMs.push(performance.now() - beganMs);
    await stopInstance(NAME, { purge: true });
  }
  return upMs;
}

async function measureIdle(url: string, supervisor: Supervisor): Promise<DbproxySeries['idle']> {
  await initialiseWorkload({ url, scale: IDLE_SCALE });
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ bytes: string }>(
    'select pg_database_size(current_database()) as bytes',
  );
  await client.end();
  const scaleMs: number[] = [];
  for (const size of ['large', 'small', 'large', 'small'] as const) {
    const { record } = await watchSwitch(supervisor, size);
    if (record.outcome !== 'completed')
      throw new Error(`scale of the idle database: ${record.error?.message}`);
    scaleMs.push(record.totalMs);
  }
  return { databaseBytes: Number(rows[0]?.bytes), scaleMs };
}

async function measureSaturation(url: string, { clients, scale }: StallPlan): Promise<number> {
  const { tps } = await runWorkload({
    url,
    script: 'tpcb-like',
    clients,
    scale,
    seconds: SATURATION_SECONDS,
    warmupSeconds: 3,
  });
  process.stderr.write(`saturation: ${tps.toFixed(0)} tps\n`);
  return tps;
}

async function measureSwitches(
  url: string,
  supervisor: Supervisor,
  plan: StallPlan,
  ratePerSecond: number,
): Promise<Pick<DbproxySeries, 'stalls' | 'workload' | 'records'>> {
  const windows: SwitchWindow[] = [];
  const records: MoveRecord[] = [];
  /** For each switch the window of its last attempt. */
  const switched: SwitchWindow[] = [];
  const load = startWorkloadProcess({ ...loadOptions(url, plan, ratePerSecond), windows: () => windows });
  try {
    await load.started;
    await delay(warmupMs + plan.quietMs);
    for (let i = 0; i < plan.switches; i++) {
      const { record, windows: held } = await watchSwitch(supervisor, i % 2 === 0 ? 'large' : 'small');
      records.push(record);
      windows.push(...held);
      const last = held.at(-1);
      if (last) switched.push(last);
      const { holdMs, outcome, totalMs, phasesMs } = record;
      const phases = Object.entries(phasesMs).map(([phase, each]) => `${phase} ${each}`);
      process.stderr.write(
        `dbproxy ${i + 1}/${plan.switches}: ${outcome}, hold p50 ${holdMs.p50}, max ${holdMs.max} ms, ${totalMs} ms in all: ${phases.join(', ')}\n`,
      );
      await delay(i + 1 < plan.switches ? plan.pauseMs : plan.quietMs);
    }
    load.stop();
    const workload = await load.result;
    const stalls = switched.map(
      ({ from }) => workload.stallMs.windows.find((window) => window.from === from)?.max ?? NaN,
    );
    return { workload, records, stalls };
  } finally {
    load.kill();
  }
}
