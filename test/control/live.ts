/** Real instances for tests: a home of their own, the built supervisor and proxy, and a look at what runs. */
import { chmod, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { expect } from 'vitest';
import type {
  EngineSummary,
  LogEvent,
  MoveParams,
  MoveRecord,
  PatchParams,
  ScaleParams,
  UpResult,
} from '../../src/control/api.js';
import { connectSupervisor, startInstance, stopInstance, type UpRequest } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { killEngine } from '../../src/control/kill-engine.js';
import { initialiseWorkload, startWorkloadProcess } from '../../src/workload/index.js';
import { docker } from '../support/docker/index.js';
import { freePort } from '../support/free-port.js';
import type { Pause } from '../support/pause.js';

export const SCALE: MoveParams = {
  holdBudgetMs: 1_000,
  deadlineMs: 20_000,
  onTimeout: 'rollback',
  unmovable: 'rollback',
};

export class LiveHome {
  readonly home: string;
  readonly #names = new Set<string>();

  private constructor(home: string) {
    this.home = home;
  }

  /** Sets DBPROXY_HOME for this process and its children. */
  static async open(): Promise<LiveHome> {
    const home = await mkdtemp(join(tmpdir(), 'dbplive-'));
    await chmod(home, 0o711);
    process.env['DBPROXY_HOME'] = home;
    return new LiveHome(home);
  }

  async up(
    name: string,
    more: Partial<
      Pick<
        UpRequest,
        | 'port'
        | 'size'
        | 'postgres'
        | 'provider'
        | 'image'
        | 'tls'
        | 'metricsPort'
        | 'writers'
        | 'store'
        | 'standby'
        | 'proxies'
        | 'maxSessions'
      >
    > = {},
  ): Promise<UpResult> {
    this.#names.add(name);
    const port = more.port ?? (await this.#portOf(name));
    return startInstance({ name, ...more, port });
  }

  /** Ends everything and fails when something stays. */
  async close(): Promise<void> {
    for (const name of this.#names) await stopInstance(name, { purge: true });
    const left = await processesBelow(this.home);
    await rm(this.home, { recursive: true, force: true });
    if (left.length > 0) throw new Error(`still running:\n${left.join('\n')}`);
  }

  async #portOf(name: string): Promise<number> {
    const record = await InstanceDirectory.of(name).readInstance();
    return record?.spec.port ?? (await freePort());
  }
}

/** Processes that mention the directory in their command line, or work in it. */
export async function processesBelow(directory: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const command = (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).replaceAll('\0', ' ');
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
    const cwd = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    const ours =
      /dist\/(control|proxy|multiwriter\/storage)\/main\.js/.test(command) &&
      environment.includes(`DBPROXY_HOME=${directory}`);
    if (ours || command.includes(`${directory}/`) || cwd.startsWith(`${directory}/`))
      found.push(`${pid} ${command}`);
  }
  return found;
}

export { freePort };

export async function scale(
  name: string,
  to: ScaleParams['to'],
  more: Partial<ScaleParams> = {},
): Promise<MoveRecord> {
  const supervisor = await connectSupervisor(name);
  try {
    return await supervisor.call('scale', { ...SCALE, ...more, to });
  } finally {
    supervisor.close();
  }
}

export async function patch(name: string, to: string, more: Partial<PatchParams> = {}): Promise<MoveRecord> {
  const supervisor = await connectSupervisor(name);
  try {
    return await supervisor.call('patch', { ...SCALE, strategy: 'standby', ...more, to });
  } finally {
    supervisor.close();
  }
}

export async function status(name: string) {
  const supervisor = await connectSupervisor(name);
  try {
    return await supervisor.call('status', {});
  } finally {
    supervisor.close();
  }
}

export async function events(name: string): Promise<LogEvent[]> {
  const text = await readFile(InstanceDirectory.of(name).paths.eventsFile, 'utf8');
  return text
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as LogEvent);
}

/** TPC-B-like load of 8 clients, until it is told to end: no more than a machine at its limit does, for what is due must be answered. */
export class Load {
  readonly #stop = new AbortController();
  readonly #load: ReturnType<typeof startWorkloadProcess>;

