/** The instance that cells run on: its processes by what they are, and what may be left of it. */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { connectSupervisor, startInstance, stopInstance } from '../../src/control/client.js';
import { InstanceDirectory } from '../../src/control/instance-directory.js';
import { processIdentity } from '../../src/engine/index.js';
import { readProcessStat } from '../../src/engine/process-identity.js';
import { killSupervisor, LiveHome, pidOf, processesBelow, status, until } from '../control/live.js';
import { addBroken } from '../support/broken-version.js';
import { withPg } from '../support/clients.js';
import { successorsOf } from '../support/proxies.js';
import { useProvider } from '../support/provider.js';
import { cacheWithBoth, OLDER } from '../support/versions.js';
import { Disk } from './disk.js';

// Its victims are processes: of an engine each one by its pid, killed or stopped, and its data a disk that is mounted here.
useProvider('embedded');

/** What somebody may have a disk for: the data of all engines; all else of the instance (records, events, logs of supervisor and proxies); both. */
export const DISKS = ['state-disk', 'engine-disk', 'whole-disk'] as const;
export type DiskName = (typeof DISKS)[number];

const PROCESSES = ['supervisor', 'old-proxy', 'new-proxy', 'old-engine', 'new-engine'] as const;
export type ProcessName = (typeof PROCESSES)[number];
export const VICTIMS = [...PROCESSES, ...DISKS] as const;
export type Victim = ProcessName | DiskName;

export const isDisk = (victim: Victim): victim is DiskName => DISKS.some((disk) => disk === victim);

const NAME = 'matrix';
/** `up` and then a healthy look. Repairs have bounds of their own that are shorter. */
const HEALTHY_MS = 90_000;
const TIDY_MS = 30_000;
const STATE_MEGABYTES = 64;
/** Two engines and their WAL. */
const ENGINES_MEGABYTES = 384;
/** Little is kept for later, so that a full disk shows. */
const LITTLE_WAL = ["alter system set min_wal_size = '4MB'", "alter system set max_wal_size = '32MB'"];

/** What serves. */
export interface Serving {
  readonly engine: string;
  readonly size: string;
  readonly postgres: string;
  readonly proxy: number;
}

interface Disks {
  readonly state: Disk;
  readonly engines: Disk;
}

export class Ground {
  readonly name = NAME;
  readonly url: string;
  readonly home: string;
  readonly #live: LiveHome;
  readonly #directory = InstanceDirectory.of(NAME);
  readonly #disks: Disks | null;
  #pauses = 0;

  private constructor(live: LiveHome, url: string, disks: Disks | null) {
    this.#live = live;
    this.home = live.home;
    this.url = url;
    this.#disks = disks;
  }

  /** `disks`: on small ones, which can be filled. */
  static async open(disks = false): Promise<Ground> {
    const live = await LiveHome.open();
    const state = disks ? await Disk.mount(live.home, STATE_MEGABYTES) : null;
    const { enginesDirectory } = InstanceDirectory.of(NAME).paths;
    const engines = disks ? await Disk.mount(enginesDirectory, ENGINES_MEGABYTES) : null;
    await addBroken(await cacheWithBoth(live.home));
    const { url } = await live.up(NAME, { postgres: OLDER });
    if (disks)
      await withPg(url, async (client) => {
        for (const setting of [...LITTLE_WAL, 'select pg_reload_conf()']) await client.query(setting);
      });
    return new Ground(live, url, state && engines && { state, engines });
  }

  get hasDisks(): boolean {
    return this.#disks !== null;
  }

  #disksOf(name: DiskName): Disk[] {
    if (!this.#disks) throw new Error('this ground has no disks of its own');
    const { state, engines } = this.#disks;
    return { 'state-disk': [state], 'engine-disk': [engines], 'whole-disk': [state, engines] }[name];
  }

