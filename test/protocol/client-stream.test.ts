/** The client's byte stream is followed alike whatever its pieces, and nothing out of bounds gets past it. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  ClientStream,
  Exchange,
  Frontend,
  MAX_LARGE_MESSAGE_BYTES,
  MAX_OBSERVED_MESSAGE_BYTES,
  MAX_SMALL_MESSAGE_BYTES,
  ProtocolViolation,
  encode,
} from '../../src/protocol/index.js';
import { clientMessage, followClient, pieces, RecordingClientObserver, stateOf } from './support.js';

const conversation = Buffer.concat([
  encode.query('select 1'),
  encode.parse('', 'select $1', [23]),
  encode.bind('', '', ['5', null]),
  encode.message(Frontend.Describe, Buffer.from('P\0')),
  encode.execute(),
  encode.sync(),
  encode.closeStatement(''),
  encode.message(Frontend.Flush),
  encode.message(Frontend.FunctionCall, Buffer.alloc(10)),
  encode.query(''),
  encode.message(Frontend.CopyData, Buffer.alloc(30, 7)),
  encode.message(Frontend.CopyDone),
  encode.sync(),
  encode.terminate(),
]);

describe('client stream', () => {
  it('shows, counts and ends the messages of a conversation', () => {
    const result = followClient([conversation], false);
    expect(result).toMatchObject({ pending: 5, batchOpen: false, atBoundary: true, ended: true });
    const { calls } = result as { calls: string[] };
    expect(calls.map((call) => call.split(' ')[0])).toEqual(['query', 'parse', 'bind', 'close', 'query']);
    expect(calls[0]).toBe(`query 0 ${encode.query('select 1').toString('hex')}`);
  });

  it('stops after each Query, Sync and FunctionCall when asked for one request', () => {
    const requests = [
      encode.query('select 1'),
      Buffer.concat([encode.parse('', 'x'), encode.bind('', '', []), encode.execute(), encode.sync()]),
      encode.message(Frontend.FunctionCall, Buffer.alloc(4)),
    ];
    const { stops } = followClient([Buffer.concat(requests)], true) as { stops: number[] };
    const lengths = requests.map(({ length }) => length);
    expect(stops).toEqual([lengths[0], lengths[0]! + lengths[1]!, Buffer.concat(requests).length]);
  });

  it.each([false, true])('is the same cut at every offset (one request: %s)', (oneRequest) => {
    const whole = followClient([conversation], oneRequest);
    for (let cut = 1; cut < conversation.length; cut++) {
      expect(followClient(pieces(conversation, [cut]), oneRequest)).toEqual(whole);
    }
    const bytes = Array.from({ length: conversation.length }, (_, i) => i);
    expect(followClient(pieces(conversation, bytes), oneRequest)).toEqual(whole);
  });

  it('is the same for any messages in any pieces', () => {
    fc.assert(
      fc.property(
        fc.array(clientMessage, { maxLength: 12 }),
        fc.array(fc.nat({ max: 1_000 }), { maxLength: 20 }),
        fc.boolean(),
        (messages, cuts, oneRequest) => {
          const bytes = Buffer.concat(messages);
          const whole = followClient([bytes], oneRequest);
          expect(whole).toMatchObject({ atBoundary: true });
          expect(followClient(pieces(bytes, cuts), oneRequest)).toEqual(whole);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('is at a boundary exactly where a message ends', () => {
    const stream = new ClientStream(new Exchange(), new RecordingClientObserver());
    const message = encode.query('select 1');
    for (let i = 0; i < message.length; i++) {
      expect(stream.atBoundary).toBe(i === 0);
      stream.scan(message, i, i + 1, false);
    }
    expect(stream.atBoundary).toBe(true);
  });

  const header = (type: number | string, length: number): Buffer => {
    const bytes = Buffer.alloc(5);
    bytes[0] = typeof type === 'string' ? type.charCodeAt(0) : type;
    bytes.writeInt32BE(length, 1);
    return bytes;
  };

  it.each([
    ['a length of 2 GB', header('Q', 0x7fff_ffff)],
    ['a negative length', header('Q', -1)],
    ['a length of 0', header('S', 0)],
    ['a length below its own size', header('S', 3)],
    ['a Query beyond the large limit', header('Q', MAX_LARGE_MESSAGE_BYTES + 1)],
    ['a Sync beyond the small limit', header('S', MAX_SMALL_MESSAGE_BYTES + 1)],
    ['an Execute beyond the small limit', header('E', MAX_SMALL_MESSAGE_BYTES + 1)],
    ['an unknown type', header('z', 4)],
    ['a type of 0', header(0, 4)],
    ['a PasswordMessage after the login', header('p', 10)],
    ['a start-up packet', encode.startupMessage(3 << 16, new Map([['user', 'x']]))],
  ])('refuses %s whatever the cut, without showing it', (_, bad) => {
    const good = encode.query('select 1');
    for (let cut = 0; cut <= 5; cut++) {
      const observer = new RecordingClientObserver();
      const stream = new ClientStream(new Exchange(), observer);
      const feed = (): void => {
        for (const chunk of pieces(Buffer.concat([good, bad]), [good.length + cut])) {
          stream.scan(chunk, 0, chunk.length, false);
        }
      };
      expect(feed).toThrow(ProtocolViolation);
      expect(observer.calls).toHaveLength(1);
    }
  });

  it('never throws anything but a ProtocolViolation at arbitrary bytes', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 30 }), { maxLength: 6 }), (chunks) => {
        try {
          followClient(
            chunks.map((chunk) => Buffer.from(chunk)),
            false,
          );
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolViolation);
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('follows the longest messages without keeping them', () => {
    const observer = new RecordingClientObserver();
    const exchange = new Exchange();
    const stream = new ClientStream(exchange, observer);
    const chunk = Buffer.alloc(64 * 1024, 0x20);
    const length = MAX_OBSERVED_MESSAGE_BYTES + 100;
    const start = Buffer.concat([header('Q', length + 4), chunk]);
    stream.scan(start, 0, start.length, false);
    for (let left = length - chunk.length; left > 0; left -= chunk.length) {
      stream.scan(chunk, 0, Math.min(left, chunk.length), false);
    }
    expect(observer.calls).toEqual(['tooLong Q']);
    expect(exchange.pending).toBe(1);
    expect(stream.atBoundary).toBe(true);
  });

  it('lets an observer see Binds only while it wants them', () => {
    const observer = new RecordingClientObserver();
    observer.bindWanted = false;
    const stream = new ClientStream(new Exchange(), observer);
    const bytes = encode.bind('', '', ['a.b']);
    stream.scan(bytes, 0, bytes.length, false);
    for (const chunk of pieces(bytes, [7])) stream.scan(chunk, 0, chunk.length, false);
    expect(observer.calls).toEqual([]);
    observer.bindWanted = true;
    stream.scan(bytes, 0, bytes.length, false);
    expect(observer.calls).toHaveLength(1);
  });
});

describe('exchange', () => {
  it('expects no answer to the Sync that is read as part of a COPY', () => {
    const exchange = new Exchange();
    exchange.batchOpen = true;
    exchange.synced();
    expect(exchange.pending).toBe(1);
    exchange.copyInStarted();
    expect(stateOf(exchange)).toMatchObject({ pending: 0, copyIn: true, settled: false });
    exchange.synced();
    expect(exchange.pending).toBe(0);
    exchange.copyEnded();
    exchange.synced();
    expect(exchange.pending).toBe(1);
    exchange.ready('I');
    expect(exchange.settled).toBe(true);
  });

  it('still expects the answer to a Query that is a COPY', () => {
    const exchange = new Exchange();
    exchange.asked();
    exchange.copyInStarted();
    expect(exchange.pending).toBe(1);
    exchange.copyEnded();
    exchange.ready('I');
    expect(exchange.settled).toBe(true);
  });

  it('counts the Sync after a COPY that failed', () => {
    const exchange = new Exchange();
    exchange.batched();
    exchange.synced();
    exchange.copyInStarted();
    exchange.copied();
    exchange.failed();
    exchange.synced();
    expect(exchange.pending).toBe(1);
    exchange.ready('E');
    expect(stateOf(exchange)).toMatchObject({ pending: 0, status: 'E', copyIn: false });
  });

  it('is settled again after each of many pipelined requests is answered, and not before', () => {
    fc.assert(
      fc.property(fc.array(fc.boolean(), { minLength: 1, maxLength: 20 }), (queries) => {
        const exchange = new Exchange();
        for (const query of queries)
          if (query) exchange.asked();
          else exchange.synced();
        queries.forEach((_, i) => {
          expect(exchange.settled).toBe(false);
          exchange.ready('I');
          expect(exchange.pending).toBe(queries.length - i - 1);
        });
        expect(exchange.settled).toBe(true);
      }),
    );
  });
});
