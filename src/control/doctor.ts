/**
 * `doctor`: what works here, what does not, what to do about it. Every check looks at reality: an engine is really started,
 * leftovers are processes that really run. Changes nothing unless it is asked to fix.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { access, chmod, mkdtemp, rm, stat, statfs } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { diskOf } from '../errors/no-room.js';
import { containerOwners, findRemains, removeRemains } from '../engine/index.js';
import {
  connectSupervisor,
  listInstances,
  stopInstance,
  UP_DEFAULTS,
  type InstanceListing,
} from './client.js';
import { InstanceDirectory } from './instance-directory.js';
import { etcdNodes } from './multiwriter/etcd-store.js';
import { nodesAway, runningNodes } from './multiwriter/nodes.js';
import { StoreDirectory } from './multiwriter/store-directory.js';
import { dbproxyHome, engineCache } from './paths.js';
import { describePortHolder, findFreePort } from './port-holder.js';
import { isAlive } from './processes.js';
import { createOperations, createProvider, pickProvider } from './provider.js';
import { findTunnels, recordedProxies } from './proxy-process.js';

export interface DoctorCheck {
  readonly name: string;
  readonly state: 'ok' | 'warning' | 'problem' | 'fixed';
  readonly detail: string;
  /** A command to type, or a sentence; null when nothing is to be done. */
  readonly advice: string | null;
}

/** `dbproxy.doctor/1` */
export interface DoctorResult {
  readonly schema: 'dbproxy.doctor/1';
  /** No check found a problem that is still there. */
  readonly healthy: boolean;
  readonly checks: readonly DoctorCheck[];
}

/** The oldest Node that is tested. */
const NODE_FLOOR = [20, 19] as const;
/** What a small one has on disk, and some WAL. */
const INSTANCE_MB = 40;

const ok = (name: string, detail: string): DoctorCheck => ({ name, state: 'ok', detail, advice: null });
const warning = (name: string, detail: string, advice: string): DoctorCheck => ({
  ...{ name, state: 'warning', detail, advice },
});
const problem = (name: string, detail: string, advice: string): DoctorCheck => ({
  ...{ name, state: 'problem', detail, advice },
});

export async function examine({
  fix,
  onCheck = () => undefined,
}: {
  fix: boolean;
  onCheck?: (name: string) => void;
}): Promise<DoctorResult> {
  const steps: readonly [string, () => Promise<DoctorCheck | DoctorCheck[]>][] = [
    ['node', checkNode],
    ['home', checkHome],
    ['cache', () => checkCache(fix)],
    ['engine', checkEngine],
    ['docker', () => checkContainers(fix)],
    ['port', checkPort],
    ['psql', checkPsql],
    ['instances', () => checkInstances(fix)],
  ];
  const checks: DoctorCheck[] = [];
  for (const [name, check] of steps) {
    onCheck(name);
    checks.push(...[await check()].flat());
  }
  return { schema: 'dbproxy.doctor/1', healthy: checks.every(({ state }) => state !== 'problem'), checks };
}

async function checkNode(): Promise<DoctorCheck> {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  const [floorMajor, floorMinor] = NODE_FLOOR;
  const enough = major > floorMajor || (major === floorMajor && minor >= floorMinor);
  const detail = `Node ${process.versions.node} on ${process.platform}-${process.arch}`;
  return enough
    ? ok('node', detail)
    : problem('node', detail, `install Node ${NODE_FLOOR.join('.')} or newer`);
}

/** Can instances be made where they would live? As root, the user that engines run under has to pass, too. */
async function checkHome(): Promise<DoctorCheck> {
  const home = dbproxyHome();
  const advice = 'set DBPROXY_HOME to a directory that can be used';
  const existing = await nearestExisting(home);
  try {
    await access(existing, constants.W_OK | constants.X_OK);
  } catch {
    return problem('home', `${existing} cannot be written`, advice);
  }
  const { bavail, bsize } = await statfs(existing);
  const freeMb = Math.floor((bavail * bsize) / 1024 ** 2);
  if (freeMb < INSTANCE_MB) {
    const detail = `${home}: ${freeMb} MB are free, and a new instance takes about ${INSTANCE_MB}`;
    return problem('home', detail, `make room there: df -h ${diskOf(existing)}`);
  }
  const closed = userInfo().uid === 0 ? await closedToOthers(existing) : null;
  if (closed) return problem('home', `the user that engines run under cannot pass through ${closed}`, advice);
  return ok('home', home);
}