  async fill(name: DiskName): Promise<void> {
    for (const disk of this.#disksOf(name)) await disk.fill();
  }

  async makeRoom(name: DiskName): Promise<void> {
    for (const disk of this.#disksOf(name)) await disk.free();
  }

  async serving(): Promise<Serving> {
    const { engines, proxy } = await status(NAME);
    const { id = '', size = '', postgres = '' } = engines.find(({ role }) => role === 'primary') ?? {};
    return { engine: id, size, postgres, proxy: proxy?.pid ?? 0 };
  }

  /** Where the processes that `pauseProxies` made wait for. A point may be passed more than once, so it stays until the end. */
  get pauseFile(): string {
    return join(this.home, 'pauses', String(this.#pauses));
  }

  /** Supervisor and proxy anew, and stopping at that point of a handover until there is `pauseFile`. */
  async pauseProxies(point: string): Promise<void> {
    this.#pauses++;
    await mkdir(join(this.home, 'pauses'), { recursive: true });
    const proxy = (await this.#directory.readProxy())?.process.pid ?? 0;
    await killSupervisor(NAME);
    process.kill(proxy, 'SIGKILL');
    await until('the proxy is gone', () => processIdentity(proxy) === null);
    process.env['DBPROXY_TEST_PAUSE_AT'] = `${point}@${this.pauseFile}`;
    try {
      (await connectSupervisor(NAME)).close();
    } finally {
      delete process.env['DBPROXY_TEST_PAUSE_AT'];
    }
  }

  /** The processes that are it now; none: it does not run. The first one is what a kill is for, the rest goes with it. */
  async processesOf(victim: ProcessName, before: Serving): Promise<number[]> {
    if (victim === 'supervisor') return [await pidOf(NAME)];
    if (victim === 'old-proxy') return [before.proxy];
    if (victim === 'new-proxy') return successorsOf(before.proxy);
    const { engines = [] } = (await this.#directory.readInstance()) ?? {};
    const engine =
      engines.find(({ id }) => (id === before.engine) === (victim === 'old-engine')) ?? engines[0];
    const postmaster = engine?.process?.pid;
    if (postmaster === undefined || processIdentity(postmaster) === null) return [];
    return [postmaster, ...(await childrenOf(postmaster))];
  }

  /** As a user would: `up`. Returns what is not as it should be afterwards. */
  async settle(): Promise<string[]> {
    try {
      await startInstance({ name: NAME });
      let seen = '';
      await until(
        'a healthy instance',
        async () => {
          const { state, operation, engines } = await status(NAME);
          seen = `${state}, ${operation?.step ?? 'no operation'}, ${engines.map((each) => `${each.role} ${each.state}`).join(', ')}`;
          return seen === 'running, no operation, primary running';
        },
        HEALTHY_MS,
      ).catch(() => Promise.reject(new Error(`not healthy: ${seen}`)));
      return await this.#strays();
    } catch (error) {
      return [String(error)];
    }
  }

  /** Processes, engines, sockets and an operation on record that the instance does not need. */
  async #strays(): Promise<string[]> {
    let found: string[] = [];
    const isTidy = async (): Promise<boolean> => (found = await this.#straysNow()).length === 0;
    await until('nothing is left over', isTidy, TIDY_MS).catch(() => undefined);
    return found.map((each) => `left over: ${each}`);
  }

  async #straysNow(): Promise<string[]> {
    const { engine, proxy } = await this.serving();
    const postmaster = (await this.#directory.readInstance())?.engines[0]?.process?.pid ?? 0;
    const wanted = new Set([proxy, await pidOf(NAME), postmaster, ...(await childrenOf(postmaster))]);
    const processes = (await processesBelow(this.home)).filter((line) => {
      const pid = Number(line.split(' ')[0]);
      // A backend may have come since.
      return !wanted.has(pid) && readProcessStat(pid) && readProcessStat(pid)?.parentPid !== postmaster;
    });
    const { paths } = this.#directory;
    const names = async (directory: string, but: readonly string[]): Promise<string[]> =>
      (await readdir(directory)).filter((name) => !but.includes(name)).map((name) => join(directory, name));
    return [
      ...processes,
      ...(await slotsOf(this.url)).map((slot) => `replication slot ${slot}`),
      ...(await names(paths.enginesDirectory, [engine])),
      ...(await names(paths.runDirectory, [engine, 'control', 'clients'])),
      ...((await this.#directory.readOperation()) ? [paths.operationFile] : []),
    ].map((text) => text.replaceAll(this.home, ''));
  }

  /** `down --purge`, and what that has left. */
  async close(): Promise<string[]> {
    const { runDirectory } = this.#directory.paths;
    // What is mounted cannot be removed.
    if (this.#disks) await stopInstance(NAME).then(() => this.#disks?.engines.unmount());
    await stopInstance(NAME, { purge: true });
    let left: string[] = [];
    await until(
      'nothing runs',
      async () => (left = await processesBelow(this.home)).length === 0,
      TIDY_MS,
    ).catch(() => undefined);
    // Ours, not the instance's.
    for (const name of ['cache', 'pauses']) await rm(join(this.home, name), { recursive: true, force: true });
    const files = [this.home, runDirectory].map((directory) =>
      readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []),
    );
    for (const entry of (await Promise.all(files)).flat())
      if (!entry.isDirectory()) left.push(join(entry.parentPath, entry.name));
    await this.#disks?.state.unmount();
    await this.#live.close().catch(() => undefined);
    return left.map((each) => `left after down --purge: ${each.replaceAll(this.home, '')}`);
  }
}

/** A slot that nobody uses makes its engine keep WAL for ever. */
const slotsOf = (url: string): Promise<string[]> =>
  withPg(url, async (client) => {
    const { rows } = await client.query<{ slot_name: string }>('select slot_name from pg_replication_slots');
    return rows.map(({ slot_name: name }) => name);
  });

async function childrenOf(pid: number): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  return pids.filter((each) => readProcessStat(each)?.parentPid === pid);
}
