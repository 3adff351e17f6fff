/**
 * A connection to the engine that takes over, brought to what is known of a session. What cannot be re-created is lost and told,
 * the role apart: a session that would go on with other rights than it had is ended.
 */
import {
  emptyState,
  kindNames,
  replay,
  type KindName,
  type ReplyError,
  type SessionState,
} from '../../session-state/index.js';
import type { EngineRoute } from '../control-api.js';
import { EngineConnection } from '../engine-connection.js';
import { encode } from '../../protocol/index.js';
import type { Session } from '../session.js';
import { baseState, type MoveServices } from '../session-move.js';
import { salvage } from './salvage.js';

export interface Rebuilt {
  readonly connection: EngineConnection;
  readonly broken: ReadonlyMap<string, ReplyError>;
  /** For the client, each a thing: `temporary table basket`. */
  readonly lost: readonly string[];
}

/** Throws when the session cannot log in there, or not with its role. */
export const rebuild = async (
  session: Session,
  route: EngineRoute,
  services: MoveServices,
): Promise<Rebuilt> => {
  const known = salvage(session);
  const connection = await open(session, route, services);
  if (!known)
    return { connection, broken: new Map(), lost: ['everything of it, which had not been read yet'] };
  try {
    const base = await baseOf(connection, services);
    const { broken, lost } = await replay(connection, known.state, base, base, true);
    return { connection, broken, lost: [...known.lost, ...settings(lost)] };
  } catch {
    connection.close();
  }
  const another = await open(session, route, services);
  try {
    return await kindByKind(another, known.state, known.lost, services);
  } catch (error) {
    another.close();
    throw error;
  }
};

/** Something could not be re-created as it was: everything else still is. */
const kindByKind = async (
  connection: EngineConnection,
  wanted: SessionState,
  lostBefore: readonly string[],
  services: MoveServices,
): Promise<Rebuilt> => {
  const base = await baseOf(connection, services);
  const lost = [...lostBefore];
  const broken = new Map<string, ReplyError>();
  let there = base;
  for (const kind of kindNames) {
    const next = { ...there, [kind]: wanted[kind] };
    try {
      const replayed = await replay(connection, next, there, base, true);
      there = replayed.state;
      for (const [name, error] of replayed.broken) broken.set(name, error);
      lost.push(...settings(replayed.lost));
    } catch (error) {
      if (kind === 'role' || connection.isLost) throw error;
      lost.push(`${NAMES[kind] ?? kind} (${(error as Error).message})`);
      await connection.exchange(encode.query('rollback'), 1);
    }
  }
  return { connection, broken, lost };
};

const NAMES: Partial<Record<KindName, string>> = {
  customSettings: 'custom settings',
  preparedStatements: 'prepared statements',
  advisoryLocks: 'advisory locks',
  listen: 'LISTEN',
  sequences: 'currval() and lastval()',
  loadedLibraries: 'libraries of LOAD',
};

const settings = (lost: ReadonlyMap<string, string>): string[] =>
  [...lost].map(([name, reason]) => `setting ${name}: ${reason}`);

const open = async (
  { identity }: Session,
  route: EngineRoute,
  { links }: MoveServices,
): Promise<EngineConnection> => {
  const connection = await EngineConnection.open(links, route, identity.parameters, identity.keys);
  connection.loginNotices.length = 0;
  return connection;
};

/** What the login itself set. */
const baseOf = async (connection: EngineConnection, services: MoveServices): Promise<SessionState> => {
  const state = await baseState(connection, await services.context(false), services.names);
  return { ...state, unnamedStatement: emptyState.unnamedStatement };
};
