/** A home directory of its own for one test file, and engines in it that are surely gone afterwards. */
import { readFileSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'vitest';
import {
  embeddedProvider,
  type EngineProvider,
  type EngineRecord,
  type ProvisionOptions,
} from '../../src/engine/index.js';
import { DbproxyError } from '../../src/errors/index.js';
import { processesIn } from '../../src/engine/providers/embedded/find.js';

export class Bench {
  readonly home: string;
  readonly provider: EngineProvider;
  readonly #made: EngineRecord[] = [];
  #next = 1;

  private constructor(home: string) {
    this.home = home;
    this.provider = embeddedProvider({ cacheDirectory: join(home, 'cache') });
  }

  static async open(): Promise<Bench> {
    const home = await mkdtemp(join(tmpdir(), 'dbx-'));
    await chmod(home, 0o711);
    return new Bench(home);
  }

  options(more: Partial<ProvisionOptions> = {}): ProvisionOptions {
    const id = more.id ?? `e${this.#next++}`;
    return {
      id,
      directory: join(this.home, 'engines', id),
      socketDirectory: join(this.home, 's', id),
      size: 'small',
      postgres: '17',
      superuserPassword: 'correct horse',
      ...more,
    };
  }

  async primary(more: Partial<ProvisionOptions> = {}): Promise<EngineRecord> {
    return this.keep(await this.provider.create(this.options(more)));
  }

  async standbyOf(primary: EngineRecord, more: Partial<ProvisionOptions> = {}): Promise<EngineRecord> {
    return this.keep(await this.provider.createStandby(primary, this.options(more)));
  }

  keep(engine: EngineRecord): EngineRecord {
    this.#made.push(engine);
    return engine;
  }

  /** The directories of engines that exist now. */
  async left(): Promise<string[]> {
    const list = (name: string): Promise<string[]> => readdir(join(this.home, name)).catch(() => []);
    return [...(await list('engines')), ...(await list('s'))].sort();
  }

  async close(): Promise<void> {
    for (const engine of this.#made) await this.provider.remove(engine);
    await rm(this.home, { recursive: true, force: true });
  }
}

/** How many processes work in an engine's data directory. */
export const processCount = (engine: Pick<ProvisionOptions, 'directory'>): number =>
  processesIn(join(engine.directory, 'data')).length;

/** The files in /dev/shm that an engine's processes have mapped now. */
export function sharedMemory(engine: Pick<ProvisionOptions, 'directory'>): string[] {
  const maps = processesIn(join(engine.directory, 'data')).map(({ pid }) =>
    readFileSync(`/proc/${pid}/maps`, 'latin1'),
  );
  return [...new Set(maps.join('\n').match(/\/dev\/shm\/PostgreSQL\.\d+/g))];
}

/** The System V segment of a running engine: line 7 of postmaster.pid is its key and id. */
export const sharedMemoryId = ({ directory }: Pick<ProvisionOptions, 'directory'>): string =>
  readFileSync(join(directory, 'data/postmaster.pid'), 'utf8').split('\n')[6]?.trim().split(/\s+/)[1] ?? '';

export const sharedMemoryIds = (): string[] =>
  readFileSync('/proc/sysvipc/shm', 'latin1')
    .split('\n')
    .map((line) => line.trim().split(/\s+/)[1] ?? '');

/** The error of the catalogue that `work` fails with. */
export async function failure(work: Promise<unknown>): Promise<DbproxyError> {
  const error = await work.then(
    () => new Error('it did not fail'),
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(DbproxyError);
  return error as DbproxyError;
}
