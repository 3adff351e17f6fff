/**
 * SCRAM-SHA-256 (RFC 5802, RFC 7677; PostgreSQL manual 54.3): the server's side against a stored verifier, and the client's
 * side with keys instead of a password. The proxy is the server towards clients; where an engine asks for SCRAM it is the
 * client, with the ClientKey that the real client's proof reveals. No password is ever seen or stored.
 */
import { createHash, createHmac, pbkdf2Sync, randomBytes, timingSafeEqual } from 'node:crypto';
import { CHANNEL_BINDING } from './channel-binding.js';
import { ProtocolViolation } from './violation.js';

export const SCRAM_MECHANISM = 'SCRAM-SHA-256';
/** With channel binding: only over TLS. */
export const SCRAM_PLUS_MECHANISM = 'SCRAM-SHA-256-PLUS';
const KEY_BYTES = 32;
/** First byte of a GS2 header with channel binding. */
const BOUND = 'p'.charCodeAt(0);
const NONCE_BYTES = 18;

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const sha256 = (data: Buffer): Buffer => createHash('sha256').update(data).digest();
const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from(a.map((value, i) => value ^ (b[i] ?? 0)));
const nonce = (): string => randomBytes(NONCE_BYTES).toString('base64');

/** What PostgreSQL keeps in pg_authid.rolpassword. */
export interface ScramVerifier {
  readonly iterations: number;
  /** base64 */
  readonly salt: string;
  readonly storedKey: Buffer;
  readonly serverKey: Buffer;
}

/** Enough to log in as the client, at every engine that has the same verifier (a physical standby has). */
export interface ScramKeys {
  readonly clientKey: Buffer;
  readonly serverKey: Buffer;
}

/** What a client can prove itself with: the keys, or a password of ours from which they follow (RFC 5802, section 3). */
export type ScramSecret = ScramKeys | { readonly password: string };

const deriveKeys = (password: string, salt: string, iterations: number): ScramKeys => {
  const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), iterations, KEY_BYTES, 'sha256');
  return { clientKey: hmac(salted, 'Client Key'), serverKey: hmac(salted, 'Server Key') };
};

/** `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`; null for anything else (md5, none). */
export const parseVerifier = (rolpassword: string | null): ScramVerifier | null => {
  const match = /^SCRAM-SHA-256\$(\d+):([^$]+)\$([^:]+):(.+)$/.exec(rolpassword ?? '');
  if (!match) return null;
  const [, iterations = '', salt = '', stored = '', server = ''] = match;
  const storedKey = Buffer.from(stored, 'base64');
  const serverKey = Buffer.from(server, 'base64');
  if (storedKey.length !== KEY_BYTES || serverKey.length !== KEY_BYTES) return null;
  return { iterations: Number(iterations), salt, storedKey, serverKey };
};

/**
 * A verifier that no password fits, so that an unknown role costs and shows the same as a wrong password. The salt depends
 * on the name only, as with a real role (libpq/auth-scram.c, mock_scram_secret).
 */
export const mockVerifier = (user: string, secret: Buffer): ScramVerifier => ({
  iterations: 4096,
  salt: hmac(secret, user).subarray(0, 16).toString('base64'),
  storedKey: randomBytes(KEY_BYTES),
  serverKey: randomBytes(KEY_BYTES),
});

const attributes = (text: string): Map<string, string> =>
  new Map(text.split(',').map((part) => [part.slice(0, 1), part.slice(2)]));

/**
 * One authentication exchange, server's side: `first` then `final`. Throws ProtocolViolation on malformed messages, and when
 * the channel binding is not what it has to be (libpq/auth-scram.c, read_client_first_message).
 */
export class ScramServer {
  readonly #verifier: ScramVerifier;
  readonly #binding: Buffer | null;
  #clientFirstBare = '';
  #serverFirst = '';
  #nonce = '';
  /** What client-final-message has to say of the channel: the GS2 header, and the binding data where there are any. */
  #channel: Buffer = Buffer.alloc(0);

  /** `binding`: the data of tls-server-end-point on a TLS connection, on which SCRAM-SHA-256-PLUS is offered, too. */
  constructor(verifier: ScramVerifier, binding: Buffer | null = null) {
    this.#verifier = verifier;
    this.#binding = binding;
  }

  /** In the order of preference. */
  get mechanisms(): readonly string[] {
    return this.#binding ? [SCRAM_PLUS_MECHANISM, SCRAM_MECHANISM] : [SCRAM_MECHANISM];
  }

