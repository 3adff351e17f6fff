/** One hold attempt: who is held, and how long it may last. What becomes of it is the gate's business. */
import type { Blocker } from './control-api.js';
import type { Refusals } from './refusals.js';
import type { Session } from './session.js';

export type LockWaits = ReadonlyMap<number, readonly number[]>;

export interface Agreed {
  /** Where the decision is (group/decision.ts). */
  readonly path: string;
  readonly unmovable: readonly Blocker[];
  /** Aborted when whoever coordinates has gone. */
  readonly gone: AbortSignal;
}

export interface Hold {
  /** Every session asked to hold, and what becomes of bringing its state over: null, or why it cannot move. */
  readonly sessions: Map<Session, Promise<Blocker | null>>;
  readonly unmovable: 'rollback' | 'drop';
  readonly operation: string;
  /** Would the server let them in again? Asked when it restarts. */
  readonly refusals: Refusals | null;
  /** Sessions whose transaction was canceled, and what it was (`--on-timeout cancel`). */
  readonly canceled: Blocker[];
  readonly timer: NodeJS.Timeout | undefined;
  /** Resolves when the budget is spent. */
  readonly spent: Promise<void>;
  /** Resolves with the time (ms, monotonic). Reads begin then: before, they would take the processor from the transactions that are waited for. */
  readonly everybodyHeld: Promise<number>;
  readonly allAreHeld: () => void;
  /** When everybody is held: resolves when it is known which states are as they were. */
  confirmed: Promise<void>;
  /** Sessions that others wait for: each goes on until the safe point after its next request. */
  readonly stepping: Set<Promise<unknown>>;
  /** Everybody is held: nobody steps any more. */
  complete: boolean;
  /** One of several processes: it is complete when all of them are. */
  readonly together: boolean;
  /** What all of them decide, once this one is prepared for either; null: it is not, or is the only one. */
  agreed: Agreed | null;
  /** Backends that waited for an advisory lock when that was last asked, and for whom. */
  waits: LockWaits;
  /** Backends that hold advisory locks; null: it could not be read. */
  locks: Promise<ReadonlySet<number> | null>;
}

type Asked = Pick<Hold, 'unmovable' | 'operation' | 'refusals' | 'together'> & { readonly budgetMs: number };

/** `onSpent`: its budget is spent. */
export const newHold = ({ budgetMs, ...asked }: Asked, onSpent: () => void): Hold => {
  let timer: NodeJS.Timeout | undefined;
  const spent = new Promise<void>((resolve) => {
    timer = setTimeout(() => {
      resolve();
      onSpent();
    }, budgetMs);
  });
  let allAreHeld = (): void => undefined;
  const everybodyHeld = new Promise<number>((resolve) => (allAreHeld = () => resolve(performance.now())));
  return {
    ...asked,
    ...{ sessions: new Map(), canceled: [], everybodyHeld, allAreHeld, timer, spent },
    locks: Promise.resolve(null),
    confirmed: Promise.resolve(),
    ...{ stepping: new Set(), complete: false, agreed: null, waits: new Map() },
  };
};

/** `--on-timeout cancel` */
export const cancelTransactionsOf = ({ sessions, operation, canceled }: Hold): void => {
  for (const session of sessions.keys()) {
    if (session.held || session.isClosed) continue;
    const reason = session.whyNotSafe();
    if (session.cancelTransaction(operation)) canceled.push({ ...session.ref, kinds: [], reason });
  }
};

/** Clients that have gone in the middle of a statement keep nobody waiting. */
export const endVanished = ({ sessions }: Hold): void => {
  for (const session of sessions.keys()) if (!session.held) session.endIfVanished();
};
