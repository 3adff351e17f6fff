/**
 * Cancel keys: a client holds a key of ours, because the engine's own changes with every move. A CancelRequest is mapped to
 * the engine that serves the session now (manual 54.2.8).
 */
import { randomBytes, randomInt, timingSafeEqual } from 'node:crypto';
import { connect } from 'node:net';
import { PROTOCOL_3_2, StartupCode, encode } from '../protocol/index.js';
import type { EngineConnection } from './engine-connection.js';

export interface CancelKey {
  /** Stands in BackendKeyData as the process id. */
  readonly processId: number;
  readonly secret: Buffer;
}

/** Passes a CancelRequest on to another proxy process. */
export type CancelElsewhere = (processId: number, secret: Buffer) => void;

/** Secrets are 4 bytes in protocol 3.0, and longer from 3.2 on. */
const SECRET_BYTES = 4;
const LONG_SECRET_BYTES = 32;
/** Bound of passing on one CancelRequest, ms. */
const CANCEL_TIMEOUT_MS = 5_000;

export class CancelKeys<Session> {
  readonly #holders = new Map<number, { key: CancelKey; session: Session }>();
  readonly #place: number;
  readonly #places: number;

  /** Of several processes each tells from a key's process id modulo their number whose it is. `place`: of this one, from 0. */
  constructor(place = 0, places = 1) {
    this.#place = place;
    this.#places = places;
  }

  /** A key that no session has. */
  issue(version: number): CancelKey {
    let processId = this.#draw();
    while (this.#holders.has(processId)) processId = this.#draw();
    return { processId, secret: randomBytes(version >= PROTOCOL_3_2 ? LONG_SECRET_BYTES : SECRET_BYTES) };
  }

  /** 1 to 2^31 − 1. */
  #draw(): number {
    const drawn = randomInt(this.#places, 0x7fff_ffff - this.#places);
    return drawn - (drawn % this.#places) + this.#place;
  }

  set(key: CancelKey, session: Session): void {
    this.#holders.set(key.processId, { key, session });
  }

  delete(key: CancelKey): void {
    this.#holders.delete(key.processId);
  }

  /** The session that holds the key; compares in constant time. */
  find(processId: number, secret: Buffer): Session | null {
    const holder = this.#holders.get(processId);
    if (!holder || holder.key.secret.length !== secret.length) return null;
    return timingSafeEqual(holder.key.secret, secret) ? holder.session : null;
  }
}

/** Asks the engine to cancel what `connection` runs. Resolves when the engine has taken the request, or after a bound. */
export const cancelOnEngine = (connection: EngineConnection): Promise<void> =>
  new Promise((resolve) => {
    const { access } = connection.engine;
    const socket =
      access.kind === 'socket'
        ? connect(`${access.directory}/.s.PGSQL.${access.port}`)
        : connect(access.port, access.host);
    socket.setTimeout(CANCEL_TIMEOUT_MS, () => socket.destroy());
    socket.on('connect', () => {
      const { backendPid, cancelSecret } = connection;
      socket.write(encode.cancelRequest(StartupCode.cancel, backendPid, cancelSecret));
    });
    // The engine closes the connection once it has signalled the backend.
    socket.on('end', () => socket.end());
    socket.on('error', () => undefined);
    socket.on('close', () => resolve());
    socket.resume();
  });
