/**
 * Whole suites of others, straight to PostgreSQL and under torture, compared hunk by hunk.
 *
 *   npm run torture -- [--suite regress,lib/pq,pgx] [--seed 1] [--probability 0.5] [--provider docker]
 *
 * Straight twice: what differs between those two runs says nothing. Nor does a test that differs under torture and, repeated
 * straight on a machine as busy as torture makes it, differs there, too. Exit code 1: a hunk differs that is not known to, a move
 * failed, or too few sessions moved. Every leg is bounded: what has not ended by then counts as different.
 */
import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import type { TortureConfig, TortureTally } from '../../src/proxy/control-api.js';
import { useProvider } from '../support/provider.js';
import { compare, type Comparison } from './compare.js';
import { Leg } from './leg.js';
import { CACHE } from './packages.js';
import { NO_END, type Outcomes, type Suite } from './suites.js';
import { pgx, pq } from './suites/go.js';
import { regress } from './suites/regress.js';

/** A torture that seldom moves anything is none. */
const LEAST_MOVES = 20;
const SUITES = [regress, pq, pgx];

const { values } = parseArgs({
  options: {
    suite: { type: 'string', default: SUITES.map(({ name }) => name).join(',') },
    seed: { type: 'string', default: '1' },
    probability: { type: 'string' },
    provider: { type: 'string', default: 'embedded' },
  },
});
useProvider(values.provider);
const seed = Number(values.seed);

const runOn = async (
  config: TortureConfig | null,
  run: (leg: Leg) => Promise<Outcomes>,
): Promise<{ outcomes: Outcomes; tally: TortureTally; seconds: number }> => {
  const leg = await Leg.open(config);
  const startMs = performance.now();
  try {
    const outcomes = await run(leg);
    return { outcomes, tally: await leg.tally(), seconds: Math.round((performance.now() - startMs) / 1_000) };
  } finally {
    await leg.close();
  }
};

/** Straight, by test: how those that differ come out again and again while nothing else on the machine gets much of it. */
const repeated = async (suite: Suite, tests: readonly string[]): Promise<Outcomes> => {
  const loads = Array.from({ length: availableParallelism() * 2 }, () =>
    spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' }),
  );
  try {
    return (await runOn(null, (leg) => suite.repeat?.(leg, tests) ?? Promise.resolve(new Map()))).outcomes;
  } finally {
    for (const load of loads) load.kill('SIGKILL');
  }
};

const row = (cells: readonly (string | number)[]): string => `| ${cells.join(' | ')} |`;

const report = (
  suite: Suite,
  probability: number,
  found: Comparison,
  tally: TortureTally,
  seconds: readonly number[],
): void => {
  const { tests, unstable, known, different } = found;
  const equal = tests - unstable.length - known.size - different.size;
  const stayed = Object.entries(tally.stayed).map(([why, count]) => `${why} ${count}`);
  const counts = [
    probability,
    tests,
    equal,
    known.size,
    unstable.length,
    different.size,
    tally.moves,
    tally.together,
  ];
  console.log(
    row([`${suite.name} (${suite.version})`, ...counts, stayed.join(', ') || '-', seconds.join(', ')]),
  );
};

const notes = (suite: Suite, { unstable, known, different }: Comparison, tally: TortureTally): string[] => [
  ...[...known].map(
    ([name, reasons]) => `${suite.name} ${name}: known: ${[...reasons].map(({ why }) => why).join('; ')}`,
  ),
  ...unstable.map((name) => `${suite.name} ${name}: differs between straight runs`),
  ...[...different].map(([name, hunks]) =>
    [
      `${suite.name} ${name}: DIFFERENT`,
      ...hunks.flatMap(({ straight, tortured }) => [
        ...straight.map((line) => `  -${line}`),
        ...tortured.map((line) => `  +${line}`),
      ]),
    ].join('\n'),
  ),
  ...tally.failed.map(({ id, reason }) => `${suite.name}: session ${id} could not be moved: ${reason}`),
];

let failed = false;
console.log(`seed ${seed}; engines ${values.provider}; results in ${CACHE}/results\n`);
console.log(
  row([
    'suite',
    'probability',
    'tests',
    'equal',
    'known',
    'unstable straight',
    'different',
    'moves',
    'together',
    'stayed',
    's',
  ]),
);
console.log(row(Array.from({ length: 11 }, () => '---')));
const remarks: string[] = [];
for (const suite of SUITES.filter(({ name }) => values.suite.split(',').includes(name))) {
  const straight = await runOn(null, suite.run);
  const again = await runOn(null, suite.run);
  const probability = Number(values.probability ?? suite.probability);
  const tortured = await runOn({ seed, probability }, suite.run);
  const straights = [again.outcomes];
  let found = compare(suite, straight.outcomes, straights, tortured.outcomes);
  // One that did not end says so of itself, not of the machine.
  const ended = [...found.different.keys()].filter(
    (name) => (tortured.outcomes.get(name) ?? NO_END) !== NO_END,
  );
  if (ended.length > 0 && suite.repeat) {
    const outcomes = [...(await repeated(suite, ended))].filter(([, outcome]) => !outcome.includes(NO_END));
    straights.push(new Map([...straight.outcomes, ...outcomes]));
    found = compare(suite, straight.outcomes, straights, tortured.outcomes);
  }
  const { tally } = tortured;
  report(suite, probability, found, tally, [straight.seconds, again.seconds, tortured.seconds]);
  remarks.push(...notes(suite, found, tally));
  if (found.different.size > 0 || tally.failed.length > 0 || tally.moves < LEAST_MOVES) failed = true;
}
console.log(`\n${remarks.join('\n')}`);
process.exit(failed ? 1 : 0);
