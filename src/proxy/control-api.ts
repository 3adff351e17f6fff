/**
 * What a proxy process can be asked over its control socket (types only; `src/rpc` carries it).
 *
 * The order of a switchover, seen from here:
 *   warm → (hold → release)* → hold → commit → move       and, before commit, `release` + `unwarm` undo everything.
 * In place, for a server that is to be stopped and started again:
 *   survey → (hold → release)* → hold → save → [stop, start] → move
 * A hold carries its own deadline: without `commit` in time the proxy releases by itself. After `commit` only forward is
 * possible: should the caller vanish, the proxy promotes the target itself, moves the sessions and opens the gate.
 *
 * One of several proxy processes (`ProxyConfig.group`) does each step together with the others:
 *   hold (all: together) → seal (all) → prepare (all) → commit (all) → move (all)
 */

import type { MoveLimits, StateMoved } from '../session-state/kind.js';
import type { HeldItem } from '../session-state/inventory.js';
import type { KindName } from '../session-state/kinds.js';
import type { TracedMessage } from '../protocol/index.js';
import type { WriterApi, WriterConfig } from '../multiwriter/writer/config.js';

export type { HeldItem, MoveLimits, StateMoved };

/** Where an engine is, as the proxy needs it. */
export interface EngineRoute {
  readonly id: string;
  /** Version of PostgreSQL; an older supervisor does not say it. */
  readonly postgres?: string;
  readonly access:
    | { readonly kind: 'socket'; readonly directory: string; readonly port: number }
    | { readonly kind: 'tcp'; readonly host: string; readonly port: number };
  /** Superuser for the proxy's own queries on that engine (verifiers, locks). */
  readonly superuser: string;
  /** Path of its password, where the way in asks for one (TCP). */
  readonly superuserPasswordFile?: string;
}

/** Kinds of session state (session-state.md). */
export type StateKind = KindName;

export type GateState = 'open' | 'holding' | 'held' | 'committed' | 'moving';
export type SessionState = 'login' | 'active' | 'idle' | 'in tx' | 'held' | 'moving' | 'closing';

export interface SessionSnapshot {
  readonly id: number;
  readonly user: string;
  readonly database: string;
  readonly application: string;
  /** Id of the engine that serves it. */
  readonly engine: string;
  readonly state: SessionState;
  /** Last status of ReadyForQuery. */
  readonly txStatus: 'I' | 'T' | 'E';
  /** Backend process id on the engine. */
  readonly backendPid: number;
  /** The last statement there was one of ours: its client has asked nothing since its state was read, or since it came there. */
  readonly unasked: boolean;
  /** State kinds found at the last look (warm, check, move); empty if never looked. */
  readonly stateKinds: readonly StateKind[];
  readonly moves: number;
  /** Hold time of its last move, ms; null if never moved. */
  readonly lastMoveMs: number | null;
  /** How long it has been held by now, ms; null: it is not. */
  readonly heldMs: number | null;
  readonly connectedAt: string;
  /** ms since it left its last safe point (or since it reached it, when it is at one). */
  readonly sinceMs: number;
  readonly client: string;
  /** `TLSv1.3`; null: in the clear. Undefined: a proxy of an older build. */
  readonly tls?: string | null;
}

/** A move that a session has behind it. */
export interface SessionMoveNote {
  readonly at: string;
  readonly from: string;
  readonly to: string;
  /** How long its bytes were held, ms; null: not at all, or it was not written down. */
  readonly heldMs: number | null;
}

/** One session, as deep as it goes. */
export interface SessionDetail {
  readonly session: SessionSnapshot;
  readonly report: SessionReport;
  /** Everything it holds, as of the last look at it. */
  readonly holds: readonly HeldItem[];
  /** The last ones, oldest first. */
  readonly moves: readonly SessionMoveNote[];
}

/** One session of `check`. */
export interface SessionReport {
  readonly id: number;
  readonly user: string;
  readonly database: string;
  readonly application: string;
  readonly movable: boolean;
  /** Why it cannot move as it is now; each completes "session 7 …". Empty: it can. */
  readonly reasons: readonly string[];
  /** False when it did not come to a safe point within the bound, so that nothing could be read. */
  readonly looked: boolean;
  readonly state: readonly StateSummary[];
  readonly estimatedMs: number;
  readonly estimatedBytes: number;
}

export interface StateSummary {
  readonly kind: StateKind;
  readonly count: number;
  readonly movable: boolean;
  /** For people: `3 settings`, `2 temporary tables: a, b` … and why it cannot move. */
  readonly detail: string;
  /** What a move loses of it, or may lose. */
  readonly lost?: string;
}

