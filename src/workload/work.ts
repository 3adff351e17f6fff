/**
 * What a client of the load does again and again: a script, or a probe. It is opened once on every new connection, and
 * what that gives runs one transaction at a time.
 */
import type { LoadConnection } from './connection.js';
import type { Random } from './random.js';
import type { CallError } from './taxonomy.js';
import type { Protocol } from './types.js';

export interface Work {
  /** As the result names it: `tpcb-like`, `reads.sql`. */
  readonly name: string;
  readonly weight: number;
  /** What a committed transaction leaves in pgbench's tables: a line in all four, in accounts and history, or nothing. */
  readonly ledger: 'all' | 'accounts' | 'none';
  /** `none` is a promise, not ignorance: what others say about the ledger stays true beside it. */
  readonly sparesLedger: boolean;
  readonly needsPgbenchTables: boolean;
  /** Throws what makes it impossible to run this work on that database. */
  open(connection: LoadConnection, context: WorkContext): Promise<Runner>;
}

export interface WorkContext {
  readonly clientId: number;
  readonly scale: number;
  readonly seed: number;
  readonly protocol: Protocol;
  readonly random: Random;
  /** Ends the whole run: not the database is at fault, but the work. */
  readonly giveUp: (error: unknown) => void;
}

export interface Runner {
  /** Tries one transaction. `done` is called once, and never from within `run`. */
  run(done: Done): void;
  /** After an error that left the connection alive. */
  readonly rollsBack: boolean;
}

/** Nothing: committed. */
export type Done = (error?: CallError) => void;
