/** The engine's byte stream is followed alike whatever its pieces. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EngineStream, Exchange, ProtocolViolation, encode } from '../../src/protocol/index.js';
import { engineMessage, followEngine, pieces, RecordingEngineObserver } from './support.js';

const message = (type: string, body: string | Buffer = ''): Buffer =>
  encode.message(type.charCodeAt(0), Buffer.from(body as string));

const conversation = Buffer.concat([
  encode.parameterStatus('TimeZone', 'UTC'),
  message('T', Buffer.alloc(20)),
  message('D', Buffer.alloc(40, 1)),
  message('C', 'SELECT 1\0'),
  encode.readyForQuery('T'),
  encode.noticeResponse({ severity: 'NOTICE', sqlstate: '00000', message: 'hm' }),
  message('C', 'SET\0'),
  encode.errorResponse({ severity: 'ERROR', sqlstate: '42601', message: 'no' }),
  encode.readyForQuery('E'),
  message('G', Buffer.alloc(3)),
]);

describe('engine stream', () => {
  it('shows tags and parameters, and follows the status', () => {
    const exchange = new Exchange();
    exchange.asked();
    exchange.asked();
    const bytes = conversation.subarray(0, conversation.length - message('G', Buffer.alloc(3)).length);
    expect(followEngine([bytes], exchange)).toMatchObject({
      answered: true,
      pending: 0,
      status: 'E',
      settled: true,
      atBoundary: true,
      calls: [
        `parameter ${Buffer.from('TimeZone\0UTC\0').toString('hex')}`,
        `complete 0 ${Buffer.from('SELECT 1\0').toString('hex')}`,
        `complete 1 ${Buffer.from('SET\0').toString('hex')}`,
      ],
    });
  });

  it('is the same cut at every offset', () => {
    const whole = followEngine([conversation]);
    expect(whole).toMatchObject({ copyIn: true });
    for (let cut = 1; cut < conversation.length; cut++) {
      expect(followEngine(pieces(conversation, [cut]))).toEqual(whole);
    }
    expect(followEngine(pieces(conversation, [...conversation.keys()]))).toEqual(whole);
  });

  it('is the same for any messages in any pieces', () => {
    const input = fc.tuple(
      fc.array(engineMessage, { maxLength: 12 }),
      fc.array(fc.nat({ max: 1_000 }), { maxLength: 20 }),
      fc.array(fc.boolean(), { maxLength: 5 }),
    );
    const sent = (queries: readonly boolean[]): Exchange => {
      const exchange = new Exchange();
      for (const query of queries)
        if (query) exchange.asked();
        else exchange.synced();
      return exchange;
    };
    fc.assert(
      fc.property(input, ([messages, cuts, queries]) => {
        const bytes = Buffer.concat(messages);
        const whole = followEngine([bytes], sent(queries));
        expect(followEngine(pieces(bytes, cuts), sent(queries))).toEqual(whole);
      }),
      { numRuns: 500 },
    );
  });

  it('refuses a ReadyForQuery that is not one byte, whatever comes after it', () => {
    for (const body of ['', 'II']) {
      const bytes = Buffer.concat([message('Z', body), message('T', Buffer.alloc(5))]);
      for (let cut = 0; cut < bytes.length; cut++)
        expect(() => followEngine(pieces(bytes, [cut]))).toThrow(ProtocolViolation);
    }
  });

  it('knows whether the last thing the engine said was an error', () => {
    const stream = new EngineStream(new Exchange(), new RecordingEngineObserver());
    const feed = (bytes: Buffer): boolean => stream.scan(bytes, 0, bytes.length);
    feed(encode.errorResponse({ severity: 'FATAL', sqlstate: '57P01', message: 'bye' }));
    expect(stream.lastWasError).toBe(true);
    feed(encode.readyForQuery('I'));
    expect(stream.lastWasError).toBe(false);
  });

  it('refuses a length below its own size', () => {
    const bad = Buffer.from([0x44, 0, 0, 0, 3]);
    expect(() => followEngine([bad])).toThrow(ProtocolViolation);
    expect(() => followEngine(pieces(bad, [2]))).toThrow(ProtocolViolation);
  });
});
