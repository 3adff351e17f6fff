/**
 * The embedded provider: engines are PostgreSQL servers that run as processes of this machine, from the binaries of an npm
 * package. No TCP port; the way in is a Unix socket in a directory that only we can open.
 */
import { DbproxyError } from '../../../errors/index.js';
import { UsageMeter } from '../../process-usage.js';
import type { EngineProvider, EngineRecord, ProvisionOptions } from '../../types.js';
import { prepareBinaries, type Binaries } from './binaries.js';
import { SOCKET_PORT } from './configuration.js';
import { findPostmaster } from './find.js';
import { initialise, SUPERUSER } from './initdb.js';
import { inspectServer } from './inspect.js';
import { dataDirectoryOf, logFileOf, makeDirectories, removeDirectories } from './paths.js';
import { releaseSharedMemory } from './release-memory.js';
import { prepareStart } from './prepare-start.js';
import { serverUser, type ServerUser } from './server-user.js';
import { makeStandby } from './standby.js';
import { askFacts, startServer } from './start.js';
import { stopServer } from './stop.js';
import { yieldProcessor } from './yield-processor.js';

export interface EmbeddedOptions {
  /** For a copy of the binaries, where the installed ones cannot be used as they are. */
  readonly cacheDirectory: string;
}

interface Tools {
  readonly binaries: Binaries;
  readonly user: ServerUser | null;
}

export function embeddedProvider({ cacheDirectory }: EmbeddedOptions): EngineProvider {
  const meter = new UsageMeter();
  let ready: Promise<Tools> | undefined;
  const tools = (): Promise<Tools> => {
    // A failure is not kept: what was missing may be there at the next try.
    ready ??= findTools(cacheDirectory).catch((error: unknown) => {
      ready = undefined;
      throw error;
    });
    return ready;
  };

  const provider: EngineProvider = {
    kind: 'embedded',

    async available() {
      try {
        const { binaries, user } = await tools();
        const as = user === null ? '' : `, engines run as user ${user.name}`;
        return { ok: true, detail: `PostgreSQL ${binaries.version}${as}`, versions: [binaries.version] };
      } catch (error) {
        return { ok: false, reason: (error as Error).message };
      }
    },

    async create(options) {
      const { binaries, user } = await tools();
      requireVersion(options.postgres, binaries);
      await makeDirectories(options, user);
      try {
        options.onProgress?.({ step: 'initdb' });
        await initialise(options, binaries, user);
        options.onProgress?.({ step: 'start' });
        const draft = draftRecord(options, 'primary', binaries);
        return { ...draft, ...(await startServer(draft, binaries, user, options.signal)) };
      } catch (error) {
        await discard(options, { binaries, user });
        throw error;
      }
    },

    async createStandby(primary, options) {
      const { binaries, user } = await tools();
      requireVersion(options.postgres, binaries);
      await makeDirectories(options, user);
      try {
        const draft = draftRecord(options, 'standby', binaries);
        return { ...draft, ...(await makeStandby(primary, draft, options, binaries, user)) };
      } catch (error) {
        await discard(options, { binaries, user });
        throw error;
      }
    },

    async start(engine, options = {}) {
      const { binaries, user } = await tools();
      const running = findPostmaster(engine);
      if (running !== null) return { ...engine, ...(await askFacts(engine)), process: running };
      options.onProgress?.({ step: 'start' });
      await prepareStart(engine, user);
      return { ...engine, ...(await startServer(engine, binaries, user, options.signal)) };
    },

    inspect: inspectServer,
    stop: stopServer,

    async remove(engine) {
      await stopServer(engine, 'immediate');
      // Without binaries there is nothing to release it with, and the rest is still to be removed.
      const found = await tools().catch(() => null);
      await discard(directoriesOf(engine), found);
    },

    yieldProcessor(engine) {
      if (engine.process !== null) yieldProcessor(engine.process);
    },

    usage(engine) {
      const postmaster = findPostmaster(engine);
      return Promise.resolve(postmaster === null ? null : meter.usage(postmaster));
    },
  };
  return provider;
}

/** Removes what an engine that no longer runs has left. */
async function discard(
  directories: Pick<ProvisionOptions, 'directory' | 'socketDirectory'>,
  tools: Tools | null,
): Promise<void> {
  if (tools !== null) await releaseSharedMemory(dataDirectoryOf(directories), tools.binaries, tools.user);
  await removeDirectories(directories);
}

async function findTools(cacheDirectory: string): Promise<Tools> {
  const user = await serverUser();
  return { user, binaries: await prepareBinaries(cacheDirectory, user) };
}

function requireVersion(wanted: string, { version }: Binaries): void {
  if (version === wanted || version.startsWith(`${wanted}.`)) return;
  throw new DbproxyError('DBP_USAGE_UNKNOWN_VERSION', { version: wanted, versions: version, first: version });
}

/** The record as it will be, but for what only the running server can tell. */
function draftRecord(
  options: ProvisionOptions,
  role: 'primary' | 'standby',
  binaries: Binaries,
): EngineRecord {
  return {
    id: options.id,
    provider: 'embedded',
    role,
    size: options.size,
    postgres: binaries.version,
    access: { kind: 'socket', directory: options.socketDirectory, port: SOCKET_PORT },
    superuser: SUPERUSER,
    directory: options.directory,
    logFile: logFileOf(options),
    systemIdentifier: '',
    process: null,
  };
}

function directoriesOf(engine: EngineRecord): { directory: string; socketDirectory: string } {
  if (engine.access.kind !== 'socket') throw new Error('an embedded engine has no TCP port');
  return { directory: engine.directory, socketDirectory: engine.access.directory };
}
