/**
 * `npm run fuzz -- [--cases 10000000] [--seed N] [--targets a,b]`: for the night. Each target gets its share of the cases. Ends with 1,
 * and with the case, as small as it gets, and how to make it again, when something is not as it should be.
 */
import { parseArgs } from 'node:util';
import { attack, type Target } from './target.js';
import { divided, targets } from './targets.js';

/** Cases between two lines, and under one seed: what is found is made again in a moment. */
const BATCH = 10_000;

const { values } = parseArgs({
  options: {
    cases: { type: 'string', default: '10000000' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_007) },
    targets: { type: 'string', default: targets.map(({ name }) => name).join(',') },
  },
});
const [cases, seed] = [Number(values.cases), Number(values.seed)];
const names = values.targets.split(',');
const unknown = names.filter((name) => !targets.some((target) => target.name === name));
if (unknown.length > 0 || !(cases >= 1) || !Number.isInteger(seed))
  throw new Error(`targets are ${targets.map(({ name }) => name).join(', ')}; cases and seed are numbers`);
const asked = targets.filter(({ name }) => names.includes(name));
const print = (text: string): void => void process.stdout.write(`${text}\n`);

print(`seed ${seed}, ${cases} cases`);
let total = 0;
for (const target of divided(cases, asked)) {
  total += await besiege(target);
  if (process.exitCode === 1) break;
}
print(`${total} cases${process.exitCode === 1 ? '' : ', nothing found'}`);

async function besiege({ name, open, cases: wanted }: Target & { cases: number }): Promise<number> {
  const startMs = performance.now();
  const fuzzer = await open();
  let done = 0;
  let batch = 0;
  let saidMs = startMs;
  const line = (): string => {
    const seconds = (performance.now() - startMs) / 1_000;
    return `${name.padEnd(15)} ${done} of ${wanted} cases, ${seconds.toFixed(0)} s, ${(done / seconds).toFixed(0)}/s`;
  };
  try {
    for (; done < wanted; batch++) {
      const count = Math.min(BATCH, wanted - done);
      await attack(fuzzer, seed + batch, count);
      done += count;
      if (performance.now() - saidMs > 20_000) {
        saidMs = performance.now();
        print(line());
      }
    }
    await fuzzer.close();
    print(line());
  } catch (error) {
    print(line());
    print(String((error as Error).message));
    print(`again: npm run fuzz -- --targets ${name} --seed ${seed + batch} --cases ${BATCH}`);
    process.exitCode = 1;
    await fuzzer.close().catch(() => undefined);
  }
  return done;
}
