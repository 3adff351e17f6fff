/** `npm run multiwriter:crashes -- [--kills 200] [--seed N] [--etcd]`: for the night. Ends with 1 when something was lost or differs. */
import { parseArgs } from 'node:util';
import { TestEtcd } from '../etcd/server.js';
import { crashRun, type Kill } from './crashes.js';

const { values } = parseArgs({
  options: {
    kills: { type: 'string', default: '200' },
    etcd: { type: 'boolean', default: false },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_007) },
  },
});
const [kills, seed] = [Number(values.kills), Number(values.seed)];
const print = (text: string): void => void process.stdout.write(`${text}\n`);
const named = (kill: Kill): string =>
  kill.what === 'etcd'
    ? 'etcd'
    : kill.what === 'engine'
      ? `engine of writer ${kill.writer}`
      : kill.what === 'handover'
        ? `handover ${kill.writer}${kill.at === null ? '' : ` at ${kill.at}, ${kill.kills}`}`
        : `${kill.what} ${kill.what === 'node' ? kill.node : kill.writer} at ${kill.at}`;

print(`seed ${seed}, ${kills} kills`);
let n = 0;
const etcd = values.etcd ? await TestEtcd.start() : null;
const result = await crashRun(
  seed,
  kills,
  (kill, reached) => print(`${String(++n).padStart(4)}  ${named(kill)}${reached ? '' : ' (not reached)'}`),
  etcd,
).finally(() => etcd?.close());
const { committed, aborted, unknown } = result.transactions;
print(
  `${result.reached} of ${kills} points reached; ${committed} committed, ${aborted} aborted, ${unknown} unknown`,
);
print(`accounts come to ${result.sums.join(' and ')}; anomalies: ${result.anomalies.length}`);
for (const anomaly of result.anomalies.slice(0, 20)) print(JSON.stringify(anomaly));
if (result.anomalies.length > 0 || result.sums.some((sum) => sum !== 0)) {
  print(`again: npm run multiwriter:crashes -- --seed ${seed} --kills ${kills}${etcd ? ' --etcd' : ''}`);
  process.exitCode = 1;
}
