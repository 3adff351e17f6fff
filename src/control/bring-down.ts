/**
 * `down`, as the command line does it: ask the supervisor; whatever it leaves, and everything when it is dead, is ended
 * from here. Afterwards nothing of the instance runs and no socket is left; with `purge` no file either.
 */
import { DbproxyError } from '../errors/index.js';
import { unlessNoRoom } from '../errors/no-room.js';
import type { DownResult } from './api.js';
import type { StepProgress, Supervisor } from './client.js';
import { InstanceDirectory } from './instance-directory.js';
import { withInstanceLock } from './lock.js';
import { purgeEtcdStore } from './multiwriter/etcd-store.js';
import { furtherWriters } from './multiwriter/names.js';
import { StoreDirectory } from './multiwriter/store-directory.js';
import { createOperations } from './provider.js';
import { endProcess, isAlive, waitForExit } from './processes.js';
import type { InstanceRecord } from './records.js';
import { removeData, stopEverything } from './teardown.js';

/** How long the supervisor may take for an ordered stop: an operation that ends, a shutdown checkpoint. */
const ORDERLY_BOUND_MS = 75_000;
const EXIT_BOUND_MS = 5_000;

export async function bringDown(
  directory: InstanceDirectory,
  purge: boolean,
  onProgress: (progress: StepProgress) => void,
  connect: (directory: InstanceDirectory) => Promise<Supervisor | null>,
): Promise<DownResult> {
  return withInstanceLock(directory.paths, async () => {
    const supervisorProcess = (await directory.readSupervisor())?.process;
    const supervised = isAlive(supervisorProcess);
    if (supervised || (await isWanted(directory)))
      onProgress({ step: 'stop', detail: 'stopping proxy and engines' });
    await markStopped(directory);
    const asked = await askSupervisor(directory, purge, connect);
    const ended = supervised ? await endSupervisor(supervisorProcess) : [];
    // Again, now that no supervisor can write its own view over ours.
    const known = await markStopped(directory);
    const further = await bringDownFurtherWriters(directory, purge, connect);
    const stopped = [...asked, ...ended, ...further, ...(await stopEverything(directory))];
    const wasRunning = stopped.length > 0;
    if (purge) {
      onProgress({ step: 'purge', detail: 'removing the data' });
      const left = await purgeEtcdStore(new StoreDirectory(directory.paths));
      if (left !== null) stopped.push(left);
      // Also of an instance whose record somebody has removed: its volumes carry its label.
      await removeData(directory);
      await directory.purge();
    } else {
      await removeKept(directory, onProgress);
      await directory.removeRuntime();
    }
    return {
      schema: 'dbproxy.down/1',
      instance: directory.paths.name,
      wasRunning,
      purged: purge && known,
      stopped,
    };
  });
}

/** Those that its supervisor has not stopped: it was dead, or did not know of them. */
async function bringDownFurtherWriters(
  { paths }: InstanceDirectory,
  purge: boolean,
  connect: (directory: InstanceDirectory) => Promise<Supervisor | null>,
): Promise<string[]> {
  const names = await furtherWriters(paths.name, paths.home);
  const results = await Promise.all(
    names.map((name) => bringDown(InstanceDirectory.of(name), purge, () => undefined, connect)),
  );
  return results.flatMap(({ instance, stopped }) => stopped.map((what) => `${what} of ${instance}`));
}

/** Of a record that is damaged nobody knows. */
const isWanted = (directory: InstanceDirectory): Promise<boolean> =>
  directory.readInstance().then(
    (record) => record?.wanted === 'running',
    () => true,
  );

/** From here on nobody starts this instance again by itself. False when there is no such instance. */
async function markStopped(directory: InstanceDirectory): Promise<boolean> {
  let record: InstanceRecord | null;
  try {
    record = await directory.readInstance();
  } catch (error) {
    // Stopping does not depend on it. It stays as it is: the next `up` names it.
    if (error instanceof DbproxyError && error.code === 'DBP_INSTANCE_DAMAGED') return true;
    throw error;
  }
  // `down --purge` makes room. Of a `down` that could not be put on record, the next command may start the instance again.
  if (record && record.wanted !== 'stopped')
    await directory.writeInstance({ ...record, wanted: 'stopped' }).catch(unlessNoRoom);
  return record !== null;
}

/** What it stopped; nothing when there is none, or when it does not answer in time. */
async function askSupervisor(
  directory: InstanceDirectory,
  purge: boolean,
  connect: (directory: InstanceDirectory) => Promise<Supervisor | null>,
): Promise<readonly string[]> {
  const supervisor = await connect(directory);
  if (!supervisor) return [];
  try {
    const result = await supervisor.call('down', { purge }, { timeoutMs: ORDERLY_BOUND_MS });
    return result.stopped;
  } catch {
    // Stopping goes on without it: what it left is found by the records.
    return [];
  } finally {
    supervisor.close();
  }
}

/** The data of engines that died with commits that no other one has (standby/fail-over.ts): somebody had the time to look into it. */
async function removeKept(
  directory: InstanceDirectory,
  onProgress: (progress: StepProgress) => void,
): Promise<void> {
  const record = await directory.readInstance().catch(() => null);
  if (!record?.kept) return;
  const { kept, engines, ...rest } = record;
  const operations = createOperations(record.spec.provider, directory.paths);
  for (const engine of engines.filter(({ id }) => kept.includes(id))) {
    onProgress({
      step: 'stop',
      detail: `removing the data of ${engine.id}, which was kept after a failover`,
    });
    await operations.remove(engine);
  }
  await directory.writeInstance({
    ...rest,
    failover: undefined,
    engines: engines.filter(({ id }) => !kept.includes(id)),
  });
}

/** It was there, and has ended by itself maybe, since it was asked. */
async function endSupervisor(identity: Parameters<typeof endProcess>[0]): Promise<string[]> {
  if (!identity) return [];
  if (!(await waitForExit(identity, EXIT_BOUND_MS))) await endProcess(identity, EXIT_BOUND_MS);
  return [`supervisor ${identity.pid}`];
}
