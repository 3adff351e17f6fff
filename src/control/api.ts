/**
 * What the supervisor can be asked (types only). The CLI, the terminal UI and the tests talk to it through `client.ts`.
 * The shapes named `dbproxy.*` are the JSON contract of the command line: their names do not change.
 */
import type { EngineRole, PendingRestart, ProcessIdentity, ProviderKind, SizeName } from '../engine/types.js';
import type { ErrorJson } from '../errors/index.js';
import type { AutoscalePolicy, AutoscaleResult, AutoscaleSummary } from './autoscale/types.js';
import type { SwitchoverStep } from '../switchover/steps.js';
import type { JudgedTransaction, Verdict } from './multiwriter/verdicts.js';
import type { Policy, Quorums } from '../multiwriter/protocol/index.js';
import type {
  HeldItem,
  HoldTimes,
  MoveLimits,
  SessionLoss,
  SessionMoveNote,
  SessionReport,
  SessionSnapshot,
  StateMoved,
  TraceLine,
} from '../proxy/control-api.js';

export type { PendingRestart };
export type {
  AutoscalePolicy,
  AutoscaleResult,
  JudgedTransaction,
  MoveLimits,
  SessionLoss,
  TraceLine,
  Verdict,
};

export type InstanceState = 'starting' | 'running' | 'operating' | 'degraded' | 'stopping' | 'stopped';

export interface EngineSummary {
  readonly id: string;
  readonly role: EngineRole;
  readonly size: SizeName;
  readonly postgres: string;
  readonly provider: ProviderKind;
  /** Of an embedded engine's postmaster. */
  readonly pid: number | null;
  /** Name of the container, where the engine is one. */
  readonly container: string | null;
}

export interface EngineStatus extends EngineSummary {
  readonly state: 'running' | 'unresponsive' | 'stopped';
  readonly cpuPercent: number | null;
  readonly memoryBytes: number | null;
  readonly connections: number | null;
  /** Transactions per second since the last look. */
  readonly tps: number | null;
}

/** One writer: an engine with a proxy before it, and a port of its own. */
export interface WriterSummary {
  /** `w1` is the instance itself. */
  readonly id: string;
  /** By this name `scale`, `patch` and all the others know it: `shop`, `shop.w2`. */
  readonly instance: string;
  readonly url: string;
  readonly port: number;
}

export interface WriterStatus extends WriterSummary {
  readonly state: InstanceState;
  /** Why it has stopped by itself (`diverged: …`; `up` builds it again); null: it has not. */
  readonly reason: string | null;
  /** It is the primary: it decides where transactions collide. */
  readonly leads: boolean;
  /** The process of its proxy, and the engine that serves it now; null: there is none. */
  readonly proxyPid: number | null;
  readonly engine: string | null;
}

/** A storage node as it is now. */
export interface StorageNodeStatus {
  readonly id: string;
  readonly pid: number | null;
  readonly state: 'in-service' | 'checking' | 'out-of-service' | 'stopped';
  /** Why it is not in service; null: it is. */
  readonly reason: string | null;
  readonly logBytes: number | null;
  /** Records ever written, and how often they were forced to disk. */
  readonly position: number | null;
  readonly syncs: number | null;
  readonly undecided: number | null;
  /** The epoch it has promised. */
  readonly epoch: number | null;
  /** Votes are held back for so long, for a demonstration; null: they are not. */
  readonly delayMs: number | null;
}

/** Of an instance with several writers. */
export interface StoreStatus {
  /** URL without a password; null: the log is kept by storage nodes. On etcd `nodes` are the members of its cluster. */
  readonly etcd: string | null;
  readonly quorums: Quorums;
  readonly policy: Policy;
  /** The last epoch that was given out. */
  readonly epoch: number;
  readonly nodes: readonly StorageNodeStatus[];
}

export type StandbyMode = 'async' | 'sync';

/** The standby of `up --standby`. */
export interface StandbyStatus {
  /** Null: there is none at the moment. */
  readonly engine: string | null;
  readonly mode: StandbyMode;
  readonly state: 'streaming' | 'catching-up' | 'missing';
  /** Every commit that was acknowledged is on its disk, too: nothing is lost when it takes over. */
  readonly synchronous: boolean;
  /** What the primary has written and the standby has not: what is lost when it takes over now. Null: not known. */
  readonly lagBytes: number | null;
  /** How long the standby took to have the last write on its disk, ms; null: not known, or nothing was written of late. */
  readonly lagMs: number | null;
}

