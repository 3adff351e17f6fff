/**
 * `npm run twin -- [--steps N] [--seed N] [--walk N] [--classes a,b]`: the nightly hunt. Prints steps, moves and seconds, also
 * when it is told to stop (SIGINT, SIGTERM); ends with 1, and with the counterexample, when a session that moved differs from
 * its twin.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { classNames, type ClassName } from './classes.js';
import { hunt } from './hunt.js';
import { World } from './world.js';

/** The engine's backends are what takes the time: of each pair, two work at once. */
const PAIRS = Math.max(4, availableParallelism());

const { values } = parseArgs({
  options: {
    steps: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_007) },
    walk: { type: 'string' },
    classes: { type: 'string', default: classNames.join(',') },
  },
});
const asked = values.classes.split(',');
const classes = classNames.filter((name): name is ClassName => asked.includes(name));
const seed = Number(values.seed);
const print = (text: string): void => void process.stdout.write(`${text}\n`);

const world = await World.open(PAIRS);
const stop = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort());
print(`seed ${seed}, classes ${classes.join(', ')}`);
const started = performance.now();
let printed = 0;
try {
  const { tally, shrinking, found } = await hunt(world, {
    seed,
    classes,
    steps: Number(values.steps),
    ...(values.walk === undefined ? {} : { walk: Number(values.walk) }),
    stop: stop.signal,
    sighted: print,
    progress: ({ steps, moves }) => {
      if (steps < printed + 10_000) return;
      printed = steps;
      print(`${steps} steps, ${moves} moves, ${seconds()} s`);
    },
  });
  for (const [reason, times] of tally.stayed) print(`stayed ${times} times: ${reason}`);
  if (shrinking.steps > 0)
    print(`${shrinking.steps} more steps in ${shrinking.walks} walks to shrink a difference`);
  print(`seed ${seed}: ${tally.steps} steps in ${tally.walks} walks, ${tally.moves} moves, ${seconds()} s`);
  if (found !== null) {
    print(found);
    process.exitCode = 1;
  } else print('no difference');
} finally {
  await world.close();
}

function seconds(): string {
  return ((performance.now() - started) / 1000).toFixed(1);
}
