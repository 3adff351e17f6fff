/** One embedded engine and the directory it lives in, gone after the benchmark. */
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  embeddedProvider,
  type EngineProvider,
  type EngineRecord,
  type SizeName,
} from '../../src/engine/index.js';

export interface BenchEngine {
  readonly home: string;
  readonly provider: EngineProvider;
  readonly engine: EngineRecord;
  readonly socket: { readonly directory: string; readonly port: number };
  readonly password: string;
  close(): Promise<void>;
}

const MEMORY = '/dev/shm';

export interface BenchPlace {
  /** Where the system has a file system in memory: for what compares clients, which a disk's moods would hide. */
  readonly inMemory?: boolean;
}

/** A directory that the engines' unprivileged user can pass through. */
export async function benchHome({ inMemory = false }: BenchPlace = {}): Promise<string> {
  const root = inMemory && existsSync(MEMORY) ? MEMORY : tmpdir();
  const home = await mkdtemp(join(root, 'dbp-bench-'));
  await chmod(home, 0o711);
  return home;
}

export async function startEngine(size: SizeName, place: BenchPlace = {}): Promise<BenchEngine> {
  const home = await benchHome(place);
  const provider = embeddedProvider({ cacheDirectory: join(home, 'cache') });
  const password = 'benchmark';
  const engine = await provider.create({
    id: 'e1',
    directory: join(home, 'e1'),
    socketDirectory: join(home, 's'),
    size,
    postgres: '17',
    superuserPassword: password,
  });
  if (engine.access.kind !== 'socket') throw new Error('the embedded provider gives a socket');
  const { directory, port } = engine.access;
  const close = async (): Promise<void> => {
    await provider.remove(engine);
    await rm(home, { recursive: true, force: true });
  };
  return { home, provider, engine, socket: { directory, port }, password, close };
}

export const socketUrl = ({ socket, engine }: BenchEngine): string =>
  `postgres://${engine.superuser}@localhost/postgres?host=${socket.directory}&port=${socket.port}`;
