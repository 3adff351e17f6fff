/**
 * The move of one session to one target engine: a second connection, logged in as the client, that is brought to the
 * session's state ahead of time and takes over when the target is primary. Or, when the target is the server itself that is
 * going to be stopped and started again, its state is kept here meanwhile, and the connection is opened afterwards.
 *
 *   warm()     connection open, state replayed as far as a standby accepts it         session goes on meanwhile
 *   prepare()  session held: what has changed since is read and replayed               before promotion
 *   save()     session held, target restarts: all of its state is read, contents too   before the server stops
 *   finish()   what needs a primary is replayed, the server link is swapped            after promotion, or restart
 *   abandon()  the connection is closed; the session never left its engine
 */
import { encode } from '../protocol/index.js';
import {
  emptyState,
  isLeftOut,
  isOnlyConfirmed,
  look,
  replay,
  replayAhead,
  restoreUnnamed,
  servesAsWell,
  isShared,
  losses,
  unmovable,
  warmUp,
  SessionTracker,
  type KindReport,
  type MoveLimits,
  type ReadContext,
  type ReplyError,
  type SessionState,
  type SettingNames,
} from '../session-state/index.js';
import { cancelOnEngine } from './cancel.js';
import type { EngineRoute } from './control-api.js';
import { EngineConnection } from './engine-connection.js';
import type { LinkFactory } from './link.js';
import type { Session, SessionIdentity } from './session.js';

export type LookContext = Omit<ReadContext, 'tracker'>;

export interface MoveServices {
  readonly links: LinkFactory;
  readonly names: SettingNames;
  context(thorough: boolean): Promise<LookContext>;
}

export interface LookAt {
  /** Also for what is costly to look for and seldom there. */
  readonly thorough?: boolean;
  /** Since when nobody else can have changed anything (ms, monotonic). Null: others go on. */
  readonly quietSinceMs?: number | null;
}

/** What the moves to one target have in common. */
export class MoveTarget {
  readonly route: EngineRoute;
  readonly limits: MoveLimits;
  /** It is the server that sessions are on, which is to be stopped: nothing can be opened there ahead of time. */
  readonly restarts: boolean;
  /** State right after login, by start-up parameters: the same for all that log in alike. */
  readonly bases = new Map<string, Promise<SessionState>>();
  readonly #scanned = new Set<string>();

  constructor(route: EngineRoute, limits: MoveLimits, restarts = false) {
    this.route = route;
    this.limits = limits;
    this.restarts = restarts;
  }

  /** True once for a database. */
  firstOf(database: string): boolean {
    const first = !this.#scanned.has(database);
    this.#scanned.add(database);
    return first;
  }
}

export class SessionMove {
  readonly session: Session;
  readonly #target: MoveTarget;
  readonly #services: MoveServices;
  #connection: Promise<EngineConnection> | null = null;
  /** State of the target connection right after login, and now. */
  #base: SessionState = emptyState;
  #there: SessionState = emptyState;
  /** The state that was replayed last, and whether something of it waits for the promotion. */
  #replayed: SessionState | null = null;
  #postponed = 0;
  /** What `save` has read; part of it is nowhere else any more. */
  #saved: Promise<SessionState> | null = null;
  #broken: ReadonlyMap<string, ReplyError> = new Map();
  /** Settings that the target does not know, and its words. */
  #lost: ReadonlyMap<string, string> = new Map();
  /** Why the old engine did not deliver what it still had for the session; null: it did. */
  #undelivered: string | null = null;
  /** Since when everybody is held, for this move (ms, monotonic). */
  #quietSinceMs: number | null = null;
  #preparing: Promise<void> = Promise.resolve();
  /** The connection that has planned the session's statements. */
  #warmed: EngineConnection | null = null;
  /** Why the session cannot move; empty: it can. */
  obstacles: readonly KindReport[] = [];
  /** Finished or abandoned: nothing is opened any more. */
  #over = false;
  /** The gate has seen that the session holds advisory locks. */
  holdsLocks = false;

  constructor(session: Session, target: MoveTarget, services: MoveServices) {
    this.session = session;
    this.#target = target;
    this.#services = services;
  }