/** `dbproxy.failover/1`: in the event `failover.completed`. */
export interface FailoverRecord {
  readonly schema: 'dbproxy.failover/1';
  /** `failover-3` */
  readonly operation: string;
  readonly from: string;
  readonly to: string;
  /** `sync`: the standby had every commit that was acknowledged. */
  readonly mode: StandbyMode;
  /**
   * WAL that the old primary had written and the standby did not have, bytes: a bound of what is lost. With `sync` it holds nothing
   * that was acknowledged. 0: nothing is lost. Null: it cannot be told.
   */
  readonly lostBytes: number | null;
  /** Directory of the old primary, where something is lost: nobody else has that. Removed by the next `down`. */
  readonly kept: string | null;
  readonly sessions: {
    readonly total: number;
    readonly moved: number;
    readonly failed: readonly { readonly id: number; readonly reason: string }[];
  };
  /** What was not restored, by session. */
  readonly lost: readonly SessionLoss[];
  /** From the loss of its engine until the session went on. */
  readonly holdMs: HoldTimes;
  readonly phasesMs: { readonly fence: number; readonly promote: number; readonly move: number };
}

/** `dbproxy.up/1` */
export interface UpResult {
  readonly schema: 'dbproxy.up/1';
  readonly instance: string;
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly provider: ProviderKind;
  readonly providerReason: string;
  readonly dataDir: string;
  /** Directory of the clients' Unix socket. */
  readonly socketDir: string;
  readonly tls: 'off' | TlsSpec['mode'];
  readonly alreadyRunning: boolean;
  readonly engines: readonly EngineSummary[];
  readonly writers: readonly WriterSummary[];
  readonly proxy: {
    readonly pid: number;
    readonly version: string;
    /** Of several processes: all of them. */
    readonly pids?: readonly number[];
  };
  readonly readyMs: number;
}

export interface OperationProgress {
  readonly id: string;
  /** `scale`, `patch`. */
  readonly operation: string;
  /** `provision`, `warm`, `drain`, `fence`, `catchup`, `promote`, `move`, `retire`. */
  readonly step: string;
  readonly detail: string;
  readonly startedAt: string;
  readonly attempt: number;
}

export interface SessionStatus extends Omit<SessionSnapshot, 'unasked'> {
  /** The statement it runs or ran last, from the engine (pg_stat_activity); null if unknown, as after a look. */
  readonly query: string | null;
}

/** One of the processes that serve an instance's port. */
export interface ProxyProcessStatus {
  readonly pid: number;
  readonly version: string;
  readonly generation: number;
  readonly sessions: number;
  readonly held: number;
}

/** `dbproxy.status/1` */
export interface StatusResult {
  readonly schema: 'dbproxy.status/1';
  readonly instance: string;
  readonly state: InstanceState;
  readonly url: string;
  readonly engines: readonly EngineStatus[];
  readonly proxy: {
    readonly pid: number;
    readonly version: string;
    readonly generation: number;
    readonly sessions: number;
    readonly held: number;
    /** Of several: each of them, in their order. */
    readonly processes?: readonly ProxyProcessStatus[];
  } | null;
  readonly supervisor: { readonly pid: number };
  readonly sessions: readonly SessionStatus[];
  readonly operation: OperationProgress | null;
  readonly autoscale: AutoscaleSummary | null;
  /** Null: none is wanted. */
  readonly standby: StandbyStatus | null;
  /** Several of them, or the only one. */
  readonly writers: readonly WriterStatus[];
  /** Null: there is one writer, or this is a further one. */
  readonly store: StoreStatus | null;
  /** What the supervisor repaired when it last reconciled; empty if nothing. */
  readonly repaired: readonly string[];
}

/** `dbproxy.sessions/1` */
export interface SessionsResult {
  readonly schema: 'dbproxy.sessions/1';
  readonly instance: string;
  readonly sessions: readonly SessionStatus[];
}

/** A lock of a session's backend, as pg_locks has it. */
export interface SessionLock {
  readonly mode: string;
  /** The relation's name, or what else is locked: `advisory`, `transactionid`. */
  readonly on: string;
  readonly granted: boolean;
}

