/** The words of a switchover: its steps, what it is asked, what it needs, what it answers. Types only. */
import type { EngineOperations, EngineRecord, ProvisionOptions } from '../engine/types.js';
import type { DbproxyError } from '../errors/index.js';
import type { MoveLimits, MoveResult, ProxyApi } from '../proxy/control-api.js';
import type { Rpc } from '../rpc/index.js';
import type { SwitchoverStep } from './steps.js';

export type { SwitchoverStep };

export interface SwitchoverLimits {
  /** Bound of one hold, from asking for it to `commit`, ms. */
  readonly holdBudgetMs: number;
  /** Bound of all hold attempts and the pauses between them, ms. */
  readonly deadlineMs: number;
  readonly onTimeout: 'rollback' | 'cancel';
  /** `wait`: until the session can move, or the deadline. */
  readonly unmovable: 'rollback' | 'wait' | 'drop';
  /** What a session may hold and still be moved; the proxy's own defaults if there are none. */
  readonly sessionLimits?: MoveLimits;
}

/** As much of a plan as it takes to hold everybody. */
export interface DrainPlan {
  /** Id of the operation, `scale-3`: clients whose transaction is cancelled read it. */
  readonly operation: string;
  /** What was typed, without its limits: `scale --to large`. */
  readonly command: string;
  readonly limits: SwitchoverLimits;
}

export interface SwitchoverPlan extends DrainPlan {
  readonly from: EngineRecord;
  readonly target: ProvisionOptions;
}

/** The same server on the same data, with another binary or another size. */
export interface InPlacePlan extends DrainPlan {
  readonly from: EngineRecord;
  readonly to: Pick<EngineRecord, 'size' | 'postgres'> & Partial<Pick<EngineRecord, 'container'>>;
}

/** Where the operation's owner keeps its memory. */
export interface Journal {
  /** Resolves when the step is on disk; the step is done after that. */
  step(step: SwitchoverStep, detail: string): Promise<void>;
  /** The same for steps done while clients are held: resolves at once, the disk follows; recovery looks at what runs. */
  mark(step: SwitchoverStep, detail: string): Promise<void>;
  /** Resolves when every mark so far has been written. */
  settled(): Promise<void>;
  /** A hold attempt failed. */
  attemptFailed(attempt: number, reason: string): void;
  /** The target exists. */
  provisioned(target: EngineRecord): Promise<void>;
  /** In place: this is what is going to be started next. Resolves when that is on disk. */
  starting(engine: EngineRecord): Promise<void>;
  /** The target serves the sessions; the old primary is to be retired. */
  moved(target: EngineRecord): Promise<void>;
}

export interface SwitchoverPorts {
  readonly provider: EngineOperations;
  /** One kept connection: when it ends after `commit`, the proxy takes the promotion into its own hands. */
  readonly proxy: Rpc<ProxyApi>;
  readonly journal: Journal;
  /** Gives up before the point of no return; afterwards it is not looked at. */
  readonly signal: AbortSignal;
}

/** Duration of each step, ms, 0.1 exact. */
export type StepTimes = Record<SwitchoverStep, number>;

/** Sessions whose transaction was canceled (`--on-timeout cancel`), by id, and what it was: `has been in COPY for 2.0 s`. */
export type Canceled = ReadonlyMap<number, string>;

interface Ended {
  readonly phasesMs: StepTimes;
  readonly attempts: number;
  readonly canceled: Canceled;
}

export type SwitchoverResult =
  | (Ended & { readonly outcome: 'completed'; readonly target: EngineRecord; readonly move: MoveResult })
  | (Ended & {
      readonly outcome: 'rolled-back';
      readonly target: EngineRecord | null;
      readonly error: DbproxyError;
      readonly sessions: number;
      /** In place, when sessions had been brought back to the old version: what became of them. */
      readonly move?: MoveResult;
      /** What the roll-back could not undo; reconciliation tries again. */
      readonly leftovers: readonly string[];
    });
