/** The instance, its churn, its switches, and the quiet moments in which everything is counted. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { connectSupervisor, startInstance, stopInstance, type Supervisor } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { MOVE_DEFAULTS } from '../../src/control/move-defaults.js';
import { eventually } from '../../test/support/clients.js';
import { freePort } from '../support/processes.js';
import { Churn } from './churn.js';
import { descriptors, residentMB, type Look, type Part } from './growth.js';

export interface SoakPlan {
  readonly minutes: number;
  readonly clients: number;
  readonly everyMs: number;
  readonly print: (line: string) => void;
}

export interface SoakResult {
  readonly postgres: string;
  readonly looks: readonly Look[];
  /** What nobody expected. */
  readonly failures: readonly string[];
}

const NAME = 'soak';
/** Quiet moments in all; at least one a minute. */
const LOOKS = 12;
const QUIET_BOUND_MS = 30_000;
const POLL_MS = 100;
/** Looks in a row that are alike. */
const SAME = 10;

export async function soak({ minutes, clients, everyMs, print }: SoakPlan): Promise<SoakResult> {
  const { url, engines } = await startInstance({ name: NAME, port: await freePort(), provider: 'embedded' });
  const supervisor = await connectSupervisor(NAME);
  const failures: string[] = [];
  const looks: Look[] = [];
  const churn = new Churn(url, clients, failures);
  const beganMs = performance.now();
  const lookEveryMs = Math.min(60_000, (minutes * 60_000) / LOOKS);
  let moves = 0;
  try {
    for (let lookedMs = beganMs; performance.now() - beganMs < minutes * 60_000;) {
      await delay(everyMs);
      const to = moves % 2 === 0 ? 'large' : 'small';
      const record = await supervisor.call('scale', { ...MOVE_DEFAULTS, to });
      if (record.outcome !== 'completed') failures.push(`scale to ${to}: ${record.error?.message}`);
      moves++;
      if (performance.now() - lookedMs < lookEveryMs) continue;
      lookedMs = performance.now();
      churn.pause();
      const parts = await quietly(supervisor, churn, url);
      looks.push({ minute: (lookedMs - beganMs) / 60_000, sessions: churn.sessions, moves, parts });
      print(`${looks.at(-1)?.minute.toFixed(1)} min, ${churn.sessions} sessions: ${JSON.stringify(parts)}`);
      churn.goOn();
    }
    await churn.stop();
    return { postgres: engines[0]?.postgres ?? '', looks, failures };
  } finally {
    await churn.stop();
    supervisor.close();
    await stopInstance(NAME, { purge: true });
  }
}

/** Everybody has gone, also at the engine: a backend whose client vanished ends when its statement does. */
async function quietly(supervisor: Supervisor, churn: Churn, url: string): Promise<Record<Part, number>> {
  await eventually(
    'sessions to go',
    async () => {
      const { sessions } = await supervisor.call('status', {});
      return churn.isQuiet && sessions.length === 0;
    },
    QUIET_BOUND_MS,
  );
  await eventually(
    'backends to end',
    async () => {
      await delay(POLL_MS);
      return (await ask(url, BACKENDS))[0] === 0;
    },
    QUIET_BOUND_MS,
  );
  const [temporary, slots] = await ask(url, LEFT);
  const { proxy } = await supervisor.call('status', {});
  const directory = InstanceDirectory.of(NAME);
  const watcher = (await directory.readSupervisor())?.process.pid ?? 0;
  return {
    'proxy MB': await residentMB(proxy?.pid ?? 0),
    'supervisor MB': await residentMB(watcher),
    'proxy descriptors': await settled(() => descriptors(proxy?.pid ?? 0)),
    'supervisor descriptors': await settled(() => descriptors(watcher)),
    'files beside data': await filesBesideData(directory.paths.directory),
    'temporary files of the engine': temporary ?? NaN,
    'replication slots': slots ?? NaN,
  };
}

/** The count, when it was the same for a while: our own questions were connections, too. */
async function settled(count: () => Promise<number>): Promise<number> {
  let [last, same] = [await count(), 0];
  await eventually(
    'a count that stays',
    async () => {
      await delay(POLL_MS);
      const now = await count();
      same = now === last ? same + 1 : 0;
      last = now;
      return same === SAME;
    },
    QUIET_BOUND_MS,
  );
  return last;
}

const BACKENDS = `select count(*)::int as n from pg_stat_activity
  where backend_type = 'client backend' and pid <> pg_backend_pid() and application_name not like 'dbproxy%'`;
const LEFT = `select count(*)::int as n from pg_ls_tmpdir() union all select count(*)::int from pg_replication_slots`;

async function ask(url: string, sql: string): Promise<readonly number[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const { rows } = await client.query<{ n: number }>(sql);
  await client.end();
  return rows.map(({ n }) => n);
}

/** Of the instance, without what engines have for their own. */
async function filesBesideData(directory: string): Promise<number> {
  const names = await readdir(directory, { recursive: true, withFileTypes: true });
  return names.filter(({ parentPath }) => !parentPath.startsWith(join(directory, 'engines', 'e'))).length;
}
