/**
 * The gate: holds all sessions, moves them, or lets them go on. One switchover at a time.
 *
 *   open ──hold──▶ holding ──all at safe points──▶ held ──commit──▶ committed ──move──▶ moving ──▶ open (new primary)
 *     ▲               │ budget spent                │ budget spent       │ caller gone: promote and move ourselves
 *     └───────────────┴─────────release─────────────┘                    ▼
 *
 * Invariant 2 (architecture.md): until `commit` every failure leads back to `open` on the old primary; after it there is no
 * way back. The deadline of a hold is ours, so that nobody stays held when the caller dies.
 */
import { DbproxyError } from '../errors/index.js';
import { countMoved, type KindReport } from '../session-state/index.js';
import { cancelOnEngine } from './cancel.js';
import type { Blocker, EngineRoute, GateState, HoldResult, MoveResult, StateMoved } from './control-api.js';
import { EngineAdmin } from './engine-admin.js';
import type { Session } from './session.js';
import { SessionMove, whileHeld, type MoveServices } from './session-move.js';
import { holdTimes } from './hold-times.js';

/** Sessions warmed at the same time. */
const WARM_CONCURRENCY = 4;
/** How long a session that came during a warm phase is waited for, ms. */
const LATE_WARM_MS = 1_000;
/** Bound of finishing a switch whose caller vanished, ms. */
const ORPHAN_LIMIT_MS = 60_000;

export interface GateServices extends MoveServices {
  readonly sessions: ReadonlySet<Session>;
  /** Logins that already have, or are opening, an engine connection. */
  readonly loginsUnderway: ReadonlySet<Promise<unknown>>;
  primary(): EngineAdmin | null;
  setPrimary(admin: EngineAdmin): void;
}

interface Hold {
  readonly sessions: Session[];
  readonly unmovable: 'rollback' | 'drop';
  readonly operation: string;
  readonly timer: NodeJS.Timeout;
}

