/**
 * The certificate that an instance makes for itself, in `<instance>/tls/`: made when it is first wanted, and made anew, under
 * the same root, when it is about to expire or when the instance listens somewhere else. Clients go on trusting the root.
 *
 *   root.crt   what clients trust        root.key   signs the next one        server.pem   the server's certificate and key
 *
 * Certificate and key are in one file, so that a proxy that takes up a new one never sees half of it.
 */
import { X509Certificate } from 'node:crypto';
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises';
import { isIP } from 'node:net';
import { hostname, networkInterfaces } from 'node:os';
import { DbproxyError } from '../../errors/index.js';
import type { InstancePaths } from '../paths.js';
import type { Pem } from './generate.js';

/** Made anew when it is valid for less than this, ms. */
const RENEW_MS = 30 * 86_400_000;

/** True when one was made. Throws DBP_ENV_DIRECTORY. */
export async function ensureOwnCertificate(paths: InstancePaths, host: string): Promise<boolean> {
  const names = namesFor(host);
  const root = await readRoot(paths);
  if (root && isGood(await readText(paths.tlsServerFile), root, names)) return false;
  const { makeRoot, makeServer } = await import('./generate.js');
  await mkdir(paths.tlsDirectory, { recursive: true, mode: 0o700 });
  const signer = root ?? (await makeRoot(paths.name));
  if (!root) {
    await replaceFile(paths.tlsRootKeyFile, signer.key);
    await replaceFile(paths.tlsRootFile, signer.certificate);
  }
  const server = await makeServer(signer, names);
  await replaceFile(paths.tlsServerFile, server.certificate + server.key);
  return true;
}

/** How clients may call it; on all addresses: how they can reach it now. */
function namesFor(host: string): string[] {
  const everywhere = host === '0.0.0.0' || host === '::' || host === '*';
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  // An address with a zone stands in no certificate.
  const own = addresses.filter(({ scopeid }) => !scopeid).map(({ address }) => address);
  const more = everywhere ? [hostname(), ...own] : [host];
  return [...new Set(['localhost', '127.0.0.1', '::1', ...more])].filter((name) => name !== '');
}

/** The root, if it can sign. Null: there is none, or it has (nearly) expired. */
async function readRoot(paths: InstancePaths): Promise<Pem | null> {
  const [certificate, key] = await Promise.all([readText(paths.tlsRootFile), readText(paths.tlsRootKeyFile)]);
  if (certificate === null || key === null) return null;
  return expiresSoon(parse(certificate)) ? null : { certificate, key };
}

function isGood(pem: string | null, root: Pem, names: readonly string[]): boolean {
  const certificate = pem === null ? null : parse(pem);
  const issuer = parse(root.certificate);
  if (!certificate || !issuer || expiresSoon(certificate)) return false;
  if (!certificate.checkIssued(issuer) || !certificate.verify(issuer.publicKey)) return false;
  return names.every((name) => isForName(certificate, name));
}

export const isForName = (certificate: X509Certificate, name: string): boolean =>
  (isIP(name) ? certificate.checkIP(name) : certificate.checkHost(name)) !== undefined;

const expiresSoon = (certificate: X509Certificate | null): boolean =>
  certificate === null || Date.parse(certificate.validTo) - Date.now() < RENEW_MS;

function parse(pem: string): X509Certificate | null {
  try {
    return new X509Certificate(pem);
  } catch {
    return null;
  }
}

const readText = (file: string): Promise<string | null> => readFile(file, 'utf8').catch(() => null);

async function replaceFile(path: string, text: string): Promise<void> {
  const making = `${path}.${process.pid}.tmp`;
  try {
    const file = await open(making, 'w', 0o600);
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(making, path);
  } catch (cause) {
    await rm(making, { force: true });
    throw new DbproxyError('DBP_ENV_DIRECTORY', { directory: path, reason: String(cause) }, { cause });
  }
}
