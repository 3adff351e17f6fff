/** What engines of a version are made and started with; found or fetched once, and kept. */
import { access } from 'node:fs/promises';
import { DbproxyError, type ErrorCode } from '../../../errors/index.js';
import type { ProvisionOptions } from '../../types.js';
import { prepareBinaries, type Binaries } from './binaries.js';
import { serverUser, type ServerUser } from './server-user.js';
import {
  bundledPackage,
  ensureEngine,
  findAtHand,
  packagesAtHand,
  type EnginePackage,
} from './versions/index.js';
import { compareVersions } from './versions/version.js';

export interface Tools {
  readonly binaries: Binaries;
  readonly user: ServerUser | null;
}

/** It is not here, and the registry cannot give it. */
const OUT_OF_REACH: readonly ErrorCode[] = ['DBP_ENV_REGISTRY', 'DBP_USAGE_UNKNOWN_VERSION'];

type Options = Pick<ProvisionOptions, 'signal' | 'onProgress'>;

export class Toolbox {
  readonly #cacheDirectory: string;
  /** By version, `17.10`. */
  readonly #kept = new Map<string, Tools>();

  constructor(cacheDirectory: string) {
    this.#cacheDirectory = cacheDirectory;
  }

  /** The versions that engines can have without fetching anything. Throws DBP_ENV_NO_PROVIDER when there are none. */
  async atHand(): Promise<{ readonly versions: string[]; readonly user: ServerUser | null }> {
    const [newest, ...others] = await packagesAtHand(this.#cacheDirectory);
    // Throws what says why there is none.
    const { user } = await this.#prepare(newest ?? (await bundledPackage()));
    const versions = [newest, ...others].flatMap((found) => found?.postgres ?? []);
    return { versions: [...new Set(versions)], user };
  }

  /** For `17.9`, or the newest at hand for `17`; fetched when it is not here. Throws as `ensureEngine`. */
  async fetch(wanted: string, { signal, onProgress }: Options): Promise<Tools> {
    const kept = await this.#keptFor(wanted);
    if (kept !== null) return kept;
    const cacheDirectory = this.#cacheDirectory;
    return this.#prepare(await ensureEngine(wanted, { cacheDirectory, signal, onProgress }));
  }

  /**
   * For data that this version has written. When it is gone from the machine and cannot be fetched, a newer minor serves: all
   * minors of one major read the same data (manual, "Upgrading a PostgreSQL Cluster").
   */
  async forData(postgres: string, options: Options): Promise<Tools> {
    try {
      return await this.fetch(postgres, options);
    } catch (error) {
      if (!(error instanceof DbproxyError && OUT_OF_REACH.includes(error.code))) throw error;
      const [major = ''] = postgres.split('.');
      const newer = await findAtHand(major, this.#cacheDirectory);
      if (newer === null || compareVersions(newer.postgres, postgres) < 0) throw error;
      return this.#prepare(newer);
    }
  }

  /** Nothing is fetched; another minor is as good for what is asked of it. Throws when there is none. */
  async here(postgres: string): Promise<Tools> {
    const kept = await this.#keptFor(postgres);
    if (kept !== null) return kept;
    const [major = ''] = postgres.split('.');
    const found =
      (await findAtHand(postgres, this.#cacheDirectory)) ?? (await findAtHand(major, this.#cacheDirectory));
    return this.#prepare(found ?? (await bundledPackage()));
  }

  /** Only an exact version is taken as it was: what is newest may have changed. */
  async #keptFor(wanted: string): Promise<Tools | null> {
    const kept = this.#kept.get(wanted);
    if (kept === undefined) return null;
    const still = await access(kept.binaries.postgres).then(
      () => true,
      () => false,
    );
    return still ? kept : null;
  }

  async #prepare(found: EnginePackage): Promise<Tools> {
    const kept = await this.#keptFor(found.postgres);
    if (kept !== null) return kept;
    const user = await serverUser();
    const tools = { user, binaries: await prepareBinaries(this.#cacheDirectory, user, found) };
    this.#kept.set(found.postgres, tools);
    return tools;
  }
}
