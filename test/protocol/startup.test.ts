/** What a client may send first, and what it may not. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  MAX_STARTUP_PACKET_BYTES,
  PROTOCOL_3_0,
  ProtocolViolation,
  StartupCode,
  encode,
  protocolVersion,
  readStartupPacket,
} from '../../src/protocol/index.js';

const packet = (code: number, body: Buffer | string = Buffer.alloc(0), length?: number): Buffer => {
  const rest = Buffer.from(body as string);
  const bytes = Buffer.alloc(8 + rest.length);
  bytes.writeInt32BE(length ?? bytes.length, 0);
  bytes.writeInt32BE(code, 4);
  rest.copy(bytes, 8);
  return bytes;
};

const thrown = (bytes: Buffer): ProtocolViolation => {
  try {
    readStartupPacket(bytes);
  } catch (error) {
    expect(error).toBeInstanceOf(ProtocolViolation);
    return error as ProtocolViolation;
  }
  throw new Error('not refused');
};

describe('start-up packet', () => {
  it('reads the two encryption requests', () => {
    expect(readStartupPacket(packet(StartupCode.ssl))).toEqual({ packet: { kind: 'ssl' }, bytes: 8 });
    expect(readStartupPacket(packet(StartupCode.gssenc))).toEqual({ packet: { kind: 'gssenc' }, bytes: 8 });
  });

  it.each([4, 32, 256])('reads a cancel request with a secret of %d bytes', (length) => {
    const secret = Buffer.alloc(length, 9);
    const bytes = encode.cancelRequest(StartupCode.cancel, 4711, secret);
    expect(readStartupPacket(bytes)).toEqual({
      packet: { kind: 'cancel', processId: 4711, secret },
      bytes: bytes.length,
    });
  });

  it.each([0, 1, 3, 257])('refuses a cancel request with a secret of %d bytes', (length) => {
    const bytes = encode.cancelRequest(StartupCode.cancel, 4711, Buffer.alloc(length));
    expect(thrown(bytes).sqlstate).toBe('08P01');
  });

  it('gives back the parameters it was made of, and leaves what follows', () => {
    const byte = fc.integer({ min: 1, max: 255 });
    const textOf = (bytes: readonly number[]): string => String.fromCharCode(...bytes);
    const name = fc.array(byte, { minLength: 1, maxLength: 20 }).map(textOf);
    const value = fc.array(byte, { maxLength: 20 }).map(textOf);
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value), { maxLength: 8 }), fc.nat(9), (pairs, minor) => {
        const parameters = new Map(pairs);
        const bytes = encode.startupMessage(protocolVersion(3, minor), parameters);
        const found = readStartupPacket(Buffer.concat([bytes, Buffer.from('rest')]));
        expect(found).toEqual({
          packet: { kind: 'startup', major: 3, minor, parameters },
          bytes: bytes.length,
        });
      }),
    );
  });

  it('asks for more until the packet is whole', () => {
    const bytes = encode.startupMessage(PROTOCOL_3_0, new Map([['user', 'someone']]));
    for (let i = 0; i < bytes.length; i++) expect(readStartupPacket(bytes.subarray(0, i))).toBeNull();
    expect(readStartupPacket(bytes)).not.toBeNull();
  });

  it.each([0, 7, -1, 0x7fff_ffff, MAX_STARTUP_PACKET_BYTES + 1, 0x80000000 | 0])(
    'refuses a length of %d from its four bytes alone',
    (length) => {
      const bytes = packet(PROTOCOL_3_0, '', length).subarray(0, 4);
      expect(thrown(bytes).message).toBe('invalid length of startup packet');
    },
  );

  it.each([
    [2, 0],
    [1, 0],
    [4, 0],
    [0, 0],
    [1234, 5677],
  ])('refuses protocol %d.%d', (major, minor) => {
    const error = thrown(packet(protocolVersion(major, minor), 'user\0x\0\0'));
    expect(error.sqlstate).toBe('0A000');
    expect(error.message).toContain(`${major}.${minor}`);
  });

  it.each([
    ['nothing after the version', ''],
    ['no terminator', 'user\0x'],
    ['no terminating empty name', 'user\0x\0'],
    ['a name without a value', 'user\0x\0database\0\0'],
    ['an empty name in the middle', 'user\0x\0\0y\0\0'],
  ])('refuses %s', (_, body) => {
    expect(thrown(packet(PROTOCOL_3_0, body)).sqlstate).toBe('08P01');
  });

  it('never throws anything but a ProtocolViolation', () => {
    const code = fc.oneof(fc.constantFrom(PROTOCOL_3_0, ...Object.values(StartupCode)), fc.integer());
    const bytes = fc.uint8Array({ maxLength: 60 }).map((body) => Buffer.from(body));
    const input = fc.oneof(
      bytes,
      fc
        .tuple(code, bytes, fc.option(fc.integer({ min: 0, max: 80 })))
        .map(([word, body, length]) => packet(word, body, length ?? undefined)),
    );
    fc.assert(
      fc.property(input, (buffer) => {
        try {
          const found = readStartupPacket(buffer);
          if (found) expect(found.bytes).toBeLessThanOrEqual(buffer.length);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolViolation);
        }
      }),
      { numRuns: 2_000 },
    );
  });
});
