/**
 * Channel binding `tls-server-end-point` (RFC 5929, section 4.1): a hash of the server's certificate, with the hash of the
 * certificate's own signature; SHA-256 in place of MD5 and SHA-1. Node does not tell a certificate's signature algorithm, so
 * it is read from the DER here.
 *
 *   Certificate ::= SEQUENCE { tbsCertificate SEQUENCE, signatureAlgorithm SEQUENCE { OID, parameters }, … }   (RFC 5280, 4.1)
 */
import { createHash } from 'node:crypto';

export const CHANNEL_BINDING = 'tls-server-end-point';

const SEQUENCE = 0x30;
const OBJECT_IDENTIFIER = 0x06;
const HASH_ALGORITHM = 0xa0;

/** Hashes by the signature algorithm's OID, as hex of its DER (RFC 8017, appendix C; RFC 5758). */
const BY_SIGNATURE: Readonly<Record<string, string>> = {
  '2a864886f70d010104': 'sha256', // md5WithRSAEncryption
  '2a864886f70d010105': 'sha256', // sha1WithRSAEncryption
  '2a864886f70d01010e': 'sha224', // sha224WithRSAEncryption
  '2a864886f70d01010b': 'sha256', // sha256WithRSAEncryption
  '2a864886f70d01010c': 'sha384', // sha384WithRSAEncryption
  '2a864886f70d01010d': 'sha512', // sha512WithRSAEncryption
  '2a8648ce3d0401': 'sha256', // ecdsa-with-SHA1
  '2a8648ce3d040301': 'sha224', // ecdsa-with-SHA224
  '2a8648ce3d040302': 'sha256', // ecdsa-with-SHA256
  '2a8648ce3d040303': 'sha384', // ecdsa-with-SHA384
  '2a8648ce3d040304': 'sha512', // ecdsa-with-SHA512
};
const RSASSA_PSS = '2a864886f70d01010a';
/** Hashes by their own OID, in the parameters of RSASSA-PSS. */
const BY_HASH: Readonly<Record<string, string>> = {
  '2b0e03021a': 'sha256', // SHA-1, which is also what PSS means without a word
  '608648016503040204': 'sha224',
  '608648016503040201': 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
};

/** The binding data of a certificate (DER); null where no hash is defined for its signature (Ed25519), or it cannot be read. */
export const endPointBinding = (certificate: Buffer): Buffer | null => {
  const hash = signatureHash(certificate);
  return hash === null ? null : createHash(hash).update(certificate).digest();
};

const signatureHash = (certificate: Buffer): string | null => {
  const whole = element(certificate, SEQUENCE);
  const signed = whole && element(whole.content, SEQUENCE);
  const algorithm = signed && element(signed.rest, SEQUENCE);
  const name = algorithm && element(algorithm.content, OBJECT_IDENTIFIER);
  if (!name) return null;
  const oid = name.content.toString('hex');
  return oid === RSASSA_PSS ? pssHash(name.rest) : (BY_SIGNATURE[oid] ?? null);
};

/** RSASSA-PSS-params ::= SEQUENCE { hashAlgorithm [0] SEQUENCE { OID, … } DEFAULT sha1, … } (RFC 8017, A.2.3). */
const pssHash = (parameters: Buffer): string | null => {
  const list = element(parameters, SEQUENCE);
  const named = list && element(list.content, HASH_ALGORITHM);
  if (!named) return 'sha256';
  const algorithm = element(named.content, SEQUENCE);
  const name = algorithm && element(algorithm.content, OBJECT_IDENTIFIER);
  return name ? (BY_HASH[name.content.toString('hex')] ?? null) : null;
};

/** The first element, if it has this tag and is all there (X.690, 8.1; definite lengths up to four bytes). */
const element = (der: Buffer, tag: number): { readonly content: Buffer; readonly rest: Buffer } | null => {
  const [found, first] = der;
  if (found !== tag || first === undefined) return null;
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (first >= 0x80 && (lengthBytes === 0 || lengthBytes > 4 || der.length < 2 + lengthBytes)) return null;
  const length = lengthBytes === 0 ? first : der.readUIntBE(2, lengthBytes);
  const start = 2 + lengthBytes;
  if (der.length < start + length) return null;
  return { content: der.subarray(start, start + length), rest: der.subarray(start + length) };
};