export class Gate {
  readonly #services: GateServices;
  #state: GateState = 'open';
  #target: { route: EngineRoute; admin: EngineAdmin } | null = null;
  readonly #moves = new Map<Session, SessionMove>();
  #hold: Hold | null = null;
  #openWaiters: (() => void)[] = [];
  #moving: Promise<MoveResult> | null = null;
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
    while (this.#state !== 'open' || !this.#services.primary()) {
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
    progress: (warmed: number) => void,
  ): Promise<{ sessions: number; warmed: number; unmovable: Blocker[] }> {
    if (this.#target && this.#target.route.id !== route.id) this.unwarm();
    this.#target ??= { route, admin: new EngineAdmin(this.#services.links, route) };
    await this.#target.admin.warm();
    const queue = [...this.#services.sessions];
    const sessions = queue.length;
    let warmed = 0;
    const worker = async (): Promise<void> => {
      for (let session = queue.shift(); session; session = queue.shift()) {
        await this.#warmOne(session, withinMs);
        progress(++warmed);
      }
    };
    await Promise.all(Array.from({ length: WARM_CONCURRENCY }, worker));
    return { sessions, warmed, unmovable: this.#obstacles([...this.#moves.values()]) };
  }

  unwarm(): void {
    if (this.#state === 'committed' || this.#state === 'moving') return;
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
      .warm(withinMs)
      .catch(() => undefined);
  }

  #moveOf(session: Session): SessionMove {
    const known = this.#moves.get(session);
    if (known) return known;
    if (!this.#target) throw new DbproxyError('DBP_INTERNAL', { reason: 'no target to move to' });
    const move = new SessionMove(session, this.#target.route, this.#services);
    if (!session.isClosed) this.#moves.set(session, move);
    return move;
  }

  // --- hold, release --------------------------------------------------------------------------------------------------

  async hold(
    budgetMs: number,
    unmovable: 'rollback' | 'drop',
    cancelTransactions: boolean,
    operation: string,
  ): Promise<HoldResult> {
    if (this.#state !== 'open')
      throw new DbproxyError('DBP_INTERNAL', { reason: `the gate is ${this.#state}` });
    if (!this.#target) throw new DbproxyError('DBP_INTERNAL', { reason: 'hold without warm' });
    const startMs = performance.now();
    this.#state = 'holding';
    // Sessions in the middle of their login come first to a session, then to a safe point.
    let spent = false;
    const budget = new Promise<void>((resolve) => {
      const timer = setTimeout(() => {
        spent = true;
        resolve();
        if (this.#state === 'held') void this.release();
      }, budgetMs);
      this.#hold = { sessions: [], unmovable, operation, timer };
    });
    const early = cancelTransactions ? setTimeout(() => this.#cancelTransactions(), budgetMs / 2) : undefined;
    const everyone = this.#holdAll();
    await Promise.race([everyone, budget]);
    clearTimeout(early);
    const hold = this.#hold;
    const waitedMs = performance.now() - startMs;
    const sessions = hold?.sessions.length ?? 0;
    if (spent || !hold) {
      const blockers = this.#blockers(hold?.sessions ?? []);
      await this.release();
      return { held: false, sessions, waitedMs, blockers, unmovable: [] };
    }
    const failed = await everyone;
    const obstacles = [...this.#obstacles(this.#movesOf(hold.sessions)), ...failed];
    if (obstacles.length > 0 && unmovable === 'rollback') {
      await this.release();
      return { held: false, sessions, waitedMs, blockers: [], unmovable: obstacles };
    }
    this.#state = 'held';
    return { held: true, sessions, waitedMs, blockers: [], unmovable: obstacles };
  }

  /** Lets everybody go on where they are. */
  async release(): Promise<void> {
    if (this.#state !== 'holding' && this.#state !== 'held') return;
    const hold = this.#endHold();
    this.#state = 'open';
    this.wake();
    await Promise.all(hold.map((session) => session.release()));
  }

  /** Holds every session and brings its state over; resolves with those whose state could not be re-created. */
  async #holdAll(): Promise<Blocker[]> {
    const failed: Blocker[] = [];
    const one = async (session: Session): Promise<void> => {
      this.#hold?.sessions.push(session);
      if (!(await session.hold())) return;
      try {
        await this.#moveOf(session).prepare(false);
      } catch (error) {
        if (!session.isClosed)
          failed.push({ ...session.ref, kinds: [], reason: `cannot be moved: ${(error as Error).message}` });
      }
    };
    const begun = new Set<Session>();
    for (;;) {
      const fresh = [...this.#services.sessions].filter((session) => !begun.has(session));
      if (fresh.length === 0 && this.#services.loginsUnderway.size === 0) return failed;
      for (const session of fresh) begun.add(session);
      await Promise.all([...fresh.map(one), ...this.#services.loginsUnderway]);
      if (this.#state !== 'holding') return failed;
    }
  }

  #endHold(): Session[] {
    const hold = this.#hold;
    this.#hold = null;
    clearTimeout(hold?.timer);
    return hold?.sessions ?? [];
  }

  #cancelTransactions(): void {
    for (const session of this.#hold?.sessions ?? []) {
      if (!session.held && !session.isClosed)
        session.cancelTransaction(this.#hold?.operation ?? '', cancelOnEngine);
    }
  }

  #movesOf(sessions: readonly Session[]): SessionMove[] {
    return sessions.flatMap((session) => this.#moves.get(session) ?? []);
  }

  #blockers(sessions: readonly Session[]): Blocker[] {
    return sessions
      .filter((session) => !session.held && !session.isClosed)
      .map((session) => ({ ...session.ref, kinds: [], reason: session.whyNotSafe() }));
  }

  #obstacles(moves: readonly SessionMove[]): Blocker[] {
    return moves
      .filter(({ obstacles, session }) => obstacles.length > 0 && !session.isClosed)
      .map(({ obstacles, session }) => ({
        ...session.ref,
        kinds: obstacles.map(({ kind }) => kind),
        reason: `holds ${describe(obstacles)}`,
      }));
  }

  // --- commit, move -----------------------------------------------------------------------------------------------------

  /** The point of no return. `gone` is aborted when the caller goes away: then we finish alone. */
  commit(gone: AbortSignal): boolean {
    if (this.#state !== 'held') return false;
    clearTimeout(this.#hold?.timer);
    this.#state = 'committed';
    gone.addEventListener('abort', () => void this.#finishAlone());
    return true;
  }

  /** Moves everybody to the promoted target and opens the gate. Called again it gives the same result. */
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
      new DbproxyError('DBP_SWITCH_HOLD_LOST', { reason: `the gate is ${this.#state}`, size: 'SIZE' }),
    );
  }

  async #moveAll(progress: (moved: number, total: number) => void): Promise<MoveResult> {
    const target = this.#target;
    if (!target) throw new DbproxyError('DBP_INTERNAL', { reason: 'move without target' });
    this.#state = 'moving';
    this.#services.setPrimary(target.admin);
    const held = this.#endHold();
    const tally = new Tally();
    const queue = held.filter((session) => !session.isClosed);
    queue.sort((a, b) => Number(b.hasWaitingBytes) - Number(a.hasWaitingBytes));
    const total = queue.length;
    let done = 0;
    await Promise.all(
      queue.map(async (session) => {
        await this.#moveOne(session, tally);
        progress(++done, total);
      }),
    );
    const result = tally.result(total);
    this.#lastMove = { engine: target.route.id, result };
    this.#moves.clear();
    this.#target = null;
    this.#state = 'open';
    this.wake();
    return result;
  }

  async #moveOne(session: Session, tally: Tally): Promise<void> {
    const move = this.#moveOf(session);
    if (move.obstacles.length > 0) {
      move.abandon();
      session.fail('DBP_WIRE_SESSION_DROPPED', { reason: describe(move.obstacles) });
      tally.dropped++;
      return;
    }
    try {
      const old = await move.finish();
      tally.moved(session);
      await session.release();
      old.close();
    } catch (error) {
      move.abandon();
      const reason = (error as Error).message;
      if (session.isClosed) return;
      session.fail('DBP_WIRE_SESSION_DROPPED', { reason });
      tally.failed.push({ id: session.identity.id, reason });
    }
  }

  /** The caller vanished between commit and move: only forward is safe, so promote (again) and move. */
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
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    if (this.#state !== 'committed') return;
    for (const session of this.#endHold()) session.fail('DBP_WIRE_ENGINE_LOST');
    this.#state = 'open';
    this.wake();
  }

  /** For `check`: looks at one session at its next safe point. */
  async inspect(session: Session, withinMs: number): Promise<boolean> {
    if (this.#state !== 'open') return false;
    const context = await this.#services.context(true);
    return whileHeld(session, withinMs, () => session.look(context)).catch(() => false);
  }
}

const describe = (obstacles: readonly KindReport[]): string =>
  obstacles.map(({ detail }) => detail).join('; ');

/** Counts what a move did. */
class Tally {
  dropped = 0;
  readonly failed: { id: number; reason: string }[] = [];
  readonly #holdMs: number[] = [];
  #settings = 0;
  #preparedStatements = 0;

  moved(session: Session): void {
    const heldMs = session.heldForMs();
    session.lastMoveMs = heldMs;
    this.#holdMs.push(heldMs);
    if (!session.state) return;
    const { settings, preparedStatements } = countMoved(session.state);
    this.#settings += settings;
    this.#preparedStatements += preparedStatements;
  }

  result(total: number): MoveResult {
    const stateMoved: StateMoved = {
      settings: this.#settings,
      preparedStatements: this.#preparedStatements,
      tempTables: 0,
      tempBytes: 0,
      cursors: 0,
      listens: 0,
      advisoryLocks: 0,
      sequences: 0,
    };
    const moved = this.#holdMs.length;
    return {
      total,
      moved,
      kept: 0,
      failed: this.failed,
      dropped: this.dropped,
      holdMs: holdTimes(this.#holdMs),
      stateMoved,
    };
  }
}
