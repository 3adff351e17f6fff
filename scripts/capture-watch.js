/**
 * Opens the terminal UI on a real instance under load, scales it by its keys, and keeps what the terminal shows then:
 * docs/watch.svg. `npm run capture:watch`; needs tmux; not part of the checks, because no two runs are the same.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtemp, rm, chmod, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { picture } from './picture.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const bin = join(root, 'bin/run.js');
const [COLUMNS, ROWS] = [120, 36];
const BOUND_MS = 60_000;

const home = await mkdtemp(join(tmpdir(), 'dbpcap-'));
await chmod(home, 0o711);
const env = { ...process.env, DBPROXY_HOME: home, LANG: 'C.UTF-8', TERM: 'xterm-256color' };
const dbproxy = (...args) => execFileSync(process.execPath, [bin, ...args], { env, encoding: 'utf8' });
const tmux = (...args) =>
  execFileSync('tmux', ['-L', `capture-${process.pid}`, '-f', '/dev/null', ...args], {
    env,
    encoding: 'utf8',
  });
const screen = (...how) => tmux('capture-pane', '-p', ...how, '-t', 'watch');

try {
  dbproxy('up', '--provider', 'embedded', '--port', String(await freePort()));
  const clients = await sessionsWithState(dbproxy('url').trim());
  const load = startLoad();
  tmux('new-session', '-d', '-x', COLUMNS, '-y', ROWS, '-s', 'watch', `${process.execPath} ${bin} watch`);
  // A load that has run for a while, so that its lines say something.
  await shows(/▁.*▂|▅.*▆|█.{8}$/m);
  await delay(12_000);
  tmux('send-keys', '-t', 'watch', 's');
  await shows(/\[medium\]/);
  tmux('send-keys', '-t', 'watch', 'l', 'Enter');
  await shows(/✔ completed/);
  await delay(300);
  await writeFile(new URL('../docs/watch.svg', import.meta.url), picture(screen('-e').trimEnd().split('\n')));
  process.stdout.write(screen());
  tmux('send-keys', '-t', 'watch', 'q');
  load.kill('SIGINT');
  await Promise.all(clients.map((client) => client.end()));
} finally {
  try {
    tmux('kill-server');
  } catch {
    // It ended with its last program.
  }
  dbproxy('down', '--purge', '--yes');
  await rm(home, { recursive: true, force: true });
}

/** Clients that hold something of everything, so that there is something to see. */
async function sessionsWithState(url) {
  const texts = {
    checkout: [`set work_mem = '64MB'`, 'prepare by_id (int) as select $1', 'listen orders'],
    reports: ['create temp table totals as select g as day, g * 2 as sum from generate_series(1, 5000) g'],
    cron: ['select pg_advisory_lock(42)', `set app.tenant = 'north'`],
    export: ['begin', 'declare c cursor with hold for select generate_series(1, 500)', 'commit'],
  };
  return Promise.all(
    Object.entries(texts).map(async ([name, list]) => {
      const client = new pg.Client({ connectionString: url, application_name: name });
      // When something fails, the instance goes first.
      client.on('error', () => undefined);
      await client.connect();
      for (const text of list) await client.query(text);
      return client;
    }),
  );
}

function startLoad() {
  const args = [
    bin,
    'workload',
    'run',
    'tpcb-like',
    '--init',
    '--clients',
    '8',
    '--rate',
    '150',
    '--for',
    '90s',
  ];
  return spawn(process.execPath, [...args, '--json'], { env, stdio: 'ignore' });
}

async function shows(what) {
  const end = Date.now() + BOUND_MS;
  while (!what.test(screen())) {
    if (Date.now() > end) throw new Error(`the screen does not show ${what}:\n${screen()}`);
    await delay(50);
  }
}

function freePort() {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
