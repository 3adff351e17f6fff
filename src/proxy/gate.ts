/**
 * The gate: holds all sessions, moves them, or lets them go on. One switchover at a time.
 *
 *   open ──hold──▶ holding ──all at safe points──▶ held ──commit──▶ committed ──move──▶ moving ──▶ open (new primary)
 *     ▲               │ budget spent                │ budget spent       │ caller gone: promote and move ourselves
 *     └───────────────┴─────────release─────────────┘                    ▼
 *
 * The target is a standby (`warm` … `commit`), or the primary itself, which is stopped and started again (`survey` … `save`).
 * Invariant 2 (architecture.md): until `commit` every failure leads back to `open` on the old primary; after it there is no
 * way back. The deadline of a hold is ours, so that nobody stays held when the caller dies.
 *
 * One of several writers stands still (`standStill`, `release`) before another process takes its place: there is no target.
 *
 * One of several proxy processes takes each step together with the others (control-api.ts). That they go over, or stay, all of
 * them is one decision (group/decision.ts): between `prepare` and that, none of them does either by itself.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../errors/index.js';
import { DEFAULT_LIMITS, estimate, type MoveLimits } from '../session-state/index.js';
import type { Blocker, CommitResult, EngineRoute, GateState, HoldResult, MoveResult } from './control-api.js';
import { EngineAdmin } from './engine-admin.js';
import type { Session } from './session.js';
import { MoveTarget, SessionMove, readable, whileHeld, type MoveServices } from './session-move.js';
import { confirmStates } from './confirm-states.js';
import { isCrowd } from './crowd.js';
import {
  cancelTransactionsOf,
  endVanished,
  newHold,
  type Agreed,
  type Hold,
  type LockWaits,
} from './hold.js';
import { decide } from './group/decision.js';
import { Admission, boundsOf } from './admission.js';
import { inTime, inTurn, patienceMs, turnsOf } from './in-turn.js';
import { LookAhead } from './look-ahead.js';
import { warmInTurn } from './warm-in-turn.js';
import { LeftBehind } from './left-behind.js';
import { Tally } from './move-tally.js';
import { Refusals } from './refusals.js';
import { inWords, saveAll } from './save-all.js';

/** While sessions are held for others: how often it is asked who waits for an advisory lock of one that is held, ms. */
const WAITS_POLL_MS = 15;
/** After the last session was warmed while clients work, ms. */
const CALM_MS = 400;
/** A session that was quiet a moment ago is at its safe point at once, ms. */
const LOOK_AHEAD_SAFE_POINT_MS = 20;
/** How long a session that came during a warm phase is waited for, ms. */
const LATE_WARM_MS = 1_000;
/** Bound of finishing a switch whose caller vanished, ms. */
const ORPHAN_LIMIT_MS = 60_000;
/** Between two looks at its target, ms. */
const ORPHAN_RETRY_MS = 5;
/** How long sessions stay held for a target that does not become primary, before they are ended; ms. */
const COMMITTED_LIMIT_MS = 120_000;

type HoldAsked = Pick<Hold, 'unmovable' | 'operation' | 'together'> & { readonly budgetMs: number };

export interface GateServices extends MoveServices {
  readonly sessions: ReadonlySet<Session>;
  /** Logins that already have, or are opening, an engine connection. */
  readonly loginsUnderway: ReadonlySet<Promise<unknown>>;
  primary(): EngineAdmin | null;
  setPrimary(admin: EngineAdmin): void;
  /** Of several writers: nothing of ours writes on the engine between the two. */
  pauseWriter(): Promise<void>;
  resumeWriter(): void;
  /** Proxy processes that serve this engine, with this one. */
  readonly processes: number;
  /** Before somebody is to ask the other ones. */
  warmPeers(): Promise<void>;
  /** Resolves when the other ones have moved what others can see of their sessions. */
  peersMovedShared(boundMs: number): Promise<void>;
}

