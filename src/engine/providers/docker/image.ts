/** The image of an engine: what it is called, that it is here, and which PostgreSQL is in it. */
import { DbproxyError } from '../../../errors/index.js';
import type { EngineProgress, EngineSource } from '../../types.js';
import { throwIfAborted, waitFor } from '../../wait.js';
import { recallFacts, rememberFacts, type ImageFacts } from './image-facts.js';
import { labelsOf, type Owner, type OwnerWithCache } from './naming.js';
import { answered, ifThere, statusOf, type Dockerode, type Runtime } from './runtime.js';

const OFFICIAL = 'postgres';
const PROBE_BOUND_MS = 60_000;

/** `pgvector/pgvector:pg17` as it is; `registry.example/postgres`, or nothing, with the version as its tag. */
export function imageName({ image = OFFICIAL, postgres }: EngineSource): string {
  const lastPart = image.slice(image.lastIndexOf('/') + 1);
  return /[:@]/.test(lastPart) ? image : `${image}:${postgres}`;
}

/** An image, as far as it matters to us. */
export interface Image extends ImageFacts {
  readonly name: string;
  readonly id: string;
  readonly entrypoint: readonly string[];
}

type Options = {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: EngineProgress) => void) | undefined;
};

/** What each image holds does not change: by its id. */
const probed = new Map<string, Promise<Omit<Image, 'name'>>>();

/**
 * The image, pulled when it is not here. `id`: that very image, as long as it is here, whatever its name means today.
 * Throws DBP_ENV_IMAGE, DBP_USAGE_IMAGE.
 */
export async function ensureImage(
  runtime: Runtime,
  owner: OwnerWithCache,
  name: string,
  { signal, onProgress, id }: Options & { readonly id?: string | undefined } = {},
): Promise<Image> {
  const { docker } = runtime;
  const inspect = (reference: string) => ifThere(docker.getImage(reference).inspect());
  const here = (id === undefined ? undefined : await inspect(id)) ?? (await inspect(name));
  if (here === undefined) await pull(runtime, name, { signal, onProgress });
  const found = here ?? (await inspect(name));
  if (found === undefined)
    throw new DbproxyError('DBP_ENV_IMAGE', { image: name, reason: 'it is not there' });
  const entrypoint = [found.Config.Entrypoint ?? []].flat();
  let known = probed.get(found.Id);
  if (known === undefined) {
    known = factsOf(docker, owner, name, found.Id).then((facts) => ({ ...facts, id: found.Id, entrypoint }));
    probed.set(found.Id, known);
    known.catch(() => probed.delete(found.Id));
  }
  return { ...(await known), name };
}

/** Is it here? Nothing is pulled. */
export const hasImage = async ({ docker }: Runtime, name: string): Promise<boolean> =>
  (await ifThere(docker.getImage(name).inspect())) !== undefined;

interface PullEvent {
  readonly id?: string;
  readonly status?: string;
  readonly error?: string;
  readonly progressDetail?: { readonly current?: number; readonly total?: number };
}

async function pull(
  { client, docker }: Runtime,
  name: string,
  { signal, onProgress }: Options,
): Promise<void> {
  onProgress?.({ step: 'pull', detail: name });
  try {
    const authconfig = await registryLogin(name, client.info.containerRuntime.indexServerAddress);
    const stream = await docker.pull(name, authconfig === undefined ? {} : { authconfig });
    await followPull(docker, stream, {
      signal,
      onProgress: (fraction) => onProgress?.({ step: 'pull', detail: name, fraction }),
    });
  } catch (cause) {
    throwIfAborted(signal);
    const reason = (cause as Error).message;
    throw new DbproxyError('DBP_ENV_IMAGE', { image: name, reason }, { cause });
  }
}

/** As `docker login` left it. */
async function registryLogin(name: string, indexServer: string): Promise<object | undefined> {
  const { getAuthConfig, ImageName } = await import('testcontainers/build/container-runtime/index.js');
  return getAuthConfig(ImageName.fromString(name).registry ?? indexServer);
}

/** The stream says in its lines that a pull failed; it just ends. */
function followPull(
  docker: Dockerode,
  stream: NodeJS.ReadableStream,
  { signal, onProgress }: { signal: AbortSignal | undefined; onProgress: (fraction: number) => void },
): Promise<void> {
  const layers = new Map<string, { current: number; total: number }>();
  const stop = (): void =>
    void (stream as NodeJS.ReadableStream & { destroy(error: Error): void }).destroy(new Error('given up'));
  signal?.addEventListener('abort', stop);
  return new Promise<void>((resolve, reject) => {
    docker.modem.followProgress(
      stream,
      (error) => (error ? reject(error) : resolve()),
      ({ id, error, status, progressDetail }: PullEvent) => {
        if (error !== undefined) reject(new Error(error));
        if (id === undefined || status !== 'Downloading') return;
        const { current = 0, total = 0 } = progressDetail ?? {};
        layers.set(id, { current, total });
        const sum = (of: 'current' | 'total'): number =>
          [...layers.values()].reduce((all, layer) => all + layer[of], 0);
        if (sum('total') > 0) onProgress(sum('current') / sum('total'));
      },
    );
  }).finally(() => signal?.removeEventListener('abort', stop));
}