/** `dbproxy.session/1`: one session, as deep as it goes. */
export interface SessionResult {
  readonly schema: 'dbproxy.session/1';
  readonly instance: string;
  readonly session: SessionStatus;
  /** What its backend waits for (`Lock: transactionid`), and since when its transaction is open; null: it does not, it is not. */
  readonly waitsFor: string | null;
  readonly transactionMs: number | null;
  /** Can it move as it is now, at what cost? */
  readonly report: SessionReport;
  /** Everything it holds as of the last look. `bytes`: of a temporary table, on disk. */
  readonly holds: readonly (Omit<HeldItem, 'oid'> & { readonly bytes: number | null })[];
  readonly locks: readonly SessionLock[];
  /** Its last moves, oldest first. */
  readonly moves: readonly SessionMoveNote[];
}

/** `dbproxy.check/1` */
export interface CheckResult {
  readonly schema: 'dbproxy.check/1';
  readonly instance: string;
  readonly movable: boolean;
  readonly sessions: readonly SessionReport[];
}

/** `dbproxy.down/1` */
export interface DownResult {
  readonly schema: 'dbproxy.down/1';
  readonly instance: string;
  readonly wasRunning: boolean;
  readonly purged: boolean;
  /** What was ended: `proxy 123`, `engine e1 (124)`, `supervisor 125`. */
  readonly stopped: readonly string[];
}

export interface PhasesMs {
  readonly provision: number;
  readonly warm: number;
  readonly drain: number;
  readonly fence: number;
  readonly catchup: number;
  readonly promote: number;
  readonly move: number;
  readonly retire: number;
}

export interface MoveEnd {
  readonly engine: string;
  readonly provider: ProviderKind;
  readonly size: SizeName;
  readonly postgres: string;
}

/** `dbproxy.move/1`: the record of one switchover. */
export interface MoveRecord {
  readonly schema: 'dbproxy.move/1';
  /** Id of the operation, `scale-3`. */
  readonly operation: string;
  readonly outcome: 'completed' | 'rolled-back';
  readonly strategy: MoveStrategy;
  readonly from: MoveEnd;
  readonly to: MoveEnd;
  readonly sessions: {
    readonly total: number;
    readonly moved: number;
    readonly kept: number;
    readonly failed: readonly { readonly id: number; readonly reason: string }[];
    readonly dropped: number;
    /** Whose transaction was canceled with 40001 (`--on-timeout cancel`), and what it was; absent: nobody's. */
    readonly canceled?: readonly { readonly id: number; readonly reason: string }[];
  };
  readonly holdMs: HoldTimes;
  readonly phasesMs: PhasesMs;
  readonly attempts: number;
  readonly stateMoved: StateMoved;
  /** What moved sessions have lost, or may have lost: nobody can read it, or the new engine does not know it. */
  readonly lost: readonly SessionLoss[];
  /** After a resize: what the engine has of its new size only when it is started again; a move brings it, too. */
  readonly pendingRestart: readonly PendingRestart[];
  readonly startedAt: string;
  readonly totalMs: number;
  /** Why it was rolled back, and what to do next: an error of the catalogue; null when completed. */
  readonly error: Omit<ErrorJson, 'schema'> | null;
}

/** What bounds an operation that moves sessions. */
export interface MoveParams {
  /** Bound of one hold attempt, ms. Default 250. */
  readonly holdBudgetMs: number;
  /** Bound of all attempts, ms. Default 300 000. */
  readonly deadlineMs: number;
  readonly onTimeout: 'rollback' | 'cancel';
  readonly unmovable: 'rollback' | 'wait' | 'drop';
  /** What a session may hold and still be moved. */
  readonly sessionLimits?: MoveLimits;
  /** Waits at that step for `goOn`, some seconds at most: whoever wants to break something there has the time. */
  readonly pauseAt?: SwitchoverStep;
}

/** `dbproxy.cancel/1`. */
export interface CancelResult {
  readonly schema: 'dbproxy.cancel/1';
  readonly instance: string;
  /** `scale` or `patch`, and its id; null: none was running, or it had no id yet. */
  readonly operation: string | null;
  readonly id: string | null;
  /** Null: none was running. */
  readonly outcome: 'rolled-back' | 'completed' | null;
}

/** Of one of several writers, whose sessions stand still before they go over. */
export type SelfPatchLimits = Partial<Pick<MoveParams, 'holdBudgetMs' | 'deadlineMs' | 'onTimeout'>>;

