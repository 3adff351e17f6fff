/**
 * `playground.start`: an instance for the program that calls it, most often a test. It has a name and a port of its own,
 * lives beside others, and goes when it is stopped or when that program has ended, however it ended.
 */
import { randomBytes, randomInt } from 'node:crypto';
import type { UpResult } from '../control/api.js';
import {
  removeAbandoned,
  startInstance,
  stopInstance,
  UP_DEFAULTS,
  type StepProgress,
  type UpRequest,
} from '../control/client.js';
import { findFreePort } from '../control/port-holder.js';
import { selfIdentity } from '../control/processes.js';
import { DbproxyError } from '../errors/index.js';
import { Playground } from './playground.js';

/** Everything has a default: PostgreSQL 17, size `small`, on 127.0.0.1. */
export interface StartOptions extends Omit<UpRequest, 'name' | 'port' | 'owner'> {
  /** For the eye, and for `dbproxy status --name …` while it runs; `test-` and six characters without it. */
  readonly name?: string | undefined;
  /** A free one without it. */
  readonly port?: number | undefined;
  /** What is being done: fetching a version, starting an engine. */
  readonly onProgress?: ((progress: StepProgress) => void) | undefined;
}

/** Free ports are looked for from here on: below those that systems give to outgoing connections (32768, 49152). */
const FIRST_PORT = 20_000;
const PORTS = 10_000;
/** Somebody else may take a port between the look and the start. */
const PORTS_TO_TRY = 5;

/**
 * Resolves when a query through the proxy was answered. Throws DbproxyError: DBP_INSTANCE_EXISTS, DBP_ENV_PORT_TAKEN,
 * DBP_USAGE_UNKNOWN_VERSION, DBP_ENV_REGISTRY and what else stops `dbproxy up`; nothing is left then.
 */
export async function start({ onProgress, name, ...options }: StartOptions = {}): Promise<Playground> {
  await removeAbandoned();
  const request = {
    ...options,
    name: name ?? `test-${randomBytes(3).toString('hex')}`,
    owner: selfIdentity(),
  };
  try {
    return new Playground(await onSomePort(request, onProgress));
  } catch (error) {
    const isAnothers = error instanceof DbproxyError && error.code === 'DBP_INSTANCE_EXISTS';
    // The reason of the failure is what counts; what cannot be removed now goes with this process.
    if (!isAnothers) await stopInstance(request.name, { purge: true }).catch(() => undefined);
    throw error;
  }
}

async function onSomePort(request: UpRequest, onProgress: StartOptions['onProgress']): Promise<UpResult> {
  if (request.port !== undefined) return startInstance(request, onProgress);
  const host = request.host ?? UP_DEFAULTS.host;
  for (let attempt = 1; ; attempt++) {
    const port = await findFreePort(host, FIRST_PORT + randomInt(PORTS));
    try {
      return await startInstance({ ...request, port: port === 0 ? UP_DEFAULTS.port : port }, onProgress);
    } catch (error) {
      const taken = error instanceof DbproxyError && error.code === 'DBP_ENV_PORT_TAKEN';
      if (!taken || attempt === PORTS_TO_TRY) throw error;
    }
  }
}
