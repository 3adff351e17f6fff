/** What reads the bytes of clients and engines, by itself: whatever comes, in whatever pieces, it says the same, or refuses it. */
import assert from 'node:assert/strict';
import fc from 'fast-check';
import {
  Backend,
  ClientStream,
  EngineStream,
  Exchange,
  MessageReader,
  ProtocolViolation,
  ScramServer,
  encode,
  mockVerifier,
  readStartupPacket,
} from '../../src/protocol/index.js';
import { SessionTracker, SettingNames } from '../../src/session-state/index.js';
import { bytes, bent, cuts, framed, inPieces, messages, startups } from './inputs.js';
import { pure, type Target } from './target.js';

/** The words of the violation; null: there was none. Anything else is thrown on. */
const refusal = (work: () => void): string | null => {
  try {
    work();
    return null;
  } catch (error) {
    if (error instanceof ProtocolViolation) return error.message;
    throw error;
  }
};

/** What a whole session has made of the bytes of its client. */
const afterClient = (pieces: readonly Buffer[]): unknown => {
  const exchange = new Exchange();
  const tracker = new SessionTracker(new SettingNames());
  const stream = new ClientStream(exchange, tracker);
  const refused = refusal(() => {
    for (const piece of pieces) stream.scan(piece, 0, piece.length, false);
  });
  return refused ?? { exchange: exchange.save(), stream: stream.save(), tracker: tracker.save() };
};

const afterEngine = (pieces: readonly Buffer[]): unknown => {
  const exchange = new Exchange();
  const tracker = new SessionTracker(new SettingNames());
  const client = new ClientStream(exchange, tracker);
  const asked = Buffer.concat([encode.query('select 1'), encode.query('set app.a = 1'), encode.sync()]);
  client.scan(asked, 0, asked.length, false);
  const stream = new EngineStream(exchange, tracker);
  const refused = refusal(() => {
    for (const piece of pieces) stream.scan(piece, 0, piece.length);
  });
  return refused ?? { exchange: exchange.save(), stream: stream.save(), tracker: tracker.save() };
};

const read = (pieces: readonly Buffer[]): unknown => {
  const reader = new MessageReader(1 << 20);
  const seen: string[] = [];
  const refused = refusal(() => {
    for (const piece of pieces) {
      reader.push(piece);
      for (let next = reader.next(); next; next = reader.next())
        seen.push(`${next.type} ${next.body.toString('latin1')}`);
    }
  });
  return { seen, refused };
};

const ofEngine = fc
  .array(fc.oneof(framed(Object.values(Backend)), bent(framed(Object.values(Backend))), bytes), {
    maxLength: 6,
  })
  .map((chunks) => Buffer.concat(chunks));
const ofClient = messages.map((chunks) => Buffer.concat(chunks));

const verifier = mockVerifier('app', Buffer.from('a secret'));
/** Made of what such messages are made of. */
const scramText = fc
  .array(
    fc.oneof(
      fc.constantFrom('n,,', 'y,,', 'p=tls-server-end-point,,', 'c=biws', ',p=', 'n=', 'r=', 'm=', ',', '='),
      fc.string({ maxLength: 12 }),
      fc.base64String({ maxLength: 48 }),
    ),
    { maxLength: 7 },
  )
  .map((parts) => parts.join(''));

export const protocolTargets: readonly Target[] = [
  pure('client-stream', 270, fc.tuple(ofClient, cuts), ([whole, places]) => {
    assert.deepEqual(afterClient(inPieces(whole, places)), afterClient([whole]));
  }),
  pure('engine-stream', 220, fc.tuple(ofEngine, cuts), ([whole, places]) => {
    assert.deepEqual(afterEngine(inPieces(whole, places)), afterEngine([whole]));
  }),
  pure('message-reader', 140, fc.tuple(ofEngine, cuts), ([whole, places]) => {
    assert.deepEqual(read(inPieces(whole, places)), read([whole]));
  }),
  pure('startup-packet', 130, startups, (chunks) => {
    const whole = Buffer.concat(chunks);
    refusal(() => {
      const found = readStartupPacket(whole);
      if (found) assert.ok(found.bytes >= 0 && found.bytes <= whole.length);
    });
  }),
  pure('scram', 130, fc.tuple(scramText, scramText, fc.boolean()), ([first, last, knowsNonce]) => {
    refusal(() => {
      const server = new ScramServer(verifier);
      const nonce = /r=([^,]*)/.exec(server.first(first))?.[1] ?? '';
      // Nobody who does not know the secret gets in.
      assert.equal(server.final(knowsNonce ? `c=biws,r=${nonce},p=${last}` : last), null);
    });
  }),
];
