/**
 * The server's certificate and key, from their files. Replaced files are taken up by the next connection; files that cannot be
 * used leave the ones before in their place, and are told of in the log, once.
 */
import { X509Certificate, constants } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { createSecureContext, type SecureContext } from 'node:tls';
import { logLine } from '../../log-line.js';
import { endPointBinding } from '../../protocol/index.js';

/** The files are not looked at more often than this, ms. */
const LOOK_MS = 1_000;

export interface TlsFiles {
  /** PEM: the certificate, and those between it and its root. */
  readonly certificateFile: string;
  /** PEM. */
  readonly keyFile: string;
}

export interface Certificate {
  readonly context: SecureContext;
  /** Data of tls-server-end-point; null: none is defined for this certificate. */
  readonly binding: Buffer | null;
}

export class CertificateStore {
  readonly #files: TlsFiles;
  #current: Certificate;
  #seen: string;
  #lookedMs = performance.now();

  private constructor(files: TlsFiles, current: Certificate, seen: string) {
    this.#files = files;
    this.#current = current;
    this.#seen = seen;
  }

  /** Throws when the files cannot be used. */
  static async open(files: TlsFiles): Promise<CertificateStore> {
    const seen = await versionOf(files);
    return new CertificateStore(files, await load(files), seen);
  }

  async current(): Promise<Certificate> {
    if (performance.now() - this.#lookedMs < LOOK_MS) return this.#current;
    this.#lookedMs = performance.now();
    const version = await versionOf(this.#files).catch((error: Error) => error.message);
    if (version === this.#seen) return this.#current;
    this.#seen = version;
    try {
      this.#current = await load(this.#files);
    } catch (error) {
      const { certificateFile } = this.#files;
      logLine(`tls: ${certificateFile} cannot be used, the one before stays: ${(error as Error).message}`);
    }
    return this.#current;
  }
}

const versionOf = async ({ certificateFile, keyFile }: TlsFiles): Promise<string> => {
  const found = await Promise.all([stat(certificateFile), stat(keyFile)]);
  return found.map(({ ino, mtimeMs, size }) => `${ino}/${mtimeMs}/${size}`).join(' ');
};

const load = async ({ certificateFile, keyFile }: TlsFiles): Promise<Certificate> => {
  const [cert, key] = await Promise.all([readFile(certificateFile), readFile(keyFile)]);
  const context = createSecureContext({
    ...{ cert, key, minVersion: 'TLSv1.2', honorCipherOrder: true },
    // As PostgreSQL (libpq/be-secure-openssl.c): nothing is resumed, nothing is renegotiated.
    secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
  });
  return { context, binding: endPointBinding(new X509Certificate(cert).raw) };
};