async function factsOf(
  docker: Dockerode,
  owner: OwnerWithCache,
  name: string,
  id: string,
): Promise<ImageFacts> {
  const { cacheDirectory } = owner;
  const recalled = await recallFacts(cacheDirectory, id);
  if (recalled) return recalled;
  const look = (): Promise<ImageFacts> => probe(docker, owner, name, id);
  // A runtime under load fails to start a container that it starts a moment later.
  const facts = await look()
    .catch((error: unknown) => {
      if ((statusOf(error) ?? 0) < 500) throw error;
      return look();
    })
    .catch((error: unknown) => {
      throw statusOf(error) === null ? error : unfit(name, (error as Error).message, error);
    });
  await rememberFacts(cacheDirectory, id, facts);
  return facts;
}

const unfit = (image: string, reason: string, cause?: unknown): DbproxyError =>
  new DbproxyError('DBP_USAGE_IMAGE', { image, reason }, { cause });

const LAST_WORD = 'dbproxy: that is all';

/** The entrypoint of the official image runs what is not `postgres` as it is. */
const PROBE = [
  'sh',
  '-c',
  `postgres --version; command -v pg_basebackup; postgres --describe-config | grep ^unix_socket_directories; echo '${LAST_WORD}'`,
];

/** How long what a container said may come behind its end: a runtime under load marks it as ended with its log not yet written. */
const LOG_BOUND_MS = 5_000;

/** Throws, beside our own errors, refusals of the runtime as they are. */
async function probe(docker: Dockerode, owner: Owner, name: string, id: string): Promise<ImageFacts> {
  const container = await answered(
    docker.createContainer({
      ...{ Image: id, Cmd: PROBE, Tty: true, Labels: labelsOf(owner, 'probe') },
      HostConfig: { NetworkMode: 'none' },
    }),
  );
  try {
    await answered(container.start());
    await answered(container.wait(), PROBE_BOUND_MS);
    let said = '';
    await waitFor(
      async () => {
        said = (await answered(container.logs({ stdout: true, stderr: true }))).toString('utf8');
        return said.includes(LAST_WORD) || undefined;
      },
      { boundMs: LOG_BOUND_MS, everyMs: 50 },
    );
    const [, postgres] = /^postgres \(PostgreSQL\) (\d+\.\d+)/m.exec(said) ?? [];
    if (postgres === undefined || !said.includes(LAST_WORD))
      throw unfit(name, said.trim().slice(0, 300) || 'it has no server that says its version');
    // Name, context, group, type, value (guc.c, printMixedStruct).
    const [, socketDirectories = ''] =
      /^unix_socket_directories(?:\t[^\t]*){3}\t(\/[^\t]*)/m.exec(said) ?? [];
    return { postgres, hasBaseBackup: /^\/.*pg_basebackup\s*$/m.test(said), socketDirectories };
  } finally {
    await container.remove({ force: true, v: true }).catch(() => undefined);
  }
}

export const majorOf = (version: string): string => version.split('.')[0] ?? '';

/** `latest` is a tag, and no version: nothing is pulled for it. Throws DBP_USAGE_UNKNOWN_VERSION. */
export function assertIsVersion(wanted: string): void {
  if (/^\d+(\.\d+)?$/.test(wanted)) return;
  const nearest = /^\d+/.exec(wanted)?.[0] ?? '17';
  throw new DbproxyError('DBP_USAGE_UNKNOWN_VERSION', {
    ...{ version: wanted, nearest, first: nearest, verb: 'up --postgres' },
  });
}

/** `17` and `17.10` ask for what they say. Throws DBP_USAGE_IMAGE_VERSION. */
export function assertVersion({ name, postgres }: Image, wanted: string): void {
  if (`${postgres}.`.startsWith(`${wanted}.`)) return;
  throw new DbproxyError('DBP_USAGE_IMAGE_VERSION', { image: name, found: postgres, wanted });
}

/** Data is of one major. Throws DBP_USAGE_IMAGE_VERSION. */
export const assertMajor = (image: Image, postgres: string): void => assertVersion(image, majorOf(postgres));
