/** The bytes of a connection of the load: what is read of them, however they are cut, and what is written. No database. */
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { encode, Frontend } from '../../src/protocol/index.js';
import { Answers, type AnswersOwner } from '../../src/workload/answers.js';
import type { Statement } from '../../src/workload/script/compile.js';
import { encoderFor } from '../../src/workload/wire.js';

const message = (type: string, body: string | Buffer = ''): Buffer =>
  encode.message(type.charCodeAt(0), Buffer.from(body));
const error = (severity: string): Buffer =>
  message('E', `S${severity}\0V${severity}\0C40001\0Mcould not serialize\0\0`);
const READY = message('Z', 'I');

/** Statements of ours while `inFlight`; each ends it with ReadyForQuery, as the connection does. */
class Recorded implements AnswersOwner {
  inFlight = false;
  readonly told: string[] = [];
  driven = '';
  ready(): void {
    this.told.push('ready');
    this.inFlight = false;
  }
  failed({ code, severity, message: text }: { code: string; severity: string; message: string }): void {
    this.told.push(`failed ${severity} ${code} ${text}`);
    if (severity === 'FATAL') this.inFlight = false;
  }
  rolledBack(): void {
    this.told.push('rolled back');
  }
  copyIn(): void {
    this.told.push('copy');
  }
  driver(bytes: Buffer): void {
    this.driven += bytes.toString('latin1');
  }
  broken(): void {
    this.told.push('broken');
  }
}

const row = message('D', Buffer.alloc(3_000, 7));
const NOTICE = message('N', 'SNOTICE\0Msomething\0\0');
const ANSWERS: readonly (readonly [string, readonly Buffer[], readonly string[]])[] = [
  ['a row', [message('2'), message('T', 'x'), row, message('C', 'SELECT 1\0'), READY], ['ready']],
  [
    'nine letters that are not ROLLBACK',
    [message('C', 'RELEASE\0\0'), message('C', 'UPDATE 1\0'), READY],
    ['ready'],
  ],
  ['a rollback', [message('C', 'ROLLBACK\0'), READY], ['rolled back', 'ready']],
  ['an error', [error('ERROR'), READY], ['failed ERROR 40001 could not serialize', 'ready']],
  ['the end', [error('FATAL')], ['failed FATAL 40001 could not serialize']],
  [
    'COPY FROM',
    [message('G', '\0\0\0'), error('ERROR'), READY],
    ['copy', 'failed ERROR 40001 could not serialize', 'ready'],
  ],
  [
    'what comes by itself, in the middle',
    [NOTICE, message('S', 'a\0b\0'), message('C', 'SET\0'), READY],
    ['ready'],
  ],
];

describe('answers', () => {
  test.each(ANSWERS)('%s, cut at every place', (_what, messages, expected) => {
    const bytes = Buffer.concat(messages);
    for (let cut = 0; cut <= bytes.length; cut++) {
      const owner = new Recorded();
      const answers = new Answers(owner);
      owner.inFlight = true;
      for (const part of [bytes.subarray(0, cut), bytes.subarray(cut)]) answers.take(part, part.length);
      expect([owner.told, owner.driven], `cut at ${cut}`).toEqual([expected, '']);
    }
  });

  test('byte for byte, in a buffer that is used again', () => {
    const owner = new Recorded();
    const answers = new Answers(owner);
    owner.inFlight = true;
    const shared = Buffer.alloc(64);
    for (const byte of Buffer.concat([error('ERROR'), READY])) {
      shared[0] = byte;
      answers.take(shared, 1);
      shared.fill(0);
    }
    expect(owner.told).toEqual(['failed ERROR 40001 could not serialize', 'ready']);
  });

  test('a message of the driver that was cut when a statement of ours began stays the driver’s, to its end', () => {
    const bytes = Buffer.concat([NOTICE, message('C', 'SELECT 1\0'), READY, NOTICE]);
    const untilOurs = NOTICE.length;
    for (let begins = 1; begins <= untilOurs; begins++) {
      for (let cut = begins; cut <= bytes.length; cut++) {
        const owner = new Recorded();
        const answers = new Answers(owner);
        answers.take(bytes, begins);
        owner.inFlight = true;
        for (const part of [bytes.subarray(begins, cut), bytes.subarray(cut)])
          answers.take(part, part.length);
        const context = `began after ${begins}, cut at ${cut}`;
        expect(owner.told, context).toEqual(['ready']);
        expect(owner.driven, context).toBe(NOTICE.toString('latin1').repeat(2));
      }
    }
  });

  test('what is no protocol is told', () => {
    const owner = new Recorded();
    owner.inFlight = true;
    new Answers(owner).take(Buffer.from('Z\0\0\0\u0003I'), 6);
    expect(owner.told).toEqual(['broken']);
  });
});

describe('what is written', () => {
  const statement = (types: readonly ('integer' | 'double')[]): Statement => ({
    ...{ sql: 'SELECT 1', texts: [], commits: false, preparable: true, line: 1 },
    parameters: types.map((type, slot) => ({ type, slot })),
  });
  const bindOf = (values: readonly string[]): Buffer =>
    Buffer.concat([
      encode.bind('', 'p1', values),
      encode.message(Frontend.Describe, Buffer.from('P\0')),
      encode.execute(),
      encode.sync(),
    ]);

  test('Bind is that of the protocol, for every number, from the same buffer again and again', () => {
    const encoder = encoderFor('prepared', statement(['integer', 'double', 'integer']), 'p1');
    const integer = fc.oneof(fc.integer({ min: 0, max: 1_100_000_000 }), fc.maxSafeInteger());
    fc.assert(
      fc.property(integer, fc.double({ noNaN: true }), integer, (a, b, c) => {
        const double = Number.isFinite(b) ? String(Number(b.toPrecision(15))) : String(b);
        expect(encoder([a, b, c]).toString('latin1')).toBe(
          bindOf([String(a), double, String(c)]).toString('latin1'),
        );
      }),
      { numRuns: 2_000 },
    );
  });

  test('without a parameter, too', () => {
    const encoder = encoderFor('prepared', statement([]), 'p1');
    expect(encoder([]).equals(bindOf([]))).toBe(true);
    expect(encoder([]).equals(bindOf([]))).toBe(true);
  });
});
