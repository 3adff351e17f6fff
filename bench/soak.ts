/**
 * Does anything grow? An instance under churn for a long time: sessions come, hold some of every kind of state, make errors, are
 * cancelled, vanish; a steady load goes on beside them; and its engine is replaced all the time. Memory, descriptors and files are
 * looked at in quiet moments: everybody has gone then.
 *
 *   npm run soak -- [--minutes 20] [--clients 20] [--every 20]
 *
 * `every`: seconds from one scale to the next. Exit code 3 when something grew, or an operation or the load failed.
 */
import { rm } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { conditions, conditionsLine, markdown, save } from './support/report.js';
import { benchHome } from './support/engine.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '20' },
    clients: { type: 'string', default: '20' },
    every: { type: 'string', default: '20' },
  },
});

// Before anything of ours reads where instances live.
const home = await benchHome();
process.env.DBPROXY_HOME = home;
const { soak } = await import('./soak/soak.js');
const { grown, PARTS } = await import('./soak/growth.js');

try {
  const result = await soak({
    minutes: Number(values.minutes),
    clients: Number(values.clients),
    everyMs: Number(values.every) * 1_000,
    print: (line) => void process.stderr.write(`${line}\n`),
  });
  const about = conditions(result.postgres, {});
  const growth = grown(result.looks);
  await save('soak', { schema: 'dbproxy.bench-soak/1', about, ...result, growth });
  process.stdout.write(`\n${conditionsLine(about)}\n\n`);
  const heads = ['quiet moment', 'sessions so far', 'moves so far', ...PARTS];
  const rows = result.looks.map(({ minute, sessions, moves, parts }) => [
    `${minute.toFixed(1)} min`,
    ...[String(sessions), String(moves)],
    ...PARTS.map((part) => String(parts[part])),
  ]);
  process.stdout.write(`${markdown(heads, rows)}\n\n`);
  const wrong = [...growth, ...result.failures];
  process.stdout.write(`${wrong.length === 0 ? 'nothing grew, nothing failed' : wrong.join('\n')}\n`);
  process.exitCode = wrong.length === 0 ? 0 : 3;
} finally {
  await rm(home, { recursive: true, force: true });
}
