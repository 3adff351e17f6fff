/**
 * The naive way, done well: CHECKPOINT, PgBouncer PAUSE, fast restart of PostgreSQL on the same data, RESUME.
 *
 * Transaction pooling, because only there does PAUSE succeed while clients stay connected: in session mode it waits until
 * they disconnect. The price is known: no session state. PgBouncer 1.18 has no named prepared statements in that mode, so
 * the load sends unnamed ones.
 */
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { initialiseWorkload, startWorkloadProcess, type SwitchWindow } from '../../src/workload/index.js';
import { socketUrl, startEngine, type BenchEngine } from '../support/engine.js';
import { startPgbouncer } from '../support/relays.js';
import { loadOptions, warmupMs, type StallPlan, type StallSeries } from './plan.js';

const PAUSE_BOUND_MS = 30_000;

export async function measurePgbouncer(
  plan: StallPlan & { readonly ratePerSecond: number },
): Promise<StallSeries> {
  const bench = await startEngine('small');
  try {
    await initialiseWorkload({ url: socketUrl(bench), scale: plan.scale });
    const pgbouncer = await startPgbouncer(bench, 'transaction', plan.clients);
    try {
      const measured = await measureSwitches(bench, pgbouncer.port, plan);
      return {
        name: 'PgBouncer PAUSE, restart in place, RESUME',
        note: 'transaction pooling, because in session mode PAUSE waits until the clients disconnect; a CHECKPOINT before each PAUSE; fast shutdown; unnamed statements, which this mode needs.',
        postgres: bench.engine.postgres,
        ratePerSecond: plan.ratePerSecond,
        ...measured,
      };
    } finally {
      await pgbouncer.stop();
    }
  } finally {
    await bench.close();
  }
}

async function measureSwitches(
  bench: BenchEngine,
  port: number,
  plan: StallPlan & { readonly ratePerSecond: number },
): Promise<Pick<StallSeries, 'stalls' | 'workload'>> {
  const windows: SwitchWindow[] = [];
  const url = `postgres://${bench.engine.superuser}@127.0.0.1:${port}/postgres`;
  const load = startWorkloadProcess({
    ...loadOptions(url, plan, plan.ratePerSecond),
    protocol: 'extended',
    windows: () => windows,
  });
  try {
    await load.started;
    await delay(warmupMs + plan.quietMs);
    for (let i = 0; i < plan.switches; i++) {
      const window = await restartPaused(bench, port);
      windows.push(window);
      process.stderr.write(`pgbouncer ${i + 1}/${plan.switches}: paused for ${window.to - window.from} ms\n`);
      await delay(i + 1 < plan.switches ? plan.pauseMs : plan.quietMs);
    }
    load.stop();
    const workload = await load.result;
    return { workload, stalls: workload.stallMs.windows.map(({ max }) => max ?? NaN) };
  } finally {
    load.kill();
  }
}

async function restartPaused({ provider, engine, socket }: BenchEngine, port: number): Promise<SwitchWindow> {
  await query(
    { host: socket.directory, port: socket.port, user: engine.superuser, database: 'postgres' },
    'CHECKPOINT',
  );
  const admin = { host: '127.0.0.1', port, user: engine.superuser, database: 'pgbouncer' };
  const from = Date.now();
  await query(admin, 'PAUSE');
  await provider.stop(engine, 'fast');
  await provider.start(engine);
  await query(admin, 'RESUME');
  return { from, to: Date.now() };
}

async function query(target: pg.ClientConfig, sql: string): Promise<void> {
  const client = new pg.Client({ ...target, query_timeout: PAUSE_BOUND_MS });
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}
