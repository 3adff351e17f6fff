/**
 * Where the TLS of one client ends.
 *
 *   client ══ TLS over TCP ══▶ TLSSocket ⇄ plain ── Unix socket ──▶ the client link of its session
 *
 * Both directions are piped with back-pressure, and each ends by itself: the end of the one side is sent to the other. The
 * link at the far end is a socket like any other: it is relayed, moved and handed to another process by the same means. This
 * process, which alone knows the keys, has to stay for as long as the tunnel does.
 *
 * Rejected: handing the TLS state to the other process (OpenSSL does not give it away); TLSSocket as the client link (its
 * bytes would pass another stream layer in every session, and it cannot be handed over).
 */
import { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { RawHandle } from '../raw-handle.js';
import type { Certificate } from './certificate.js';

/** Protocol of PostgreSQL's sessions (RFC 7301; IANA's registry of ALPN protocol ids). */
const ALPN = 'postgresql';
/** How long a client that does not read keeps the end of its session waiting, ms; as of links. */
const LINGER_MS = 5_000;

export interface TunnelOptions {
  readonly client: RawHandle;
  /** Bytes of the client that came already. */
  readonly early: Buffer;
  readonly certificate: Certificate;
  /** Without an SSLRequest the client has to say by ALPN that it means PostgreSQL. */
  readonly direct: boolean;
  /** The near end of the Unix connection. */
  readonly plain: Socket;
}

export class Tunnel {
  readonly #tls: TLSSocket;
  readonly #plain: Socket;
  #secured = false;
  #linger: NodeJS.Timeout | null = null;
  /** Address of the client, and `host:port`. */
  readonly host: string;
  readonly remote: string;
  readonly binding: Buffer | null;
  /** Resolves when both ends are closed. */
  readonly closed: Promise<void>;

  constructor({ client, early, certificate, direct, plain }: TunnelOptions) {
    const raw = new Socket({ handle: client, allowHalfOpen: true, pauseOnCreate: true } as object);
    raw.on('error', () => undefined);
    this.host = raw.remoteAddress ?? '';
    this.remote = `${this.host}:${raw.remotePort}`;
    this.binding = certificate.binding;
    if (early.length > 0) raw.unshift(early);
    this.#plain = plain;
    this.#tls = new TLSSocket(raw, {
      ...{ isServer: true, secureContext: certificate.context, requestCert: false },
      ALPNProtocols: [ALPN],
    });
    this.#pipe(direct);
    const both = [this.#tls, this.#plain].map((end) => new Promise<void>((gone) => end.once('close', gone)));
    this.closed = Promise.all(both).then(() => undefined);
  }

  /** `TLSv1.3`; null before the handshake is done. */
  get protocol(): string | null {
    return this.#secured ? this.#tls.getProtocol() : null;
  }

  destroy(): void {
    this.#tls.destroy();
    this.#plain.destroy();
  }

  #pipe(direct: boolean): void {
    const tls = this.#tls;
    const plain = this.#plain;
    tls.on('secure', () => {
      if (direct && tls.alpnProtocol !== ALPN) this.destroy();
      else this.#secured = true;
    });
    tls.pipe(plain, { end: false });
    plain.pipe(tls, { end: false });
    tls.on('end', () => (this.#secured ? plain.end() : this.destroy()));
    plain.on('end', () => this.#finish());
    tls.on('error', () => undefined);
    plain.on('error', () => undefined);
    // What came before the end of the one still goes to the other.
    tls.on('close', () => plain.destroySoon());
    plain.on('close', () => this.#finish());
  }

  /** The session has ended. */
  #finish(): void {
    if (!this.#secured) this.destroy();
    if (this.#linger || this.#tls.destroyed) return;
    this.#tls.end();
    this.#linger = setTimeout(() => this.destroy(), LINGER_MS);
    this.#tls.once('close', () => clearTimeout(this.#linger ?? undefined));
  }
}
