/**
 * How a client becomes a session: start-up, authentication against the engine's own verifier, login to the engine as the
 * client's real role. Errors are FATAL with PostgreSQL's own texts and SQLSTATEs.
 */
import { DbproxyError } from '../errors/index.js';
import {
  AuthCode,
  Frontend,
  PROTOCOL_3_0,
  PROTOCOL_3_2,
  ProtocolViolation,
  ScramServer,
  encode,
  mockVerifier,
  parseVerifier,
  protocolVersion,
  type ScramKeys,
  type StartupPacket,
} from '../protocol/index.js';
import { type CancelKey } from './cancel.js';
import { ClientGone, type Conversation } from './conversation.js';
import type { RoleSecret } from './engine-admin.js';
import type { FailedLogins } from './failed-logins.js';
import { EngineLoginError, type EngineConnection } from './engine-connection.js';
import type { Session } from './session.js';
import { type SessionIdentity } from './session.js';
import type { Tunnel } from './tls/tunnel.js';
import type { Tunnels } from './tls/tunnels.js';

/** Default bound of a login, ms (PostgreSQL: authentication_timeout, 60 s). */
export const LOGIN_TIMEOUT_MS = 60_000;

export interface LoginServices {
  /** Bound from accept to the first ReadyForQuery, ms. */
  timeoutMs(): number;
  nextId(): number;
  /** Null: no TLS. */
  readonly tunnels: Tunnels | null;
  /** Logins over TCP have to be over TLS. */
  readonly tlsRequired: boolean;
  readonly failedLogins: FailedLogins;
  /** For the salts of roles that do not exist. */
  mockSecret(): Buffer;
  issueKey(version: number): CancelKey;
  cancel(processId: number, secret: Buffer): Promise<void>;
  roleSecret(user: string): Promise<RoleSecret | null>;
  /** Opens the session's first server link; waits while the gate is closed. From then on a hold waits for this login. */
  openEngine(
    conversation: Conversation,
    parameters: ReadonlyMap<string, string>,
    keys: ScramKeys,
  ): Promise<EngineConnection>;
  register(session: Session, early: Buffer): void;
  /** Is this the virtual database, and one who may ask it? */
  isConsole(user: string, database: string): boolean;
  /** Values of ParameterStatus there. */
  readonly consoleParameters: ReadonlyMap<string, string>;
  openConsole(conversation: Conversation): void;
  createSession(identity: SessionIdentity, conversation: Conversation, engine: EngineConnection): Session;
  /** Throws DBP_WIRE_TOO_MANY_SESSIONS. */
  admit(): void;
  loginFailed(): void;
}

type Startup = Extract<StartupPacket, { kind: 'startup' }>;

/** Runs the whole login. Never throws: what goes wrong is told to the client. */
export const logIn = async (conversation: Conversation, services: LoginServices): Promise<void> => {
  const limitMs = services.timeoutMs();
  const timer = setTimeout(() => {
    refuse(conversation, new DbproxyError('DBP_WIRE_LOGIN_TIMEOUT', { limitMs }));
    conversation.giveUp();
  }, limitMs);
  try {
    const opening = await readStartup(conversation, services);
    if (!opening) return;
    const { startup, tunnel } = opening;
    services.admit();
    const version = negotiate(conversation, startup);
    const { user, database } = identify(startup);
    if (services.tlsRequired && !tunnel) assertNoTcp(conversation, user, database);
    const host = tunnel?.host ?? conversation.link.host;
    await services.failedLogins.turn(user, host);
    const keys = await authenticate(conversation, services, user, tunnel?.binding ?? null).catch(
      (error: unknown) => {
        if (error instanceof DbproxyError && error.code === 'DBP_WIRE_PASSWORD')
          services.failedLogins.failed(user, host);
        throw error;
      },
    );
    services.failedLogins.succeeded(user, host);
    if (services.isConsole(user, database)) {
      welcome(
        conversation,
        { loginNotices: [], parameters: services.consoleParameters },
        services.issueKey(version),
      );
      services.openConsole(conversation);
      return;
    }
    const engine = await services.openEngine(conversation, startup.parameters, keys);
    if (conversation.gone) {
      engine.close();
      return;
    }
    admitTo(services, engine);
    const cancelKey = services.issueKey(version);
    const id = services.nextId();
    welcome(conversation, engine, cancelKey);
    const client = tunnel && { address: tunnel.remote, tls: tunnel.protocol ?? 'TLS' };
    const identity = {
      ...{ id, user, database, parameters: startup.parameters, keys, cancelKey },
      ...(client && { client }),
    };
    services.register(services.createSession(identity, conversation, engine), conversation.takeRest());
  } catch (error) {
    if (error instanceof ClientGone || conversation.gone) return;
    services.loginFailed();
    refuse(conversation, error);
  } finally {
    clearTimeout(timer);
  }
};

