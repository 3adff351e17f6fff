/**
 * Engines: real PostgreSQL servers, made, found and ended. The rest of dbproxy uses what is exported here, and nothing
 * below it; this module knows nothing of proxies, sessions or operations.
 */
export * from './types.js';
export {
  capSize,
  growsTo,
  sizeSettings,
  SIZES,
  thisMachine,
  type CappedSize,
  type Machine,
} from './sizes.js';
export { isSameProcess, processIdentity, signalProcess } from './process-identity.js';
export {
  ADMIN_APPLICATION_NAME,
  adminQuery,
  connectAdmin,
  withAdmin,
  type AdminOptions,
  type AdminQuery,
  type AdminTarget,
} from './admin.js';
export { endClientBackends } from './client-backends.js';
export { flushedPosition, standbyLag, switchPosition, type StandbyLag } from './standby-lag.js';
export { createReplicationSlot, dropReplicationSlot, slotName, unusedSlots } from './replication.js';
export { containerLog, followContainerLog } from './providers/docker/log.js';
export { killContainer } from './providers/docker/kill.js';
export { containerOwners } from './providers/docker/sweep.js';
export { chooseProvider, type ProviderChoice, type Wish } from './choose.js';
export { engineOperations, providerOf, type ProviderOptions } from './operations.js';
export { embeddedProvider, type EmbeddedOptions } from './providers/embedded/index.js';
export {
  addEngine,
  bytesOf,
  ensureEngine,
  findRemains,
  offeredEngines,
  packagesAtHand,
  removeCached,
  removeRemains,
  type AddedEngine,
  type EnginePackage,
  type EnsureOptions,
  type OfferedVersion,
  type Remains,
} from './providers/embedded/versions/index.js';
