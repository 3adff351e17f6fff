/**
 * `npm run model -- [--steps N] [--seed N] [--length N]`: the protocol under random schedules, for the night. One world a seed, from
 * `--seed` up, `--length` steps each. Ends with 1 and the command that repeats it when an invariant is broken.
 */
import { parseArgs } from 'node:util';
import { runSeed } from './run.js';

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '20000000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_007) },
    length: { type: 'string', default: '1500' },
  },
});
const [total, first, length] = [Number(values.steps), Number(values.seed), Number(values.length)];
const print = (text: string): void => void process.stdout.write(`${text}\n`);
let stop = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => (stop = true));

const started = performance.now();
const tally = { steps: 0, runs: 0, decided: 0, acknowledged: 0 };
const report = (): void =>
  print(
    `${tally.steps} steps, ${tally.runs} worlds, ${tally.decided} decided, ${tally.acknowledged} acknowledged, ` +
      `${((performance.now() - started) / 1_000).toFixed(1)} s`,
  );
print(`seed ${first}, ${length} steps a world`);
for (let seed = first; tally.steps < total && !stop; seed++) {
  const { steps, decided, acknowledged, violation } = runSeed(seed, length);
  tally.steps += steps;
  tally.runs++;
  tally.decided += decided;
  tally.acknowledged += acknowledged;
  if (violation) {
    report();
    print(`seed ${seed}, step ${steps}: ${violation.message}`);
    print(`again: npm run model -- --seed ${seed} --steps 1 --length ${length}`);
    process.exitCode = 1;
    break;
  }
  if (tally.runs % 1_000 === 0) {
    report();
    // Lets signals in.
    await new Promise(setImmediate);
  }
}
if (process.exitCode === undefined) {
  report();
  print('every invariant held');
}
