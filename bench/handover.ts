/**
 * How long sessions wait while the proxy's process is replaced (`patch --self`): many sessions, a tenth of them (at least 16)
 * at work, handover after handover.
 *
 *   npm run bench:handover -- [--sessions 100,1000] [--handovers 10]
 *
 * Hold: from the moment a session's bytes stop in the old process to the moment they flow in the new one. Stall: the longest
 * call of the clients at work that overlaps a handover, beside the longest without one.
 */
import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { HandoverResult, ProxyApi, ProxyConfig } from '../src/proxy/control-api.js';
import { RpcClient } from '../src/rpc/index.js';
import { startEngine, type BenchEngine } from './support/engine.js';
import { freePort } from './support/processes.js';
import { conditions, conditionsLine, markdown, ms, quantiles, save } from './support/report.js';

const { values } = parseArgs({
  options: {
    sessions: { type: 'string', default: '100,1000' },
    handovers: { type: 'string', default: '10' },
  },
});
const MAIN = new URL('../dist/proxy/main.js', import.meta.url).pathname;
/** Between two handovers, ms: the old process has ended, the clients have caught up. */
const PAUSE_MS = 1_000;

interface Series {
  readonly sessions: number;
  readonly active: number;
  readonly handovers: readonly (HandoverResult & { readonly wholeMs: number })[];
  readonly stallsMs: readonly number[];
  readonly quietMs: readonly number[];
  readonly errors: number;
  readonly descriptors: { readonly before: number; readonly after: number };
}

/** Clients that query without a pause of their own, 10 ms apart. */
class Work {
  #longestMs: number[];
  #errors = 0;
  #stopped = false;
  readonly #done: Promise<unknown>;

  constructor(clients: readonly pg.Client[]) {
    this.#longestMs = clients.map(() => 0);
    this.#done = Promise.all(clients.map((client, own) => this.#run(client, own)));
  }

  /** Of each client, since it was last asked; ms. */
  longest(): number[] {
    return this.#longestMs.splice(0, this.#longestMs.length, ...this.#longestMs.map(() => 0));
  }

  async stop(): Promise<number> {
    this.#stopped = true;
    await this.#done;
    return this.#errors;
  }

  async #run(client: pg.Client, own: number): Promise<void> {
    while (!this.#stopped) {
      const beganMs = performance.now();
      await client
        .query({ name: 'p', text: 'select $1::int + 1 as n', values: [own] })
        .catch(() => this.#errors++);
      this.#longestMs[own] = Math.max(this.#longestMs[own] ?? 0, performance.now() - beganMs);
      await delay(10);
    }
  }
}

const bench = await startEngine('small');
try {
  const series: Series[] = [];
  for (const sessions of values.sessions.split(',').map(Number)) series.push(await measure(bench, sessions));
  const about = conditions(bench.engine.postgres, {});
  await save('handover', { schema: 'dbproxy.bench-handover/1', about, series });
  process.stdout.write(`\n${conditionsLine(about)}\n\n`);
  const heads = [
    'sessions',
    'at work',
    'handovers',
    'hold p50 ms',
    'p99',
    'max',
    'goal of p99',
    'longest call p50',
    'max',
  ];
  const rest = ['without a handover', 'whole handover p50', 'lost', 'errors', 'descriptors before, after'];
  process.stdout.write(`${markdown([...heads, ...rest], series.map(row))}\n`);
} finally {
  await bench.close();
}

function row(found: Series): string[] {
  const { sessions, active, handovers, stallsMs, quietMs, errors, descriptors } = found;
  const most = (of: (hold: HandoverResult['holdMs']) => number): number =>
    Math.max(...handovers.map(({ holdMs }) => of(holdMs)));
  const { p50 } = quantiles(handovers.map(({ holdMs }) => holdMs.p50));
  const stalls = quantiles(stallsMs);
  const whole = quantiles(handovers.map(({ wholeMs }) => wholeMs));
  const lost = handovers.reduce((sum, { sessions: { lost: ids } }) => sum + ids.length, 0);
  return [
    ...[String(sessions), String(active), String(handovers.length), ms(p50)],
    ...[ms(most(({ p99 }) => p99)), ms(most(({ max }) => max)), sessions > 100 ? '200' : '60'],
    ...[ms(stalls.p50), ms(stalls.max), ms(quantiles(quietMs).max), ms(whole.p50)],
    ...[String(lost), String(errors), `${descriptors.before}, ${descriptors.after}`],
  ];
}

async function measure({ engine, home, password }: BenchEngine, sessions: number): Promise<Series> {
  const config: ProxyConfig = {
    instance: 'bench',
    host: '127.0.0.1',
    port: await freePort(),
    socketDirectory: null,
    controlSocket: join(home, 'control'),
    generation: 1,
    maxSessions: sessions + 10,
  };
  const env = { ...process.env, DBPROXY_PROXY_CONFIG: JSON.stringify(config) };
  spawn(process.execPath, [MAIN], { env, stdio: 'inherit' });
  const { id, access, superuser } = engine;
  await control(config, (rpc) => rpc.call('route', { engine: { id, access, superuser } }));

  const clients: pg.Client[] = [];
  for (let i = 0; i < sessions; i++) {
    const client = new pg.Client({
      host: config.host,
      port: config.port,
      user: superuser,
      database: 'postgres',
      password,
    });
    client.on('error', () => undefined);
    await client.connect();
    await client.query({ name: 'p', text: 'select $1::int + 1 as n', values: [1] });
    clients.push(client);
  }
  const active = Math.max(16, sessions / 10);
  const work = new Work(clients.slice(0, active));
  await delay(2 * PAUSE_MS);
  const quietMs = work.longest();
  const handovers: Series['handovers'][number][] = [];
  const stallsMs: number[] = [];
  let before = 0;
  for (let i = 0; i <= Number(values.handovers); i++) {
    work.longest();
    const beganMs = performance.now();
    const program = { node: process.execPath, main: MAIN };
    const result = await control(config, (rpc) => rpc.call('handover', { program }, { timeoutMs: 60_000 }));
    const wholeMs = performance.now() - beganMs;
    await delay(PAUSE_MS);
    // The first one was not started by a successor: its descriptors are others.
    if (i === 0) before = descriptorsOf(result.pid);
    else handovers.push({ ...result, wholeMs });
    if (i > 0) stallsMs.push(Math.max(...work.longest()));
  }
  const errors = await work.stop();
  const after = descriptorsOf(handovers.at(-1)?.pid ?? 0);
  await Promise.all(clients.map((client) => client.end().catch(() => undefined)));
  await control(config, (rpc) => rpc.call('shutdown', {}));
  return { sessions, active, handovers, stallsMs, quietMs, errors, descriptors: { before, after } };
}

function descriptorsOf(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length;
}

/** Asks whoever answers control requests now. */
async function control<T>(
  { controlSocket }: ProxyConfig,
  ask: (rpc: RpcClient<ProxyApi>) => Promise<T>,
): Promise<T> {
  for (let end = performance.now() + 10_000; ;) {
    const rpc = await RpcClient.connect<ProxyApi>(controlSocket).catch(() => null);
    if (rpc) return ask(rpc).finally(() => rpc.close());
    if (performance.now() > end) throw new Error('the proxy does not answer');
    await delay(10);
  }
}
