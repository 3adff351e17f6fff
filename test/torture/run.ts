/**
 * Whole suites of others, straight to PostgreSQL and under torture, compared test by test.
 *
 *   npm run torture -- [--suite regress,lib/pq,pgx] [--seed 1] [--probability 0.3]
 *
 * Straight twice: what differs between those two runs says nothing. Exit code 1: a result differs that is not known to, a
 * move failed, or too few sessions moved.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { TortureConfig, TortureTally } from '../../src/proxy/control-api.js';
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
    probability: { type: 'string', default: '0.3' },
  },
});
const torture: TortureConfig = { seed: Number(values.seed), probability: Number(values.probability) };

interface Ran {
  readonly outcomes: Outcomes;
  readonly tally: TortureTally;
}

const runOn = async (suite: Suite, config: TortureConfig | null): Promise<Ran> => {
  const leg = await Leg.open(config);
  try {
    const outcomes = await suite.run(leg);
    return { outcomes, tally: await leg.tally() };
  } finally {
    await leg.close();
  }
};

const compare = (suite: Suite, straight: Outcomes, again: Outcomes, tortured: Outcomes) => {
  const names = [...new Set([...straight.keys(), ...tortured.keys()])];
  const unstable = names.filter((name) => straight.get(name) !== again.get(name));
  const different = names.filter(
    (name) => straight.get(name) !== tortured.get(name) && !unstable.includes(name),
  );
  const known = different.filter((name) => suite.known[name] !== undefined);
  return { names, unstable, known, different: different.filter((name) => !known.includes(name)) };
};

/** For people who look into a difference. */
const keep = (suite: Suite, leg: string, outcomes: Outcomes): void => {
  const directory = join(CACHE, 'results', suite.name.replace('/', '-'), leg);
  mkdirSync(directory, { recursive: true });
  for (const [name, outcome] of outcomes)
    writeFileSync(join(directory, name.replaceAll('/', '-')), outcome, 'latin1');
};

let failed = false;
console.log(`seed ${torture.seed}, probability ${torture.probability}; results in ${CACHE}/results\n`);
console.log('| suite | tests | equal | known | unstable straight | different | moves | stayed |');
console.log('| --- | --- | --- | --- | --- | --- | --- | --- |');
const notes: string[] = [];
for (const suite of SUITES.filter(({ name }) => values.suite.split(',').includes(name))) {
  const straight = await runOn(suite, null);
  const again = await runOn(suite, null);
  const { outcomes, tally } = await runOn(suite, torture);
  keep(suite, 'straight', straight.outcomes);
  keep(suite, 'tortured', outcomes);
  const { names, unstable, known, different } = compare(suite, straight.outcomes, again.outcomes, outcomes);
  const equal = names.length - unstable.length - known.length - different.length;
  const stayed = Object.entries(tally.stayed).map(([why, count]) => `${why} ${count}`);
  const cells = [
    `${suite.name} (${suite.version})`,
    names.length,
    equal,
    known.length,
    unstable.length,
    different.length,
    tally.moves,
    stayed.join(', ') || '-',
  ];
  console.log(`| ${cells.join(' | ')} |`);
  notes.push(
    ...known.map((name) => `${suite.name} ${name}: known: ${suite.known[name]}`),
    ...unstable.map((name) => `${suite.name} ${name}: differs between two straight runs`),
    ...different.map((name) => `${suite.name} ${name}: DIFFERENT`),
    ...tally.failed.map(({ id, reason }) => `${suite.name}: session ${id} could not be moved: ${reason}`),
  );
  if (different.length > 0 || tally.failed.length > 0 || tally.moves < LEAST_MOVES) failed = true;
}
console.log(`\n${notes.join('\n')}`);
process.exit(failed ? 1 : 0);
