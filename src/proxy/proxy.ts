/**
 * The proxy: listener, logins, sessions, and the gate over them. Owns client sockets and server sockets, nothing else.
 */
import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:net';
import { chmod, mkdir, rename, rm } from 'node:fs/promises';
import { DbproxyError } from '../errors/index.js';
import { SettingNames, type MoveLimits } from '../session-state/index.js';
import { CancelKeys } from './cancel.js';
import type {
  EngineRoute,
  HandoverResult,
  Program,
  ProxyConfig,
  ProxyStatus,
  SessionReport,
  SessionSnapshot,
} from './control-api.js';
import { Conversation } from './conversation.js';
import { EngineAdmin } from './engine-admin.js';
import { EngineConnection } from './engine-connection.js';
import { Gate, type GateServices } from './gate.js';
import type { ListenerName, ProxyImage } from './handover/messages.js';
import { Predecessor, type HandoverSource, type Redirect } from './handover/predecessor.js';
import type { HandoverTarget, Sockets } from './handover/successor.js';
import { Link, NOBODY, type LinkFactory, type LinkOwner } from './link.js';
import { LOGIN_TIMEOUT_MS, logIn, refuse, type LoginServices } from './login.js';
import { rawHandle, type RawHandle } from './raw-handle.js';
import { Refusals } from './refusals.js';
import { sessionReport } from './session-report.js';
import { Session, type SessionImage } from './session.js';
import { Torture } from './torture.js';

/** Sockets that may be in the middle of their login at the same time, beyond the sessions. */
export const MAX_LOGINS = 1_000;
/** Connections the kernel keeps for us while we are busy. */
const BACKLOG = 1_024;
/** Sessions looked at at the same time by `check`. */
const CHECK_CONCURRENCY = 4;

export interface ProxyOptions {
  readonly config: ProxyConfig;
  readonly version: string;
  /** Writes go straight to the sockets' handles. */
  readonly fastPath: boolean;
  /** Answers control requests from when it is called. */
  readonly openControl: () => Promise<void>;
}

/** A connection from which nothing was read. */
interface NewConnection {
  readonly handle: RawHandle | null;
  readonly open: (owner: LinkOwner) => Link;
  destroy(): void;
}

export class Proxy implements HandoverSource, HandoverTarget {
  readonly gate: Gate;
  readonly config: ProxyConfig;
  readonly version: string;
  readonly fastPath: boolean;
  readonly openControl: () => Promise<void>;
  readonly sessions: ReadonlySet<Session>;
  readonly #links: LinkFactory;
  readonly #names = new SettingNames();
  readonly #sessions = new Set<Session>();
  readonly #keys = new CancelKeys<Session>();
  readonly #logins = new Map<Conversation, Promise<void>>();
  /** Those of `#logins` that have, or are opening, an engine connection; and questions of a login to the engine. */
  readonly #loginsUnderway = new Set<Promise<unknown>>();
  readonly #servers = new Map<ListenerName, Server>();
  readonly #totals = { sessions: 0, moves: 0, failedLogins: 0 };
  nextId = 1;
  cancelElsewhere: ((processId: number, secret: Buffer) => void) | null = null;
  #mockSecret: Buffer = randomBytes(32);
  #redirect: Redirect | null = null;
  /** Connections that are on their way to the successor. */
  readonly #redirecting = new Set<Promise<void>>();
  #handover: Promise<HandoverResult> | null = null;
  #replaced = false;
  #primary: EngineAdmin | null = null;
  readonly #torture: Torture | null;