  private constructor(url: string) {
    this.#load = startWorkloadProcess({
      ...{ url, script: 'tpcb-like', clients: 8, ratePerSecond: 40, seconds: 300, seed: 4 },
      signal: this.#stop.signal,
    });
  }

  static async start(url: string, scale: number): Promise<Load> {
    await initialiseWorkload({ url, scale });
    const load = new Load(url);
    await load.#load.started;
    return load;
  }

  /** Ends it: something was done, nothing went wrong, and the ledger is exact. */
  async expectUndisturbed(): Promise<void> {
    this.#stop.abort();
    const { failed, unknown, unfinished, disconnects, ledger, transactions } = await this.#load.result;
    const nothing = { failed: 0, unknown: 0, unfinished: 0, disconnects: 0 };
    expect({ failed, unknown, unfinished, disconnects }).toEqual(nothing);
    expect(transactions).toBeGreaterThan(0);
    expect(ledger).toMatchObject({ ok: true });
  }
}

/** Waits for a condition, with a bound and a name. */
export async function until(
  what: string,
  look: () => Promise<boolean> | boolean,
  boundMs = 30_000,
): Promise<void> {
  const end = performance.now() + boundMs;
  while (!(await look())) {
    if (performance.now() > end) throw new Error(`not within ${boundMs} ms: ${what}`);
    await delay(20);
  }
}

export const pidOf = async (name: string): Promise<number> =>
  (await InstanceDirectory.of(name).readSupervisor())?.process.pid ?? 0;

export async function killSupervisor(name: string): Promise<void> {
  const pid = await pidOf(name);
  process.kill(pid, 'SIGKILL');
  await until('the supervisor is gone', () => !isRunning(pid));
}

/** A new supervisor, which has that pause. */
export async function pausing(
  name: string,
  pause: Pause,
): Promise<Awaited<ReturnType<typeof connectSupervisor>>> {
  await killSupervisor(name);
  return pause.during(() => connectSupervisor(name));
}

/** kill -9 of an engine, a process or a container; resolves when it is gone. */
export async function crashEngine(engine: EngineSummary): Promise<void> {
  await killEngine(engine);
  const { pid, container } = engine;
  await until('the engine is gone', async () =>
    container === null
      ? !isRunning(pid!)
      : (await docker('inspect', '--format', '{{.State.Running}}', container)) === 'false',
  );
}

export function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/**
 * A client that commits numbered rows on one connection, one after the other. At the end: what it was told is committed
 * must be there, and its connection must never have broken.
 */
export class Writer {
  readonly client: pg.Client;
  acknowledged = 0;
  #stopped = false;
  #done: Promise<void> = Promise.resolve();
  error: Error | null = null;

  private constructor(url: string) {
    this.client = new pg.Client({ connectionString: url, application_name: 'writer' });
    this.client.on('error', (error) => (this.error ??= error));
  }

  static async start(url: string): Promise<Writer> {
    const writer = new Writer(url);
    await writer.client.connect();
    await writer.client.query('create table if not exists written (n int primary key)');
    await writer.client.query('truncate written');
    await writer.client.query(`set application_name = 'writer of numbers'`);
    writer.#done = writer.#run();
    return writer;
  }

  async #run(): Promise<void> {
    try {
      while (!this.#stopped) {
        await this.client.query({
          name: 'put',
          text: 'insert into written values ($1)',
          values: [this.acknowledged + 1],
        });
        this.acknowledged++;
        await delay(2);
      }
    } catch (error) {
      this.error ??= error as Error;
    }
  }

  /** Ends the load; throws when the client noticed anything. Returns the number of rows. */
  async finish(): Promise<number> {
    this.#stopped = true;
    await this.#done;
    if (this.error) throw this.error;
    const { rows } = await this.client.query<{ count: number; name: string }>(
      `select count(*)::int as count, current_setting('application_name') as name from written`,
    );
    await this.client.end();
    if (rows[0]?.count !== this.acknowledged)
      throw new Error(`${rows[0]?.count} rows of ${this.acknowledged}`);
    if (rows[0]?.name !== 'writer of numbers') throw new Error(`its setting is gone: ${rows[0]?.name}`);
    return this.acknowledged;
  }

  /** Rows in the table of the last writer. */
  static async count(url: string): Promise<number> {
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    const { rows } = await client.query<{ count: number }>('select count(*)::int as count from written');
    await client.end();
    return rows[0]?.count ?? -1;
  }

  /** Resolves when it has committed something after now. */
  async progressed(): Promise<void> {
    const before = this.acknowledged;
    await until('the writer goes on', () => this.acknowledged > before + 2 || this.error !== null);
    if (this.error) throw this.error;
  }
}