export class Gate {
  /** What sessions may hold and still be moved; of the last switch. */
  limits: MoveLimits = DEFAULT_LIMITS;
  readonly leftBehind = new LeftBehind();
  readonly #services: GateServices;
  #state: GateState = 'open';
  #target: { route: EngineRoute; admin: EngineAdmin; shared: MoveTarget } | null = null;
  readonly #moves = new Map<Session, SessionMove>();
  #hold: Hold | null = null;
  #lookAhead: LookAhead | null = null;
  /** Sessions that will be ended instead of moved, by id, and why. */
  #dropped: ReadonlyMap<number, string> = new Map();
  #openWaiters: (() => void)[] = [];
  #moving: Promise<MoveResult> | null = null;
  /** While `moving`: the rest moves in the background, and is nobody else's business. */
  #loginsMayGo = false;
  #onMoving: () => void = () => undefined;
  /** Of a switch that is prepared for, or under way: nothing is on the old engine any more that others can see. */
  #shared: { readonly moved: Promise<void>; readonly resolve: () => void } | null = null;
  #lastMove: { engine: string; result: MoveResult } | null = null;

  constructor(services: GateServices) {
    this.#services = services;
  }

  get state(): GateState {
    return this.#state;
  }

  get target(): EngineRoute | null {
    return this.#target?.route ?? null;
  }

