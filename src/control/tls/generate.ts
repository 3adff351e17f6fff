/**
 * Certificates of an instance's own: a root, which clients are told to trust, and the server's, signed by it. The library is
 * loaded when one is made: it takes longer to load than all the rest of a start.
 */
import type { webcrypto } from 'node:crypto';
import type * as x509 from '@peculiar/x509';
import { isIP } from 'node:net';

export interface Pem {
  readonly certificate: string;
  readonly key: string;
}

const DAY_MS = 86_400_000;
const ROOT_DAYS = 3_650;
/** Browsers' bound; nothing trusts a longer one better. */
const SERVER_DAYS = 397;
/** Clocks differ. */
const BEFORE_MS = 3_600_000;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
/** Id-kp-serverAuth (RFC 5280, 4.2.1.12). */
const SERVER_AUTHENTICATION = '1.3.6.1.5.5.7.3.1';

export async function makeRoot(instance: string): Promise<Pem> {
  const lib = await library();
  const keys = await newKeys();
  const certificate = await lib.X509CertificateGenerator.createSelfSigned({
    ...{ name: `CN=dbproxy root of ${instance}`, keys, signingAlgorithm: ALGORITHM },
    ...validFor(ROOT_DAYS),
    extensions: [
      new lib.BasicConstraintsExtension(true, 0, true),
      new lib.KeyUsagesExtension(lib.KeyUsageFlags.keyCertSign | lib.KeyUsageFlags.cRLSign, true),
      await lib.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pemOf(certificate), key: await exported(keys.privateKey) };
}

/** `names`: host names and addresses; the first one is the subject. */
export async function makeServer(root: Pem, names: readonly string[]): Promise<Pem> {
  const lib = await library();
  const issuer = new lib.X509Certificate(root.certificate);
  const signingKey = await crypto.subtle.importKey(
    'pkcs8',
    lib.PemConverter.decodeFirst(root.key),
    ALGORITHM,
    false,
    ['sign'],
  );
  const keys = await newKeys();
  const alternatives = names.map((value) => ({ type: isIP(value) ? 'ip' : 'dns', value }) as const);
  const certificate = await lib.X509CertificateGenerator.create({
    ...{ subject: `CN=${names[0]}`, issuer: issuer.subject, publicKey: keys.publicKey },
    ...{ signingKey, signingAlgorithm: ALGORITHM },
    ...validFor(SERVER_DAYS),
    extensions: [
      new lib.BasicConstraintsExtension(false, undefined, true),
      new lib.KeyUsagesExtension(lib.KeyUsageFlags.digitalSignature, true),
      new lib.ExtendedKeyUsageExtension([SERVER_AUTHENTICATION]),
      new lib.SubjectAlternativeNameExtension(alternatives),
      await lib.SubjectKeyIdentifierExtension.create(keys.publicKey),
      await lib.AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return { certificate: pemOf(certificate), key: await exported(keys.privateKey) };
}

async function library(): Promise<typeof x509> {
  // What it finds its own parts with (tsyringe).
  await import('reflect-metadata');
  return import('@peculiar/x509');
}

const newKeys = (): Promise<webcrypto.CryptoKeyPair> =>
  crypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);

const validFor = (days: number): { readonly notBefore: Date; readonly notAfter: Date } => ({
  notBefore: new Date(Date.now() - BEFORE_MS),
  notAfter: new Date(Date.now() + days * DAY_MS),
});

const pemOf = (certificate: { toString(format: 'pem'): string }): string =>
  `${certificate.toString('pem').trimEnd()}\n`;

async function exported(key: webcrypto.CryptoKey): Promise<string> {
  const der = Buffer.from(await crypto.subtle.exportKey('pkcs8', key)).toString('base64');
  const lines = der.match(/.{1,64}/g) ?? [];
  return ['-----BEGIN PRIVATE KEY-----', ...lines, '-----END PRIVATE KEY-----', ''].join('\n');
}