async function nearestExisting(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    const exists = await stat(at).then(
      () => true,
      () => false,
    );
    if (exists || dirname(at) === at) return at;
  }
}

async function closedToOthers(path: string): Promise<string | null> {
  for (let at = path; ; at = dirname(at)) {
    if (((await stat(at)).mode & 0o001) === 0) return at;
    if (dirname(at) === at) return null;
  }
}

/** Makes a cluster, starts it, has a query answered, removes it. */
async function checkEngine(): Promise<DoctorCheck> {
  const directory = await mkdtemp(join(tmpdir(), 'dbproxy-doctor-'));
  const startedAt = performance.now();
  try {
    await chmod(directory, 0o711);
    const { provider, reason } = await pickProvider(
      { provider: 'embedded', postgres: UP_DEFAULTS.postgres },
      { name: 'doctor', directory },
    );
    const engine = await provider.create({
      id: 'doctor',
      directory: join(directory, 'engine'),
      socketDirectory: join(directory, 's'),
      size: 'small',
      postgres: UP_DEFAULTS.postgres,
      superuserPassword: randomBytes(12).toString('base64url'),
    });
    await provider.remove(engine);
    return ok(
      'engine',
      `${reason}; PostgreSQL ${engine.postgres} was made and started in ${Math.round(performance.now() - startedAt)} ms`,
    );
  } catch (error) {
    return problem(
      'engine',
      (error as Error).message,
      'npm ci, on Linux x64 or with a package for this platform',
    );
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Every file of the cache against what was fetched, and what broken-off work has left there. */
async function checkCache(fix: boolean): Promise<DoctorCheck[]> {
  const cache = engineCache();
  const remains = await findRemains(cache, { thorough: true });
  if (remains.length === 0) return [ok('cache', cache)];
  return Promise.all(
    remains.map(async (each) => {
      const detail = `${each.detail} (${each.path})`;
      if (fix) return tryFix('cache', detail, `remove ${each.path}`, () => removeRemains(each));
      // It goes on from there, or is made anew; an engine that was started from damaged files is another matter.
      const advice = 'dbproxy doctor --fix removes it';
      return each.kind === 'damaged' ? problem('cache', detail, advice) : warning('cache', detail, advice);
    }),
  );
}

/** Which runtime answers, and what is left there of instances that are gone. */
async function checkContainers(fix: boolean): Promise<DoctorCheck[]> {
  const runtime = createProvider('docker', { name: 'doctor', directory: dbproxyHome() });
  const found = await runtime.available();
  // Engines are embedded then; that is no defect.
  if (!found.ok) return [ok('docker', `none that can be used: ${found.reason}`)];
  const orphans = await orphanedOwners();
  if (orphans.length === 0) return [ok('docker', `${found.detail}, nothing left over`)];
  return Promise.all(
    orphans.map(async (owner) => {
      const detail = `there are containers or volumes of instance "${owner.name}", whose directory ${owner.directory} is gone`;
      if (!fix) return problem('docker', detail, 'dbproxy doctor --fix removes them, with their data');
      return tryFix('docker', detail, 'dbproxy doctor', () =>
        createProvider('docker', owner).sweep([], 'all'),
      );
    }),
  );
}

async function orphanedOwners(): Promise<Awaited<ReturnType<typeof containerOwners>>> {
  const owners = await containerOwners();
  const gone = await Promise.all(
    owners.map(({ directory }) =>
      stat(directory).then(
        () => false,
        () => true,
      ),
    ),
  );
  return owners.filter((_, index) => gone[index]);
}

async function checkPort(): Promise<DoctorCheck> {
  const { host, port } = UP_DEFAULTS;
  const free = await findFreePort(host, port - 1);
  if (free === port) return ok('port', `${port} is free`);
  const ours = (await listInstances()).find(
    (instance) => instance.port === port && instance.state === 'running',
  );
  if (ours) return ok('port', `${port} is that of instance "${ours.name}"`);
  const holder = await describePortHolder(port);
  return warning('port', `${port} is taken by ${holder}`, `dbproxy up --port ${free}`);
}

async function checkPsql(): Promise<DoctorCheck> {
  for (const directory of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(directory, 'psql');
    const runs = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (runs) return ok('psql', path);
  }
  return warning(
    'psql',
    'not installed: `dbproxy psql` cannot work, all else does',
    'install postgresql-client',
  );
}

/** Instances whose supervisor died, and processes or sockets of instances that should be down. */
async function checkInstances(fix: boolean): Promise<DoctorCheck[]> {
  const instances = await listInstances();
  const findings = (await Promise.all(instances.map((instance) => checkInstance(instance, fix)))).flat();
  if (findings.length > 0) return findings;
  const running = instances.filter(({ state }) => state === 'running').length;
  return [ok('instances', `${instances.length} known, ${running} running, nothing left over`)];
}

async function checkInstance(instance: InstanceListing, fix: boolean): Promise<DoctorCheck[]> {
  const { name, state } = instance;
  const label = `instance ${name}`;
  const logs = `dbproxy logs supervisor --name ${name}`;
  if (state === 'damaged') {
    return [problem(label, 'its files cannot be read', `dbproxy down --name ${name} --purge`)];
  }
  if (state === 'supervisor-dead') {
    const detail = 'its supervisor is gone';
    if (!fix)
      return [problem(label, detail, `dbproxy status --name ${name} repairs it, or dbproxy doctor --fix`)];
    return [await tryFix(label, detail, logs, async () => (await connectSupervisor(name)).close())];
  }
  if (state === 'abandoned') {
    const detail = 'the process that it belonged to is gone';
    const command = `dbproxy down --name ${name} --purge --yes`;
    if (!fix) return [problem(label, detail, `${command}, or dbproxy doctor --fix`)];
    return [await tryFix(label, detail, logs, () => stopInstance(name, { purge: true }))];
  }
  if (state === 'running') return checkStore(instance);
  const left = state === 'stopped' ? await leftOver(instance) : [];
  if (left.length === 0) return [];
  const detail = `should be down, but there is ${left.join(', ')}`;
  if (!fix) return [problem(label, detail, `dbproxy down --name ${name}, or dbproxy doctor --fix`)];
  return [await tryFix(label, detail, logs, () => stopInstance(name))];
}

/** Of several writers: a storage node that does not vote makes every commit ask the primary, and a second one ends them. */
async function checkStore({ name }: InstanceListing): Promise<DoctorCheck[]> {
  const directory = InstanceDirectory.of(name);
  const store = new StoreDirectory(directory.paths);
  if ((await directory.readInstance())?.spec.multiwriter?.store !== undefined) return checkEtcd(name, store);
  const away = await nodesAway(store);
  return away.map(({ node, reason }) =>
    warning(
      `instance ${name}`,
      `storage node ${node} does not vote: ${reason}`,
      `dbproxy logs ${node} --name ${name}; it comes back by itself when that is mended`,
    ),
  );
}

async function checkEtcd(name: string, store: StoreDirectory): Promise<DoctorCheck[]> {
  const members = await etcdNodes(store);
  return members
    .filter(({ state }) => state !== 'in-service')
    .map(({ id, reason }) =>
      warning(
        `instance ${name}`,
        `etcd ${id} is not well: ${reason ?? 'it does not answer'}`,
        'commits wait until a majority of its cluster answers; then they go on by themselves',
      ),
    );
}

async function leftOver({ name, engines }: InstanceListing): Promise<string[]> {
  const directory = InstanceDirectory.of(name);
  const left: string[] = [];
  for (const engine of engines) {
    const { id, provider, process, container } = engine;
    if (await createOperations(provider, directory.paths).isRunning(engine))
      left.push(`engine ${id} (${process?.pid ?? container?.name})`);
  }
  for (const { pid } of await recordedProxies(directory)) left.push(`proxy ${pid}`);
  for (const { pid } of await findTunnels(directory, null)) left.push(`TLS tunnel ${pid}`);
  const store = new StoreDirectory(directory.paths);
  for (const { node, pid } of await runningNodes(store)) left.push(`storage node ${node} (${pid})`);
  const supervisor = (await directory.readSupervisor())?.process;
  if (isAlive(supervisor)) left.push(`supervisor ${supervisor?.pid}`);
  const sockets = await stat(directory.paths.runDirectory).then(
    () => true,
    () => false,
  );
  if (sockets) left.push(`the socket directory ${directory.paths.runDirectory}`);
  return left;
}

async function tryFix(
  name: string,
  detail: string,
  advice: string,
  repair: () => Promise<unknown>,
): Promise<DoctorCheck> {
  try {
    await repair();
    return { name, state: 'fixed', detail, advice: null };
  } catch (error) {
    return problem(name, `${detail}; not fixed: ${(error as Error).message}`, advice);
  }
}
