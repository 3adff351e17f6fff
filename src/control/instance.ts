/** An instance as its supervisor knows it: the record on disk, its log, its provider. Every change is written at once. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { EngineOperations, EngineRecord, ProviderKind, ProvisionOptions } from '../engine/types.js';
import { DbproxyError } from '../errors/index.js';
import { EventLog } from './event-log.js';
import type { InstanceDirectory } from './instance-directory.js';
import { engineDirectory, engineSocketDirectory, type InstancePaths } from './paths.js';
import type { InstanceRecord } from './records.js';

/** The port in the name of an embedded engine's socket; nothing listens on it. */
const ENGINE_PORT = 5432;

type EngineKind = Pick<ProvisionOptions, 'size' | 'postgres' | 'provider' | 'image'>;

export class Instance {
  readonly directory: InstanceDirectory;
  readonly events: EventLog;
  readonly provider: EngineOperations;
  readonly password: string;
  #record: InstanceRecord;
  #written: InstanceRecord;
  #writing: Promise<void> = Promise.resolve();

  private constructor(
    directory: InstanceDirectory,
    events: EventLog,
    provider: EngineOperations,
    password: string,
    record: InstanceRecord,
  ) {
    this.directory = directory;
    this.events = events;
    this.provider = provider;
    this.password = password;
    this.#record = record;
    this.#written = record;
  }

  /** Throws DBP_INSTANCE_DAMAGED. */
  static async open(directory: InstanceDirectory, provider: EngineOperations): Promise<Instance> {
    const record = await directory.readInstance();
    if (!record) {
      const file = directory.paths.instanceFile;
      throw new DbproxyError('DBP_INSTANCE_DAMAGED', { file, reason: 'it is missing' });
    }
    const [events, password] = await Promise.all([
      EventLog.open(directory.paths.eventsFile),
      directory.password(),
    ]);
    return new Instance(directory, events, provider, password, record);
  }

  get paths(): InstancePaths {
    return this.directory.paths;
  }

  get record(): InstanceRecord {
    return this.#record;
  }

  get primary(): EngineRecord | null {
    return this.engine(this.#record.primary);
  }

  engine(id: string | null): EngineRecord | null {
    return this.#record.engines.find((engine) => engine.id === id) ?? null;
  }

  /**
   * Changes the record in memory now, and on disk when this resolves. When it rejects (a full disk) the record is again what is on
   * disk, unless more has changed since: whoever tries again finds everything still to be done.
   */
  update(change: Partial<Omit<InstanceRecord, 'schema'>>): Promise<void> {
    this.#record = { ...this.#record, ...change };
    const record = this.#record;
    this.#writing = this.#writing.catch(() => undefined).then(() => this.#write(record));
    return this.#writing;
  }

  async #write(record: InstanceRecord): Promise<void> {
    try {
      await this.directory.writeInstance(record);
      this.#written = record;
    } catch (error) {
      if (this.#record === record) this.#record = this.#written;
      throw error;
    }
  }

  /** Adds the engine, or replaces the record of that id. */
  putEngine(
    engine: EngineRecord,
    change: Partial<Pick<InstanceRecord, 'primary' | 'spec' | 'standby'>> = {},
  ): Promise<void> {
    const others = this.#record.engines.filter(({ id }) => id !== engine.id);
    return this.update({ ...change, engines: [...others, engine] });
  }

  forgetEngine(id: string): Promise<void> {
    return this.update({ engines: this.#record.engines.filter((engine) => engine.id !== id) });
  }

  /** A new id; on disk before the engine is made, so that an id is never used twice. */
  async nextEngineId(): Promise<string> {
    const number = this.#record.nextEngine;
    await this.update({ nextEngine: number + 1 });
    return `e${number}`;
  }

  async nextOperationId(operation: string): Promise<string> {
    const number = this.#record.nextOperation;
    await this.update({ nextOperation: number + 1 });
    return `${operation}-${number}`;
  }

  provisionOptions(id: string, kind: EngineKind, signal: AbortSignal): ProvisionOptions {
    const { size, postgres, provider, image } = kind;
    return {
      ...{ id, provider, image },
      directory: engineDirectory(this.paths, id),
      socketDirectory: engineSocketDirectory(this.paths, id),
      size,
      postgres,
      superuserPassword: this.password,
      superuserPasswordFile: this.paths.passwordFile,
      signal,
    };
  }
}

/** What another engine has to be asked for as to be like this one. */
export const kindOf = ({ size, postgres, provider, container }: EngineRecord): EngineKind => ({
  ...{ size, postgres, provider },
  image: container?.image,
});

/**
 * An engine whose maker died before it could record it: enough of a record to find, stop and remove it by its directory.
 */
export function unrecordedEngine(
  paths: InstancePaths,
  record: InstanceRecord,
  id: string,
  provider: ProviderKind = record.spec.provider,
): EngineRecord {
  const directory = engineDirectory(paths, id);
  const socketDirectory = engineSocketDirectory(paths, id);
  return {
    id,
    provider,
    role: 'standby',
    size: record.spec.size,
    postgres: record.spec.postgres,
    access: { kind: 'socket', directory: socketDirectory, port: ENGINE_PORT },
    // Of a container: below that one (providers/docker/socket.ts).
    socket: { kind: 'socket', directory: join(socketDirectory, 's'), port: ENGINE_PORT },
    superuser: 'postgres',
    directory,
    logFile: `${directory}/engine.log`,
    systemIdentifier: '',
    process: null,
  };
}

/** The engines that have a directory but no record. */
export async function unrecordedEngines(
  paths: InstancePaths,
  record: InstanceRecord,
): Promise<EngineRecord[]> {
  const names = await readdir(paths.enginesDirectory).catch(() => []);
  const unknown = names.filter(
    (name) => /^e\d+$/.test(name) && !record.engines.some(({ id }) => id === name),
  );
  return unknown.map((id) => unrecordedEngine(paths, record, id));
}
