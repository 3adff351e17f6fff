/**
 * What the relay costs: CPU of the proxy process per transaction, and TPS, of dbproxy against no proxy, PgBouncer and
 * HAProxy in the same run, interleaved.
 *
 *   npm run bench:relay -- [--rounds 5] [--seconds 5]
 *
 * CPU per transaction is the figure to look at: TPS on a machine that the client, the relay and the server share is
 * everybody's sum.
 */
import { parseArgs } from 'node:util';
import pg from 'pg';
import { initialiseWorkload } from '../src/workload/index.js';
import { socketUrl, startEngine, type BenchEngine } from './support/engine.js';
import { pgbench, type PgbenchResult } from './support/pgbench.js';
import { cpuParts, residentBytes, type CpuParts } from './support/processes.js';
import { startDbproxy, startHaproxy, startPgbouncer, type Relay } from './support/relays.js';
import { conditions, conditionsLine, markdown, median, save } from './support/report.js';
import { requireTools } from './support/tools.js';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '5' } },
});
const ROUNDS = Number(values.rounds);
const SECONDS = Number(values.seconds);
const IDLE_SESSIONS = 1_000;
const MODES = [
  { name: 'prepared c=16', protocol: 'prepared', clients: 16 },
  { name: 'simple c=16', protocol: 'simple', clients: 16 },
  { name: 'prepared c=1', protocol: 'prepared', clients: 1 },
] as const;

interface Sample extends PgbenchResult {
  readonly relay: string;
  readonly mode: string;
  /** CPU of the relay's process for a transaction; null without a relay. */
  readonly cpu: CpuParts | null;
}

const tools = await requireTools(['pgbench', 'pgbouncer', 'haproxy']);
const bench = await startEngine('medium');
const relays: Relay[] = [];
try {
  await initialiseWorkload({ url: socketUrl(bench), scale: 10 });
  relays.push(await startDbproxy(bench));
  relays.push(await startPgbouncer(bench, 'session', 100));
  relays.push(await startHaproxy(bench));

  await warmUp(bench, relays);
  const samples = await measureRounds(bench, relays);
  const idle = await measureIdleSessions(bench, relays[0]!);
  const about = conditions(bench.engine.postgres, tools);
  const table = summarise(samples);
  await save('relay', {
    schema: 'dbproxy.bench-relay/1',
    about,
    rounds: ROUNDS,
    seconds: SECONDS,
    table,
    idle,
    samples,
  });
  print(conditionsLine(about));
  print(
    markdown(
      [
        'select-only',
        'relay',
        'CPU µs/transaction',
        'user',
        'kernel',
        '× PgBouncer',
        'TPS',
        'p50 ms',
        'p99 ms',
      ],
      table.map((row) => [
        row.mode,
        row.relay,
        row.cpuUs?.toFixed(1) ?? '–',
        row.userUs?.toFixed(1) ?? '–',
        row.kernelUs?.toFixed(1) ?? '–',
        row.timesPgbouncer?.toFixed(2) ?? '–',
        row.tps.toFixed(0),
        row.p50Ms.toFixed(2),
        row.p99Ms.toFixed(2),
      ]),
    ),
  );
  print(
    `Median of ${ROUNDS} interleaved rounds of ${SECONDS} s. direct: the engine's Unix socket; the others: TCP loopback to the relay, the same Unix socket behind it.`,
  );
  print(
    `Idle sessions: ${idle.sessions} through dbproxy, ${(idle.bytesPerSession / 1024).toFixed(1)} KB of the proxy's memory each.`,
  );
} finally {
  for (const relay of relays) await relay.stop();
  await bench.close();
}

/** Every relay and the caches see every mode once, unmeasured. */
async function warmUp(engine: BenchEngine, all: readonly Relay[]): Promise<void> {
  for (const mode of MODES) for (const relay of [null, ...all]) await measure(engine, relay, mode);
}

