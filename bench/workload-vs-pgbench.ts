/**
 * Does `workload run` measure what pgbench measures? The very same script files, by turns, on the same engine.
 *
 *   npm run bench:workload -- [--rounds 9] [--seconds 3]
 *
 * Open loop, at a quarter of what the slower of the two reaches: both offer the same load, and transactions do not queue, which would
 * multiply what the two generators cost. Rate, mean and median of the latency, from when a transaction was begun, have to agree within
 * 10 %. Closed loop, in a third of the rounds, both go as fast as they can: that is not the same load, since each adds what its
 * generator costs to cores that it shares with the server; shown, not judged. Each has one process and one thread for all clients,
 * and a second before what counts: new connections begin with cold caches. The engine's files are in memory, where there is room.
 *
 * What is compared is neighbours: the median of the ratios of all rounds, so that a machine whose speed changes meanwhile
 * changes it for both.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { initialiseWorkload, startWorkloadProcess } from '../src/workload/index.js';
import { socketUrl, startEngine, type BenchEngine } from './support/engine.js';
import { pgbench } from './support/pgbench.js';
import { conditions, conditionsLine, markdown, median, save } from './support/report.js';
import { requireTools } from './support/tools.js';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '9' }, seconds: { type: 'string', default: '3' } },
});
const ROUNDS = Number(values.rounds);
const SECONDS = Number(values.seconds);
const SCALE = 10;
const CLIENTS = 8;
const WARMUP_SECONDS = 1;
/** Of what the slower one can do. */
const OFFERED = 0.25;
const TOLERANCE = 0.1;
const SCRIPTS = ['tpcb-like', 'simple-update', 'select-only'] as const;
/** Below it, what the clocks and the schedulers of two programs make of a call is more than what is compared. */
const LEAST_DIFFERENCE_MS = 0.1;

type Script = (typeof SCRIPTS)[number];
type Figures = {
  readonly tps: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
};
type FigureName = keyof Figures;
const FIGURES: readonly FigureName[] = ['tps', 'meanMs', 'p50Ms', 'p99Ms'];
/** The 99th percentile of some thousand calls is mostly what else the machine does. */
const JUDGED: readonly FigureName[] = ['tps', 'meanMs', 'p50Ms'];

interface Load {
  readonly script: Script;
  /** Offered transactions a second; null: as fast as they can. */
  readonly rate: number | null;
}

interface Comparison extends Load {
  readonly pgbench: Figures;
  readonly ours: Figures;
  /** Ours by pgbench's. */
  readonly ratio: Figures;
  readonly agrees: Readonly<Record<FigureName, boolean>>;
}

const tools = await requireTools(['pgbench']);
const bench = await startEngine('medium', { inMemory: true });
try {
  await initialiseWorkload({ url: socketUrl(bench), scale: SCALE });
  const closed = await compare(
    bench,
    SCRIPTS.map((script) => ({ script, rate: null })),
    Math.ceil(ROUNDS / 3),
  );
  const open = await compare(
    bench,
    closed.map(({ script, pgbench: theirs, ours }) => ({
      script,
      rate: Math.round(Math.min(theirs.tps, ours.tps) * OFFERED),
    })),
    ROUNDS,
  );
  const comparisons = closed.flatMap((each, i) => [each, open[i]!]);
  const about = conditions(bench.engine.postgres, tools);
  await save('workload', {
    schema: 'dbproxy.bench-workload/1',
    about,
    rounds: ROUNDS,
    seconds: SECONDS,
    comparisons,
  });
  print(conditionsLine(about));
  print(tableOf(comparisons));
  print(
    `Median of ${ROUNDS} rounds of ${SECONDS} s (closed loop: a third of them), by turns; ${CLIENTS} clients, scale ${SCALE}, prepared, the engine's Unix socket.`,
  );
  const disagreeing = comparisons.flatMap(({ script, rate, agrees }) =>
    rate === null
      ? []
      : JUDGED.flatMap((figure) => (agrees[figure] ? [] : `${script} at ${rate}/s ${figure}`)),
  );
  print(
    disagreeing.length === 0
      ? `Under the same load they agree within ${TOLERANCE * 100} % (or ${LEAST_DIFFERENCE_MS} ms) in rate, mean and median.`
      : `They do not agree in: ${disagreeing.join(', ')}.`,
  );
  process.exitCode = disagreeing.length === 0 ? 0 : 3;
} finally {
  await bench.close();
}

