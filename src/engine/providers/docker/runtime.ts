/**
 * The container runtime of this machine: Docker, Podman, Colima, Rancher, as testcontainers finds them. Loaded when it is first
 * needed: it is most of a second, and an embedded instance never asks.
 *
 * Only its client is used, not its GenericContainer: that publishes ports on every address of the machine, waits ten seconds for
 * the ports of a container that has ended, and removes it with its log.
 */
import type { ContainerRuntimeClient } from 'testcontainers';
import { DbproxyError } from '../../../errors/index.js';
import type { Machine } from '../../sizes.js';

export type Dockerode = ContainerRuntimeClient['container']['dockerode'];
export type Container = ReturnType<Dockerode['getContainer']>;

export interface Runtime {
  readonly client: ContainerRuntimeClient;
  readonly docker: Dockerode;
  /** What containers run on: on a Mac that is a virtual machine. */
  readonly machine: Machine;
  /** For people: `Docker 28.2 (Debian GNU/Linux 12)`. */
  readonly name: string;
}

const ANSWER_BOUND_MS = 30_000;

let found: Promise<Runtime> | null = null;

/** Throws DBP_ENV_DOCKER when none answers, or when it is another machine's. */
export function containerRuntime(): Promise<Runtime> {
  found ??= find();
  found.catch(() => (found = null));
  return found;
}

/** Where ports are published. */
export const HOST = '127.0.0.1';

async function find(): Promise<Runtime> {
  // Told, so that it does not start a container to find out when we run in one ourselves.
  process.env['TESTCONTAINERS_HOST_OVERRIDE'] ??= HOST;
  // Not the package's own entry, which loads much more. The version is pinned.
  const { getContainerRuntimeClient } = await import('testcontainers/build/container-runtime/index.js');
  const client = await answered(getContainerRuntimeClient());
  const { serverVersion, operatingSystem, cpus, memory } = client.info.containerRuntime;
  const docker = client.container.dockerode;
  refuseRemote(docker);
  return {
    ...{ client, docker, machine: { cpus, memoryBytes: memory } },
    name: `container runtime ${serverVersion} (${operatingSystem})`,
  };
}

/** Ports are published on loopback, which is the runtime's own: engines of another machine could not be reached. */
function refuseRemote({ modem }: Dockerode): void {
  const { host, socketPath } = modem as { host?: string; socketPath?: string };
  if (socketPath !== undefined || host === undefined || /^(localhost|127\.|::1|\[::1\])/.test(host)) return;
  throw new DbproxyError('DBP_ENV_DOCKER', { reason: `${host} is another machine` });
}

/** What the runtime answers, or DBP_ENV_DOCKER. Its own refusals (a status code) pass as they are. */
export async function answered<T>(work: Promise<T>, boundMs = ANSWER_BOUND_MS): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`no answer within ${boundMs} ms`)), boundMs);
  });
  try {
    return await Promise.race([work, late]);
  } catch (cause) {
    if (statusOf(cause) !== null || cause instanceof DbproxyError) throw cause;
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DbproxyError('DBP_ENV_DOCKER', { reason }, { cause });
  } finally {
    clearTimeout(timer);
  }
}

/** The status code of a refusal: 404 there is no such thing, 409 it is in use, 304 it is so already. */
export function statusOf(error: unknown): number | null {
  const { statusCode } = error as { statusCode?: unknown };
  return typeof statusCode === 'number' ? statusCode : null;
}

/** Undefined where the runtime says that there is no such thing. */
export async function ifThere<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await answered(work);
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}
