/** tls-server-end-point: the hash of a certificate's signature, as OpenSSL names it; and SCRAM that is bound to it. */
import { execFileSync } from 'node:child_process';
import { createHash, X509Certificate } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { endPointBinding } from '../../src/protocol/index.js';
import { makeRoot } from '../../src/control/tls/generate.js';

const hasOpenssl = ((): boolean => {
  try {
    execFileSync('openssl', ['version']);
    return true;
  } catch {
    return false;
  }
})();

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'dbp-'));
});
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const made = (key: string[], sign: string[]): Buffer => {
  const file = join(directory, 'c.pem');
  const common = [
    '-nodes',
    '-x509',
    '-subj',
    '/CN=localhost',
    '-keyout',
    join(directory, 'k.pem'),
    '-out',
    file,
  ];
  execFileSync('openssl', ['req', '-newkey', ...key, ...common, ...sign], { stdio: 'pipe' });
  return new X509Certificate(readFileSync(file)).raw;
};

describe.runIf(hasOpenssl)('a certificate signed with', () => {
  const pss = ['-sigopt', 'rsa_padding_mode:pss', '-sigopt', 'rsa_pss_saltlen:-1'];
  it.each([
    ['RSA and MD5', ['rsa:2048'], ['-md5'], 'sha256'],
    ['RSA and SHA-1', ['rsa:2048'], ['-sha1'], 'sha256'],
    ['RSA and SHA-224', ['rsa:2048'], ['-sha224'], 'sha224'],
    ['RSA and SHA-256', ['rsa:2048'], ['-sha256'], 'sha256'],
    ['RSA and SHA-384', ['rsa:2048'], ['-sha384'], 'sha384'],
    ['RSA and SHA-512', ['rsa:2048'], ['-sha512'], 'sha512'],
    ['ECDSA and SHA-1', ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], ['-sha1'], 'sha256'],
    ['ECDSA and SHA-256', ['ec', '-pkeyopt', 'ec_paramgen_curve:P-256'], ['-sha256'], 'sha256'],
    ['ECDSA and SHA-384', ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'], ['-sha384'], 'sha384'],
    ['ECDSA and SHA-512', ['ec', '-pkeyopt', 'ec_paramgen_curve:P-521'], ['-sha512'], 'sha512'],
    ['RSASSA-PSS and SHA-256', ['rsa:2048'], ['-sha256', ...pss], 'sha256'],
    ['RSASSA-PSS and SHA-512', ['rsa:2048'], ['-sha512', ...pss], 'sha512'],
    ['RSASSA-PSS and SHA-1', ['rsa:2048'], ['-sha1', ...pss], 'sha256'],
  ])('%s', (_, key, sign, hash) => {
    const raw = made(key, sign);
    expect(endPointBinding(raw)).toEqual(createHash(hash).update(raw).digest());
  });

  it('Ed25519 has none: no hash is defined for it', () => {
    expect(endPointBinding(made(['ed25519'], []))).toBeNull();
  });
});

it('bytes that are no certificate have none, wherever they end', async () => {
  const { raw } = new X509Certificate((await makeRoot('x')).certificate);
  expect(endPointBinding(raw)).toHaveLength(32);
  for (let end = 0; end < raw.length; end++) expect(endPointBinding(raw.subarray(0, end))).toBeNull();
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      expect(endPointBinding(Buffer.from(bytes))).toBeNull();
    }),
  );
});