  /** Takes client-first-message, returns server-first-message. `mechanism`: the one of `mechanisms` that the client chose. */
  first(clientFirst: string, mechanism: string = SCRAM_MECHANISM): string {
    const [, flag = '', type = '', authzid, bare = ''] =
      /^([nyp])(?:=([^,]*))?,([^,]*),(.*)$/s.exec(clientFirst) ?? [];
    const clientNonce = attributes(bare).get('r');
    if (authzid !== '' || clientNonce === undefined || clientNonce === '') {
      throw new ProtocolViolation('malformed SCRAM message');
    }
    this.#channel = this.#channelOf(flag, type, mechanism === SCRAM_PLUS_MECHANISM);
    this.#clientFirstBare = bare;
    this.#nonce = clientNonce + nonce();
    this.#serverFirst = `r=${this.#nonce},s=${this.#verifier.salt},i=${this.#verifier.iterations}`;
    return this.#serverFirst;
  }

  /** `n`: the client knows no channel binding; `y`: it believes that we do not; `p`: it uses it (RFC 5802, section 6). */
  #channelOf(flag: string, type: string, plus: boolean): Buffer {
    const binding = plus ? this.#binding : null;
    if ((flag === 'p') !== (binding !== null)) throw new ProtocolViolation('malformed SCRAM message');
    // Somebody in between took our offer away.
    if (flag === 'y' && this.#binding) {
      throw new ProtocolViolation('SCRAM channel binding negotiation error', '28000');
    }
    if (!binding) return Buffer.from(`${flag},,`);
    if (type !== CHANNEL_BINDING) {
      throw new ProtocolViolation(`unsupported SCRAM channel-binding type "${type}"`);
    }
    return Buffer.concat([Buffer.from(`p=${type},,`), binding]);
  }

  /** Takes client-final-message; the keys and server-final-message, or null when the proof is wrong. */
  final(clientFinal: string): { keys: ScramKeys; serverFinal: string } | null {
    const proofAt = clientFinal.lastIndexOf(',p=');
    const found = attributes(clientFinal);
    if (proofAt < 0 || found.get('r') !== this.#nonce) throw new ProtocolViolation('malformed SCRAM message');
    // It tells a secret from nobody: both ends of the channel know the certificate.
    if (found.get('c') !== this.#channel.toString('base64')) {
      throw this.#channel[0] === BOUND
        ? new ProtocolViolation('SCRAM channel binding check failed', '28000')
        : new ProtocolViolation('unexpected SCRAM channel-binding attribute in client-final-message');
    }
    const proof = Buffer.from(clientFinal.slice(proofAt + 3), 'base64');
    if (proof.length !== KEY_BYTES) throw new ProtocolViolation('malformed SCRAM message');
    const authMessage = `${this.#clientFirstBare},${this.#serverFirst},${clientFinal.slice(0, proofAt)}`;
    const { storedKey, serverKey } = this.#verifier;
    const clientKey = xor(proof, hmac(storedKey, authMessage));
    if (!timingSafeEqual(sha256(clientKey), storedKey)) return null;
    return {
      keys: { clientKey, serverKey },
      serverFinal: `v=${hmac(serverKey, authMessage).toString('base64')}`,
    };
  }
}

/** One authentication exchange, client's side. */
export class ScramClient {
  readonly #secret: ScramSecret;
  #keys: ScramKeys | null = null;
  readonly #nonce = nonce();
  #authMessage = '';

  constructor(secret: ScramSecret) {
    this.#secret = secret;
  }

  get #firstBare(): string {
    return `n=,r=${this.#nonce}`;
  }

  /** client-first-message. */
  first(): string {
    return `n,,${this.#firstBare}`;
  }

  /** Takes server-first-message, returns client-final-message. */
  final(serverFirst: string): string {
    const found = attributes(serverFirst);
    const serverNonce = found.get('r') ?? '';
    const salt = found.get('s') ?? '';
    const iterations = Number(found.get('i'));
    if (!serverNonce.startsWith(this.#nonce) || !(iterations > 0)) {
      throw new ProtocolViolation('malformed SCRAM message');
    }
    const keys =
      'password' in this.#secret ? deriveKeys(this.#secret.password, salt, iterations) : this.#secret;
    this.#keys = keys;
    const withoutProof = `c=${Buffer.from('n,,').toString('base64')},r=${serverNonce}`;
    this.#authMessage = `${this.#firstBare},${serverFirst},${withoutProof}`;
    const signature = hmac(sha256(keys.clientKey), this.#authMessage);
    return `${withoutProof},p=${xor(keys.clientKey, signature).toString('base64')}`;
  }

  /** True when server-final-message proves that the engine knows the verifier. */
  verify(serverFinal: string): boolean {
    const signature = Buffer.from(attributes(serverFinal).get('v') ?? '', 'base64');
    if (!this.#keys) return false;
    const expected = hmac(this.#keys.serverKey, this.#authMessage);
    return signature.length === expected.length && timingSafeEqual(signature, expected);
  }
}
