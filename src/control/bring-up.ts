/**
 * `up`, as the command line does it: settle what is wanted, under the instance's lock; have a supervisor; wait until it
 * says ready. Two at once: the second one finds what the first one started and waits for the same readiness.
 */
import { readdir } from 'node:fs/promises';
import { DbproxyError } from '../errors/index.js';
import type { InstanceSpec, UpResult } from './api.js';
import { UP_DEFAULTS, type StepProgress, type Supervisor, type UpRequest } from './client.js';
import { InstanceDirectory, newInstanceRecord } from './instance-directory.js';
import { launchSupervisor } from './launch.js';
import { withInstanceLock } from './lock.js';
import { isAlive } from './processes.js';
import { pickProvider } from './provider.js';
import type { InstanceRecord } from './records.js';

type Connect = (directory: InstanceDirectory) => Promise<Supervisor | null>;

export async function bringUp(
  request: UpRequest,
  onProgress: (progress: StepProgress) => void,
  connect: Connect,
): Promise<UpResult> {
  const startedAt = performance.now();
  const directory = InstanceDirectory.of(request.name);
  const supervisor = await withInstanceLock(directory.paths, async () => {
    const running = await connectToRunning(directory, connect);
    if (running) {
      assertSameSettings(request, await directory.readInstance());
      return { connection: running, started: false };
    }
    onProgress({ step: 'supervisor', detail: 'starting the supervisor' });
    await settle(request, directory);
    await launchSupervisor(directory);
    const connection = await connect(directory);
    if (!connection) throw startFailed(request.name, 'the supervisor ended');
    return { connection, started: true };
  });
  try {
    const result = await supervisor.connection.call('ready', {}, { onProgress });
    return {
      ...result,
      alreadyRunning: !supervisor.started,
      readyMs: Math.round(performance.now() - startedAt),
    };
  } finally {
    supervisor.connection.close();
  }
}

/** A supervisor that is wanted and answers. One that is dead, or that is going down, does not count. */
async function connectToRunning(directory: InstanceDirectory, connect: Connect): Promise<Supervisor | null> {
  const record = await directory.readInstance();
  if (record?.wanted !== 'running') return null;
  return isAlive((await directory.readSupervisor())?.process) ? connect(directory) : null;
}

/** Writes what is wanted: a new instance, or the stopped one with the settings that were asked for. */
async function settle(request: UpRequest, directory: InstanceDirectory): Promise<void> {
  await directory.create();
  await directory.password();
  const stored = await directory.readInstance();
  if (stored) assertSameData(request, stored);
  else await assertNoData(directory);
  const spec = await specOf(request, stored);
  await directory.writeInstance(stored ? { ...stored, spec, wanted: 'running' } : newInstanceRecord(spec));
}

/** Data whose record is lost is not built over. */
async function assertNoData({ paths }: InstanceDirectory): Promise<void> {
  const found = await readdir(paths.enginesDirectory);
  if (found.length === 0) return;
  const reason = `it is missing, but there are engines: ${found.join(', ')}`;
  throw new DbproxyError('DBP_INSTANCE_DAMAGED', { file: paths.instanceFile, reason });
}

async function specOf(request: UpRequest, stored: InstanceRecord | null): Promise<InstanceSpec> {
  const before = stored?.spec;
  const postgres = before?.postgres ?? request.postgres ?? UP_DEFAULTS.postgres;
  return {
    name: request.name,
    ...(before ?? (await resolveProvider(request.provider ?? 'auto', postgres))),
    postgres,
    size: request.size ?? before?.size ?? UP_DEFAULTS.size,
    host: request.host ?? before?.host ?? UP_DEFAULTS.host,
    port: request.port ?? before?.port ?? UP_DEFAULTS.port,
    maxSessions: request.maxSessions ?? before?.maxSessions ?? UP_DEFAULTS.maxSessions,
  };
}

async function resolveProvider(
  asked: 'auto' | InstanceSpec['provider'],
  postgres: string,
): Promise<Pick<InstanceSpec, 'provider' | 'providerReason'>> {
  const { provider, reason } = await pickProvider(asked, postgres);
  return { provider: provider.kind, providerReason: reason };
}

type Setting = 'provider' | 'postgres' | 'size' | 'host' | 'port' | 'maxSessions';
const SETTINGS: readonly Setting[] = ['provider', 'postgres', 'size', 'host', 'port', 'maxSessions'];

function assertSameSettings(request: UpRequest, record: InstanceRecord | null): void {
  if (record) for (const setting of SETTINGS) assertSame(setting, request, record);
}

/** A stopped instance may come back with another size or port, but its data stays with its provider and version. */
function assertSameData(request: UpRequest, record: InstanceRecord): void {
  if (record.engines.length === 0) return;
  assertSame('provider', request, record);
  assertSame('postgres', request, record);
}

function assertSame(setting: Setting, request: UpRequest, { spec, engines, primary }: InstanceRecord): void {
  const wanted = request[setting];
  if (wanted === undefined || wanted === 'auto' || wanted === spec[setting]) return;
  const served = engines.find(({ id }) => id === primary);
  // `17.10` asks for no other version than `17` when 17.10 is what runs.
  if (setting === 'postgres' && `${served?.postgres}.`.startsWith(`${wanted}.`)) return;
  const running = setting === 'postgres' ? (served?.postgres ?? spec.postgres) : spec[setting];
  throw new DbproxyError('DBP_INSTANCE_SETTINGS_DIFFER', { name: spec.name, setting, running, wanted });
}

const startFailed = (name: string, reason: string): DbproxyError =>
  new DbproxyError('DBP_INSTANCE_START_FAILED', { name, reason });
