/** Hostile bytes: at random, messages that are almost right, and files of ours with something changed. */
import fc from 'fast-check';
import { Frontend, StartupCode, encode, protocolVersion } from '../../src/protocol/index.js';

export const bytes = fc.uint8Array({ maxLength: 200 }).map((value) => Buffer.from(value));

const parameters = new Map([
  ['user', 'postgres'],
  ['database', 'postgres'],
]);
const startup = fc
  .tuple(
    fc.constantFrom(0, 2, 9),
    fc.dictionary(fc.stringMatching(/^[a-z_.]{1,12}$/), fc.string({ maxLength: 12 })),
  )
  .map(([minor, extra]) =>
    encode.startupMessage(protocolVersion(3, minor), new Map([...parameters, ...Object.entries(extra)])),
  );
const request = fc.constantFrom(StartupCode.ssl, StartupCode.gssenc).map((code) => {
  const packet = Buffer.alloc(8);
  packet.writeInt32BE(8);
  packet.writeInt32BE(code, 4);
  return packet;
});

/** Of whose session, and with what secret, is anybody's guess. */
export const cancelRequest = fc
  .tuple(fc.integer(), fc.uint8Array({ maxLength: 300 }))
  .map(([processId, secret]) => {
    const packet = Buffer.alloc(12 + secret.length);
    packet.writeInt32BE(packet.length);
    packet.writeInt32BE(StartupCode.cancel, 4);
    packet.writeInt32BE(processId, 8);
    packet.set(secret, 12);
    return packet;
  });

/** A header of which the length is wrong. */
const headed = (types: fc.Arbitrary<number>): fc.Arbitrary<Buffer> =>
  fc.tuple(types, fc.integer()).map(([type, length]) => {
    const header = Buffer.alloc(5);
    header[0] = type;
    header.writeInt32BE(length, 1);
    return header;
  });
export const framed = (types: readonly number[]): fc.Arbitrary<Buffer> => {
  const known = fc.constantFrom(...types);
  return fc.oneof(
    fc.tuple(known, bytes).map(([type, body]) => encode.message(type, body)),
    fc.tuple(fc.nat(255), bytes).map(([type, body]) => encode.message(type, body)),
    headed(known),
  );
};

export const message = fc.oneof(
  { weight: 3, arbitrary: framed(Object.values(Frontend)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      encode.query('select 1'),
      encode.query('begin'),
      encode.query('copy (select 1) to stdout'),
      encode.query('create temp table if not exists c (n int); copy c from stdin'),
      Buffer.concat([
        encode.parse('', 'select $1::int'),
        encode.bind('', '', ['1']),
        encode.execute(),
        encode.sync(),
      ]),
      encode.sync(),
      encode.message(Frontend.CopyDone),
      encode.message(Frontend.Flush),
      encode.closeStatement(''),
    ),
  },
);

/** One byte changed. */
export const bent = (whole: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> =>
  fc.tuple(whole, fc.nat(), fc.nat(255)).map(([original, at, value]) => {
    const copy = Buffer.from(original);
    if (copy.length > 0) copy[at % copy.length] = value;
    return copy;
  });

export const startups = fc.array(fc.oneof(bytes, startup, request, cancelRequest, message), { maxLength: 5 });
export const messages = fc.array(fc.oneof(message, bent(message), bytes), { maxLength: 8 });

/** In pieces, cut anywhere. */
export const inPieces = (whole: Buffer, cuts: readonly number[]): Buffer[] => {
  const places = [0, ...cuts.map((cut) => cut % (whole.length + 1)), whole.length].sort((a, b) => a - b);
  return places.slice(1).map((end, i) => whole.subarray(places[i], end));
};
export const cuts = fc.array(fc.nat(), { maxLength: 6 });

export type Edit =
  | { readonly kind: 'set'; readonly at: number; readonly value: number }
  | { readonly kind: 'cut' | 'repeat'; readonly at: number; readonly length: number }
  | { readonly kind: 'insert'; readonly at: number; readonly text: string };

const at = fc.nat();
const length = fc.integer({ min: 1, max: 64 });
/** What a changed file may have in it that a random byte hardly makes. */
const TOKENS = ['{', '}', '[', ']', ':', '- ', '"', '\n', '  ', '&a ', '*a', '<<: ', '!!', '#', '\t', '\0'];
const VALUES = ['null', 'true', '-1', '1e999', '9007199254740993', '""', '__proto__', 'é', '%{', '|', '>'];
const edit: fc.Arbitrary<Edit> = fc.oneof(
  fc.record({ kind: fc.constant('set' as const), at, value: fc.nat(255) }),
  fc.record({ kind: fc.constantFrom('cut' as const, 'repeat' as const), at, length }),
  fc.record({ kind: fc.constant('insert' as const), at, text: fc.constantFrom(...TOKENS, ...VALUES) }),
);
export const edits = fc.array(edit, { minLength: 1, maxLength: 4 });

export const edited = (original: Buffer, changes: readonly Edit[]): Buffer =>
  changes.reduce((text, change) => {
    const place = change.at % (text.length + 1);
    const [before, after] = [text.subarray(0, place), text.subarray(place)];
    if (change.kind === 'set') return Buffer.concat([before, Buffer.from([change.value]), after.subarray(1)]);
    if (change.kind === 'insert') return Buffer.concat([before, Buffer.from(change.text), after]);
    if (change.kind === 'cut') return Buffer.concat([before, after.subarray(change.length)]);
    return Buffer.concat([before, after.subarray(0, change.length), after]);
  }, original);