  constructor(options: ProxyOptions) {
    const { config } = options;
    this.config = config;
    this.version = options.version;
    this.fastPath = options.fastPath;
    this.openControl = options.openControl;
    this.sessions = this.#sessions;
    this.#links = options.fastPath ? Link.fast() : Link.plain();
    const services: GateServices = {
      links: this.#links,
      names: this.#names,
      sessions: this.#sessions,
      loginsUnderway: this.#loginsUnderway,
      context: async (thorough) => ({
        thorough,
        contents: false,
        holdsLocks: false,
        limits: this.gate.limits,
        scanNames: thorough,
        settableNames: (await this.#primary?.settableNames()) ?? '{}',
        customNames: this.#names.all,
        namesOverflowed: this.#names.overflowed,
        rememberNames: (names) => names.forEach((name) => this.#names.add(name)),
      }),
      primary: () => this.#primary,
      setPrimary: (admin) => {
        this.#primary?.close();
        this.#primary = admin;
        this.#totals.moves++;
      },
    };
    this.gate = new Gate(services);
    this.#torture = config.torture ? new Torture(config.torture, services) : null;
  }

  /** Binds the TCP port and the Unix socket. Throws the listener's error (EADDRINUSE …). */
  async listen(): Promise<void> {
    const { host, port, socketDirectory } = this.config;
    await this.#bind('tcp', { host, port });
    if (socketDirectory === null) return;
    await mkdir(socketDirectory, { recursive: true, mode: 0o700 });
    const path = `${socketDirectory}/.s.PGSQL.${port}`;
    // Under another name first: libuv removes the name it was bound to when this process closes the socket, which a
    // successor may have by then.
    const making = `${path}~`;
    await rm(making, { force: true });
    await this.#bind('unix', { path: making });
    await chmod(making, 0o600);
    await rename(making, path);
  }

  async #bind(
    name: ListenerName,
    where: { host: string; port: number } | { path: string } | RawHandle,
  ): Promise<void> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
      this.#accept({
        handle: rawHandle(socket),
        open: (owner) => this.#links.accept(socket, owner),
        destroy: () => socket.destroy(),
      }),
    );
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      const begun = (): void => {
        server.removeListener('error', reject);
        // Running out of descriptors must not end the process; the next accept may succeed.
        server.on('error', (error) => process.stderr.write(`listener: ${error.message}\n`));
        resolve();
      };
      if ('onread' in where) server.listen(where, BACKLOG, begun);
      else server.listen({ ...where, backlog: BACKLOG }, begun);
    });
    this.#servers.set(name, server);
  }

  /** Sets the engine that sessions go to. */
  async route(engine: EngineRoute): Promise<void> {
    if (this.gate.state !== 'open')
      throw new DbproxyError('DBP_INTERNAL', { reason: `the gate is ${this.gate.state}` });
    const admin = new EngineAdmin(this.#links, engine);
    await admin.warm();
    this.#primary?.close();
    this.#primary = admin;
    this.gate.wake();
  }

  async check(withinMs: number, limits: MoveLimits): Promise<SessionReport[]> {
    const queue = [...this.#sessions];
    const reports: SessionReport[] = [];
    const refusals = new Refusals(this.#admin());
    const worker = async (): Promise<void> => {
      for (let session = queue.shift(); session; session = queue.shift()) {
        const unseen = await this.gate.inspect(session, withinMs, limits);
        const refused = await refusals.of(session.identity);
        if (!session.isClosed) reports.push(sessionReport(session, { unseen, refused, limits }));
      }
    };
    await Promise.all(Array.from({ length: CHECK_CONCURRENCY }, worker));
    return reports.sort((a, b) => a.id - b.id);
  }

  snapshots(): SessionSnapshot[] {
    return [...this.#sessions].map((session) => session.snapshot());
  }

  status(): ProxyStatus {
    const { version, fastPath } = this;
    const { generation, host, port } = this.config;
    const sessions = [...this.#sessions];
    return {
      pid: process.pid,
      version,
      generation,
      host,
      port,
      gate: this.gate.state,
      primary: this.#primary?.engine ?? null,
      target: this.gate.target,
      sessions: sessions.length,
      held: sessions.filter(({ held }) => held).length,
      fastPath,
      totals: { ...this.#totals },
      ...(this.#torture ? { torture: this.#torture.tally } : {}),
    };
  }

  /** Ends every session with 57P01 and stops listening. */
  async close(): Promise<void> {
    this.stopListening();
    for (const { link } of this.#logins.keys()) link.destroy();
    for (const session of this.#sessions) session.fail('DBP_WIRE_ENGINE_LOST');
    this.#primary?.close();
    const { socketDirectory, port } = this.config;
    if (socketDirectory !== null) await rm(`${socketDirectory}/.s.PGSQL.${port}`, { force: true });
  }

  // --- logins ---------------------------------------------------------------------------------------------------------

  #accept(connection: NewConnection): void {
    if (!this.#redirect || !connection.handle) {
      this.#begin(connection);
      return;
    }
    const redirected = this.#redirect.accepted(connection.handle).then(
      () => connection.destroy(),
      () => this.#begin(connection),
    );
    this.#redirecting.add(redirected);
    void redirected.then(() => this.#redirecting.delete(redirected));
  }

  #begin(connection: NewConnection): void {
    if (this.#logins.size >= MAX_LOGINS) {
      connection.destroy();
      return;
    }
    const conversation = new Conversation(connection.open);
    const login = logIn(conversation, this.#loginServices()).finally(() => {
      this.#logins.delete(conversation);
      this.#loginsUnderway.delete(login);
    });
    this.#logins.set(conversation, login);
  }

  readonly #loginServices = (): LoginServices => ({
    timeoutMs: () => this.config.loginTimeoutMs ?? LOGIN_TIMEOUT_MS,
    nextId: () => this.nextId++,
    mockSecret: this.#mockSecret,
    issueKey: (version) => this.#keys.issue(version),
    cancel: (processId, secret) => this.#cancel(processId, secret),
    roleSecret: async (user) => {
      await this.gate.opened();
      return this.#heldFor(this.#admin().roleSecret(user));
    },
    openEngine: async (conversation, parameters, keys) => {
      await this.gate.opened();
      const login = this.#logins.get(conversation);
      if (login) this.#loginsUnderway.add(login);
      return EngineConnection.open(this.#links, this.#admin().engine, parameters, keys);
    },
    admit: () => {
      const limit = this.config.maxSessions;
      if (this.#sessions.size >= limit) throw new DbproxyError('DBP_WIRE_TOO_MANY_SESSIONS', { limit });
    },
    createSession: (identity, conversation, engine) =>
      new Session(identity, conversation.link, engine, this.#names, (session) => this.#left(session)),
    register: (session, early) => {
      this.#sessions.add(session);
      this.#totals.sessions++;
      this.#keys.set(session.identity.cancelKey, session);
      session.start(early);
      this.#torture?.begin(session);
      this.gate.joined(session);
    },
    loginFailed: () => this.#totals.failedLogins++,
  });

  /** A hold waits for it: after that, the connection that it comes on may be gone. */
  #heldFor<T>(answer: Promise<T>): Promise<T> {
    const answered = answer.catch(() => undefined).finally(() => this.#loginsUnderway.delete(answered));
    this.#loginsUnderway.add(answered);
    return answer;
  }

  #admin(): EngineAdmin {
    if (!this.#primary) throw new DbproxyError('DBP_WIRE_ENGINE_UNAVAILABLE', { reason: 'no engine yet' });
    return this.#primary;
  }

  #left(session: Session): void {
    this.#sessions.delete(session);
    this.#keys.delete(session.identity.cancelKey);
    this.gate.left(session);
    this.#torture?.left(session);
  }

  async #cancel(processId: number, secret: Buffer): Promise<void> {
    if (await this.cancelHere(processId, secret)) return;
    this.#redirect?.cancel(processId, secret);
    this.cancelElsewhere?.(processId, secret);
  }

  /** A request that comes while the session is held has nothing to cancel; it waits until the gate is open. */
  async cancelHere(processId: number, secret: Buffer): Promise<boolean> {
    const session = this.#keys.find(processId, secret);
    if (!session) return false;
    await this.gate.opened();
    await session.cancel();
    return true;
  }

  // --- handover: the side that is replaced ------------------------------------------------------------------------------

  /** See ProxyApi.handover. When it resolves, nothing is left here. */
  handOver(program: Program, onProgress: (handed: number) => void): Promise<HandoverResult> {
    if (this.#handover) return this.#handover;
    const busy = this.gate.target ? `a switchover is under way (the gate is ${this.gate.state})` : null;
    const reason = this.#torture ? 'it tortures its sessions' : busy;
    if (reason !== null) return Promise.reject(new DbproxyError('DBP_PROXY_HANDOVER', { reason }));
    const handover = new Predecessor(this, program, onProgress).run();
    this.#handover = handover;
    handover.then(
      () => (this.#replaced = true),
      () => (this.#handover = null),
    );
    return handover;
  }

  /** A successor has everything that was here. */
  get isReplaced(): boolean {
    return this.#replaced;
  }

  /** Resolves when no connection is between the two processes. */
  async redirected(): Promise<void> {
    while (this.#redirecting.size > 0) await Promise.all(this.#redirecting);
  }

  get logins(): number {
    return this.#logins.size;
  }

  /** Logins that are under way here take theirs from before it. */
  get nextFreeId(): number {
    return this.nextId + this.#logins.size;
  }

  save(): ProxyImage {
    return {
      primary: this.#primary?.engine ?? null,
      limits: this.gate.limits,
      settingNames: { names: this.#names.all, overflowed: this.#names.overflowed },
      mockSecret: this.#mockSecret,
    };
  }

  get totals(): ProxyStatus['totals'] {
    return { ...this.#totals };
  }

  listeners(): { name: ListenerName; handle: RawHandle }[] {
    return [...this.#servers].flatMap(([name, server]) => {
      const handle = rawHandle(server);
      return handle ? [{ name, handle }] : [];
    });
  }

  stopListening(): void {
    for (const server of this.#servers.values()) server.close();
    this.#servers.clear();
  }

  redirect(to: Redirect | null): void {
    this.#redirect = to;
  }

  async redirectSilent(): Promise<void> {
    const redirect = this.#redirect;
    if (!redirect) return;
    for (const conversation of this.#logins.keys())
      await conversation.giveAway((handle) => redirect.accepted(handle));
  }

  refuseLogins(reason: string): void {
    for (const conversation of this.#logins.keys()) {
      refuse(conversation, new DbproxyError('DBP_WIRE_ENGINE_UNAVAILABLE', { reason }));
      conversation.giveUp();
    }
  }

  // --- handover: the side that takes over -------------------------------------------------------------------------------

  async restore({ primary, limits, settingNames, mockSecret }: ProxyImage): Promise<void> {
    this.gate.limits = limits;
    for (const name of settingNames.names) this.#names.add(name);
    this.#names.overflowed ||= settingNames.overflowed;
    this.#mockSecret = mockSecret;
    if (primary) await this.route(primary);
  }

  addTotals({ sessions, moves, failedLogins }: ProxyStatus['totals']): void {
    this.#totals.sessions += sessions;
    this.#totals.moves += moves;
    this.#totals.failedLogins += failedLogins;
  }

  listenOn(name: ListenerName, handle: RawHandle): Promise<void> {
    return this.#bind(name, handle);
  }

  takeIn(handle: RawHandle): void {
    const open = (owner: LinkOwner): Link => this.#links.inherit(handle, owner);
    this.#accept({ handle, open, destroy: () => handle.close() });
  }

  inherit(image: SessionImage, { client, server }: Sockets): Session {
    const connection = EngineConnection.inherit(this.#links, server, image.relay.server);
    const link = this.#links.inherit(client, NOBODY);
    const session = new Session(image.identity, link, connection, this.#names, (left) => this.#left(left));
    session.restore(image);
    this.#sessions.add(session);
    this.#keys.set(session.identity.cancelKey, session);
    return session;
  }
}