  /** Resolves when logins may go to the primary. */
  async opened(): Promise<void> {
    while (!(this.#state === 'open' || this.#loginsMayGo) || !this.#services.primary()) {
      await new Promise<void>((resolve) => this.#openWaiters.push(resolve));
    }
  }

  /** Something that `opened` waits for may have changed. */
  wake(): void {
    for (const resolve of this.#openWaiters.splice(0)) resolve();
  }

  // --- warm -----------------------------------------------------------------------------------------------------------

  async warm(
    route: EngineRoute,
    withinMs: number,
    limits: MoveLimits,
    progress: (warmed: number) => void,
  ): Promise<{ sessions: number; warmed: number; unmovable: Blocker[] }> {
    if (this.#target && this.#target.route.id !== route.id) this.unwarm();
    this.limits = limits;
    this.#target ??= {
      route,
      admin: new EngineAdmin(this.#services.links, route),
      shared: new MoveTarget(route, limits),
    };
    await this.#target.admin.warm();
    const sessions = [...this.#services.sessions];
    const warmed = await this.#warmAll(sessions, withinMs, progress);
    // What queued up meanwhile should be gone when the hold begins, or it adds to the stall.
    if (this.#anyActive) await delay(CALM_MS);
    return { sessions: sessions.length, warmed, unmovable: this.#obstacles([...this.#moves.values()]) };
  }

  #warmAll(
    sessions: readonly Session[],
    withinMs: number,
    progress: (warmed: number) => void,
  ): Promise<number> {
    const warm = (session: Session): Promise<void> => this.#warmOne(session, withinMs);
    return warmInTurn(sessions, warm, () => this.#anyActive, progress);
  }

  get #anyActive(): boolean {
    for (const session of this.#services.sessions) if (session.isActive) return true;
    return false;
  }

  /**
   * The server that sessions are on is to be stopped and started again: nothing can be opened there ahead of time. But what
   * could not be brought back is found.
   */
  async survey(withinMs: number, limits: MoveLimits): Promise<{ sessions: number; unmovable: Blocker[] }> {
    const primary = this.#services.primary();
    if (this.#state !== 'open' || !primary) {
      const reason = primary ? `the gate is ${this.#state}` : 'no engine yet';
      throw new DbproxyError('DBP_INTERNAL', { reason });
    }
    this.unwarm();
    this.limits = limits;
    const { engine: route } = primary;
    this.#target = {
      ...{ route, admin: new EngineAdmin(this.#services.links, route) },
      shared: new MoveTarget(route, limits, true),
    };
    const sessions = [...this.#services.sessions];
    await this.#warmAll(sessions, withinMs, () => undefined);
    return { sessions: sessions.length, unmovable: this.#obstacles([...this.#moves.values()]) };
  }

  unwarm(): void {
    if (this.#state === 'committed' || this.#state === 'moving') return;
    this.#lookAhead?.stop();
    for (const move of this.#moves.values()) move.abandon();
    this.#moves.clear();
    this.#target?.admin.close();
    this.#target = null;
  }

  /** A session has come; while a switch is prepared it is warmed, too. */
  joined(session: Session): void {
    if (this.#target && this.#state === 'open') void this.#warmOne(session, LATE_WARM_MS);
  }

  left(session: Session): void {
    this.#moves.get(session)?.abandon();
    this.#moves.delete(session);
  }

  async #warmOne(session: Session, withinMs: number): Promise<void> {
    // What fails now is tried again while held, and counts then.
    await this.#moveOf(session)
      .warm(withinMs, () => this.#state === 'open')
      .catch(() => undefined);
  }

  #moveOf(session: Session): SessionMove {
    const known = this.#moves.get(session);
    if (known) return known;
    if (!this.#target) throw new DbproxyError('DBP_INTERNAL', { reason: 'no target to move to' });
    const move = new SessionMove(session, this.#target.shared, this.#services);
    // Of one that has left nobody says so again: it would keep a connection for ever.
    if (session.isClosed) move.abandon();
    else this.#moves.set(session, move);
    return move;
  }

  // --- hold, release --------------------------------------------------------------------------------------------------

  async hold(
    budgetMs: number,
    unmovable: 'rollback' | 'drop',
    cancelTransactions: boolean,
    operation: string,
    together = false,
  ): Promise<HoldResult> {
    this.#assertOpen();
    this.#lookAhead?.stop();
    const result = await this.#holdEverybody(
      { budgetMs, unmovable, operation, together },
      cancelTransactions,
    );
    if (result.held && this.#hold && !together) this.#export(this.#hold);
    return result;
  }

  async #holdEverybody(asked: HoldAsked, cancelTransactions: boolean): Promise<HoldResult> {
    const { budgetMs } = asked;
    const startMs = performance.now();
    this.#state = 'holding';
    const hold = this.#begin(asked);
    const early = setTimeout(() => {
      endVanished(hold);
      if (cancelTransactions) cancelTransactionsOf(hold);
    }, budgetMs / 2);
    void this.#letHoldersStep(hold);
    const whole = this.#holdAll(hold).then(async () => {
      clearTimeout(early);
      if (this.#hold === hold) await this.#services.pauseWriter();
      return true;
    });
    whole.catch(() => undefined);
    const all = await Promise.race([whole, hold.spent.then(() => false)]);
    clearTimeout(early);
    const result = {
      held: all && this.#hold === hold,
      sessions: hold.sessions.size,
      waitedMs: performance.now() - startMs,
      ...(hold.canceled.length > 0 ? { canceled: hold.canceled } : {}),
    };
    if (result.held) {
      this.#state = 'held';
      return { ...result, blockers: [] };
    }
    const blockers = this.#blockers(hold);
    if (this.#hold === hold) await this.release();
    else this.#services.resumeWriter();
    return { ...result, blockers };
  }

  /**
   * Everybody is held where he is, and the writer proposes nothing, until `release`. Else nobody is, and it is told who could not
   * be within `budgetMs`. `cancels`: transactions that are open then are canceled.
   */
  async standStill(budgetMs: number, operation: string, cancels: boolean): Promise<HoldResult> {
    if (this.#state !== 'open' || this.#target)
      throw new DbproxyError('DBP_INTERNAL', { reason: `the gate is ${this.#state}` });
    const asked = { budgetMs, unmovable: 'rollback', operation, together: false } as const;
    const result = await this.#holdEverybody(asked, cancels);
    // From here on it is over when whoever asked says so.
    if (result.held) clearTimeout(this.#hold?.timer);
    return result;
  }

  /** While everybody stands still: who logs in may do so, and stands still, too. */
  letLoginsGo(): void {
    this.#loginsMayGo = true;
    this.wake();
  }

  /** A session is about to begin. True: with a hold. */
  holdsNewcomer(session: Session): boolean {
    if (this.#state !== 'held' || !this.#loginsMayGo) return false;
    this.#hold?.sessions.set(session, Promise.resolve(null));
    return true;
  }

  /** See ProxyApi.seal. */
  async seal(): Promise<HoldResult> {
    const startMs = performance.now();
    const hold = this.#hold;
    if (this.#state !== 'held' || !hold) return { held: false, sessions: 0, waitedMs: 0, blockers: [] };
    hold.complete = true;
    const stepping = this.#blockers(hold);
    await Promise.race([Promise.all(hold.stepping), hold.spent]);
    const held = this.#hold === hold;
    if (held) this.#export(hold);
    const waitedMs = performance.now() - startMs;
    return { held, sessions: hold.sessions.size, waitedMs, blockers: held ? [] : stepping };
  }

  #export(hold: Hold): void {
    hold.confirmed = confirmStates(hold.sessions.keys());
    hold.allAreHeld();
    hold.locks = this.#lockHolders();
  }

  /**
   * Shortly before `hold`: reads again what has changed since `warm`, so that little is left to be read under the hold. Goes on
   * until the hold begins (look-ahead.ts). `unlessFew`: does nothing where that costs more than it
   * brings (crowd.ts).
   */
  async lookAhead(withinMs: number, unlessFew: boolean): Promise<void> {
    if (this.#state !== 'open' || !this.#target || this.#target.shared.restarts) return;
    if (unlessFew && !isCrowd(this.#services.sessions.size)) return;
    this.#lookAhead?.stop();
    const ahead = new LookAhead(this.#services.sessions, (session) =>
      whileHeld(session, LOOK_AHEAD_SAFE_POINT_MS, () => this.#moveOf(session).prepare(false)).catch(
        () => undefined,
      ),
    );
    this.#lookAhead = ahead;
    await ahead.run(withinMs);
  }

  /** Lets everybody go on where they are; of several processes, unless they have decided to go over. */
  async release(): Promise<void> {
    if (this.#state !== 'holding' && this.#state !== 'held') return;
    const agreed = this.#hold?.agreed;
    if (agreed && decide(agreed.path, 'release') === 'commit') {
      this.#commit(agreed.unmovable, agreed.gone);
      return;
    }
    this.#shared?.resolve();
    const sessions = this.#endHold();
    this.#state = 'open';
    this.#loginsMayGo = false;
    this.#services.resumeWriter();
    this.wake();
    await Promise.all(sessions.map((session) => session.release()));
  }

  #assertOpen(): void {
    const reason = this.#target ? `the gate is ${this.#state}` : 'hold without warm';
    if (this.#state !== 'open' || !this.#target) throw new DbproxyError('DBP_INTERNAL', { reason });
  }

  #begin(asked: HoldAsked): Hold {
    const primary = this.#services.primary();
    const refusals = primary && this.#target?.shared.restarts ? new Refusals(() => primary) : null;
    const hold = newHold({ ...asked, refusals }, () => {
      if (this.#hold === hold && this.#state === 'held') void this.release();
    });
    this.#hold = hold;
    return hold;
  }

  /** Resolves when everybody is held, those included that were in the middle of their login. */
  async #holdAll(hold: Hold): Promise<void> {
    for (;;) {
      const fresh = [...this.#services.sessions].filter((session) => !hold.sessions.has(session));
      if (fresh.length + this.#services.loginsUnderway.size + hold.stepping.size === 0) {
        hold.complete = !hold.together;
        return;
      }
      await Promise.all([
        ...fresh.map((session) => this.#holdOne(hold, session)),
        ...this.#services.loginsUnderway,
        ...hold.stepping,
      ]);
      if (this.#hold !== hold) return;
    }
  }

  /**
   * Who waits for an advisory lock comes to no safe point while the session that has it is held: that one goes on, request by
   * request, until nobody waits for it. The locks themselves move with whoever has them then.
   */
  async #letHoldersStep(hold: Hold): Promise<void> {
    const ended = (): boolean => this.#hold !== hold || hold.complete;
    for (;;) {
      await Promise.race([delay(WAITS_POLL_MS), ...hold.stepping]);
      if (ended()) return;
      hold.waits = await this.#lockWaits();
      if (ended()) return;
      const wanted = new Set([...hold.waits.values()].flat());
      for (const session of hold.sessions.keys()) {
        if (!session.held || !wanted.has(session.server.backendPid)) continue;
        const step = session.step().finally(() => hold.stepping.delete(step));
        hold.stepping.add(step);
      }
    }
  }

  async #lockWaits(): Promise<LockWaits> {
    const waits = this.#services.primary()?.advisoryLockWaits();
    return (await waits?.catch(() => null)) ?? new Map();
  }

  /** Resolves when the session is held; its state is brought over from then on. */
  async #holdOne(hold: Hold, session: Session): Promise<void> {
    hold.sessions.set(session, Promise.resolve(null));
    if (!(await session.hold()) || this.#hold !== hold) return;
    const prepared = hold.everybodyHeld
      .then(async (quietSinceMs) => {
        if (session.canBeConfirmed) await hold.confirmed;
        return this.#moveOf(session).prepare(false, { quietSinceMs });
      })
      .then(() => this.#refusalOf(hold, session))
      .catch((error: Error) =>
        // A client that has left stands in nobody's way.
        session.isClosed
          ? null
          : { ...session.ref, kinds: [], reason: `cannot be re-created there: ${error.message}` },
      );
    hold.sessions.set(session, prepared);
  }

  /** Who restarts has no second connection that would have shown it. */
  async #refusalOf({ refusals }: Hold, session: Session): Promise<Blocker | null> {
    const reason = (await refusals?.of(session.identity)) ?? null;
    return reason === null ? null : { ...session.ref, kinds: [], reason };
  }

  /** Advisory locks of all sessions in one query, when nobody can take one any more. */
  async #lockHolders(): Promise<ReadonlySet<number> | null> {
    return (
      (await this.#services
        .primary()
        ?.advisoryLockHolders()
        .catch(() => null)) ?? null
    );
  }

  #endHold(): Session[] {
    const hold = this.#hold;
    this.#hold = null;
    clearTimeout(hold?.timer);
    return [...(hold?.sessions.keys() ?? [])];
  }

  #blockers({ sessions, waits }: Hold): Blocker[] {
    return [...sessions.keys()]
      .filter((session) => !session.held && !session.isClosed)
      .map((session) => ({ ...session.ref, kinds: [], reason: this.#whyNotSafe(session, waits) }));
  }

  /** Completes "session 7 …": of one that waits for another one's lock, or keeps one, that other one is to be told. */
  #whyNotSafe(session: Session, waits: LockWaits): string {
    const pid = session.server.backendPid;
    const ids = (pids: readonly number[]): string =>
      [...this.#services.sessions]
        .filter(({ server }) => pids.includes(server.backendPid))
        .map(({ identity }) => identity.id)
        .join(', ');
    const holders = ids(waits.get(pid) ?? []);
    if (holders !== '') return `${session.whyNotSafe()}, waiting for an advisory lock of session ${holders}`;
    const waiters = ids([...waits].filter(([, pids]) => pids.includes(pid)).map(([waiter]) => waiter));
    if (waiters === '') return session.whyNotSafe();
    return `${session.whyNotSafe()} and keeps an advisory lock that others wait for: session ${waiters}`;
  }

  #obstacles(moves: readonly SessionMove[]): Blocker[] {
    return moves
      .filter(({ obstacles, session }) => obstacles.length > 0 && !session.isClosed)
      .map(({ obstacles, session }) => ({
        ...session.ref,
        kinds: obstacles.map(({ kind }) => kind),
        reason: `holds ${inWords(obstacles)}`,
      }));
  }

  // --- commit, move -----------------------------------------------------------------------------------------------------

  /**
   * For a target that restarts: `commit`, and then everything that sessions hold is read, contents too. What cannot be read, or
   * turns out to be too much, is told: nothing has been stopped yet, and `move` brings everybody back to the same server.
   * After `boundMs` without `move` they are ended.
   */
  async save(boundMs: number, gone: AbortSignal): Promise<CommitResult> {
    const hold = this.#hold;
    const result = await this.commit(gone, boundMs);
    if (!result.committed || !hold) return result;
    const moves = [...hold.sessions.keys()].flatMap((session) => this.#moves.get(session) ?? []);
    const staying = moves.filter(({ session }) => !this.#dropped.has(session.identity.id));
    const sharing = staying.map(({ session }) => session);
    const found = await saveAll(staying, patienceMs(sharing, this.limits.sessionMs));
    if (hold.unmovable === 'drop') this.#drop([...result.unmovable, ...found]);
    return { committed: true, unmovable: found };
  }

  /** The point of no return. `gone` is aborted when the caller goes away: then we finish alone. */
  async commit(gone: AbortSignal, boundMs = COMMITTED_LIMIT_MS): Promise<CommitResult> {
    const hold = this.#hold;
    if (hold?.agreed) return this.#commitAgreed(hold.agreed, boundMs);
    if (this.#state !== 'held' || !hold || hold.together) return { committed: false, unmovable: [] };
    const ready = await this.#isReady(hold, gone);
    if (ready.committed) this.#commit(ready.unmovable, gone, boundMs);
    return ready;
  }

  /** See ProxyApi.prepare. */
  async prepare(path: string, gone: AbortSignal): Promise<CommitResult> {
    const hold = this.#hold;
    if (this.#state !== 'held' || !hold?.complete) return { committed: false, unmovable: [] };
    const [ready] = await Promise.all([this.#isReady(hold, gone), this.#services.warmPeers()]);
    if (!ready.committed || this.#hold !== hold) return { ...ready, committed: false };
    hold.agreed = { path, unmovable: ready.unmovable, gone };
    let resolve = (): void => undefined;
    this.#shared = { moved: new Promise<void>((done) => (resolve = done)), resolve };
    gone.addEventListener('abort', () => this.#hold === hold && void this.release());
    return ready;
  }

  /** Somebody else may have decided before, in the one way or in the other. */
  async #commitAgreed({ path, unmovable, gone }: Agreed, boundMs: number): Promise<CommitResult> {
    if (this.#state !== 'held') return { committed: true, unmovable };
    const committed = decide(path, 'commit') === 'commit';
    if (committed) this.#commit(unmovable, gone, boundMs);
    else await this.release();
    return { committed, unmovable };
  }

  /** For another one of several: resolves when nothing is on the old engine any more that its sessions could miss. */
  async movedShared(): Promise<void> {
    await this.#shared?.moved;
  }

  /** Everything is exported and replayed, and nothing stands in the way; else all are released. */
  async #isReady(hold: Hold, gone: AbortSignal): Promise<CommitResult> {
    const prepared = Promise.all([...hold.sessions.values()]);
    const [failed, locks] = await Promise.race([
      Promise.all([prepared, hold.locks]),
      hold.spent.then(() => [[], null] as const),
    ]);
    if (this.#hold !== hold) return { committed: false, unmovable: [] };
    // Whose locks cannot be told cannot be moved: the engine is gone, and the caller will notice.
    if (locks === null) {
      await this.release();
      return { committed: false, unmovable: [] };
    }
    const moves = [...hold.sessions.keys()].flatMap((session) => this.#moves.get(session) ?? []);
    for (const move of moves) move.holdsLocks = locks.has(move.session.server.backendPid);
    const unmovable = [...this.#obstacles(moves), ...failed.filter((blocker) => blocker !== null)];
    if (unmovable.length > 0 && hold.unmovable === 'rollback') {
      await this.release();
      return { committed: false, unmovable };
    }
    // The caller went away while we waited: nobody learns of a commit, so there is none.
    if (gone.aborted) {
      await this.release();
      return { committed: false, unmovable };
    }
    return { committed: true, unmovable };
  }

  #commit(unmovable: readonly Blocker[], gone: AbortSignal, boundMs = COMMITTED_LIMIT_MS): void {
    clearTimeout(this.#hold?.timer);
    this.#drop(unmovable);
    this.#lastMove = null;
    this.#state = 'committed';
    const limit = setTimeout(() => void this.#giveUp(), boundMs).unref();
    const orphaned = (): void => void this.#finishAlone();
    if (gone.aborted) orphaned();
    else gone.addEventListener('abort', orphaned);
    this.#onMoving = () => {
      clearTimeout(limit);
      gone.removeEventListener('abort', orphaned);
    };
  }

  #drop(unmovable: readonly Blocker[]): void {
    this.#dropped = new Map(unmovable.map(({ id, reason }) => [id, reason]));
  }

  /**
   * Moves everybody to the target, which was promoted or answers again, and opens the gate. Called again it gives the same
   * result.
   */
  move(progress: (moved: number, total: number) => void): Promise<MoveResult> {
    if (this.#moving) return this.#moving;
    if (this.#state === 'committed') {
      this.#moving = this.#moveAll(progress).finally(() => (this.#moving = null));
      return this.#moving;
    }
    if (this.#lastMove && this.#lastMove.engine === this.#services.primary()?.engine.id) {
      return Promise.resolve(this.#lastMove.result);
    }
    return Promise.reject(
      new DbproxyError('DBP_SWITCH_HOLD_LOST', {
        reason: `the gate is ${this.#state}`,
        command: 'scale --to SIZE',
      }),
    );
  }

  async #moveAll(progress: (moved: number, total: number) => void): Promise<MoveResult> {
    const target = this.#target;
    if (!target) throw new DbproxyError('DBP_INTERNAL', { reason: 'move without target' });
    this.#state = 'moving';
    this.#onMoving();
    this.#services.setPrimary(target.admin);
    this.#services.resumeWriter();
    const held = this.#endHold();
    const tally = new Tally();
    const isReady = (session: Session): boolean => this.#moves.get(session)?.isReady === true;
    const queue = held.filter((session) => !session.isClosed);
    const total = queue.length;
    const boundMs = patienceMs(queue, this.limits.sessionMs);
    let done = 0;
    const { processes } = this.#services;
    const admission = new Admission(total, isCrowd(total * processes), boundsOf(processes));
    const onTheirWay: Promise<void>[] = [];
    // Whoever waits to go on keeps nobody from being swapped.
    const goOn = async (session: Session, swapped: Promise<boolean>): Promise<void> => {
      if (!(await swapped)) admission.withdraw();
      else onTheirWay.push(admission.pass(session, () => tally.moved(session, this.#lossesOf(session))));
      progress(++done, total);
    };
    // What others can see is there before anybody goes on: a lock that nobody holds, a channel that nobody hears.
    const shared = queue.filter((session) => this.#moves.get(session)?.isShared === true);
    const swapped = new Map(shared.map((session) => [session, this.#swap(session, tally, boundMs)]));
    await Promise.all(swapped.values());
    this.#shared?.resolve();
    if (processes > 1) await this.#services.peersMovedShared(boundMs);
    // A new login can take none of it away any more, and finds the new primary.
    this.#loginsMayGo = true;
    this.wake();
    await inTurn(
      queue,
      (session) => goOn(session, swapped.get(session) ?? this.#swap(session, tally, boundMs)),
      // Those for which there is nothing left to do first.
      (session) => (isReady(session) || !session.state ? 0 : estimate(session.state).ms),
      turnsOf(processes),
    );
    await Promise.all(onTheirWay);
    this.leftBehind.closeAll(() => this.#anyActive);
    const result = tally.result(total, processes > 1);
    this.#lastMove = { engine: target.route.id, result };
    this.#moves.clear();
    this.#target = null;
    this.#shared = null;
    this.#loginsMayGo = false;
    this.#state = 'open';
    this.wake();
    return result;
  }

  #lossesOf(session: Session): readonly string[] {
    return this.#moves.get(session)?.losses ?? [];
  }

  /** Moves one session's server link; true if the session is to go on there. */
  async #swap(session: Session, tally: Tally, boundMs: number): Promise<boolean> {
    const move = this.#moveOf(session);
    const dropped = this.#dropped.get(session.identity.id);
    if (dropped !== undefined) {
      move.abandon();
      session.fail('DBP_WIRE_SESSION_DROPPED', { reason: dropped });
      tally.dropped++;
      return false;
    }
    try {
      this.leftBehind.add(await inTime(move.finish(), boundMs, () => session.state));
      return true;
    } catch (error) {
      move.abandon();
      const reason = (error as Error).message;
      if (session.isClosed) return false;
      session.fail('DBP_WIRE_SESSION_DROPPED', { reason });
      tally.failed.push({ id: session.identity.id, reason });
      return false;
    }
  }

  /**
   * The caller vanished between commit and move: only forward is safe, so promote (again; a server that was restarted needs
   * it not) and move.
   */
  async #finishAlone(): Promise<void> {
    if (this.#state !== 'committed' || !this.#target) return;
    const { admin } = this.#target;
    const limitMs = performance.now() + ORPHAN_LIMIT_MS;
    while (this.#state === 'committed' && performance.now() < limitMs) {
      try {
        await admin.promote().catch(() => undefined);
        if (!(await admin.isInRecovery())) {
          await this.move(() => undefined);
          return;
        }
      } catch {
        // The target may be starting again; the loop's bound decides.
      }
      await delay(ORPHAN_RETRY_MS);
    }
    await this.#giveUp();
  }

  /**
   * There is no way forward and none back: every session is told that its engine is gone. Unless the target was promoted after all:
   * then nobody may write on the old engine any more.
   */
  async #giveUp(): Promise<void> {
    const isThere = this.#target?.admin.isInRecovery().then((recovers) => !recovers);
    if ((await isThere?.catch(() => false)) && this.#state === 'committed') {
      await this.move(() => undefined).catch(() => undefined);
      return;
    }
    if (this.#state !== 'committed') return;
    this.#onMoving();
    this.#shared?.resolve();
    for (const session of this.#endHold()) session.fail('DBP_WIRE_ENGINE_LOST');
    this.#services.resumeWriter();
    this.#state = 'open';
    this.unwarm();
    this.wake();
  }

  /**
   * For `--unmovable wait`: looks again at those that could not move as they were, each for itself, and names those that still
   * cannot. Nobody else is held meanwhile.
   */
  async lookAgain(withinMs: number): Promise<Blocker[]> {
    if (this.#state !== 'open') return [];
    const stuck = [...this.#moves.values()].filter(({ obstacles }) => obstacles.length > 0);
    await Promise.all(stuck.map(({ session }) => this.#warmOne(session, withinMs)));
    return this.#obstacles(stuck);
  }

  /** For `check`: looks at one session at its next safe point. Null: done; else why it could not be looked at. */
  async inspect(session: Session, withinMs: number, limits: MoveLimits): Promise<string | null> {
    if (this.#state !== 'open') return `is being moved: the gate is ${this.#state}`;
    const context = { ...(await this.#services.context(true)), limits };
    try {
      const looked = await whileHeld(session, withinMs, () => session.look(context));
      return looked ? null : this.#whyNotSafe(session, await this.#lockWaits());
    } catch (error) {
      return `cannot be looked at: ${readable(error as Error, session).message}`;
    }
  }
}