async function measureRounds(engine: BenchEngine, all: readonly Relay[]): Promise<Sample[]> {
  const samples: Sample[] = [];
  for (let round = 1; round <= ROUNDS; round++) {
    for (const mode of MODES) {
      for (const relay of [null, ...all]) {
        const sample = await measure(engine, relay, mode);
        samples.push(sample);
        process.stderr.write(
          `round ${round}/${ROUNDS} ${mode.name} ${sample.relay}: ${sample.cpu ? totalUs(sample.cpu).toFixed(1) : '–'} µs, ${sample.tps.toFixed(0)} tps\n`,
        );
      }
    }
  }
  return samples;
}

async function measure(
  engine: BenchEngine,
  relay: Relay | null,
  mode: (typeof MODES)[number],
): Promise<Sample> {
  const before = relay && (await cpuParts(relay.pid));
  const result = await pgbench({
    host: relay ? '127.0.0.1' : engine.socket.directory,
    port: relay?.port ?? engine.socket.port,
    user: engine.engine.superuser,
    password: engine.password,
    clients: mode.clients,
    protocol: mode.protocol,
    seconds: SECONDS,
  });
  const after = relay && (await cpuParts(relay.pid));
  return {
    ...result,
    relay: relay?.name ?? 'direct',
    mode: mode.name,
    cpu: before && after && perTransaction(before, after, result.transactions),
  };
}

function perTransaction(before: CpuParts, after: CpuParts, transactions: number): CpuParts {
  return {
    userUs: (after.userUs - before.userUs) / transactions,
    kernelUs: (after.kernelUs - before.kernelUs) / transactions,
  };
}

function totalUs({ userUs, kernelUs }: CpuParts): number {
  return userUs + kernelUs;
}

interface Row {
  readonly mode: string;
  readonly relay: string;
  readonly cpuUs: number | null;
  readonly userUs: number | null;
  readonly kernelUs: number | null;
  readonly timesPgbouncer: number | null;
  readonly tps: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
}

function summarise(samples: readonly Sample[]): Row[] {
  const of = (mode: string, relay: string): Sample[] =>
    samples.filter((sample) => sample.mode === mode && sample.relay === relay);
  const cpuOf = (mode: string, relay: string, part: (cpu: CpuParts) => number): number | null => {
    const all = of(mode, relay).flatMap(({ cpu }) => (cpu ? [part(cpu)] : []));
    return all.length === 0 ? null : median(all);
  };
  const names = [...new Set(samples.map(({ relay }) => relay))];
  const peer = names.find((name) => name.startsWith('PgBouncer')) ?? '';
  return MODES.flatMap(({ name: mode }) =>
    names.map((relay) => {
      const own = cpuOf(mode, relay, totalUs);
      const theirs = cpuOf(mode, peer, totalUs);
      return {
        mode,
        relay,
        cpuUs: own,
        userUs: cpuOf(mode, relay, ({ userUs }) => userUs),
        kernelUs: cpuOf(mode, relay, ({ kernelUs }) => kernelUs),
        timesPgbouncer: own === null || theirs === null ? null : own / theirs,
        tps: median(of(mode, relay).map(({ tps }) => tps)),
        p50Ms: median(of(mode, relay).map(({ p50Ms }) => p50Ms)),
        p99Ms: median(of(mode, relay).map(({ p99Ms }) => p99Ms)),
      };
    }),
  );
}

/** Resident memory before and after; the proxy has been warm for the whole benchmark. */
async function measureIdleSessions(
  { engine, password }: BenchEngine,
  relay: Relay,
): Promise<{ sessions: number; bytesPerSession: number }> {
  const before = await residentBytes(relay.pid);
  const clients: pg.Client[] = [];
  try {
    for (let i = 0; i < IDLE_SESSIONS; i += 20) {
      const batch = Array.from(
        { length: 20 },
        () =>
          new pg.Client({
            host: '127.0.0.1',
            port: relay.port,
            user: engine.superuser,
            password,
            database: 'postgres',
          }),
      );
      clients.push(...batch);
      await Promise.all(batch.map((client) => client.connect()));
    }
    const after = await residentBytes(relay.pid);
    return { sessions: IDLE_SESSIONS, bytesPerSession: (after - before) / IDLE_SESSIONS };
  } finally {
    await Promise.all(clients.map((client) => client.end().catch(() => {})));
  }
}

function print(text: string): void {
  process.stdout.write(`\n${text}\n`);
}
