/** Real engines for tests: made once per file, gone afterwards. */
import { mkdtemp, rm, chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import {
  embeddedProvider,
  type EngineProvider,
  type EngineRecord,
  type SizeName,
} from '../../src/engine/index.js';
import type { EngineRoute } from '../../src/proxy/control-api.js';

export const PASSWORD = 'correct horse';

export class TestEngines {
  readonly provider: EngineProvider;
  readonly home: string;
  #next = 1;
  readonly #made: EngineRecord[] = [];

  private constructor(home: string) {
    this.home = home;
    this.provider = embeddedProvider({ cacheDirectory: join(home, 'cache') });
  }

  static async open(): Promise<TestEngines> {
    const home = await mkdtemp(join(tmpdir(), 'dbp-'));
    // The unprivileged user that engines run under has to pass through.
    await chmod(home, 0o711);
    return new TestEngines(home);
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
    await rm(this.home, { recursive: true, force: true });
  }

  #options(size: SizeName) {
    const id = `e${this.#next++}`;
    return {
      id,
      directory: join(this.home, id),
      socketDirectory: join(this.home, `s${id}`),
      size,
      postgres: '17',
      superuserPassword: PASSWORD,
    };
  }
}

export const routeTo = ({ id, access, superuser }: EngineRecord): EngineRoute => ({ id, access, superuser });

export const randomName = (): string => `t${randomBytes(4).toString('hex')}`;
