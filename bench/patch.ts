/**
 * How long clients are held by `dbproxy patch`: both strategies, a database of 100 MB, TPC-B-like load of moderate rate.
 *
 *   npm run bench:patch -- [--patches 10] [--clients 8] [--rate 200]
 *
 * Two minors take turns, so every patch changes the version.
 */
import { parseArgs } from 'node:util';
import type { MoveRecord, PatchStrategy } from '../src/control/api.js';
import { connectSupervisor, startInstance, stopInstance } from '../src/control/client.js';
import { MOVE_DEFAULTS } from '../src/control/move-defaults.js';
import { engineCache } from '../src/control/paths.js';
import { ensureEngine } from '../src/engine/index.js';
import { SWITCHOVER_STEPS } from '../src/switchover/steps.js';
import { initialiseWorkload, startWorkloadProcess, type WorkloadResult } from '../src/workload/index.js';
import { freePort } from '../test/support/free-port.js';
import { NEWER, OLDER } from '../test/support/versions.js';
import { benchHome } from './support/engine.js';
import { conditions, conditionsLine, markdown, ms, quantiles, save } from './support/report.js';

const { values } = parseArgs({
  options: {
    patches: { type: 'string', default: '10' },
    clients: { type: 'string', default: '8' },
    rate: { type: 'string', default: '200' },
  },
});
const NAME = 'bench';
/** pgbench's scale 7 is 100 MB. */
const SCALE = 7;

interface Series {
  readonly strategy: PatchStrategy;
  readonly records: readonly MoveRecord[];
  readonly load: WorkloadResult;
}

process.env['DBPROXY_HOME'] = await benchHome();
process.env['DBPROXY_CACHE'] ??= '/tmp/dbproxy-test-engines';
await ensureEngine(OLDER, { cacheDirectory: engineCache() });
try {
  const { url } = await startInstance({
    name: NAME,
    port: await freePort(),
    postgres: OLDER,
    provider: 'embedded',
  });
  await initialiseWorkload({ url, scale: SCALE });
  const series = [await measure(url, 'in-place'), await measure(url, 'standby')];
  const about = conditions(`${OLDER} ⇄ ${NEWER}`, {});
  await save('patch', { schema: 'dbproxy.bench-patch/1', about, series });
  process.stdout.write(`\n${conditionsLine(about)}\n\n${table(series)}\n`);
} finally {
  await stopInstance(NAME, { purge: true });
}

async function measure(url: string, strategy: PatchStrategy): Promise<Series> {
  const stop = new AbortController();
  const load = startWorkloadProcess({
    ...{ url, script: 'tpcb-like', seconds: 3_600, seed: 7, signal: stop.signal },
    ...{ clients: Number(values.clients), ratePerSecond: Number(values.rate) },
  });
  await load.started;
  const records: MoveRecord[] = [];
  while (records.length < Number(values.patches)) {
    const record = await patch(strategy);
    if (record.outcome !== 'completed') throw new Error(`${strategy}: ${record.error?.message}`);
    records.push(record);
    process.stderr.write(`${strategy} ${records.length}: held ${record.holdMs.max} ms\n`);
  }
  stop.abort();
  return { strategy, records, load: await load.result };
}

async function patch(strategy: PatchStrategy): Promise<MoveRecord> {
  const supervisor = await connectSupervisor(NAME);
  try {
    const { engines } = await supervisor.call('status', {});
    const to = engines[0]?.postgres === OLDER ? NEWER : OLDER;
    const limits = { ...MOVE_DEFAULTS, deadlineMs: 60_000 };
    return await supervisor.call('patch', { ...limits, to, strategy });
  } finally {
    supervisor.close();
  }
}

function table(series: readonly Series[]): string {
  const cells = (of: readonly number[]): string => {
    const { p50, max } = quantiles(of);
    return `${ms(p50)} / ${ms(max)}`;
  };
  const rows = [
    [
      'hold, longest of a patch',
      ...series.map(({ records }) => cells(records.map(({ holdMs }) => holdMs.max))),
    ],
    ...SWITCHOVER_STEPS.map((phase) => [
      phase,
      ...series.map(({ records }) => cells(records.map(({ phasesMs }) => phasesMs[phase]))),
    ]),
    ['patch, whole', ...series.map(({ records }) => cells(records.map(({ totalMs }) => totalMs)))],
    [
      'transactions / failed, disconnects / ledger',
      ...series.map(({ load: { transactions, failed, disconnects, ledger } }) =>
        [transactions, `${failed}, ${disconnects}`, ledger?.ok ? 'exact' : 'WRONG'].join(' / '),
      ),
    ],
  ];
  return markdown(['ms, p50 / max', ...series.map(({ strategy }) => strategy)], rows);
}
