/** SCRAM-SHA-256: our server against our client with keys, and against malformed messages. */
import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ProtocolViolation,
  ScramClient,
  ScramServer,
  mockVerifier,
  parseVerifier,
  type ScramKeys,
  type ScramVerifier,
} from '../../src/protocol/index.js';

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
const sha256 = (data: Buffer): Buffer => createHash('sha256').update(data).digest();
const xor = (a: Buffer, b: Buffer): Buffer => Buffer.from(a.map((byte, i) => byte ^ b[i]!));

const keysOf = (password: string, salt: Buffer, iterations: number): ScramKeys => {
  const salted = pbkdf2Sync(password, salt, iterations, 32, 'sha256');
  return { clientKey: hmac(salted, 'Client Key'), serverKey: hmac(salted, 'Server Key') };
};

const SALT = Buffer.from('0123456789abcdef');
const verifierOf = (password: string, iterations = 10): ScramVerifier => {
  const { clientKey, serverKey } = keysOf(password, SALT, iterations);
  return { iterations, salt: SALT.toString('base64'), storedKey: sha256(clientKey), serverKey };
};

/** client-final-message for any nonce and password, made without our client. */
const finalFor = (
  password: string,
  clientFirstBare: string,
  serverFirst: string,
  iterations = 10,
): string => {
  const { clientKey } = keysOf(password, SALT, iterations);
  const nonce = /^r=([^,]*)/.exec(serverFirst)![1]!;
  const withoutProof = `c=biws,r=${nonce}`;
  const signature = hmac(sha256(clientKey), `${clientFirstBare},${serverFirst},${withoutProof}`);
  return `${withoutProof},p=${xor(clientKey, signature).toString('base64')}`;
};

describe('SCRAM', () => {
  it('server and client with keys agree, and the keys come out as they went in', () => {
    const server = new ScramServer(verifierOf('secret'));
    const keys = keysOf('secret', SALT, 10);
    const client = new ScramClient(keys);
    const done = server.final(client.final(server.first(client.first())));
    expect(done?.keys).toEqual(keys);
    expect(client.verify(done?.serverFinal ?? '')).toBe(true);
    expect(client.verify(`v=${Buffer.alloc(32).toString('base64')}`)).toBe(false);
    expect(client.verify('e=other-error')).toBe(false);
  });

  it('a wrong password proves nothing', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 20 }), (password) => {
        const server = new ScramServer(verifierOf('secret'));
        const serverFirst = server.first('n,,n=,r=abc');
        const final = finalFor(password, 'n=,r=abc', serverFirst);
        expect(server.final(final) !== null).toBe(password === 'secret');
      }),
      { numRuns: 50, examples: [['secret']] },
    );
  });

  it('a client does not accept a server that does not know the verifier', () => {
    const server = new ScramServer(verifierOf('secret'));
    const client = new ScramClient({ ...keysOf('secret', SALT, 10), serverKey: Buffer.alloc(32) });
    const done = server.final(client.final(server.first(client.first())));
    expect(client.verify(done?.serverFinal ?? '')).toBe(false);
  });

  it('a client does not accept a nonce that is not its own', () => {
    const client = new ScramClient(keysOf('secret', SALT, 10));
    client.first();
    expect(() => client.final(`r=other,s=${SALT.toString('base64')},i=10`)).toThrow(ProtocolViolation);
  });

  it.each([
    ['nothing', ''],
    ['no nonce', 'n,,n='],
    ['an empty nonce', 'n,,n=,r='],
    ['channel binding', 'p=tls-unique,,n=,r=abc'],
    ['an authorization identity', 'n,a=other,n=,r=abc'],
    ['no header', 'r=abc'],
    ['garbage', '\u0001\u0002\u0003,,,'],
  ])('refuses a first message with %s', (_, first) => {
    expect(() => new ScramServer(verifierOf('secret')).first(first)).toThrow(ProtocolViolation);
  });

  it('refuses a final message that is malformed', () => {
    const start = (): { server: ScramServer; final: string } => {
      const server = new ScramServer(verifierOf('secret'));
      return { server, final: finalFor('secret', 'n=,r=abc', server.first('n,,n=,r=abc')) };
    };
    const changes: ((final: string) => string)[] = [
      () => '',
      (final) => final.replace(/,p=.*/, ''),
      (final) => final.replace('c=biws', 'c=eSws'),
      (final) => final.replace(/r=[^,]*/, 'r=abc'),
      (final) => final.replace(/p=.*/, 'p=AAAA'),
      (final) => final.replace(/p=.*/, 'p=!!'),
    ];
    for (const change of changes) {
      const { server, final } = start();
      expect(() => server.final(change(final))).toThrow(ProtocolViolation);
    }
    const { server, final } = start();
    expect(server.final(final)).not.toBeNull();
  });

  it('accepts the flag of a client that could do channel binding', () => {
    const server = new ScramServer(verifierOf('secret'));
    const serverFirst = server.first('y,,n=,r=abc');
    const { clientKey } = keysOf('secret', SALT, 10);
    const withoutProof = `c=${Buffer.from('y,,').toString('base64')},r=${/^r=([^,]*)/.exec(serverFirst)![1]}`;
    const signature = hmac(sha256(clientKey), `n=,r=abc,${serverFirst},${withoutProof}`);
    expect(server.final(`${withoutProof},p=${xor(clientKey, signature).toString('base64')}`)).not.toBeNull();
  });

  it('never throws anything but a ProtocolViolation', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 60 }), fc.string({ maxLength: 60 }), (first, final) => {
        const server = new ScramServer(verifierOf('secret'));
        try {
          server.first(first);
          server.final(final);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolViolation);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('verifier', () => {
  it("reads PostgreSQL's format", () => {
    const { clientKey, serverKey } = keysOf('secret', SALT, 4096);
    const text = `SCRAM-SHA-256$4096:${SALT.toString('base64')}$${sha256(clientKey).toString('base64')}:${serverKey.toString('base64')}`;
    expect(parseVerifier(text)).toEqual(verifierOf('secret', 4096));
  });

  it.each([
    [null],
    [''],
    ['secret'],
    ['md5d9c0c3b1c6a9a0b1c2d3e4f5a6b7c8d9'],
    ['SCRAM-SHA-256$4096:c2FsdA==$AAAA:AAAA'],
    ['SCRAM-SHA-256$x:c2FsdA==$AAAA:AAAA'],
  ])('takes %j for no verifier', (text) => {
    expect(parseVerifier(text)).toBeNull();
  });

  it('a mock looks the same at every try and fits no password', () => {
    const secret = Buffer.alloc(32, 1);
    expect(mockVerifier('nobody', secret).salt).toBe(mockVerifier('nobody', secret).salt);
    expect(mockVerifier('nobody', secret).salt).not.toBe(mockVerifier('somebody', secret).salt);
    expect(mockVerifier('nobody', secret).storedKey).not.toEqual(mockVerifier('nobody', secret).storedKey);
    expect(Buffer.from(mockVerifier('nobody', secret).salt, 'base64')).toHaveLength(16);
  });
});
