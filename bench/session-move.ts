/**
 * What it takes to bring one session's state to another backend once that was warmed: export and replay, as they are done while
 * the session is held. A plain session, and one that holds some of everything.
 *
 *   npm run bench:session-move -- [--moves 60]
 */
import { parseArgs } from 'node:util';
import { replay, replayAhead, servesAsWell, warmUp } from '../src/session-state/index.js';
import { encode } from '../src/protocol/index.js';
import { Backend } from '../test/session-state/support.js';
import { startEngine, type BenchEngine } from './support/engine.js';
import { conditions, conditionsLine, markdown, ms, quantiles, save } from './support/report.js';

const { values } = parseArgs({ options: { moves: { type: 'string', default: '60' } } });
/** Looks at the old backend before the one that is measured. */
const USES = 5;
const times = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i));

const SETTINGS = [
  ...['work_mem', 'temp_buffers', 'maintenance_work_mem'].map((name) => `set ${name} = '7MB'`),
  ...['seqscan', 'hashjoin', 'mergejoin', 'nestloop', 'sort', 'hashagg', 'material', 'bitmapscan'].map(
    (name) => `set enable_${name} = off`,
  ),
  `set statement_timeout = '61s'`,
  `set lock_timeout = '62s'`,
  `set search_path = public, pg_catalog`,
  `set datestyle = 'German'`,
  `set time zone 'Europe/Vienna'`,
  `set random_page_cost = 1.5`,
  `set app.user_id = '42'`,
  `set app.tenant = 'x'`,
  `set application_name = 'bench'`,
];
const EVERYTHING = [
  ...SETTINGS,
  ...times(3, (i) => `create temp table t${i} (id int primary key, n int default 7, note text)`),
  ...times(3, (i) => `insert into t${i} select g, g * 2, 'row ' || g from generate_series(1, 1000) g`),
  ...times(50, (i) => `prepare p${i} (int) as select n + ${i} from t${i % 3} where id = $1`),
  ...times(2, (i) => `declare c${i} scroll cursor with hold for select * from generate_series(1, 100) g`),
  ...times(5, (i) => `select pg_advisory_lock(${i})`),
  ...times(5, (i) => `listen channel_${i}`),
];

const bench = await startEngine('small');
try {
  const moves = Number(values.moves);
  const series = [
    { name: 'plain', goalMs: 3, timesMs: await measure(bench, ['prepare p (int) as select $1'], moves) },
    {
      name: '20 settings, 50 prepared statements, 3 temporary tables of 1 000 rows, 2 held cursors, 5 advisory locks, 5 channels',
      goalMs: 25,
      timesMs: await measure(bench, EVERYTHING, moves),
    },
  ];
  const about = conditions(bench.engine.postgres, {});
  await save('session-move', { schema: 'dbproxy.bench-session-move/1', about, series });
  process.stdout.write(`\n${conditionsLine(about)}\n\n`);
  const rows = series.map(({ name, goalMs, timesMs }) => {
    const { p50, p99, max } = quantiles(timesMs);
    return [name, ms(p50), ms(p99), ms(max), String(goalMs)];
  });
  process.stdout.write(`${markdown(['a session with', 'p50 ms', 'p99', 'max', 'goal'], rows)}\n`);
} finally {
  await bench.close();
}

/** ms of export and replay, move after move. */
async function measure({ engine }: BenchEngine, texts: readonly string[], moves: number): Promise<number[]> {
  let session = await Backend.open(engine);
  await session.run(...texts);
  const timesMs: number[] = [];
  for (let i = 0; i < moves; i++) {
    const target = await Backend.open(engine);
    const base = await target.look();
    const seen = await session.look();
    const warm = await replay(target.connection, seen, base, base, false);
    if (warm.postponed === 0) await warmUp(target.connection, seen);
    // The old backend of a real session has been in use for a while.
    for (let use = 0; use < USES; use++) await session.look(seen);
    const beganMs = performance.now();
    const [wanted, there] = await Promise.all([
      session.look(seen, false, true),
      replayAhead(target.connection, seen, warm.state, base),
    ]);
    if (there === null || !servesAsWell(seen, wanted)) throw new Error('what was made ahead is of no use');
    await replay(target.connection, wanted, there, base, true);
    timesMs.push(performance.now() - beganMs);
    // A backend that ends gives up nothing that is still in the way: its locks are gone already.
    await session.connection.exchange(encode.query('unlisten *'), 1);
    session.close();
    session = target;
  }
  session.close();
  return timesMs;
}