export interface ScaleParams extends MoveParams {
  readonly to: SizeName;
  /** `standby` without it: every session moves to another engine. */
  readonly strategy?: ScaleStrategy;
  /** The engine goes on where it is without it. */
  readonly provider?: ProviderKind;
  /** Of containers: another one than they have. */
  readonly image?: string;
}

/** `standby`: a copy of the data with the new version is promoted. `in-place`: the server itself is stopped and started again. */
export type PatchStrategy = 'standby' | 'in-place';

/** `resize`: the engine itself gets more, nothing moves; as much as a server takes while it runs. */
export type ScaleStrategy = 'standby' | 'resize';
export type MoveStrategy = PatchStrategy | ScaleStrategy;

export interface PatchParams extends MoveParams {
  /** `17.9`, or `17` for the newest one at hand. */
  readonly to: string;
  /** The size stays without it. */
  readonly size?: SizeName;
  /** Of containers: another one than they have. */
  readonly image?: string;
  readonly strategy: PatchStrategy;
}

/** `dbproxy.handover/1`: the proxy's process was replaced, its sockets inherited. */
export interface HandoverRecord {
  readonly schema: 'dbproxy.handover/1';
  readonly instance: string;
  /** Id of the operation, `handover-3`. */
  readonly operation: string;
  readonly from: { readonly pid: number; readonly version: string };
  readonly to: { readonly pid: number; readonly version: string };
  readonly sessions: {
    readonly handed: number;
    readonly lost: number;
    /** Those that were lost, and why. */
    readonly failed: readonly { readonly id: number; readonly reason: string }[];
  };
  readonly holdMs: HoldTimes;
  /** Counts the processes of this proxy. */
  readonly generation: number;
  /** Of several: what became of each, in their order; `from` and `to` are the first one's. */
  readonly processes?: readonly {
    readonly from: number;
    readonly to: number;
    readonly handed: number;
    readonly lost: number;
  }[];
  /** Of several writers, with the first one: the storage nodes' processes. */
  readonly nodes?: readonly NodeReplaced[];
  /** Of several writers, with the first one: the instances of the others, which are replaced by commands of their own. */
  readonly others?: readonly string[];
  readonly startedAt: string;
  readonly totalMs: number;
}

export interface NodeReplaced {
  readonly node: string;
  /** Pids; null: it did not run. */
  readonly from: number | null;
  readonly to: number;
}

