/**
 * The proxy: listener, logins, sessions, and the gate over them. Owns client sockets and server sockets, nothing else.
 */
import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { DbproxyError } from '../errors/index.js';
import { SettingNames, inventory, type MoveLimits } from '../session-state/index.js';
import { CancelKeys, type CancelElsewhere } from './cancel.js';
import type { Connect, PeerMessage, WriterService } from '../multiwriter/writer/index.js';
import { connectedAhead } from './certify/connected-ahead.js';
import { connectTo, newWriter } from './certify/writer-host.js';
import { CONSOLE_DATABASE, Console, parametersOf } from './console/console.js';
import type {
  EngineRoute,
  HandoverResult,
  Program,
  ProxyApi,
  ProxyConfig,
  ReviveParams,
  ReviveResult,
  ProxyStatus,
  WriterHandover,
  SessionDetail,
  SessionReport,
  ProxyView,
  SessionSnapshot,
} from './control-api.js';
import { EngineAdmin } from './engine-admin.js';
import { EngineConnection, EngineLostError } from './engine-connection.js';
import { FailedLogins } from './failed-logins.js';
import { Cover } from './failover/cover.js';
import { fewAtATime } from './few-at-a-time.js';
import { Gate, type GateServices } from './gate.js';
import { Backends, type LeftBackend } from './group/backends.js';
import { Headcount } from './group/headcount.js';
import { Peers } from './group/peers.js';
import { startMember } from './group/start-member.js';
import type { BackendChange, ProxyImage } from './handover/messages.js';
import { Predecessor, type HandoverSource } from './handover/predecessor.js';
import { Standstill } from './handover/standstill.js';
import type { HandoverTarget, Sockets } from './handover/successor.js';
import { logLine } from '../log-line.js';
import { Link, NOBODY, type LinkFactory, type LinkOwner } from './link.js';
import { Listeners, type ListenerName } from './listeners.js';
import { LOGIN_TIMEOUT_MS, type LoginServices } from './login.js';
import { Logins, type PassOn } from './logins.js';
import { rawHandle, type RawHandle } from './raw-handle.js';
import { Refusals } from './refusals.js';
import { sessionReport } from './session-report.js';
import { Session, type SessionIdentity, type SessionImage } from './session.js';
import type { CertificateStore } from './tls/certificate.js';
import { Tunnels } from './tls/tunnels.js';
import { Torture } from './torture.js';
import { Traces } from './traces.js';

/** Sessions looked at at the same time by `check`. */
const CHECK_CONCURRENCY = 4;

export interface ProxyOptions {
  readonly config: ProxyConfig;
  readonly version: string;
  /** One of several writers: its transactions are certified. */
  readonly writer?: WriterService | null;
  /** Writes go straight to the sockets' handles. */
  readonly fastPath: boolean;
  /** What of `openControl` can fail. */
  readonly bindControl: () => Promise<void>;
  /** Answers control requests from when it is called. */
  readonly openControl: () => Promise<void>;
  /** Null: no TLS. */
  readonly certificates: CertificateStore | null;
}

/** Between two attempts of a writer to reach its engine, ms. */
const REACH_AGAIN_MS = 200;
/** How long the last words to clients may take to pass their TLS, when everything ends; ms. */
const LAST_WORDS_MS = 500;
/** That a writer which begins opens before it takes part. */
const CONNECTIONS_OF_A_WRITER = 4;

