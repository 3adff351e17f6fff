/**
 * How long a client waits while its database is replaced: many switches under an open-loop load at half of saturation,
 * small ↔ large in turn, 16 clients (or as many as asked for), tpcb-like. Beside it, for the same load, the naive way: PgBouncer PAUSE, restart of
 * PostgreSQL in place, RESUME.
 *
 *   npm run bench:stall -- [--switches 30] [--quiet 60] [--pause 2] [--rate N] [--clients 16] [--idle 0] [--only dbproxy|pgbouncer] [--provider docker] [--brief]
 *
 * `idle`: further sessions that are connected and do nothing; `quiet`: seconds of load before the first and after the last switch; `pause`: between two switches; `brief`: nothing but switches.
 */
import { rm } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { conditions, conditionsLine, markdown, ms, quantiles, save } from './support/report.js';
import { benchHome } from './support/engine.js';
import { requireTools } from './support/tools.js';
import { useProvider } from '../test/support/provider.js';

const { values } = parseArgs({
  options: {
    switches: { type: 'string', default: '30' },
    quiet: { type: 'string', default: '60' },
    pause: { type: 'string', default: '2' },
    rate: { type: 'string' },
    clients: { type: 'string', default: '16' },
    idle: { type: 'string', default: '0' },
    only: { type: 'string' },
    provider: { type: 'string', default: 'embedded' },
    brief: { type: 'boolean', default: false },
  },
});

// Before anything of ours reads where instances live.
const home = await benchHome();
process.env.DBPROXY_HOME = home;
useProvider(values.provider);
const { measureDbproxy } = await import('./stall/dbproxy.js');
const { measurePgbouncer } = await import('./stall/pgbouncer.js');

const plan = {
  switches: Number(values.switches),
  quietMs: Number(values.quiet) * 1000,
  pauseMs: Number(values.pause) * 1000,
  clients: Number(values.clients),
  idle: Number(values.idle),
  brief: values.brief,
  scale: 10,
  ...(values.rate === undefined ? {} : { ratePerSecond: Number(values.rate) }),
};

try {
  const tools = await requireTools(['pgbouncer']);
  const ours = values.only === 'pgbouncer' ? null : await measureDbproxy(plan);
  // Kept even if the peer's half fails.
  if (ours) await save('stall-dbproxy', ours);
  const ratePerSecond = plan.ratePerSecond ?? ours?.ratePerSecond;
  if (ratePerSecond === undefined) throw new Error('--only pgbouncer needs --rate');
  const peer = values.only === 'dbproxy' ? null : await measurePgbouncer({ ...plan, ratePerSecond });

  const about = conditions((ours ?? peer)!.postgres, tools);
  const series = [ours, peer].filter((each) => each !== null);
  await save('stall', {
    schema: 'dbproxy.bench-stall/1',
    about,
    plan: { ...plan, ratePerSecond },
    dbproxy: ours,
    pgbouncer: peer,
  });

  print(conditionsLine(about));
  print(
    markdown(
      [
        'way',
        'switches',
        'worst stall of a switch: p50',
        'p99',
        'max',
        'all stalled calls: p50',
        'p99',
        'errors',
        'disconnects',
        'ledger',
        'valid',
      ],
      series.map(({ name, stalls, workload }) => {
        const worst = quantiles(stalls);
        return [
          name,
          String(stalls.length),
          ...[worst.p50, worst.p99, worst.max, workload.stallMs.p50, workload.stallMs.p99].map(ms),
          String(workload.failed + workload.unknown + workload.unfinished),
          String(workload.disconnects),
          workload.ledger?.ok === true ? 'exact' : (workload.ledger?.problems.join('; ') ?? 'not checked'),
          workload.valid ? 'yes' : workload.invalidReasons.join('; '),
        ];
      }),
    ),
  );
  print(
    `All times in ms. Open loop, ${ratePerSecond.toFixed(0)} transactions/s, ${plan.clients} clients${plan.idle > 0 ? ` and ${plan.idle} idle sessions` : ''}, tpcb-like at scale ${plan.scale}. Stall: completion − intended start of the calls that overlap the hold; the worst one of each switch is its stall.`,
  );
  if (peer) print(`${peer.name}: ${peer.note}`);
  if (ours) {
    const hold = ours.records.map(({ holdMs }) => holdMs);
    print(
      markdown(
        ['dbproxy', 'p50', 'p99', 'max'],
        [
          ['hold p50 of a switch', ...row(hold.map(({ p50 }) => p50))],
          ['hold p99 of a switch', ...row(hold.map(({ p99 }) => p99))],
          ['hold max of a switch', ...row(hold.map(({ max }) => max))],
          ...(['provision', 'warm', 'drain', 'fence', 'catchup', 'promote', 'move', 'retire'] as const).map(
            (phase) => [phase, ...row(ours.records.map(({ phasesMs }) => phasesMs[phase]))],
          ),
          ['scale, whole', ...row(ours.records.map(({ totalMs }) => totalMs))],
        ],
      ),
    );
    const { upMs, idle, saturationTps, idleLost, records } = ours;
    const aside = idle
      ? `up: ${upMs.map((each) => each.toFixed(0)).join(', ')} ms · scale of an idle ${(idle.databaseBytes / 2 ** 20).toFixed(0)} MB database: ${idle.scaleMs.map((each) => each.toFixed(0)).join(', ')} ms · `
      : '';
    print(
      `${aside}${plan.idle > 0 ? `idle sessions that lost something: ${idleLost} · ` : ''}saturation: ${saturationTps?.toFixed(0) ?? 'not measured'} tps · attempts: ${records.map(({ attempts }) => attempts).join(' ')}`,
    );
  }
} finally {
  await rm(home, { recursive: true, force: true });
}

function row(numbers: readonly number[]): string[] {
  const { p50, p99, max } = quantiles(numbers);
  return [p50, p99, max].map(ms);
}

function print(text: string): void {
  process.stdout.write(`\n${text}\n`);
}