/** One line of the event log (`events.ndjson`), and of `dbproxy events`. */
export interface LogEvent {
  /** Counts up from 1 within an instance. */
  readonly seq: number;
  readonly at: string;
  /** `instance.up`, `instance.down`, `instance.abandoned`, `supervisor.started`, `supervisor.repaired`, `supervisor.retired`, `engine.started`, `engine.stopped`,
   *  `engine.lost`, `proxy.started`, `proxy.lost`, `operation.started`, `operation.step`, `operation.attempt`,
   *  `operation.completed`, `operation.rolled-back`, `failover.started`, `failover.completed`, `standby.started`,
   *  `standby.lost`, `standby.failed`, `session.lost`, `autoscale.on`,
   *  `autoscale.off`, `autoscale.scale`, `autoscale.stay`, `autoscale.failed`, `store.started`, `store.lost`, `writer.started`,
   *  `writer.lost`, `writer.leads`, `writer.verdict`. */
  readonly type: string;
  /** One line for people. */
  readonly message: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

export interface SupervisorApi {
  /**
   * Resolves when the instance is ready (a query through the proxy answered), or with the error that ended the start. `all`: writers
   * that somebody has stopped are started, too.
   */
  ready: { params: { all?: boolean }; result: UpResult; progress: { step: string; detail: string } };
  /** Who asks often says how old the engines' part of it may be; the sessions' states are those of now. */
  status: { params: { maxAgeMs?: number }; result: StatusResult };
  sessions: { params: Record<string, never>; result: SessionsResult };
  /** Looks at one session at its next safe point, if it comes to one within `withinMs`. Throws DBP_USAGE_UNKNOWN_SESSION. */
  session: { params: { id: number; withinMs: number }; result: SessionResult };
  check: { params: { withinMs: number; limits?: MoveLimits }; result: CheckResult };
  /** Runs to its end even if the caller goes away. A roll-back is a result (outcome), not an RPC error. */
  scale: { params: ScaleParams; result: MoveRecord; progress: OperationProgress };
  /** The same to another version. Throws DBP_PATCH_MAJOR, DBP_PATCH_DOWNGRADE, DBP_USAGE_UNKNOWN_VERSION, DBP_ENV_REGISTRY. */
  patch: { params: PatchParams; result: MoveRecord; progress: OperationProgress };
  /**
   * Gives up the operation that runs, and resolves when it has ended: past its point of no return it is completed all the same.
   */
  cancel: { params: Record<string, never>; result: CancelResult };
  /** Ends the wait of the operation that runs (`pauseAt`), and any that would still come. */
  goOn: { params: Record<string, never>; result: null };
  /** On, with what is named of the policy changed. Throws DBP_USAGE_AUTOSCALE. */
  autoscaleOn: { params: Partial<AutoscalePolicy>; result: AutoscaleResult };
  autoscaleOff: { params: Record<string, never>; result: AutoscaleResult };
  autoscale: { params: Record<string, never>; result: AutoscaleResult };
  /** Replaces the proxy's process by one of the supervisor's own build. */
  replaceProxy: { params: SelfPatchLimits; result: HandoverRecord; progress: OperationProgress };
  /** Ends the supervisor alone, once it has answered; whoever asks next starts another one. Throws DBP_INSTANCE_BUSY. */
  retire: { params: Record<string, never>; result: { pid: number } };
  /** Events after `after`; with `follow` it goes on as progress until the caller goes away. */
  events: { params: { after: number; follow: boolean }; result: LogEvent[]; progress: LogEvent };
  /** For demonstrations: the last storage node hears of that writer's (from 1) proposals so late, for so long; 0 ends it. */
  holdBack: { params: { writer: number; delayMs: number; forMs: number }; result: null };
  /**
   * Verdicts on transactions that collided: the last ones, and with `follow` each new one as progress until the caller goes away.
   * None where there is one writer.
   */
  verdicts: { params: { last: number; follow: boolean }; result: readonly Verdict[]; progress: Verdict };
  /** Stops proxy and engines; the supervisor exits once it has answered. */
  down: { params: { purge: boolean }; result: DownResult };
}

/** TLS towards clients. Without files the instance has a certificate of its own. */
export interface TlsSpec {
  /** `required`: over TCP nobody logs in without it. */
  readonly mode: 'on' | 'required';
  readonly certificateFile?: string | undefined;
  readonly keyFile?: string | undefined;
  /** What clients are told to trust; absent with files: they have to know. */
  readonly rootFile?: string | undefined;
  /** How far clients can check the files: `ca` where the certificate is not for the host that they are told. */
  readonly verify?: 'full' | 'ca' | undefined;
}

/** How an instance was asked for; kept as `instance.json`. */
export interface InstanceSpec {
  readonly name: string;
  readonly provider: ProviderKind;
  /** Why that provider: `embedded: no container runtime answers`. */
  readonly providerReason: string;
  readonly postgres: string;
  /** Of containers; `postgres:<version>` without it. */
  readonly image?: string | undefined;
  readonly size: SizeName;
  readonly host: string;
  readonly port: number;
  readonly maxSessions: number;
  /** Processes of the proxy on that port; absent: one. */
  readonly proxies?: number | undefined;
  /** Absent: off. */
  readonly tls?: TlsSpec | undefined;
  /** On 127.0.0.1, for Prometheus; absent: none. */
  readonly metricsPort?: number | undefined;
  /** A standby is kept that takes over when the primary dies; `sync`: commits wait for it. Absent: none. */
  readonly standby?: StandbyMode | undefined;
  /** The process it belongs to: when that has gone, the instance goes, data and all. Absent: it belongs to nobody. */
  readonly owner?: ProcessIdentity | undefined;
  /** Of the first of several writers. */
  readonly multiwriter?: MultiwriterSpec | undefined;
  /** Of a further writer: whose, and which. */
  readonly writerOf?: { readonly instance: string; readonly writer: number } | undefined;
}

export interface MultiwriterSpec {
  readonly writers: number;
  /** URL of etcd, without a password; absent: storage nodes. */
  readonly store?: string | undefined;
  readonly quorums: Quorums;
  readonly policy: Policy;
}