export class Proxy implements HandoverSource, HandoverTarget {
  readonly gate: Gate;
  readonly cover: Cover;
  readonly config: ProxyConfig;
  readonly version: string;
  readonly fastPath: boolean;
  readonly bindControl: () => Promise<void>;
  readonly openControl: () => Promise<void>;
  readonly sessions: ReadonlySet<Session>;
  #writer: WriterService | null;
  readonly #links: LinkFactory;
  readonly #names = new SettingNames();
  readonly #sessions = new Set<Session>();
  readonly traces = new Traces(this.#sessions);
  readonly #keys: CancelKeys<Session>;
  readonly #logins: Logins;
  readonly #tunnels: Tunnels | null;
  readonly #listeners: Listeners;
  readonly #consoles = new Set<Console>();
  readonly #totals = { sessions: 0, moves: 0, failedLogins: 0 };
  /** The other processes that serve clients of this port; null: there are none. */
  readonly peers: Peers | null;
  readonly #headcount: Headcount | null;
  readonly #backends: Backends<Session> | null;
  /** Of the process before this one, which died. */
  #leftBackends: readonly LeftBackend[] = [];
  /** Of several processes each gives out every so many ids. */
  readonly #processes: number;
  nextId: number;
  cancelElsewhere: CancelElsewhere | null = null;
  hearElsewhere: ((messages: readonly PeerMessage[]) => void) | null = null;
  onBackend: ((change: BackendChange) => void) | null = null;
  #mockSecret: Buffer;
  #attaching: Promise<void> = Promise.resolve();
  #handover: { readonly predecessor: Predecessor; readonly done: Promise<HandoverResult> } | null = null;
  /** Of one of several writers that takes over: its predecessor's. */
  #inherited: { readonly admin: EngineAdmin; readonly connect: Connect } | null = null;
  #replaced = false;
  #primary: EngineAdmin | null = null;
  readonly #torture: Torture | null;

  constructor(options: ProxyOptions) {
    const { config } = options;
    this.config = config;
    this.version = options.version;
    this.fastPath = options.fastPath;
    this.bindControl = options.bindControl;
    this.openControl = options.openControl;
    this.#writer = options.writer ?? null;
    if (this.#writer) this.#writer.onStopped = (error) => this.#writerStopped(error);
    this.sessions = this.#sessions;
    const { group } = config;
    this.peers = group ? new Peers(group) : null;
    this.#headcount = group ? new Headcount(group) : null;
    this.#backends = group ? new Backends(group) : null;
    this.#processes = group?.controlSockets.length ?? 1;
    this.nextId = group?.number ?? 1;
    this.#keys = new CancelKeys(this.nextId - 1, this.#processes);
    const secret = group?.inherited?.mockSecret;
    this.#mockSecret = secret === undefined ? randomBytes(32) : Buffer.from(secret, 'base64');
    this.#links = options.fastPath ? Link.fast() : Link.plain();
    // Both directories are their owner's alone.
    const meetingPlace = config.socketDirectory ?? dirname(config.controlSocket);
    this.#tunnels = options.certificates && new Tunnels(meetingPlace, this.#links, options.certificates);
    this.#logins = new Logins(this.#loginServices());
    this.#listeners = new Listeners(config, (socket) =>
      this.#logins.accept({
        handle: rawHandle(socket),
        open: (owner) => this.#links.accept(socket, owner),
        destroy: () => socket.destroy(),
      }),
    );
    const services: GateServices = {
      links: this.#links,
      names: this.#names,
      sessions: this.#sessions,
      loginsUnderway: this.#logins.underway,
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
        void this.#attachWriter(admin.engine);
      },
      pauseWriter: async () => this.writer?.pause(),
      resumeWriter: () => this.writer?.resume(),
      processes: this.#processes,
      warmPeers: async () => this.peers?.warm(),
      peersMovedShared: async (boundMs) => this.peers?.movedShared(boundMs),
    };
    this.gate = new Gate(services);
    this.cover = new Cover(services, () => this.gate.state === 'open');
    this.#torture = config.torture ? new Torture(config.torture, services) : null;
  }

  /** Binds the TCP port and the Unix socket, unless another process has. Throws the listener's error (EADDRINUSE …). */
  listen(): Promise<void> {
    this.#headcount?.set(0);
    this.#leftBackends = this.#backends?.readLeft() ?? [];
    const inherited = this.config.group?.inherited;
    return inherited ? this.#listeners.share(inherited.listeners) : this.#listeners.open();
  }

  /** See ProxyApi.startMember. */
  startMember(program: Program, config: ProxyConfig): Promise<{ pid: number }> {
    return startMember(program, config, this.#listeners.inheritable, this.#mockSecret);
  }

  /** Sets the engine that sessions go to. */
  async route(engine: EngineRoute): Promise<void> {
    if (this.gate.state !== 'open')
      throw new DbproxyError('DBP_INTERNAL', { reason: `the gate is ${this.gate.state}` });
    const admin = new EngineAdmin(this.#links, engine);
    try {
      await admin.warm();
      await this.#endLeftBackends(admin);
      await this.#attachWriter(engine);
    } catch (error) {
      admin.close();
      throw error;
    }
    this.#setPrimary(admin);
  }

  async #endLeftBackends(admin: EngineAdmin): Promise<void> {
    const there = this.#leftBackends.filter(({ engine }) => engine === admin.engine.id);
    if (there.length > 0) await admin.endLeftBackends(there);
    this.#leftBackends = [];
    this.#backends?.forgetLeft();
  }

  #setPrimary(admin: EngineAdmin): void {
    this.#primary?.close();
    this.#primary = admin;
    this.gate.wake();
  }

  /** One after the other: the engine may be told here while the writer still tries to reach it. */
  #attachWriter(engine: EngineRoute, keepsSessions = false, ahead?: Connect): Promise<void> {
    const attached = this.#attaching.then(() =>
      this.writer?.attach(ahead ?? connectTo(engine, this.writer.config.database), keepsSessions),
    );
    this.#attaching = attached.catch(() => undefined);
    return attached;
  }

  /** See WriterApi, `writer.tell`. */
  hear(messages: readonly PeerMessage[]): void {
    if (this.hearElsewhere) this.hearElsewhere(messages);
    else this.writer?.hear(messages);
  }

  get writer(): WriterService | null {
    return this.#writer;
  }

  #writerStopped(error: DbproxyError): void {
    for (const session of this.#sessions) session.fail('DBP_WRITER_STOPPED', error.details);
    this.#logins.refuse(error);
  }

  async check(withinMs: number, limits: MoveLimits): Promise<SessionReport[]> {
    const reports: SessionReport[] = [];
    const refusals = new Refusals(() => this.#admin());
    await fewAtATime([...this.#sessions], CHECK_CONCURRENCY, async (session) => {
      const report = await this.#report(session, withinMs, limits, refusals);
      if (!session.isClosed) reports.push(report);
    });
    return reports.sort((a, b) => a.id - b.id);
  }

  async #report(
    session: Session,
    withinMs: number,
    limits: MoveLimits,
    refusals: Refusals,
  ): Promise<SessionReport> {
    const unseen = await this.gate.inspect(session, withinMs, limits);
    const refused = await refusals.of(session.identity);
    return sessionReport(session, { unseen, refused, limits });
  }

  /** Null: there is no such session, or it ended meanwhile. */
  async inspect(id: number, withinMs: number, limits: MoveLimits): Promise<SessionDetail | null> {
    const session = [...this.#sessions].find(({ identity }) => identity.id === id);
    if (!session) return null;
    const report = await this.#report(session, withinMs, limits, new Refusals(() => this.#admin()));
    if (session.isClosed) return null;
    const holds = session.state ? inventory(session.state) : [];
    return { session: this.#snapshot(session), report, holds, moves: session.moveNotes };
  }

  snapshots(): SessionSnapshot[] {
    return [...this.#sessions].map((session) => this.#snapshot(session));
  }

  /** Who is held while everybody moves is on the way. */
  #snapshot(session: Session): SessionSnapshot {
    const snapshot = session.snapshot();
    return snapshot.state === 'held' && this.gate.state === 'moving'
      ? { ...snapshot, state: 'moving' }
      : snapshot;
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
      ...(this.cover.waits ? { waitsForEngine: true } : {}),
      ...(this.#isFull || this.#logins.areFull ? { crowded: true } : {}),
      fastPath,
      totals: { ...this.#totals },
      ...(this.#tunnels ? { tunnels: this.#tunnels.size } : {}),
      ...(this.#torture ? { torture: this.#torture.tally } : {}),
    };
  }

  /** What consoles show of this process. */
  view(): ProxyView {
    const moves = [...this.#sessions].flatMap(({ identity, moveNotes }) =>
      moveNotes.map((note) => ({ ...note, session: identity.id })),
    );
    return { status: this.status(), snapshots: this.snapshots(), moves };
  }

  /** Ends every session as a server does that is shut down (57P01), and stops listening. */
  async close(): Promise<void> {
    this.stopListening();
    this.#logins.close();
    this.#endConsoles();
    for (const session of this.#sessions) session.fail('DBP_WIRE_SHUTDOWN');
    this.writer?.close();
    this.#primary?.close();
    this.peers?.close();
    this.#backends?.remove();
    await this.#tunnels?.close(LAST_WORDS_MS);
    // It is the others', too.
    if (!this.config.group) await this.#listeners.removeName();
  }

  // --- logins ---------------------------------------------------------------------------------------------------------

  #loginServices = (): LoginServices => ({
    tunnels: this.#tunnels,
    failedLogins: new FailedLogins(),
    tlsRequired: this.config.tls?.mode === 'required',
    timeoutMs: () => this.config.loginTimeoutMs ?? LOGIN_TIMEOUT_MS,
    nextId: () => this.#newId(),
    mockSecret: () => this.#mockSecret,
    issueKey: (version) => this.#keys.issue(version),
    cancel: (processId, secret) => this.#cancel(processId, secret),
    roleSecret: async (user) => {
      await this.gate.opened();
      return this.#onPrimary(() => this.#logins.asksEngine(this.#admin().roleSecret(user)));
    },
    openEngine: async (conversation, parameters, keys) => {
      await this.gate.opened();
      this.#logins.opensEngine(conversation);
      return this.#onPrimary(() =>
        EngineConnection.open(this.#links, this.#admin().engine, parameters, keys),
      );
    },
    admit: () => {
      const stopped = this.writer?.stopped;
      if (stopped) throw stopped;
      const limit = this.config.maxSessions;
      if (this.#isFull) throw new DbproxyError('DBP_WIRE_TOO_MANY_SESSIONS', { limit });
    },
    createSession: (identity, conversation, engine) =>
      new Session(
        identity,
        conversation.link,
        engine,
        this.#names,
        (session) => this.#left(session),
        this.#writerOf(identity),
      ),
    register: (session, early) => {
      this.#serve(session);
      this.#totals.sessions++;
      this.onBackend?.({ pid: session.server.backendPid, has: 'come' });
      this.#keys.set(session.identity.cancelKey, session);
      session.start(early, this.gate.holdsNewcomer(session));
      this.#torture?.begin(session);
      this.traces.joined(session);
      this.cover.joined(session);
      this.gate.joined(session);
    },
    isConsole: (user, database) => database === CONSOLE_DATABASE && user === this.#primary?.engine.superuser,
    consoleParameters: parametersOf(this.version),
    openConsole: (conversation) => {
      const source = { own: () => this.view(), others: this.peers && (() => this.peers?.views() ?? []) };
      const console: Console = new Console(conversation.link, source, () => this.#consoles.delete(console));
      this.#consoles.add(console);
      console.start(conversation.takeRest());
    },
    loginFailed: () => this.#totals.failedLogins++,
  });

  /** With a standby, who cannot reach the primary waits for the next one. */
  async #onPrimary<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#primary;
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof EngineLostError)) throw error;
      // Asked in the very moment of a switch.
      if (this.#primary !== null && this.#primary !== before) return work();
      if (!this.cover.isOn) throw error;
      if (!(await this.cover.isThereAnother())) throw error;
      return work();
    }
  }

  revive(params: ReviveParams): Promise<ReviveResult> {
    if (this.gate.state !== 'open')
      throw new DbproxyError('DBP_INTERNAL', { reason: `the gate is ${this.gate.state}` });
    return this.cover.revive(params);
  }

  /** Sessions in other databases are not certified. */
  #writerOf({ database }: SessionIdentity): WriterService | null {
    return this.writer?.config.database === database ? this.writer : null;
  }

  get #isFull(): boolean {
    return this.#sessions.size + (this.#headcount?.elsewhere ?? 0) >= this.config.maxSessions;
  }

  #endConsoles(): void {
    for (const each of this.#consoles) each.end('terminating connection: this proxy process ends');
  }

  #admin(): EngineAdmin {
    if (!this.#primary) throw new DbproxyError('DBP_WIRE_ENGINE_UNAVAILABLE', { reason: 'no engine yet' });
    return this.#primary;
  }

  /** From here on it is one of ours. */
  #serve(session: Session): void {
    this.#sessions.add(session);
    this.#headcount?.set(this.#sessions.size);
    const noteBackend = (): void => this.#backends?.set(session, session.server);
    session.onMoved = noteBackend;
    noteBackend();
  }

  #left(session: Session): void {
    this.#sessions.delete(session);
    this.#headcount?.set(this.#sessions.size);
    this.#backends?.delete(session);
    this.#keys.delete(session.identity.cancelKey);
    if (!session.wasGivenAway) this.onBackend?.({ pid: session.server.backendPid, has: 'gone' });
    this.gate.left(session);
    this.cover.left(session);
    this.#torture?.left(session);
    this.traces.left(session);
  }

  async #cancel(processId: number, secret: Buffer): Promise<void> {
    const owner = this.peers?.ownerOf(processId) ?? null;
    if (owner !== null) await this.peers?.cancel(owner, processId, secret);
    else await this.cancelHereOrInSuccessor(processId, secret);
  }

  async cancelHereOrInSuccessor(processId: number, secret: Buffer): Promise<void> {
    if (!(await this.cancelHere(processId, secret))) this.cancelElsewhere?.(processId, secret);
  }

  /** A request that comes while the session is held has nothing to cancel; it waits until the gate is open. */
  async cancelHere(processId: number, secret: Buffer): Promise<boolean> {
    const session = this.#keys.find(processId, secret);
    if (!session) return false;
    if (await session.hasNothingToCancel()) return true;
    await this.gate.opened();
    await session.cancel();
    return true;
  }

  // --- handover: the side that is replaced ------------------------------------------------------------------------------

  /** See ProxyApi.handover. When it resolves, nothing is left here. */
  handOver(
    { program, writer }: ProxyApi['handover']['params'],
    onProgress: (progress: ProxyApi['handover']['progress']) => void,
  ): Promise<HandoverResult> {
    if (this.#handover) return this.#handover.done;
    const reason = this.#whyNoHandover(writer);
    if (reason !== null) return Promise.reject(new DbproxyError('DBP_PROXY_HANDOVER', { reason }));
    const standstill = writer && this.writer ? this.#standstillOf(writer) : null;
    const config = writer ? withIncarnation(this.config, writer.incarnation) : this.config;
    const predecessor = new Predecessor(this, { program, config, standstill }, onProgress);
    const done = predecessor.run();
    this.#handover = { predecessor, done };
    done.then(
      () => {
        this.#replaced = true;
        this.#backends?.remove();
      },
      () => (this.#handover = null),
    );
    return done;
  }

  /** See ProxyApi.giveUpHandover. */
  giveUpHandover(): void {
    this.#handover?.predecessor.giveUp();
  }

  #whyNoHandover(asked: WriterHandover | undefined): string | null {
    if (this.#torture) return 'it tortures its sessions';
    if (this.gate.target) return `a switchover is under way (the gate is ${this.gate.state})`;
    if (!this.writer) return null;
    if (!asked) return 'whoever asks does not know that it is a writer';
    const closed = this.writer.whyNotReplaceable();
    return closed === null ? null : `the writer ${closed}`;
  }

  #standstillOf(asked: WriterHandover): Standstill {
    return new Standstill({
      name: this.config.instance,
      asked,
      standStill: (budgetMs, cancels) => this.gate.standStill(budgetMs, 'patch --self', cancels),
      makeWay: () => {
        this.writer?.close();
        this.gate.letLoginsGo();
      },
      reopen: (incarnation) => this.#reopenWriter(incarnation),
      release: () => this.gate.release(),
    });
  }

  /** Its successor could not go on: another incarnation of this writer does, for the sessions that are here. */
  async #reopenWriter(incarnation: number): Promise<void> {
    const { writer } = withIncarnation(this.config, incarnation);
    const before = this.#writer;
    if (!writer || !before) return;
    const next = (this.#writer = newWriter(writer));
    next.follows(before);
    next.onStopped = (error) => this.#writerStopped(error);
    for (const session of this.#sessions) if (session.isCertified) session.certify(next);
    const admin = this.#primary;
    // Another primary was told meanwhile: it was reached.
    while (admin && this.#primary === admin && !this.#replaced) {
      const reached = await this.#attachWriter(admin.engine, true).then(
        () => true,
        (error: unknown) => logLine(`writer ${incarnation} cannot reach its engine: ${String(error)}`),
      );
      if (reached) return;
      await delay(REACH_AGAIN_MS);
    }
  }

  /** A successor has everything that was here. */
  get isReplaced(): boolean {
    return this.#replaced;
  }

  /** Resolves when no connection is between the two processes. */
  redirected(): Promise<void> {
    return this.#logins.redirected();
  }

  /**
   * A successor has everything but the keys of those TLS connections that end here: until the last of them has gone, this
   * process is their tunnel, and nothing else.
   */
  async remainAsTunnel(): Promise<void> {
    this.#endConsoles();
    this.#primary?.close();
    this.#primary = null;
    await this.#tunnels?.stopListening();
    await this.#tunnels?.ended();
  }

  /** What is under way in the tunnels may arrive; then they are no more. */
  closeTunnels(): Promise<void> {
    return this.#tunnels?.close(LAST_WORDS_MS) ?? Promise.resolve();
  }

  get logins(): number {
    return this.#logins.size;
  }

  /** Logins that are under way here take theirs from before it. */
  get nextFreeId(): number {
    return this.nextId + this.#processes * this.#logins.size;
  }

  #newId(): number {
    const id = this.nextId;
    this.nextId += this.#processes;
    return id;
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

  get listeners(): Listeners['inheritable'] {
    return this.#listeners.inheritable;
  }

  stopListening(): void {
    this.#listeners.close();
  }

  redirect(to: PassOn | null): void {
    this.#logins.redirect(to);
  }

  redirectSilent(): Promise<void> {
    return this.#logins.redirectSilent();
  }

  refuseLogins(): void {
    this.#logins.refuse(new DbproxyError('DBP_WIRE_PROXY_REPLACED', {}));
  }

  // --- handover: the side that takes over -------------------------------------------------------------------------------

  async restore({ primary, limits, settingNames, mockSecret }: ProxyImage): Promise<void> {
    this.gate.limits = limits;
    for (const name of settingNames.names) this.#names.add(name);
    this.#names.overflowed ||= settingNames.overflowed;
    this.#mockSecret = mockSecret;
    if (!primary) return;
    if (!this.writer) return this.route(primary);
    const admin = new EngineAdmin(this.#links, primary);
    const connecting = connectedAhead(
      connectTo(primary, this.writer.config.database),
      CONNECTIONS_OF_A_WRITER,
    );
    this.#inherited = { admin, connect: await connecting };
    await admin.warm();
  }

  async write(epoch: number | null, keepsSessions: boolean): Promise<void> {
    if (!this.writer || !this.#inherited) return;
    const { admin, connect } = this.#inherited;
    await this.#attachWriter(admin.engine, keepsSessions, connect);
    if (epoch !== null) this.writer.lead(epoch);
    this.#setPrimary(admin);
  }

  async opened(): Promise<void> {
    await this.writer?.opened();
  }

  endBackends(pids: readonly number[]): void {
    const here = new Set([...this.#sessions].map(({ server }) => server.backendPid));
    const gone = pids.filter((pid) => !here.has(pid));
    if (gone.length === 0) return;
    this.#primary
      ?.endBackends(gone)
      .catch((error: unknown) => logLine(`backends without a client: ${String(error)}`));
  }

  addTotals({ sessions, moves, failedLogins }: ProxyStatus['totals']): void {
    this.#totals.sessions += sessions;
    this.#totals.moves += moves;
    this.#totals.failedLogins += failedLogins;
  }

  listenOn(name: ListenerName, handle: RawHandle): Promise<void> {
    return this.#listeners.listenOn(name, handle);
  }

  takeIn(handle: RawHandle): void {
    const open = (owner: LinkOwner): Link => this.#links.inherit(handle, owner);
    this.#logins.accept({ handle, open, destroy: () => handle.close() });
  }

  linkOf(handle: RawHandle): Link {
    return this.#links.inherit(handle, NOBODY);
  }

  inherit(image: SessionImage, { client, server }: Sockets): Session {
    const connection = EngineConnection.inherit(server, image.relay.server);
    const { identity } = image;
    const writer = this.#writerOf(identity);
    const session = new Session(
      identity,
      client,
      connection,
      this.#names,
      (left) => this.#left(left),
      writer,
    );
    session.restore(image);
    this.#serve(session);
    this.#keys.set(session.identity.cancelKey, session);
    return session;
  }
}

const withIncarnation = (config: ProxyConfig, incarnation: number): ProxyConfig =>
  config.writer ? { ...config, writer: { ...config.writer, incarnation } } : config;