export interface ProxyStatus {
  readonly pid: number;
  readonly version: string;
  /** Counts the replacements of the proxy's process (patch --self). */
  readonly generation: number;
  readonly host: string;
  readonly port: number;
  readonly gate: GateState;
  readonly primary: EngineRoute | null;
  /** The engine that sessions are warmed for, or move to. */
  readonly target: EngineRoute | null;
  readonly sessions: number;
  readonly held: number;
  /** Sessions wait for `revive`. Undefined: nobody does. */
  readonly waitsForEngine?: true;
  /** Newcomers are turned away, or wait for their turn to log in. */
  readonly crowded?: true;
  /** Data plane writes go straight to the handle (true), or through net.Socket (self-test failed). */
  readonly fastPath: boolean;
  /** Totals since start. */
  readonly totals: { readonly sessions: number; readonly moves: number; readonly failedLogins: number };
  /** Clients whose TLS ends in this process, sessions of a successor included. Undefined: it has no TLS. */
  readonly tunnels?: number;
  /** Only under torture. */
  readonly torture?: TortureTally;
  /** Of several processes: what each of them says, in their order. */
  readonly members?: readonly ProxyStatus[];
}

/** What one process of a group says to the console of another. */
export interface ProxyView {
  readonly status: ProxyStatus;
  readonly snapshots: readonly SessionSnapshot[];
  readonly moves: readonly (SessionMoveNote & { readonly session: number })[];
}

/** For tests: sessions are moved at random safe points (torture.ts). */
export interface TortureConfig {
  readonly seed: number;
  /** That something happens at a safe point, 0 to 1; of sessions with thousands of them less and less. */
  readonly probability: number;
}

/** What torture did so far. */
export interface TortureTally {
  readonly safePoints: number;
  /** Warmed, and left for a later safe point. */
  readonly warmed: number;
  readonly moves: number;
  /** How often sessions whose state others can tell apart moved together, with everybody held. */
  readonly together: number;
  /** How often a session stayed, by kind of state or another reason. */
  readonly stayed: Readonly<Record<string, number>>;
  readonly failed: readonly { readonly id: number; readonly reason: string }[];
}

export interface SessionRef {
  readonly id: number;
  readonly user: string;
  readonly database: string;
  readonly application: string;
}

/** A session that stands in the way, and why. */
export interface Blocker extends SessionRef {
  readonly kinds: readonly StateKind[];
  /** `has been idle in a transaction for 5.2 s`, `holds 2 temporary tables: a, b` … completes "session 7 …". */
  readonly reason: string;
}

export interface HoldResult {
  /** True: every session is held; its state is being exported, `commit` waits for that. False: all were released. */
  readonly held: boolean;
  readonly sessions: number;
  readonly waitedMs: number;
  /** Sessions in a transaction when the budget ran out. */
  readonly blockers: readonly Blocker[];
  /** Sessions whose transaction was canceled, and what it was; absent: none. */
  readonly canceled?: readonly Blocker[];
}

export interface CommitResult {
  /** False: the hold had run out, or `unmovable` is not empty; all sessions were released. */
  readonly committed: boolean;
  /** Sessions with state that cannot move. With `unmovable: 'rollback'` any of them makes `committed` false. */
  readonly unmovable: readonly Blocker[];
}

