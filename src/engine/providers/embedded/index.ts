/**
 * The embedded provider: engines are PostgreSQL servers that run as processes of this machine, from the binaries of an npm
 * package. No TCP port; the way in is a Unix socket in a directory that only we can open.
 */
import { DbproxyError } from '../../../errors/index.js';
import { POSTGRES_PORT, SUPERUSER } from '../../configuration.js';
import { askFacts } from '../../facts.js';
import { pendingSettings } from '../../pending-restart.js';
import { isSameProcess } from '../../process-identity.js';
import { UsageMeter } from '../../process-usage.js';
import type { EngineProvider, EngineRecord, ProvisionOptions } from '../../types.js';
import { findPostmaster } from './find.js';
import { initialise } from './initdb.js';
import { inspectServer } from './inspect.js';
import { dataDirectoryOf, logFileOf, makeDirectories, removeDirectories } from './paths.js';
import { releaseSharedMemory } from './release-memory.js';
import { prepareStart } from './prepare-start.js';
import { afterPromotion, commitWith, resize } from './rewrite-configuration.js';
import { makeStandby } from './standby.js';
import { startServer } from './start.js';
import { stopServer } from './stop.js';
import { Toolbox, type Tools } from './tools.js';
import { walAfter } from './wal-tail.js';
import { yieldProcessor } from './yield-processor.js';

export interface EmbeddedOptions {
  /** For versions that are fetched, and for a copy of the installed one where it cannot be used as it is. */
  readonly cacheDirectory: string;
}

export function embeddedProvider({ cacheDirectory }: EmbeddedOptions): EngineProvider {
  const meter = new UsageMeter();
  const toolbox = new Toolbox(cacheDirectory);

  const provider: EngineProvider = {
    kind: 'embedded',

    async available() {
      try {
        const { versions, user } = await toolbox.atHand();
        return { ok: true, detail: user === null ? '' : `engines run as user ${user.name}`, versions };
      } catch (error) {
        // Without the words that every DBP_ENV_NO_PROVIDER begins with: whoever asks says them again.
        const { message, details } = DbproxyError.from(error);
        return { ok: false, reason: String(details.reason ?? message) };
      }
    },

    async create(options) {
      const { binaries, user } = await toolbox.fetch(options.postgres, options);
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
      const { binaries, user } = await toolbox.fetch(options.postgres, options);
      await makeDirectories(options, user);
      try {
        const draft = draftRecord(options, 'standby', binaries);
        return { ...draft, ...(await makeStandby(primary, draft, options, binaries, user)) };
      } catch (error) {
        await discard(options, { binaries, user });
        throw error;
      }
    },

    async resolve({ postgres }, options = {}) {
      const { binaries } = await toolbox.fetch(postgres, options);
      return { postgres: binaries.version };
    },

    async prepare({ postgres }, options = {}) {
      await toolbox.forData(postgres, options);
    },

    async start(engine, options = {}) {
      const running = findPostmaster(engine);
      if (running !== null) return { ...engine, ...(await askFacts(engine)), process: running };
      const { binaries, user } = await toolbox.forData(engine.postgres, options);
      options.onProgress?.({ step: 'start' });
      await prepareStart(engine, user);
      return {
        ...engine,
        ...(await startServer(engine, binaries, user, options.signal, options.readyWithinMs)),
      };
    },

    inspect: inspectServer,
    stop: stopServer,
    afterPromotion,
    resize,
    commitWith,
    pendingRestart: pendingSettings,

    isRunning({ process }) {
      return Promise.resolve(process !== null && isSameProcess(process));
    },

    /** Its engines are found by their directories, all of them. */
    sweep() {
      return Promise.resolve([]);
    },

    async remove(engine) {
      await stopServer(engine, 'immediate');
      // Without binaries there is nothing to release it with, and the rest is still to be removed.
      const found = await toolbox.here(engine.postgres).catch(() => null);
      await discard(directoriesOf(engine), found);
    },

    walAfter(engine, position) {
      return walAfter(dataDirectoryOf(engine), position).catch(() => null);
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

/** The record as it will be, but for what only the running server can tell. */
function draftRecord(
  options: ProvisionOptions,
  role: 'primary' | 'standby',
  binaries: Tools['binaries'],
): EngineRecord {
  return {
    id: options.id,
    provider: 'embedded',
    role,
    size: options.size,
    postgres: binaries.version,
    access: { kind: 'socket', directory: options.socketDirectory, port: POSTGRES_PORT },
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
