/**
 * The proxy: listener, logins, sessions, and the gate over them. Owns client sockets and server sockets, nothing else.
 */
import { createServer, type Server, type Socket } from 'node:net';
import { chmod, mkdir, rm } from 'node:fs/promises';
import { DbproxyError } from '../errors/index.js';
import { SettingNames, type MoveLimits } from '../session-state/index.js';
import { CancelKeys } from './cancel.js';
import type { EngineRoute, ProxyConfig, ProxyStatus, SessionReport, SessionSnapshot } from './control-api.js';
import { Conversation } from './conversation.js';
import { EngineAdmin } from './engine-admin.js';
import { EngineConnection } from './engine-connection.js';
import { Gate, type GateServices } from './gate.js';
import { Link, type LinkFactory } from './link.js';
import { LOGIN_TIMEOUT_MS, logIn, type LoginServices } from './login.js';
import { Refusals } from './refusals.js';
import { sessionReport } from './session-report.js';
import { Session } from './session.js';
import { Torture } from './torture.js';

/** Sockets that may be in the middle of their login at the same time, beyond the sessions. */
export const MAX_LOGINS = 1_000;
/** Connections the kernel keeps for us while we are busy. */
const BACKLOG = 1_024;
/** Sessions looked at at the same time by `check`. */
const CHECK_CONCURRENCY = 4;

export interface ProxyOptions extends ProxyConfig {
  readonly version: string;
  readonly fastPath: boolean;
}

export class Proxy {
  readonly gate: Gate;
  readonly #options: ProxyOptions;
  readonly #links: LinkFactory;
  readonly #names = new SettingNames();
  readonly #sessions = new Set<Session>();
  readonly #keys = new CancelKeys<Session>();
  readonly #logins = new Map<Conversation, Promise<void>>();
  /** Those of `#logins` that have, or are opening, an engine connection. */
  readonly #loginsUnderway = new Set<Promise<void>>();
  readonly #servers: Server[] = [];
  readonly #totals = { sessions: 0, failedLogins: 0 };
  #moves = 0;
  #nextId = 1;
  #primary: EngineAdmin | null = null;
  readonly #torture: Torture | null;

  constructor(options: ProxyOptions) {
    this.#options = options;
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
        this.#moves++;
      },
    };
    this.gate = new Gate(services);
    this.#torture = options.torture ? new Torture(options.torture, services) : null;
  }

  /** Binds the TCP port and the Unix socket. Throws the listener's error (EADDRINUSE …). */
  async listen(): Promise<void> {
    const { host, port, socketDirectory } = this.#options;
    await this.#bind({ host, port });
    if (socketDirectory === null) return;
    await mkdir(socketDirectory, { recursive: true, mode: 0o700 });
    const path = `${socketDirectory}/.s.PGSQL.${port}`;
    await rm(path, { force: true });
    await this.#bind({ path });
    await chmod(path, 0o600);
  }

  async #bind(where: { host: string; port: number } | { path: string }): Promise<void> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: true }, (socket) =>
      this.#accept(socket),
    );
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ ...where, backlog: BACKLOG }, () => {
        server.removeListener('error', reject);
        // Running out of descriptors must not end the process; the next accept may succeed.
        server.on('error', (error) => process.stderr.write(`listener: ${error.message}\n`));
        resolve();
      });
    });
    this.#servers.push(server);
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

  sessions(): SessionSnapshot[] {
    return [...this.#sessions].map((session) => session.snapshot());
  }

  status(): ProxyStatus {
    const { version, generation, host, port, fastPath } = this.#options;
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
      totals: { ...this.#totals, moves: this.#moves },
      ...(this.#torture ? { torture: this.#torture.tally } : {}),
    };
  }

  /** Ends every session with 57P01 and stops listening. */
  async close(): Promise<void> {
    for (const server of this.#servers) server.close();
    for (const { link } of this.#logins.keys()) link.destroy();
    for (const session of this.#sessions) session.fail('DBP_WIRE_ENGINE_LOST');
    this.#primary?.close();
    const { socketDirectory, port } = this.#options;
    if (socketDirectory !== null) await rm(`${socketDirectory}/.s.PGSQL.${port}`, { force: true });
  }

  // --- logins ---------------------------------------------------------------------------------------------------------

  #accept(socket: Socket): void {
    if (this.#logins.size >= MAX_LOGINS) {
      socket.destroy();
      return;
    }
    const conversation = new Conversation((owner) => this.#links.accept(socket, owner));
    const login = logIn(conversation, this.#loginServices).finally(() => {
      this.#logins.delete(conversation);
      this.#loginsUnderway.delete(login);
    });
    this.#logins.set(conversation, login);
  }

  readonly #loginServices: LoginServices = {
    timeoutMs: () => this.#options.loginTimeoutMs ?? LOGIN_TIMEOUT_MS,
    nextId: () => this.#nextId++,
    issueKey: (version) => this.#keys.issue(version),
    cancel: (processId, secret) => this.#cancel(processId, secret),
    roleSecret: async (user) => {
      await this.gate.opened();
      return this.#admin().roleSecret(user);
    },
    openEngine: async (conversation, parameters, keys) => {
      await this.gate.opened();
      const login = this.#logins.get(conversation);
      if (login) this.#loginsUnderway.add(login);
      return EngineConnection.open(this.#links, this.#admin().engine, parameters, keys);
    },
    admit: () => {
      const limit = this.#options.maxSessions;
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
  };

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

  /** A request that comes while the session is held has nothing to cancel; it waits until the gate is open. */
  async #cancel(processId: number, secret: Buffer): Promise<void> {
    const session = this.#keys.find(processId, secret);
    if (!session) return;
    await this.gate.opened();
    await session.cancel();
  }
}