export interface HoldTimes {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export interface SessionLoss {
  /** The session's. */
  readonly id: number;
  /** `the position of random() after setseed()` */
  readonly what: string;
}

export interface MoveResult {
  readonly total: number;
  readonly moved: number;
  /** Stayed where they were (never after a promotion). */
  readonly kept: number;
  readonly failed: readonly { readonly id: number; readonly reason: string }[];
  /** Ended with a clear error because their state cannot move (`--unmovable drop`). */
  readonly dropped: number;
  /** What moved sessions have lost, or may have lost, because nobody can read it, or the target does not know it. */
  readonly lost: readonly SessionLoss[];
  readonly holdMs: HoldTimes;
  /** Of one of several processes: how long each session was held, ms. */
  readonly heldMs?: readonly number[];
  readonly stateMoved: StateMoved;
}

export interface TraceLine extends TracedMessage {
  readonly session: number;
  /** Unix time, ms with a fraction. */
  readonly atMs: number;
}

export interface TracedLines {
  readonly lines: readonly TraceLine[];
  /** Messages before these that the caller was too slow for. */
  readonly missed: number;
}

export interface ProxyApi extends WriterApi {
  status: { params: Record<string, never>; result: ProxyStatus };
  sessions: { params: Record<string, never>; result: SessionSnapshot[] };
  /** Looks at every session at its next safe point within `withinMs`. */
  check: { params: { withinMs: number; limits?: MoveLimits }; result: SessionReport[] };
  /** One of them, with all that it holds; null: there is no such session. */
  inspect: { params: { id: number; withinMs: number; limits?: MoveLimits }; result: SessionDetail | null };
  /**
   * The messages of a session, or of all, as they pass; until the caller goes away or the session ends. `values`: also what users
   * bind, copy and read. Throws DBP_USAGE_UNKNOWN_SESSION.
   */
  trace: {
    params: { session?: number; values: boolean };
    result: null;
    progress: TracedLines;
  };
  /** The engine that new sessions go to. Only while the gate is open; logins wait until there is one. */
  route: { params: { engine: EngineRoute }; result: null };
  /**
   * Opens, for every session, a connection to the standby and replays there what a standby accepts; new sessions are
   * warmed as they come. Looks at the state of every session that reaches a safe point within `withinMs`; reports those
   * that could not be moved as they are now. Nobody is held longer than one read of its state.
   */
  warm: {
    params: { target: EngineRoute; withinMs: number; limits?: MoveLimits };
    result: { sessions: number; warmed: number; unmovable: Blocker[] };
    progress: { warmed: number; sessions: number };
  };
  /** Those that could not move at the last look are looked at again; the answer names those that still cannot. */
  lookAgain: { params: { withinMs: number }; result: Blocker[] };
  /**
   * Right before `hold`: reads again, one session at a time, what those hold that were asked something since `warm`; resolves when
   * each had its turn, or after `withinMs`. Goes on until `hold`, so that little is left to be read there.
   * `unlessFew`: with few sessions it does nothing, because that costs more than it brings.
   */
  lookAhead: { params: { withinMs: number; unlessFew: boolean }; result: null };
  /** Gives up warming and closes the warm connections. Idempotent. */
  unwarm: { params: Record<string, never>; result: null };
  /**
   * Holds every session at its safe point; resolves when all are held or the budget is spent. Exports begin meanwhile.
   * `budgetMs` bounds the whole time from this call to `commit`: when it runs out the proxy releases by itself.
   * `cancelTransactions`: abort what is still in a transaction after half of the budget (the client gets 40001).
   */
  hold: {
    params: {
      budgetMs: number;
      unmovable: 'rollback' | 'drop';
      cancelTransactions: boolean;
      operation: string;
      /** One of several: sessions here that others elsewhere wait for step on until `seal`. */
      together?: boolean;
    };
    result: HoldResult;
  };
  /** After `hold` with `together`, when everybody is held everywhere: nobody steps any more, exports begin. */
  seal: { params: Record<string, never>; result: HoldResult };
  /**
   * One of several: everything that `commit` waits for. With `committed`, from here on what counts is the decision at this path
   * (group/decision.ts): `commit` and `release` ask for it, and so does the end of the hold's budget, or of the caller.
   */
  prepare: { params: { decision: string }; result: CommitResult };
  /** Lets everybody go on where they were. Idempotent; refused after `commit`. */
  release: { params: Record<string, never>; result: null };
  /** Point of no return, to be asked before promotion. Waits until every session's state is exported and replayed. */
  commit: { params: Record<string, never>; result: CommitResult };
  /**
   * In place: `warm` without a target, because the server that the sessions are on is to be stopped and started again. Undone by
   * `unwarm`.
   */
  survey: {
    params: { withinMs: number; limits?: MoveLimits };
    result: { sessions: number; unmovable: Blocker[] };
  };
  /**
   * In place: `commit`, and then reads everything that every session holds into our memory, contents too. With `committed`, those
   * in `unmovable` could not be read, or turned out to hold too much; the server still runs, and `move` brings everybody back to
   * it. Without `move` within `boundMs` the sessions are ended with 57P01.
   */
  save: { params: { boundMs: number }; result: CommitResult };
  /** After promotion, or when the server answers again (whichever binary it has): makes the target the primary, moves every session, opens the gate. */
  move: { params: Record<string, never>; result: MoveResult; progress: { moved: number; total: number } };
  /**
   * Until the caller goes, or covers again: sessions do not end with that engine, they wait for `revive`, for a bounded time. Their
   * state is read ahead of time meanwhile. Progress: the engine is gone.
   */
  cover: { params: { engine: string }; result: null; progress: { lost: string } };
  /** The primary is gone and cannot write any more: sessions that wait go on on the target, which takes writes. */
  revive: { params: ReviveParams; result: ReviveResult };
  /** Resolves when the connections that moved sessions left behind are closed: one by one, the clients go first. */
  left: { params: Record<string, never>; result: null };
  /**
   * Replaces this process by another build of itself, which inherits every socket (handover/). Answered by the old process,
   * which ends then, or, where it ends the TLS of clients, once the last of these has gone. Refused while the gate is not open. Throws DBP_PROXY_HANDOVER: the old process goes on;
   * DBP_PROXY_STANDSTILL and, when it was given up, DBP_SWITCH_ROLLED_BACK: so it does.
   * `writer`: of one of several writers. Progress: sessions that went over, or who is waited for.
   */
  handover: {
    params: { program: Program; writer?: WriterHandover };
    result: HandoverResult;
    progress: { handed: number; waitsFor?: string };
  };
  /** The `handover` that runs rolls back, or is past its point of no return: the successor accepts. */
  giveUpHandover: { params: Record<string, never>; result: null };
  /** One of several starts another one, which listens on the same sockets. Answered when it is on its way. */
  startMember: { params: { program: Program; config: ProxyConfig }; result: { pid: number } };
  /** From another one of several: a CancelRequest for a session of this one; the secret in base64. */
  cancel: { params: { processId: number; secret: string }; result: null };
  /** From another one of several, which wants to let its sessions go on: those here that others can see are there, too. */
  movedShared: { params: Record<string, never>; result: null };
  /** For the console of another one. */
  view: { params: Record<string, never>; result: ProxyView };
  /** Ends every session with 57P01, closes the listener and exits. */
  shutdown: { params: Record<string, never>; result: null };
}

export interface ReviveParams {
  readonly target: EngineRoute;
  /** Its id, `failover-1`: clients whose transaction is lost read it. */
  readonly operation: string;
  /** For every client: what acknowledged commits may be missing; null: none. */
  readonly dataLoss: string | null;
}

/** `moved`: they have gone on. `lost`: what was not restored. */
export type ReviveResult = MoveResult;

/** What runs in the new process: the absolute paths of Node and of a build's proxy/main.js. */
export interface Program {
  readonly node: string;
  readonly main: string;
}

/** All its sessions stand still before they go over (handover/standstill.ts). */
export interface WriterHandover {
  /** The successor's; and another one, in case this process goes on. */
  readonly incarnation: number;
  readonly spare: number;
  /** With which the successor leads at once, in the place of this process; null: another writer leads. */
  readonly epoch: number | null;
  /** Longest that one attempt may hold a session, and all together may take, ms. */
  readonly holdBudgetMs: number;
  readonly deadlineMs: number;
  /** At the deadline: give up, or cancel transactions that are open. */
  readonly onTimeout: 'rollback' | 'cancel';
}

export interface HandoverResult {
  /** The new process. */
  readonly pid: number;
  readonly version: string;
  readonly sessions: {
    readonly handed: number;
    readonly lost: readonly { readonly id: number; readonly reason: string }[];
  };
  /** How long each session's bytes waited. */
  readonly holdMs: HoldTimes;
  /** Each of them, ms. Undefined: an older build. */
  readonly heldMs?: readonly number[];
}

/** TLS on the client side. The files are PEM; they are read again when they were replaced. */
export interface ProxyTls {
  /** `required`: over TCP nobody logs in without it. */
  readonly mode: 'on' | 'required';
  /** The certificate, and those between it and its root. */
  readonly certificateFile: string;
  readonly keyFile: string;
}

/** Several processes that serve clients of one port. */
export interface ProxyGroup {
  /** This one's, from 1. */
  readonly number: number;
  /** Of all of them, in their order. */
  readonly controlSockets: readonly string[];
  /** What another one has passed on: its listening sockets, as descriptors, and what salts are made of (base64). */
  readonly inherited?: {
    readonly listeners: readonly { readonly name: 'tcp' | 'unix'; readonly fd: number }[];
    readonly mockSecret: string;
  };
}

/** How a proxy process is started: one JSON object in the environment variable DBPROXY_PROXY_CONFIG. */
export interface ProxyConfig {
  readonly instance: string;
  readonly host: string;
  readonly port: number;
  /** Directory for the clients' Unix socket `.s.PGSQL.<port>`; null: none. */
  readonly socketDirectory: string | null;
  /** Path of the control socket. */
  readonly controlSocket: string;
  readonly generation: number;
  readonly maxSessions: number;
  /** Bound of a login, ms; default 60 s. */
  readonly loginTimeoutMs?: number;
  /** Absent: none. */
  readonly tls?: ProxyTls;
  readonly torture?: TortureConfig;
  /** One of several writers. */
  readonly writer?: WriterConfig;
  /** Absent: it is the only one. */
  readonly group?: ProxyGroup;
}
