/** A writer at work, as a library: what its proxy starts, and brings its sessions to. */
export type * from './config.js';
export type { Connect } from './engine-link.js';
export type { ReadDemand } from './reads.js';
export { WriterService } from './service.js';
export { type Participant, type RefusedCommit, Transaction, type Verdict } from './transaction.js';
