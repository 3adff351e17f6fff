/** Real engines for tests: made once per file, gone afterwards. */
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import {
  providerOf,
  type EngineProvider,
  type EngineRecord,
  type ProviderKind,
  type SizeName,
} from '../../src/engine/index.js';
import { docker } from './docker/index.js';
import { engineImage, engineKind } from './provider.js';
import { SHARED_CACHE } from './versions.js';

export { routeTo } from '../../src/switchover/index.js';

const INSTALLED = '17';
/** Of the engines of tests that do not say which: `DBPROXY_TEST_POSTGRES=18 npx vitest run …` (embedded). */
const POSTGRES = process.env.DBPROXY_TEST_POSTGRES ?? INSTALLED;

export const PASSWORD = 'correct horse';

export class TestEngines {
  readonly provider: EngineProvider;
  readonly home: string;
  readonly #postgres: string;
  #next = 1;
  readonly #made: EngineRecord[] = [];

  private constructor(home: string, kind: ProviderKind, postgres: string) {
    this.home = home;
    this.#postgres = postgres;
    const owner = { name: 'test', directory: home };
    const cacheDirectory = postgres === INSTALLED ? join(home, 'cache') : SHARED_CACHE;
    this.provider = providerOf(kind, { cacheDirectory, owner });
  }

  static async open(postgres = POSTGRES): Promise<TestEngines> {
    const home = await mkdtemp(join(tmpdir(), 'dbp-'));
    // The unprivileged user that engines run under has to pass through.
    await chmod(home, 0o711);
    await writeFile(join(home, 'password'), `${PASSWORD}\n`, { mode: 0o600 });
    return new TestEngines(home, engineKind(), postgres);
  }

  async primary(size: SizeName = 'small'): Promise<EngineRecord> {
    const engine = await this.provider.create(this.#options(size));
    this.#made.push(engine);
    return engine;
  }

  async standbyOf(primary: EngineRecord, size: SizeName = 'small'): Promise<EngineRecord> {
    const engine = await this.provider.createStandby(primary, this.#options(size));
    this.#made.push(engine);
    return engine;
  }

  async close(): Promise<void> {
    await Promise.all(this.#made.map((engine) => this.provider.remove(engine)));
    await this.provider.sweep([], 'all');
    await rm(this.home, { recursive: true, force: true });
  }

  #options(size: SizeName) {
    const id = `e${this.#next++}`;
    return {
      id,
      directory: join(this.home, id),
      socketDirectory: join(this.home, `s${id}`),
      size,
      postgres: this.#postgres,
      superuserPassword: PASSWORD,
      ...(this.provider.kind === 'docker'
        ? { image: engineImage(), superuserPasswordFile: join(this.home, 'password') }
        : {}),
    };
  }
}

/** kill -9 of one of its processes, by the pid that the server knows it by: in a container that is another one here. */
export const killBackend = async ({ container }: EngineRecord, pid: number): Promise<void> => {
  if (container) await docker('exec', container.name, 'kill', '-9', String(pid));
  else process.kill(pid, 'SIGKILL');
};

export const randomName = (): string => `t${randomBytes(4).toString('hex')}`;
