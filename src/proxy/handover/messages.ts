/**
 * What two proxy processes say to each other while one takes over from the other, over Node's IPC channel: structured clone
 * (Buffers, Maps and bigints travel as they are), and sockets as SCM_RIGHTS (unix(7)). Who owns a session, when:
 *
 *   predecessor                                   successor
 *     spawn ───────────────────────────────────▶ self-test
 *           ◀──────────────────────────── hello   formats, version, descriptors
 *     prepare ─────────────────────────────────▶ binds its control socket, reaches the primary
 *           ◀───────────────────────── prepared
 *     listener* ───────────────────────────────▶ accepts from here on
 *           ◀──────────────────────── listening
 *   ( write ───────────────────────────────────▶ opens the writer                   of several writers: all stand still (standstill.ts)
 *           ◀─────────────────────────── writes )
 *   ┌ socket, socket ──────────────────────────▶ keeps them, reads nothing          the session flows here meanwhile
 *   │       ◀───────────────────────────── have
 *   │ freeze; sessions ────────────────────────▶ builds them, reads nothing
 *   │       ◀────────────────────────── adopted   up to here the predecessor can take them back
 *   └ go ──────────────────────────────────────▶ lets them flow                     from here the successor owns them
 *     finish ──────────────────────────────────▶ takes the control socket's name
 *           ◀───────────────────────── finished
 *     exit
 *
 * If the predecessor dies, the successor takes over what it has been given (whole), and ends the rest. If the successor dies,
 * the predecessor goes on with what it had not said `go` for. Whoever is left ends the backends of the others: from `listen` on
 * each tells the other of those that come and go (`backend`).
 */
import type { PeerMessage } from '../../multiwriter/writer/index.js';
import type { MoveLimits } from '../../session-state/index.js';
import type { EngineRoute, ProxyStatus } from '../control-api.js';
import type { ListenerName } from '../listeners.js';
import type { RawHandle } from '../raw-handle.js';
import type { SessionImage } from '../session.js';

/** Version of everything in this file and of the images in it. Raise it whenever one of their shapes changes. */
export const FORMAT = 2;
/** Formats that this build can take over from. The first one had no writers. */
export const READABLE_FORMATS: readonly number[] = [1, FORMAT];

/** The proxy without its sessions. */
export interface ProxyImage {
  readonly primary: EngineRoute | null;
  readonly limits: MoveLimits;
  readonly settingNames: { readonly names: readonly string[]; readonly overflowed: boolean };
  /** For the salts of roles that do not exist: they stay what they were. */
  readonly mockSecret: Buffer;
}

export interface Hello {
  readonly formats: readonly number[];
  readonly version: string;
  readonly fastPath: boolean;
  /** How many more files this process can open. */
  readonly descriptors: number;
}

export interface ToSuccessor {
  prepare: { readonly format: number; readonly proxy: ProxyImage };
  /** With the listening socket. */
  listener: { readonly name: ListenerName };
  /** All listeners were sent. `backends`: of all sessions; undefined: of an older build. */
  listen: { readonly nextId: number; readonly backends?: readonly number[] };
  backend: BackendChange;
  /** Of several writers: the writer here has made way, and all sessions stand still. `epoch`: to lead with; null: another one does. */
  write: { readonly epoch: number | null };
  /** Of several writers: what others say to the process that has their connections still. */
  hear: { readonly messages: readonly PeerMessage[] };
  /** With the socket of a client, or of its backend. */
  socket: { readonly session: number; readonly side: 'client' | 'server' };
  /** `frozenAt`: ns, monotonic, the same clock in all processes. */
  sessions: { readonly images: readonly SessionImage[]; readonly frozenAt: bigint };
  go: { readonly ids: readonly number[] };
  /** These have ended, or stay. */
  drop: { readonly ids: readonly number[] };
  /** With a socket that was accepted over there, and from which nothing was read. */
  accepted: Record<string, never>;
  cancel: { readonly processId: number; readonly secret: Buffer };
  finish: { readonly nextId: number; readonly totals: ProxyStatus['totals'] };
}

export interface ToPredecessor {
  hello: Hello;
  prepared: Record<string, never>;
  /** It cannot take over, and ends. */
  failed: { readonly reason: string };
  listening: Record<string, never>;
  backend: BackendChange;
  /** Its writer is open. */
  writes: Record<string, never>;
  have: { readonly session: number };
  adopted: { readonly ids: readonly number[]; readonly failed: readonly SessionFailure[] };
  running: { readonly ids: readonly number[]; readonly holdMs: readonly number[] };
  cancel: { readonly processId: number; readonly secret: Buffer };
  finished: Record<string, never>;
}

/** That of a session which has logged in there, before anything of its client's reaches it, or whose session ended. An older build does not tell. */
export interface BackendChange {
  readonly pid: number;
  readonly has: 'come' | 'gone';
}

export interface SessionFailure {
  readonly id: number;
  readonly reason: string;
}

/** Handlers by message; the second argument is the socket that came along. */
export type Handlers<Messages> = {
  readonly [K in keyof Messages]?: (message: Messages[K], socket: RawHandle | null) => void;
};
