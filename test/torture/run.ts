/**
 * Whole suites of others, straight to PostgreSQL and under torture, compared hunk by hunk.
 *
 *   npm run torture -- [--suite regress,lib/pq,pgx] [--seed 1] [--probability 0.5]
 *
 * Straight twice: what differs between those two runs says nothing. Exit code 1: a hunk differs that is not known to, a move
 * failed, or too few sessions moved. Every leg is bounded: what has not ended by then counts as different.
 */
import { parseArgs } from 'node:util';
import type { TortureConfig, TortureTally } from '../../src/proxy/control-api.js';
import { compare, type Comparison } from './compare.js';
import { Leg } from './leg.js';
import { CACHE } from './packages.js';
import type { Outcomes, Suite } from './suites.js';
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
  },
});
const seed = Number(values.seed);

const runOn = async (
  suite: Suite,
  config: TortureConfig | null,
): Promise<{ outcomes: Outcomes; tally: TortureTally; seconds: number }> => {
  const leg = await Leg.open(config);
  const startMs = performance.now();
  try {
    const outcomes = await suite.run(leg);
    return { outcomes, tally: await leg.tally(), seconds: Math.round((performance.now() - startMs) / 1_000) };
  } finally {
    await leg.close();
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
  ...unstable.map((name) => `${suite.name} ${name}: differs between two straight runs`),
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
console.log(`seed ${seed}; results in ${CACHE}/results\n`);
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
  const straight = await runOn(suite, null);
  const again = await runOn(suite, null);
  const probability = Number(values.probability ?? suite.probability);
  const tortured = await runOn(suite, { seed, probability });
  const found = compare(suite, straight.outcomes, again.outcomes, tortured.outcomes);
  const { tally } = tortured;
  report(suite, probability, found, tally, [straight.seconds, again.seconds, tortured.seconds]);
  remarks.push(...notes(suite, found, tally));
  if (found.different.size > 0 || tally.failed.length > 0 || tally.moves < LEAST_MOVES) failed = true;
}
console.log(`\n${remarks.join('\n')}`);
process.exit(failed ? 1 : 0);
