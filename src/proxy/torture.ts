/**
 * Torture, for tests only (ProxyConfig.torture): sessions are moved at random safe points between two backends of one and the
 * same cluster. Physical replication allows one primary, so a switch of engines comes at most about once a second; this comes
 * between any two statements, on the path of a real move: warm, prepare, finish (session-move.ts).
 *
 *   safe point ──dice──▶ nothing · warm, and go on here · warm and finish · finish what was warmed some safe points ago
 *                                                           └─ what others can tell apart ─▶ hold everybody, move together
 *
 * LISTEN, advisory locks and currval move as in a real switch (gate.ts): with everybody held, all sessions that have some of it
 * at once. Between the two backends a lock is free and a channel is heard twice, but nobody goes on who could tell.
 *
 * A session's dice are its own (seed and session id), so that a run can be repeated.
 */
import { DEFAULT_LIMITS } from '../session-state/index.js';
import type { TortureConfig, TortureTally } from './control-api.js';
import type { EngineAdmin } from './engine-admin.js';
import type { EngineConnection } from './engine-connection.js';
import type { Session } from './session.js';
import { MoveTarget, SessionMove, type MoveServices } from './session-move.js';
import { Turns } from './turns.js';

/** What a session is warmed for may be decided by another one's lock, which only ends when nobody waits for us; ms. */
const BLOCKED_MS = 2_000;
const BLOCKED = 'blocked by another session';
/** lock_not_available: a look does not wait for locks of others (look.ts). */
const LOCKED = /\(55P03\)$/;
/** How long all others are waited for, ms: they may wait for the one that is held. */
const HOLD_BUDGET_MS = 250;
/** Of the strikes, those that only warm and leave the move to a later one. */
const WARM_ONLY = 0.3;
/** Of a session. After them strikes become rarer in proportion, so that a loop of 100 000 statements comes to its end. */
const DENSE_SAFE_POINTS = 1_000;

export interface TortureServices extends MoveServices {
  readonly sessions: ReadonlySet<Session>;
  primary(): EngineAdmin | null;
}

/** Why a session stayed, or: it was warmed, it has moved, it has to move together with others. */
type Outcome =
  { readonly kind: 'stayed'; readonly reason: string } | { readonly kind: 'warmed' | 'moved' | 'shared' };

export class Torture {
  readonly #config: TortureConfig;
  readonly #services: TortureServices;
  readonly #turns = new Turns();
  /** Begun, and not finished yet. */
  readonly #pending = new Map<Session, SessionMove>();
  /** While sessions move together: all, and those that come meanwhile. */
  #held: Session[] | null = null;
  readonly #stayed = new Map<string, number>();
  readonly #failed: { id: number; reason: string }[] = [];
  #safePoints = 0;
  #warmed = 0;
  #moves = 0;
  #together = 0;

  constructor(config: TortureConfig, services: TortureServices) {
    this.#config = config;
    this.#services = services;
  }