/** In each round all loads, so that each sees whatever the machine does meanwhile. */
async function compare(
  engine: BenchEngine,
  loads: readonly Load[],
  rounds: number,
): Promise<readonly Comparison[]> {
  const runs = loads.map((load) => ({ load, theirs: [] as Figures[], ours: [] as Figures[] }));
  for (let round = 0; round < rounds; round++) {
    for (const { load, theirs, ours } of runs) {
      const turns = [
        async () => void theirs.push(await runPgbench(engine, load)),
        async () => void ours.push(await runOurs(engine, load)),
      ];
      // Who comes first meets the other's checkpoint.
      for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn();
    }
  }
  return runs.map(({ load, theirs, ours }) => comparisonOf(load, theirs, ours));
}

function comparisonOf(
  { script, rate }: Load,
  theirs: readonly Figures[],
  ours: readonly Figures[],
): Comparison {
  const medianOf = (all: readonly Figures[]): Figures =>
    figures((name) => median(all.map((each) => each[name])));
  const [pgbenchs, our] = [medianOf(theirs), medianOf(ours)];
  const ratio = medianOf(ours.map((each, i) => figures((name) => each[name] / theirs[i]![name])));
  const agrees = (name: FigureName): boolean =>
    Math.abs(ratio[name] - 1) <= TOLERANCE ||
    (name !== 'tps' && Math.abs(our[name] - pgbenchs[name]) <= LEAST_DIFFERENCE_MS);
  const verdicts = Object.fromEntries(FIGURES.map((name) => [name, agrees(name)])) as Comparison['agrees'];
  const offered = rate === null ? 'closed loop' : `${rate}/s`;
  process.stderr.write(`${script}, ${offered}: ${our.tps.toFixed(0)} of ${pgbenchs.tps.toFixed(0)} tps\n`);
  return { script, rate, pgbench: pgbenchs, ours: our, ratio, agrees: verdicts };
}

function figures(of: (name: FigureName) => number): Figures {
  return Object.fromEntries(FIGURES.map((name) => [name, of(name)])) as unknown as Figures;
}

function runPgbench({ engine, socket, password }: BenchEngine, { script, rate }: Load): Promise<Figures> {
  const file = fileURLToPath(new URL(`../playground/workloads/${script}.sql`, import.meta.url));
  return pgbench({
    ...{ host: socket.directory, port: socket.port, user: engine.superuser, password },
    ...{ clients: CLIENTS, protocol: 'prepared', logged: rate === null ? 0.1 : 1 },
    ...{ seconds: SECONDS, warmupSeconds: WARMUP_SECONDS },
    script: { file, scale: SCALE },
    ...(rate === null ? {} : { rate }),
  });
}

async function runOurs(engine: BenchEngine, { script, rate }: Load): Promise<Figures> {
  const load = startWorkloadProcess({
    ...{ url: socketUrl(engine), script, clients: CLIENTS, seconds: SECONDS, scale: SCALE, ledger: false },
    warmupSeconds: WARMUP_SECONDS,
    ...(rate === null ? {} : { ratePerSecond: rate }),
  });
  const { tps, serviceMs, valid, invalidReasons } = await load.result;
  if (!valid) process.stderr.write(`${script}: ${invalidReasons.join('; ')}\n`);
  const { mean, p50, p99 } = serviceMs;
  return { tps, meanMs: mean ?? NaN, p50Ms: p50 ?? NaN, p99Ms: p99 ?? NaN };
}

function tableOf(comparisons: readonly Comparison[]): string {
  const head = ['script', 'offered', 'who', 'tps', 'mean ms', 'p50 ms', 'p99 ms'];
  const cells = (all: Figures): string[] => [
    all.tps.toFixed(0),
    ...(['meanMs', 'p50Ms', 'p99Ms'] as const).map((name) => all[name].toFixed(2)),
  ];
  return markdown(
    head,
    comparisons.flatMap(({ script, rate, pgbench: theirs, ours, ratio, agrees }) => [
      [script, rate === null ? 'all it can' : `${rate}/s`, 'pgbench', ...cells(theirs)],
      ['', '', 'dbproxy', ...cells(ours)],
      [
        '',
        '',
        'ratio',
        ...FIGURES.map((name) => (agrees[name] ? percent(ratio[name]) : `**${percent(ratio[name])}**`)),
      ],
    ]),
  );
}

function percent(ratio: number): string {
  return `${(ratio * 100).toFixed(0)} %`;
}

function print(text: string): void {
  process.stdout.write(`${text}\n\n`);
}