  /**
   * Opens the connection and, if the session comes to a safe point within `withinMs`, brings its state over. `inTime`: the
   * connection may still be warmed up by then; false, where everybody is held and would wait for that.
   */
  async warm(withinMs: number, inTime: () => boolean = () => true): Promise<void> {
    if (!this.#target.restarts) await this.#open();
    // Once is enough for what is costly to look for and seldom there.
    const thorough = this.session.state === null;
    await whileHeld(this.session, withinMs, () => this.prepare(false, { thorough }));
    if (!this.#target.restarts && inTime()) await this.#warmUp();
  }

  /** Only while the session is held. Throws when its state cannot be re-created there. */
  prepare(promoted: boolean, { thorough = false, quietSinceMs = null }: LookAt = {}): Promise<void> {
    // One after the other: each starts from what the one before left on the target.
    this.#quietSinceMs = quietSinceMs;
    const run = this.#preparing
      .catch(() => undefined)
      .then(() => this.#prepare(promoted, { thorough, quietSinceMs }));
    this.#preparing = run;
    return run;
  }

  /**
   * Only while the session is held, and nobody goes on any more: some of it is given up by being read. Found then, an obstacle
   * is told, and no reason to lose what was read.
   */
  save(): Promise<void> {
    const run = this.#preparing
      .catch(() => undefined)
      .then(async () => {
        await this.#flushNotifications();
        this.#saved = this.#look(true, { quietSinceMs: performance.now() });
        this.obstacles = unmovable(await this.#saved, this.#target.limits);
      });
    this.#preparing = run;
    return run;
  }

  async #prepare(promoted: boolean, how: LookAt): Promise<void> {
    const known = promoted && this.#saved === null && this.#postponed > 0 ? this.#replayed : null;
    const [wanted, isOfUse] = await Promise.all([
      this.#saved ?? this.#look(promoted, how),
      known === null || this.#replayAhead(known).catch(() => false),
    ]);
    if (known && !(isOfUse && servesAsWell(known, wanted))) await this.#anew();
    if (this.#saved === null) this.obstacles = unmovable(wanted, this.#target.limits);
    if (this.obstacles.length > 0 && this.#saved === null) {
      if (promoted) throw new Error(this.obstacles.map(({ detail }) => detail).join('; '));
      return;
    }
    if (this.#target.restarts && !promoted) return;
    const connection = await this.#open();
    if (this.#replayed && isOnlyConfirmed(this.#replayed, wanted) && (this.#postponed === 0 || !promoted)) {
      this.#replayed = wanted;
      return;
    }
    try {
      await this.#replay(connection, wanted, promoted);
    } catch (error) {
      // A standby refuses a serializable session as a whole: then everything waits for the promotion.
      if (promoted || !/hot standby|recovery/.test((error as Error).message)) throw error;
      this.#there = this.#base;
      this.#replayed = wanted;
      this.#postponed = 1;
    }
  }

  /** While the session's contents are read. False: the connection is of no use any more. */
  async #replayAhead(known: SessionState): Promise<boolean> {
    const connection = await this.#open();
    // Opened anew, it has none of it.
    if (this.#replayed !== known) return true;
    const there = await replayAhead(connection, known, this.#there, this.#base);
    if (there) this.#there = there;
    return there !== null;
  }

  /** Another connection to the target. */
  async #anew(): Promise<void> {
    const connection = await this.#connection?.catch(() => null);
    connection?.close();
    this.#connection = null;
  }

  async #look(contents: boolean, { thorough = false, quietSinceMs = null }: LookAt): Promise<SessionState> {
    const scanNames = thorough && this.#target.firstOf(this.session.identity.database);
    const context = {
      ...(await this.#services.context(thorough)),
      ...{ scanNames, contents, limits: this.#target.limits, holdsLocks: this.holdsLocks },
    };
    return this.session.look(context, quietSinceMs).catch((error: Error) => {
      throw readable(error, this.session);
    });
  }

  /** Once for a connection, when the state is there. */
  #warmUp(): Promise<void> {
    const run = this.#preparing
      .catch(() => undefined)
      .then(async () => {
        const connection = await this.#open();
        if (this.#warmed === connection || !this.#replayed || this.#postponed > 0) return;
        this.#warmed = connection;
        await warmUp(connection, this.#replayed);
        // Its queries destroyed the unnamed statement that was replayed.
        await restoreUnnamed(connection, this.#replayed.unnamedStatement);
      });
    this.#preparing = run;
    return run;
  }

  /** All of its state is there: what is left is to swap the server link. */
  get isReady(): boolean {
    return this.#postponed === 0 && !this.holdsLocks && this.#replayed === this.session.state;
  }

  /** Other sessions could tell if this one had not moved yet. */
  get isShared(): boolean {
    return this.holdsLocks || (this.session.state !== null && isShared(this.session.state));
  }

  /** What the move loses, or may lose. */
  get losses(): readonly string[] {
    const settings = [...this.#lost].map(([name, reason]) => `setting ${name}: ${reason}`);
    const found = this.session.state ? losses(this.session.state) : [];
    return [...found, ...settings, ...(this.#undelivered === null ? [] : [this.#undelivered])];
  }

  /** After promotion, session held. Swaps the server link; the old connection is returned, to be closed. */
  async finish(): Promise<EngineConnection> {
    // Answers to questions of ours would reach the client.
    await this.#preparing.catch(() => undefined);
    await this.#open();
    if (!this.isReady) await this.prepare(true, { quietSinceMs: this.#quietSinceMs });
    // What was saved was so with everybody held: its server was stopped since, and no client of ours could notify anybody.
    if (this.#saved === null) await this.#flushNotifications();
    // Lost meanwhile, it would have been opened anew without the state.
    const connection = await this.#connection;
    if (this.session.isClosed) throw new Error('the client has left');
    if (!connection || connection.isLost) throw new Error('the connection to the new engine was lost');
    this.#connection = null;
    this.#over = true;
    return this.session.moveTo(connection, this.#broken);
  }

  /**
   * A backend delivers what it was notified of before each ReadyForQuery (async.c), and is signalled before the notifier's
   * commit is acknowledged: so one more of them brings out all that was notified before everybody was held.
   */
  async #flushNotifications(): Promise<void> {
    if ((this.session.state?.listen.length ?? 0) === 0) return;
    await this.session.server.exchange(encode.sync(), 1).catch((error: Error) => {
      this.#undelivered = `notifications, if there were any: ${error.message}`;
    });
  }

  /** Idempotent. What runs on the connection is cancelled: a backend that waits for a lock does not see that we are gone. */
  abandon(): void {
    this.#over = true;
    void this.#connection
      ?.then(async (connection) => {
        if (connection.isBusy) await cancelOnEngine(connection);
        connection.close();
      })
      .catch(() => undefined);
    this.#connection = null;
    this.#replayed = null;
  }

  async #replay(connection: EngineConnection, wanted: SessionState, promoted: boolean): Promise<void> {
    const { state, postponed, broken, lost } = await replay(
      connection,
      wanted,
      this.#there,
      this.#base,
      promoted,
    );
    this.#broken = broken;
    this.#there = state;
    this.#replayed = wanted;
    this.#postponed = postponed;
    this.#lost = lost;
  }

  async #baseOf(connection: EngineConnection): Promise<SessionState> {
    const key = JSON.stringify([...this.session.identity.parameters]);
    const known = this.#target.bases.get(key);
    // Who was to read it may have left; then we do.
    if (known) return known.catch(() => this.#baseOf(connection));
    const context = await this.#services.context(false);
    const base = baseState(connection, context, this.#services.names);
    this.#target.bases.set(key, base);
    base.catch(() => this.#target.bases.delete(key));
    return base;
  }

  /** The connection to the target; opened anew if it was lost while it waited. */
  async #open(): Promise<EngineConnection> {
    const known = this.#connection;
    const current = await known?.catch(() => null);
    // Somebody else has seen it, too, and opens another one.
    if (this.#connection !== known && this.#connection) return this.#connection;
    if (current && !current.isLost) return current;
    if (this.#over) throw new Error('the move is over');
    this.#connection = this.#connect();
    return this.#connection;
  }

  /** With what it is right after login; nobody has it before. */
  async #connect(): Promise<EngineConnection> {
    const { identity } = this.session;
    const { links } = this.#services;
    const connection = await EngineConnection.open(
      links,
      this.#target.route,
      startUpOf(identity),
      identity.keys,
    );
    try {
      connection.loginNotices.length = 0;
      this.#base = await this.#baseOf(connection);
    } catch (error) {
      connection.close();
      throw error;
    }
    this.#there = this.#base;
    this.#replayed = null;
    this.#postponed = 0;
    return connection;
  }
}

/** PostgreSQL's own words for a session whose role is gone (miscinit.c, GetUserNameFromId) say nothing to people. */
export const readable = (error: Error, { identity: { user } }: Session): Error =>
  /^invalid role OID/.test(error.message)
    ? new Error(`role "${user}", or one that it has set, does not exist any more`, { cause: error })
    : error;

/** The same StartupMessage: RESET ALL goes back to what it says. */
const startUpOf = ({ parameters }: SessionIdentity): ReadonlyMap<string, string> =>
  isLeftOut('startUpSettings')
    ? new Map([...parameters].filter(([name]) => name === 'user' || name === 'database'))
    : parameters;

/** What the login itself set: ALTER ROLE … SET, ALTER DATABASE … SET. */
export const baseState = (
  connection: EngineConnection,
  context: LookContext,
  names: SettingNames,
): Promise<SessionState> =>
  look(connection, { ...context, thorough: false, tracker: new SessionTracker(names) }, null);

/** Runs `work` with the session held, if it comes to a safe point in time; false if not. Lets it go on in any case. */
export const whileHeld = async (
  session: Session,
  withinMs: number,
  work: () => Promise<unknown>,
): Promise<boolean> => {
  let released = false;
  const release = (): Promise<void> | undefined => {
    if (released) return undefined;
    released = true;
    return session.release();
  };
  const timer = setTimeout(() => void release(), withinMs);
  try {
    if (!(await session.hold())) return false;
    clearTimeout(timer);
    await work();
    return true;
  } finally {
    clearTimeout(timer);
    await release();
  }
};