  get tally(): TortureTally {
    return {
      safePoints: this.#safePoints,
      warmed: this.#warmed,
      moves: this.#moves,
      together: this.#together,
      stayed: Object.fromEntries(this.#stayed),
      failed: this.#failed,
    };
  }

  /** From now on the session's safe points are dangerous. */
  begin(session: Session): void {
    if (this.#held) void this.#hold(session, this.#held);
    const dice = seededDice(this.#config.seed, session.identity.id);
    let seen = 0;
    session.onSafePoint = () => {
      this.#safePoints++;
      const density = Math.min(1, DENSE_SAFE_POINTS / ++seen);
      if (dice() >= this.#config.probability * density) return;
      const onlyWarm = dice() < WARM_ONLY;
      // Held from here, before anything the client sends next is forwarded.
      void this.#strike(session, session.hold(), onlyWarm);
    };
  }

  left(session: Session): void {
    this.#pending.get(session)?.abandon();
    this.#pending.delete(session);
  }

  async #strike(session: Session, held: Promise<boolean>, onlyWarm: boolean): Promise<void> {
    if (!(await held)) return;
    try {
      const alone = await this.#turns.beside(() => inTime(this.#advance(session, onlyWarm), BLOCKED_MS));
      const outcome =
        alone?.kind === 'shared' ? await this.#turns.alone(() => this.#moveTogether(session)) : alone;
      if (outcome?.kind === 'warmed') this.#warmed++;
      else this.left(session);
      if (outcome === null) this.#stays(BLOCKED);
      else if (outcome.kind === 'stayed') this.#stays(outcome.reason);
    } catch (error) {
      this.left(session);
      if (LOCKED.test((error as Error).message)) this.#stays(BLOCKED);
      else this.#fails(session, error as Error);
    } finally {
      await session.release();
    }
  }

  /** One session; the others go on. */
  async #advance(session: Session, onlyWarm: boolean): Promise<Outcome> {
    const fresh = !this.#pending.has(session);
    const move = this.#moveOf(session);
    // What fails here is tried again, and counts then, as in a real move.
    if (fresh) await move.warm(BLOCKED_MS).catch(() => undefined);
    await move.prepare(false);
    const [obstacle] = move.obstacles;
    if (obstacle) return { kind: 'stayed', reason: obstacle.kind };
    if (fresh && onlyWarm) return { kind: 'warmed' };
    move.holdsLocks = (await this.#primary().advisoryLockHolders()).has(session.server.backendPid);
    if (move.isShared) return { kind: 'shared' };
    const old = await move.finish();
    this.#moves++;
    await gone(old);
    return { kind: 'moved' };
  }

  /** All sessions that hold what others can tell apart; `session`, which is held, is one of them. */
  async #moveTogether(session: Session): Promise<Outcome> {
    // Another one's turn has moved it meanwhile.
    if (!this.#pending.has(session)) return { kind: 'moved' };
    const held = (this.#held = []) as Session[];
    try {
      const all = [...this.#services.sessions].map((each) => this.#hold(each, held));
      if (!(await inTime(Promise.all(all), HOLD_BUDGET_MS)))
        return { kind: 'stayed', reason: 'others did not come to a safe point' };
      const locks = await this.#primary().advisoryLockHolders();
      const shared = await Promise.all(held.map((each) => this.#prepareShared(each, locks)));
      await Promise.all(shared.flatMap((move) => (move ? [this.#finish(move)] : [])));
      this.#together++;
      return { kind: 'moved' };
    } finally {
      this.#held = null;
      await Promise.all(held.map((each) => each.release()));
    }
  }

  #hold(session: Session, held: Session[]): Promise<boolean> {
    held.push(session);
    return session.hold();
  }

  /** Null: it stays where it is, and nobody can tell. */
  async #prepareShared(session: Session, locks: ReadonlySet<number>): Promise<SessionMove | null> {
    if (session.isClosed) return null;
    const move = this.#moveOf(session);
    move.holdsLocks = locks.has(session.server.backendPid);
    try {
      await move.prepare(false);
      if (move.obstacles.length === 0 && move.isShared) return move;
    } catch {
      // Its own turn will say so.
    }
    this.left(session);
    return null;
  }

  async #finish(move: SessionMove): Promise<void> {
    try {
      await gone(await move.finish());
      this.#moves++;
    } catch (error) {
      this.#fails(move.session, error as Error);
    } finally {
      this.left(move.session);
    }
  }

  #moveOf(session: Session): SessionMove {
    const known = this.#pending.get(session);
    if (known) return known;
    const target = new MoveTarget(this.#primary().engine, DEFAULT_LIMITS);
    const move = new SessionMove(session, target, this.#services);
    this.#pending.set(session, move);
    return move;
  }

  #primary(): EngineAdmin {
    const primary = this.#services.primary();
    if (!primary) throw new Error('there is no primary');
    return primary;
  }

  #stays(reason: string): void {
    this.#stayed.set(reason, (this.#stayed.get(reason) ?? 0) + 1);
  }

  #fails({ identity: { id }, isClosed }: Session, { message }: Error): void {
    if (!isClosed) this.#failed.push({ id, reason: message });
  }
}

/** Waits until the backend has ended: what it had would be in the way of the client's next statement. */
const gone = (old: EngineConnection): Promise<void> =>
  new Promise((resolve) => {
    old.close();
    old.link.owner = {
      received: () => undefined,
      drained: () => undefined,
      ended: () => undefined,
      closed: () => resolve(),
    };
    if (old.link.closed) resolve();
  });

/** Null: it took longer. */
const inTime = <T>(work: Promise<T>, limitMs: number): Promise<T | null> => {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<null>((resolve) => {
    timer = setTimeout(() => resolve(null), limitMs);
  });
  return Promise.race([work, late]).finally(() => clearTimeout(timer));
};

/** Uniform in [0, 1): mulberry32 (Tommy Ettinger, public domain). */
const seededDice = (seed: number, stream: number): (() => number) => {
  let state = (seed ^ Math.imul(stream, 0x9e3779b1)) | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let z = Math.imul(state ^ (state >>> 15), state | 1);
    z ^= z + Math.imul(z ^ (z >>> 7), z | 61);
    return ((z ^ (z >>> 14)) >>> 0) / 2 ** 32;
  };
};
