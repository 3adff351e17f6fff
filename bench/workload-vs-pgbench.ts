/**
 * Does `workload run` measure what pgbench measures? The very same script files, by turns, on the same engine.
 *
 *   npm run bench:workload -- [--rounds 9] [--seconds 2]
 *
 * Open loop, at a quarter of what the slower of the two reaches: both offer the same load, and transactions do not queue, which would
 * multiply what the two generators cost. Rate, mean and median of the latency, from when a transaction was begun, have to agree within 10 %. Closed loop, both go as fast as they can: that is not the same load,
 * since each adds what its generator costs to cores that it shares with the server; shown, not judged. Each has one process and
 * one thread for all clients.
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
  options: { rounds: { type: 'string', default: '9' }, seconds: { type: 'string', default: '2' } },
});
const ROUNDS = Number(values.rounds);
const SECONDS = Number(values.seconds);
const SCALE = 10;
const CLIENTS = 8;
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

interface Comparison {
  readonly script: Script;
  /** Offered transactions a second; null: as fast as they can. */
  readonly rate: number | null;
  readonly pgbench: Figures;
  readonly ours: Figures;
  /** Ours by pgbench's. */
  readonly ratio: Figures;
  readonly agrees: Readonly<Record<FigureName, boolean>>;
}

const tools = await requireTools(['pgbench']);
const bench = await startEngine('medium');
try {
  await initialiseWorkload({ url: socketUrl(bench), scale: SCALE });
  const comparisons: Comparison[] = [];
  for (const script of SCRIPTS) {
    const closed = await compare(bench, script, null);
    comparisons.push(
      closed,
      await compare(bench, script, Math.round(Math.min(closed.pgbench.tps, closed.ours.tps) * OFFERED)),
    );
  }
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
    `Median of ${ROUNDS} rounds of ${SECONDS} s, by turns; ${CLIENTS} clients, scale ${SCALE}, prepared, the engine's Unix socket.`,
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

async function compare(engine: BenchEngine, script: Script, rate: number | null): Promise<Comparison> {
  const theirs: Figures[] = [];
  const ours: Figures[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const turns = [
      async () => void theirs.push(await runPgbench(engine, script, rate)),
      async () => void ours.push(await runOurs(engine, script, rate)),
    ];
    // Who comes first meets the other's checkpoint.
    for (const turn of round % 2 === 0 ? turns : turns.reverse()) await turn();
  }
  const of = (all: readonly Figures[]): Figures =>
    Object.fromEntries(
      FIGURES.map((name) => [name, median(all.map((each) => each[name]))]),
    ) as unknown as Figures;
  const [pgbenchs, our] = [of(theirs), of(ours)];
  const ratio = of(
    ours.map(
      (each, i) =>
        Object.fromEntries(
          FIGURES.map((name) => [name, each[name] / theirs[i]![name]]),
        ) as unknown as Figures,
    ),
  );
  const agrees = (name: FigureName): boolean =>
    Math.abs(ratio[name] - 1) <= TOLERANCE ||
    (name !== 'tps' && Math.abs(our[name] - pgbenchs[name]) <= LEAST_DIFFERENCE_MS);
  const verdicts = Object.fromEntries(FIGURES.map((name) => [name, agrees(name)])) as Comparison['agrees'];
  const offered = rate === null ? 'closed loop' : `${rate}/s`;
  process.stderr.write(`${script}, ${offered}: ${our.tps.toFixed(0)} of ${pgbenchs.tps.toFixed(0)} tps\n`);
  return { script, rate, pgbench: pgbenchs, ours: our, ratio, agrees: verdicts };
}

function runPgbench(
  { engine, socket, password }: BenchEngine,
  script: Script,
  rate: number | null,
): Promise<Figures> {
  const file = fileURLToPath(new URL(`../playground/workloads/${script}.sql`, import.meta.url));
  return pgbench({
    ...{ host: socket.directory, port: socket.port, user: engine.superuser, password },
    ...{ clients: CLIENTS, protocol: 'prepared', seconds: SECONDS, logged: rate === null ? 0.1 : 1 },
    script: { file, scale: SCALE },
    ...(rate === null ? {} : { rate }),
  });
}

async function runOurs(engine: BenchEngine, script: Script, rate: number | null): Promise<Figures> {
  const load = startWorkloadProcess({
    ...{ url: socketUrl(engine), script, clients: CLIENTS, seconds: SECONDS, scale: SCALE, ledger: false },
    warmupSeconds: 1,
    ...(rate === null ? {} : { ratePerSecond: rate }),
  });
  const { tps, serviceMs, valid, invalidReasons } = await load.result;
  if (!valid) process.stderr.write(`${script}: ${invalidReasons.join('; ')}\n`);
  const { mean, p50, p99 } = serviceMs;
  return { tps, meanMs: mean ?? NaN, p50Ms: p50 ?? NaN, p99Ms: p99 ?? NaN };
}

function tableOf(comparisons: readonly Comparison[]): string {
  const head = ['script', 'offered', 'who', 'tps', 'mean ms', 'p50 ms', 'p99 ms'];
  const figures = (all: Figures): string[] => [
    all.tps.toFixed(0),
    ...(['meanMs', 'p50Ms', 'p99Ms'] as const).map((name) => all[name].toFixed(2)),
  ];
  return markdown(
    head,
    comparisons.flatMap(({ script, rate, pgbench: theirs, ours, ratio, agrees }) => [
      [script, rate === null ? 'all it can' : `${rate}/s`, 'pgbench', ...figures(theirs)],
      ['', '', 'dbproxy', ...figures(ours)],
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
