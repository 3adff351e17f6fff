/**
 * Moves a session from its backend to another one, in the order of src/proxy/session-move.ts: the state is brought over while
 * the target counts as a standby, the session may go on meanwhile, and what has changed follows when the target is primary.
 */
import type { EngineConnection } from '../../src/proxy/engine-connection.js';
import {
  DEFAULT_LIMITS,
  SessionTracker,
  emptyState,
  look,
  replay,
  replayAhead,
  restoreUnnamed,
  servesAsWell,
  unmovable,
  warmUp,
  type SessionState,
} from '../../src/session-state/index.js';
import type { TwinSession } from './session.js';

export interface Backends {
  readonly settableNames: string;
  open(user: string): Promise<EngineConnection>;
  /** State right after login, by user. */
  readonly bases: Map<string, Promise<SessionState>>;
}

export class Mover {
  readonly #session: TwinSession;
  readonly #user: string;
  readonly #backends: Backends;
  #state: SessionState | null = null;
  #target: EngineConnection | null = null;
  #base: SessionState = emptyState;
  #there: SessionState = emptyState;

  constructor(session: TwinSession, user: string, backends: Backends) {
    this.#session = session;
    this.#user = user;
    this.#backends = backends;
  }

  /** Null: done; else why the session stays. */
  async warm(): Promise<string | null> {
    const reason = await this.#session.held(() => this.#prepare(false));
    if (reason === null && this.#target && this.#state) {
      await warmUp(this.#target, this.#state);
      await restoreUnnamed(this.#target, this.#state.unnamedStatement);
    }
    await this.#session.held(async (connection) => {
      if (this.#state) await restoreUnnamed(connection, this.#state.unnamedStatement);
    });
    return reason;
  }

  async move(): Promise<string | null> {
    return this.#session.held(async (connection) => {
      const reason = (await this.#prepare(false)) ?? (await this.#prepare(true));
      if (reason === null && this.#target) {
        this.#session.adopt(this.#target);
        this.#target = null;
      } else if (this.#state) await restoreUnnamed(connection, this.#state.unnamedStatement);
      return reason;
    });
  }

  close(): void {
    this.#target?.close();
  }

  async #prepare(promoted: boolean): Promise<string | null> {
    const thorough = this.#state === null;
    const known = promoted ? this.#state : null;
    const target = this.#target;
    const [state, there] = await Promise.all([
      this.#look(this.#session.connection, this.#session.tracker, thorough, promoted),
      known && target ? replayAhead(target, known, this.#there, this.#base) : this.#there,
    ]);
    this.#state = state;
    if (known && !(there && servesAsWell(known, state))) {
      target?.close();
      this.#target = null;
    } else if (there) this.#there = there;
    const [obstacle] = unmovable(this.#state, DEFAULT_LIMITS);
    if (obstacle) return obstacle.detail;
    this.#target ??= await this.#open();
    const replayed = await replay(this.#target, this.#state, this.#there, this.#base, promoted);
    this.#there = replayed.state;
    if (promoted) {
      const names = this.#state.preparedStatements.byName;
      const before = [...this.#session.broken].filter(([name]) => !names.has(name));
      this.#session.broken = new Map([...before, ...replayed.broken]);
    }
    return null;
  }

  async #open(): Promise<EngineConnection> {
    const target = await this.#backends.open(this.#user);
    const { bases } = this.#backends;
    const base =
      bases.get(this.#user) ?? this.#look(target, new SessionTracker(this.#session.names), false, false);
    bases.set(this.#user, base);
    this.#base = await base;
    this.#there = this.#base;
    return target;
  }

  #look(
    connection: EngineConnection,
    tracker: SessionTracker,
    thorough: boolean,
    contents: boolean,
  ): Promise<SessionState> {
    const { names } = this.#session;
    const context = {
      tracker,
      thorough,
      contents,
      scanNames: false,
      holdsLocks: contents,
      limits: DEFAULT_LIMITS,
      settableNames: this.#backends.settableNames,
      customNames: names.all,
      namesOverflowed: names.overflowed,
      rememberNames: () => undefined,
    };
    return look(connection, context, tracker === this.#session.tracker ? this.#state : null);
  }
}