/** Again, because others came in since this login was admitted. */
const admitTo = (services: LoginServices, engine: EngineConnection): void => {
  try {
    services.admit();
  } catch (error) {
    engine.close();
    throw error;
  }
};

interface Opening {
  readonly startup: Startup;
  /** Null: the client speaks in the clear. */
  readonly tunnel: Tunnel | null;
}

/** Answers SSLRequest and GSSENCRequest; null when the connection served its purpose (CancelRequest). */
const readStartup = async (conversation: Conversation, services: LoginServices): Promise<Opening | null> => {
  // Each once, as PostgreSQL does (tcop/backend_startup.c, ProcessStartupPacket).
  const asked = new Set<string>();
  // As PostgreSQL, no TLS on a Unix socket: nobody is in between.
  const { tunnels } = conversation.link.isLocal ? { tunnels: null } : services;
  let tunnel: Tunnel | null = null;
  for (;;) {
    const packet = await conversation.startupPacket();
    if (packet.kind === 'startup') return { startup: packet, tunnel };
    if (packet.kind === 'cancel') {
      await services.cancel(packet.processId, packet.secret);
      conversation.link.finish();
      return null;
    }
    const direct = packet.kind === 'tls';
    // Direct TLS takes the place of the first packet.
    if (direct && (asked.size > 0 || !tunnels))
      throw new ProtocolViolation('invalid length of startup packet');
    if (asked.has(packet.kind) || tunnel)
      throw new ProtocolViolation('unsupported frontend protocol: repeated request');
    asked.add(packet.kind);
    if (tunnels && packet.kind !== 'gssenc') tunnel = await goThroughTunnel(conversation, tunnels, direct);
    else conversation.link.send(Buffer.from('N'));
  }
};

const goThroughTunnel = async (
  conversation: Conversation,
  tunnels: Tunnels,
  direct: boolean,
): Promise<Tunnel> => {
  const early = await conversation.quiet();
  if (!direct) {
    // They were not encrypted, and would be taken for what the client said under TLS.
    if (early.length > 0) throw new ProtocolViolation('received unencrypted data after SSL request');
    conversation.link.send(Buffer.from('S'));
  }
  return conversation.goThrough((client) => tunnels.open({ client, early, direct, owner: conversation }));
};

/** PostgreSQL's answer where pg_hba.conf has only `hostssl` lines (libpq/auth.c, ClientAuthentication). */
const assertNoTcp = ({ link }: Conversation, user: string, database: string): void => {
  if (!link.isLocal) throw new DbproxyError('DBP_WIRE_TLS_REQUIRED', { host: link.host, user, database });
};

/** The protocol version that holds; tells the client when it is not what it asked for (manual 54.2.1). */
const negotiate = (conversation: Conversation, { minor, parameters }: Startup): number => {
  const unknown = [...parameters.keys()].filter((name) => name.startsWith('_pq_.'));
  // 3.1 was never used by a release; a server that knows 3.2 answers it with 3.0.
  const version = minor >= 2 ? PROTOCOL_3_2 : PROTOCOL_3_0;
  if (protocolVersion(3, minor) !== version || unknown.length > 0) {
    conversation.link.send(encode.negotiateProtocolVersion(version, unknown));
  }
  for (const name of unknown) (parameters as Map<string, string>).delete(name);
  return version;
};

