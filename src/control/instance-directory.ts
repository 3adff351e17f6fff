/**
 * The instance directory on disk: the only memory that survives a supervisor. It is a hint; what runs is the truth.
 *
 * Modes: everything is 0700 and files are 0600. As root, the directories on the way to an engine are 0711 instead, because
 * PostgreSQL runs under another uid there and has to pass through them to its own 0700 directories; nobody can list them.
 */
import { randomBytes } from 'node:crypto';
import { chmod, lstat, mkdir, open, readFile, readdir, rm, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { DbproxyError } from '../errors/index.js';
import { makeParents } from '../make-parents.js';
import type { InstanceSpec } from './api.js';
import { readJson, writeJson } from './json-file.js';
import { MAX_PROXIES, dbproxyHome, instancePaths, proxyFileOf, type InstancePaths } from './paths.js';
import {
  autoscaleRecord,
  instanceRecord,
  operationRecord,
  processRecord,
  proxyRecord,
  type AutoscaleRecord,
  type InstanceRecord,
  type OperationRecord,
  type ProcessRecord,
  type ProxyRecord,
} from './records.js';

const isRoot = (): boolean => userInfo().uid === 0;
const passageMode = (): number => (isRoot() ? 0o711 : 0o700);

export class InstanceDirectory {
  readonly paths: InstancePaths;

  constructor(paths: InstancePaths) {
    this.paths = paths;
  }

  static of(name: string): InstanceDirectory {
    return new InstanceDirectory(instancePaths(name));
  }

  /** Makes the directories that are missing. Throws DBP_ENV_DIRECTORY when one of them cannot be used. */
  async create(): Promise<void> {
    const { home, directory, enginesDirectory, runDirectory, controlDirectory, clientSocketDirectory } =
      this.paths;
    await makeDirectory(home, passageMode());
    if (isRoot()) await assertPassable(dirname(home));
    await makeDirectory(join(home, 'locks'), 0o700);
    await makeDirectory(join(home, 'instances'), passageMode());
    await makeDirectory(directory, passageMode());
    await makeDirectory(enginesDirectory, passageMode());
    await makeDirectory(runDirectory, passageMode());
    await makeDirectory(controlDirectory, 0o700);
    await makeDirectory(clientSocketDirectory, 0o700);
  }

  readInstance(): Promise<InstanceRecord | null> {
    return readJson(this.paths.instanceFile, instanceRecord);
  }

  writeInstance(record: InstanceRecord): Promise<void> {
    return writeJson(this.paths.instanceFile, record);
  }

  readOperation(): Promise<OperationRecord | null> {
    return readJson(this.paths.operationFile, operationRecord);
  }

  writeOperation(record: OperationRecord, options?: { durable: boolean }): Promise<void> {
    return writeJson(this.paths.operationFile, record, options);
  }

  removeOperation(): Promise<void> {
    return rm(this.paths.operationFile, { force: true });
  }

  readAutoscaler(): Promise<AutoscaleRecord | null> {
    return readJson(this.paths.autoscalerFile, autoscaleRecord);
  }

  writeAutoscaler(record: AutoscaleRecord): Promise<void> {
    return writeJson(this.paths.autoscalerFile, record);
  }

  readSupervisor(): Promise<ProcessRecord | null> {
    return readJson(this.paths.supervisorFile, processRecord);
  }

  writeSupervisor(record: ProcessRecord): Promise<void> {
    return writeJson(this.paths.supervisorFile, record);
  }

  /** `number`: of several processes, from 1. */
  readProxy(number = 1): Promise<ProxyRecord | null> {
    return readJson(proxyFileOf(this.paths, number), proxyRecord);
  }

  writeProxy(record: ProxyRecord, number = 1): Promise<void> {
    return writeJson(proxyFileOf(this.paths, number), record);
  }

  /** The superuser's password; made at the first call, unless there is one that it has to be. */
  async password(given?: string): Promise<string> {
    const { passwordFile, directory } = this.paths;
    try {
      return (await readFile(passwordFile, 'utf8')).trim();
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'ENOENT') {
        throw new DbproxyError(
          'DBP_ENV_DIRECTORY',
          { directory, reason: (cause as Error).message },
          { cause },
        );
      }
    }
    const password = given ?? randomBytes(18).toString('base64url');
    const file = await open(passwordFile, 'wx', 0o600);
    try {
      await file.writeFile(`${password}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
    return password;
  }

  /** Forgets what runs: sockets, process files, the operation. The data stays. */
  async removeRuntime(): Promise<void> {
    await rm(this.paths.runDirectory, { recursive: true, force: true });
    await rm(this.paths.supervisorFile, { force: true });
    for (let number = 1; number <= MAX_PROXIES; number++)
      await rm(proxyFileOf(this.paths, number), { force: true });
  }

  /** Removes everything, the data too. */
  async purge(): Promise<void> {
    await this.removeRuntime();
    await rm(this.paths.directory, { recursive: true, force: true });
  }
}

/** A further writer's engines are copies: their replication slots, named by their ids, are on an engine of the first one. */
export const ENGINES_PER_WRITER = 1_000;

export function newInstanceRecord(spec: InstanceSpec): InstanceRecord {
  return {
    schema: 'dbproxy.instance/1',
    spec,
    wanted: 'running',
    primary: null,
    nextEngine: spec.writerOf ? ENGINES_PER_WRITER * spec.writerOf.writer + 1 : 1,
    nextOperation: 1,
    engines: [],
  };
}

/** Names of all instances below the home directory. */
export async function listInstanceNames(home = dbproxyHome()): Promise<string[]> {
  try {
    const entries = await readdir(join(home, 'instances'), { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw new DbproxyError(
      'DBP_ENV_DIRECTORY',
      { directory: home, reason: (cause as Error).message },
      { cause },
    );
  }
}

/** Makes a directory with this mode, or takes one that is ours already: no link, no other owner (/tmp is for everybody). */
export async function makeDirectory(path: string, mode: number): Promise<void> {
  const refuse = (reason: string, cause?: unknown): never => {
    throw new DbproxyError('DBP_ENV_DIRECTORY', { directory: path, reason }, { cause });
  };
  try {
    await makeParents(dirname(path));
    await mkdir(path, { mode });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== 'EEXIST') refuse((cause as Error).message, cause);
  }
  const found = await lstat(path);
  if (!found.isDirectory()) refuse('it is not a directory');
  const { uid } = userInfo();
  if (found.uid !== uid) refuse(`it belongs to uid ${found.uid}, not to ${uid}`);
  if ((found.mode & 0o777) !== mode) await chmod(path, mode);
}

/** As root: can another uid walk down to here? PostgreSQL has to. */
async function assertPassable(path: string): Promise<void> {
  for (let at = path; ; at = dirname(at)) {
    const { mode } = await stat(at);
    if ((mode & 0o001) === 0) {
      throw new DbproxyError('DBP_ENV_DIRECTORY', {
        directory: at,
        reason:
          'PostgreSQL does not run as root, and its unprivileged user cannot pass through this directory',
      });
    }
    if (dirname(at) === at) return;
  }
}
