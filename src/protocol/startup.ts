/** Reads what a client sends before it has a session: StartupMessage and what may stand in its place (manual 54.7). */
import { StartupCode } from './codes.js';
import { cstrings } from './decode.js';
import { MAX_CANCEL_SECRET_BYTES, MAX_STARTUP_PACKET_BYTES } from './limits.js';
import { ProtocolViolation } from './violation.js';

export type StartupPacket =
  | { readonly kind: 'ssl' }
  /** The beginning of a TLS handshake that nobody asked for: `sslnegotiation=direct` of PostgreSQL 17. */
  | { readonly kind: 'tls' }
  | { readonly kind: 'gssenc' }
  | { readonly kind: 'cancel'; readonly processId: number; readonly secret: Buffer }
  | {
      readonly kind: 'startup';
      readonly major: number;
      readonly minor: number;
      /** In the client's order; byte strings. */
      readonly parameters: ReadonlyMap<string, string>;
    };

/** First byte of a TLS handshake record (RFC 8446, 5.1); no start-up packet that begins with it is short enough. */
const TLS_HANDSHAKE = 0x16;

/**
 * The first packet of `buffer` and its length in bytes (0 for `tls`: nothing of it is ours), or null when more bytes are needed.
 * Throws ProtocolViolation.
 */
export const readStartupPacket = (buffer: Buffer): { packet: StartupPacket; bytes: number } | null => {
  if (buffer[0] === TLS_HANDSHAKE) return { packet: { kind: 'tls' }, bytes: 0 };
  if (buffer.length < 4) return null;
  const length = buffer.readInt32BE(0);
  if (length < 8 || length > MAX_STARTUP_PACKET_BYTES) {
    throw new ProtocolViolation('invalid length of startup packet');
  }
  if (buffer.length < length) return null;
  return { packet: decode(buffer.subarray(4, length)), bytes: length };
};

const decode = (body: Buffer): StartupPacket => {
  const code = body.readInt32BE(0);
  if (code === StartupCode.ssl) return { kind: 'ssl' };
  if (code === StartupCode.gssenc) return { kind: 'gssenc' };
  if (code === StartupCode.cancel) return cancel(body);
  const major = code >>> 16;
  const minor = code & 0xffff;
  if (major !== 3) {
    throw new ProtocolViolation(
      `unsupported frontend protocol ${major}.${minor}: server supports 3.0 to 3.2`,
      '0A000',
    );
  }
  return { kind: 'startup', major, minor, parameters: parameters(body) };
};

const cancel = (body: Buffer): StartupPacket => {
  if (body.length < 12 || body.length > 8 + MAX_CANCEL_SECRET_BYTES) {
    throw new ProtocolViolation('invalid length of query cancel packet');
  }
  return { kind: 'cancel', processId: body.readInt32BE(4), secret: Buffer.from(body.subarray(8)) };
};

const parameters = (body: Buffer): ReadonlyMap<string, string> => {
  const invalid = new ProtocolViolation('invalid startup packet layout: expected terminator as last byte');
  if (body.length < 5 || body[body.length - 1] !== 0) throw invalid;
  const strings = cstrings(body, 4);
  // The list ends with an empty name; names and values come in pairs before it.
  if (strings.pop() !== '' || strings.length % 2 !== 0) throw invalid;
  const found = new Map<string, string>();
  for (let i = 0; i < strings.length; i += 2) {
    if (strings[i] === '') throw invalid;
    found.set(strings[i] ?? '', strings[i + 1] ?? '');
  }
  return found;
};