const identify = ({ parameters }: Startup): { user: string; database: string } => {
  const user = parameters.get('user') ?? '';
  if (user === '') {
    throw new ProtocolViolation('no PostgreSQL user name specified in startup packet', '28000');
  }
  const replication = parameters.get('replication') ?? 'false';
  if (!/^(false|off|no|0)$/i.test(replication)) throw new DbproxyError('DBP_WIRE_REPLICATION');
  return { user, database: parameters.get('database') || user };
};

/** SCRAM-SHA-256, over TLS with channel binding. An unknown role, one without password and a wrong password cannot be told apart from outside. */
const authenticate = async (
  conversation: Conversation,
  services: LoginServices,
  user: string,
  binding: Buffer | null,
): Promise<ScramKeys> => {
  const wrong = new DbproxyError('DBP_WIRE_PASSWORD', { user });
  const secret = await services.roleSecret(user);
  const verifier = parseVerifier(secret?.verifier ?? null);
  const scram = new ScramServer(verifier ?? mockVerifier(user, services.mockSecret()), binding);

  conversation.link.send(encode.authenticationSasl(scram.mechanisms));
  const first = await saslMessage(conversation);
  const mechanism = first.subarray(0, first.indexOf(0)).toString('latin1');
  if (!scram.mechanisms.includes(mechanism)) {
    throw new ProtocolViolation('client selected an invalid SASL authentication mechanism');
  }
  if (first.length < mechanism.length + 5) throw new ProtocolViolation('malformed SCRAM message');
  const length = first.readInt32BE(mechanism.length + 1);
  const clientFirst = first.subarray(mechanism.length + 5);
  if (length !== clientFirst.length) throw new ProtocolViolation('malformed SCRAM message');
  conversation.link.send(
    encode.authentication(AuthCode.saslContinue, scram.first(clientFirst.toString('latin1'), mechanism)),
  );

  const done = scram.final((await saslMessage(conversation)).toString('latin1'));
  if (!done || !verifier || secret?.expired !== false) throw wrong;
  conversation.link.send(encode.authentication(AuthCode.saslFinal, done.serverFinal));
  return done.keys;
};

const saslMessage = async (conversation: Conversation): Promise<Buffer> => {
  const { type, body } = await conversation.message();
  if (type !== Frontend.Password) {
    throw new ProtocolViolation(`expected SASL response, got message type ${type}`);
  }
  return body;
};

/** AuthenticationOk and what follows it; the key is ours, the rest the engine's. */
const welcome = (
  { link }: Conversation,
  engine: Pick<EngineConnection, 'loginNotices'> & { readonly parameters: ReadonlyMap<string, string> },
  key: CancelKey,
): void => {
  link.send(
    Buffer.concat([
      encode.authentication(AuthCode.ok),
      ...engine.loginNotices.splice(0),
      ...[...engine.parameters].map(([name, value]) => encode.parameterStatus(name, value)),
      encode.backendKeyData(key.processId, key.secret),
      encode.readyForQuery('I'),
    ]),
  );
};

/** Ends a login with an error. */
export const refuse = ({ link }: Pick<Conversation, 'link'>, error: unknown): void => {
  link.send(response(error));
  link.finish();
};

const response = (error: unknown): Buffer => {
  // The engine's own words: unknown database, role may not log in, too many connections …
  if (error instanceof EngineLoginError) return error.response;
  const severity = 'FATAL';
  if (error instanceof ProtocolViolation) {
    return encode.errorResponse({ severity, sqlstate: error.sqlstate, message: error.message });
  }
  const known =
    error instanceof DbproxyError
      ? error
      : new DbproxyError('DBP_WIRE_ENGINE_UNAVAILABLE', { reason: (error as Error).message });
  const [hint] = known.code === 'DBP_WIRE_TLS_REQUIRED' ? known.suggestions : [];
  return encode.errorResponse({
    ...{ severity, sqlstate: known.sqlstate ?? 'XX000', message: known.message },
    ...(hint === undefined ? {} : { hint }),
  });
};
