/** A certificate and its key that somebody gave us: what is wrong with them is said before anything is started. */
import { X509Certificate, createPrivateKey, type KeyObject } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { userInfo } from 'node:os';
import { DbproxyError } from '../../errors/index.js';
import { isForName } from './own-certificate.js';

export interface GivenFiles {
  readonly certificateFile: string;
  readonly keyFile: string;
  /** What clients are told to trust. */
  readonly rootFile?: string | undefined;
}

const refuse = (file: string, reason: string, cause?: unknown): never => {
  throw new DbproxyError('DBP_TLS_FILE', { file, reason }, { cause });
};

/**
 * Throws DBP_TLS_FILE. Returns the file that clients are to trust: the one that was given, or the certificate's own where it
 * holds its root; null: it is for the client to know.
 */
export async function checkGivenFiles(files: GivenFiles): Promise<string | null> {
  const { certificateFile, keyFile, rootFile } = files;
  const chain = await readCertificates(certificateFile);
  const [certificate] = chain;
  assertValidNow(certificateFile, certificate);
  const key = await readKey(keyFile);
  if (!certificate.checkPrivateKey(key)) {
    refuse(keyFile, `it is not the key of the certificate ${certificateFile}`);
  }
  if (rootFile === undefined) return chain.some(isRoot) ? certificateFile : null;
  const roots = await readCertificates(rootFile);
  for (const root of roots) assertValidNow(rootFile, root);
  return rootFile;
}

/** Is the certificate in this file one for the host? */
export async function isFor(certificateFile: string, host: string): Promise<boolean> {
  const [certificate] = await readCertificates(certificateFile);
  return isForName(certificate, host);
}

/** All of a PEM file, the server's first. */
async function readCertificates(file: string): Promise<[X509Certificate, ...X509Certificate[]]> {
  const text = await read(file);
  const [first, ...others] = text.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  if (first === undefined) return refuse(file, 'it holds no PEM certificate');
  const parse = (pem: string): X509Certificate => {
    try {
      return new X509Certificate(pem);
    } catch (cause) {
      return refuse(file, `a certificate in it cannot be read: ${(cause as Error).message}`, cause);
    }
  };
  return [parse(first), ...others.map(parse)];
}

function assertValidNow(file: string, { validFrom, validTo }: X509Certificate): void {
  if (Date.parse(validTo) <= Date.now()) refuse(file, `it expired on ${validTo}`);
  if (Date.parse(validFrom) > Date.now()) refuse(file, `it is not valid before ${validFrom}`);
}

/** PostgreSQL's own rule for a key (libpq/be-secure-common.c): 0600, or 0640 where root owns it. */
async function readKey(file: string): Promise<KeyObject> {
  const text = await read(file);
  const { mode, uid } = await stat(file);
  const open = mode & (uid === 0 && userInfo().uid !== 0 ? 0o037 : 0o077);
  if (open !== 0)
    refuse(file, `others can read it (mode ${(mode & 0o777).toString(8).padStart(4, '0')}): chmod 600`);
  try {
    return createPrivateKey(text);
  } catch (cause) {
    if (/ENCRYPTED/.test(text))
      return refuse(file, 'it is encrypted, and nobody would be asked for a passphrase');
    return refuse(file, 'it holds no PEM private key', cause);
  }
}

async function read(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8');
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    const reason = code === 'ENOENT' ? 'there is no such file' : `it cannot be read (${code})`;
    return refuse(file, reason, cause);
  }
}

const isRoot = (certificate: X509Certificate): boolean =>
  certificate.ca && certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey);
