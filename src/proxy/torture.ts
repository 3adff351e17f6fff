/**
 * Torture, for tests only (ProxyConfig.torture): sessions are moved at random safe points, one by one, between two backends
 * of one and the same cluster. Physical replication allows one primary, so a switch of engines comes at most about once a
 * second; this comes between any two statements, on the path of a real move: warm, prepare, finish (session-move.ts).
 *
 *   safe point ──dice──▶ nothing · warm, and go on here · warm and finish · finish what was warmed some safe points ago
 *
 * A session's dice are its own (seed and session id), so that a run can be repeated. Advisory locks are free for a moment
 * between the two backends, and a channel would be heard twice, which a real move never lets happen while others run: sessions
 * that LISTEN stay, and are counted.
 */
import { DEFAULT_LIMITS } from '../session-state/index.js';
import type { TortureConfig, TortureTally } from './control-api.js';
import type { EngineAdmin } from './engine-admin.js';
import type { EngineConnection } from './engine-connection.js';
import type { Session } from './session.js';
import { MoveTarget, SessionMove, type MoveServices } from './session-move.js';

/** What a session is warmed for may be decided by another one's lock, which only ends when nobody waits for us; ms. */
const BLOCKED_MS = 2_000;
/** Of the strikes, those that only warm and leave the move to a later one. */
const WARM_ONLY = 0.3;

export interface TortureServices extends MoveServices {
  primary(): EngineAdmin | null;
}

export class Torture {
  readonly #config: TortureConfig;
  readonly #services: TortureServices;
  readonly #skipped = new Map<string, number>();
  readonly #failed: { id: number; reason: string }[] = [];
  #safePoints = 0;
  #warmed = 0;
  #moves = 0;

  constructor(config: TortureConfig, services: TortureServices) {
    this.#config = config;
    this.#services = services;
  }

  get tally(): TortureTally {
    return {
      safePoints: this.#safePoints,
      warmed: this.#warmed,
      moves: this.#moves,
      skipped: Object.fromEntries(this.#skipped),
      failed: this.#failed,
    };
  }

  /** From now on the session's safe points are dangerous. */
  begin(session: Session): void {
    const dice = seededDice(this.#config.seed, session.identity.id);
    let warm: SessionMove | null = null;
    session.onSafePoint = () => {
      this.#safePoints++;
      if (dice() >= this.#config.probability) return;
      const onlyWarm = dice() < WARM_ONLY;
      // Held from here, before anything the client sends next is forwarded.
      const held = session.hold();
      void this.#strike(session, held, warm, onlyWarm).then((move) => (warm = move));
    };
  }

  /** Returns the move that is left for a later safe point, or null. */
  async #strike(
    session: Session,
    held: Promise<boolean>,
    warm: SessionMove | null,
    onlyWarm: boolean,
  ): Promise<SessionMove | null> {
    const primary = this.#services.primary();
    if (!(await held) || !primary) return null;
    const move =
      warm ?? new SessionMove(session, new MoveTarget(primary.engine, DEFAULT_LIMITS), this.#services);
    try {
      const reason = await bounded(this.#advance(session, move, primary, warm === null, onlyWarm && !warm));
      if (reason !== null) this.#skip(reason);
      if (reason === null && onlyWarm && !warm) return move;
    } catch (error) {
      if (!session.isClosed) this.#failed.push({ id: session.identity.id, reason: (error as Error).message });
    } finally {
      await session.release();
    }
    move.abandon();
    return null;
  }

  /** Null: done; else why the session stays. */
  async #advance(
    session: Session,
    move: SessionMove,
    primary: EngineAdmin,
    fresh: boolean,
    onlyWarm: boolean,
  ): Promise<string | null> {
    // What fails here is tried again, and counts then, as in a real move.
    if (fresh) await move.warm(BLOCKED_MS).catch(() => undefined);
    await move.prepare(false);
    const [obstacle] = move.obstacles;
    if (obstacle) return obstacle.kind;
    if ((session.state?.listen.length ?? 0) > 0) return 'listen';
    if (session.state?.listen.length) return 'listen';
    move.holdsLocks = (await primary.advisoryLockHolders()).has(session.server.backendPid);
    if (onlyWarm) {
      this.#warmed++;
      return null;
    }
    const old = await move.finish();
    this.#moves++;
    await gone(old);
    return null;
  }

  #skip(reason: string): void {
    this.#skipped.set(reason, (this.#skipped.get(reason) ?? 0) + 1);
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

const bounded = (work: Promise<string | null>): Promise<string | null> => {
  let timer: NodeJS.Timeout | undefined;
  const blocked = new Promise<string>((resolve) => {
    timer = setTimeout(() => resolve('blocked by another session'), BLOCKED_MS);
  });
  return Promise.race([work, blocked]).finally(() => clearTimeout(timer));
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
