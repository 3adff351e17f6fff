/**
 * What the terminal UI costs: its own process, the supervisor and the proxy, with 200 sessions and four looks a second. Once the
 * sessions do nothing, once each asks something every 100 ms. Without it the two others are measured, too.
 *
 *   npm run bench:tui -- [--sessions 200] [--seconds 10]
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import pg from 'pg';
import { connectSupervisor } from '../src/control/client.js';
import { LiveHome } from '../test/control/live.js';
import { BIN } from '../test/support/cli.js';
import { Terminal } from '../test/support/terminal.js';
import { conditions, conditionsLine, markdown, save } from './support/report.js';
import { cpuUs } from './support/processes.js';

const { values } = parseArgs({
  options: { sessions: { type: 'string', default: '200' }, seconds: { type: 'string', default: '10' } },
});
const SESSIONS = Number(values.sessions);
const SECONDS = Number(values.seconds);
const SIZES = [
  [80, 24],
  [120, 40],
  [200, 60],
] as const;
const ASK_EVERY_MS = 100;
/** Of a core, for the process of the UI. */
const GOAL_PERCENT = 5;

const percent = (value: number | null): string => (value === null ? '–' : value.toFixed(1));

interface Row {
  readonly sessions: 'idle' | 'busy';
  readonly screen: string;
  readonly ui: number | null;
  readonly supervisor: number;
  readonly proxy: number;
}

const home = await LiveHome.open();
try {
  const up = await home.up('bench');
  const clients = await Promise.all(Array.from({ length: SESSIONS }, () => connected(up.url)));
  const supervisor = await connectSupervisor('bench');
  const { supervisor: itself, proxy } = await supervisor.call('status', {});
  const others = { supervisor: itself.pid, proxy: proxy?.pid ?? 0 };
  supervisor.close();

  const rows: Row[] = [];
  for (const sessions of ['idle', 'busy'] as const) {
    const stop = sessions === 'busy' ? keepAsking(clients) : async () => undefined;
    rows.push({ sessions, screen: 'none', ui: null, ...(await used(others)) });
    for (const [columns, lines] of SIZES) {
      const terminal = await Terminal.open({ columns, rows: lines, env: { DBPROXY_HOME: home.home } });
      await terminal.type(`node ${BIN} watch --name bench`);
      await terminal.shows(`sessions ${SESSIONS}`);
      const ui = await terminal.programPid('watch');
      // What starting costs is over when it has drawn for a while.
      await delay(2_000);
      rows.push({ sessions, screen: `${columns}×${lines}`, ...(await used({ ui, ...others })) });
      await terminal.close();
    }
    await stop();
  }
  await Promise.all(clients.map((client) => client.end()));
  const about = conditions(up.engines[0]?.postgres ?? '', {});
  await save('tui', { schema: 'dbproxy.bench-tui/1', about, sessions: SESSIONS, seconds: SECONDS, rows });
  process.stdout.write(`\n${conditionsLine(about)}\n\n`);
  const head = [`${SESSIONS} sessions`, 'screen', 'UI %', 'supervisor %', 'proxy %', 'goal of the UI'];
  const table = rows.map(({ sessions, screen, ui, supervisor: s, proxy: p }) => [
    sessions,
    screen,
    percent(ui),
    percent(s),
    percent(p),
    ui === null ? '' : `≤ ${GOAL_PERCENT}`,
  ]);
  process.stdout.write(`${markdown(head, table)}\n`);
} finally {
  await home.close();
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'bench' });
  client.on('error', () => undefined);
  await client.connect();
  await client.query('select 1');
  return client;
}

/** Percent of a core, for each of the processes. */
async function used<Name extends string>(
  pids: Readonly<Record<Name, number>>,
): Promise<Record<Name, number>> {
  const names = Object.keys(pids) as Name[];
  const read = (): Promise<number[]> => Promise.all(names.map((name) => cpuUs(pids[name])));
  const [before, beganMs] = [await read(), performance.now()];
  await delay(SECONDS * 1_000);
  const [after, tookMs] = [await read(), performance.now() - beganMs];
  const shares = names.map((name, i) => [name, ((after[i] ?? 0) - (before[i] ?? 0)) / tookMs / 10] as const);
  return Object.fromEntries(shares) as Record<Name, number>;
}

/** Every client asks something, again and again, until the answer is called. */
function keepAsking(clients: readonly pg.Client[]): () => Promise<void> {
  let stopped = false;
  const loops = clients.map(async (client, i) => {
    while (!stopped) {
      await client.query(`select pg_sleep(0.01), ${i}`);
      await delay(ASK_EVERY_MS);
    }
  });
  return async () => {
    stopped = true;
    await Promise.all(loops);
  };
}
