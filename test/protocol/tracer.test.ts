/** Lines as libpq's own tests have them (PostgreSQL, src/test/modules/libpq_pipeline/traces), without the times. */
import { describe, expect, test } from 'vitest';
import fc from 'fast-check';
import {
  Backend,
  Frontend,
  Tracer,
  encode,
  type Direction,
  type StreamImage,
  type TracedMessage,
} from '../../src/protocol/index.js';

const START: StreamImage = { type: 0, need: 0, header: Buffer.alloc(0), kept: null };

const traced = (direction: Direction, pieces: readonly Buffer[], values = true, from = START): string[] => {
  const lines: string[] = [];
  const tell = ({ bytes, name, fields }: TracedMessage): void =>
    void lines.push(`${direction}\t${bytes}\t${name}${fields && `\t${fields}`}`);
  const tracer = new Tracer(direction, from, { values }, tell);
  for (const piece of pieces) tracer.push(piece, 0, piece.length);
  return lines;
};
const { int16, int32 } = encode;

const SESSION: readonly (readonly [Direction, Buffer, string])[] = [
  ['F', encode.query('SELECT 1; SELECT 2'), 'F\t23\tQuery\t "SELECT 1; SELECT 2"'],
  ['F', encode.parse('', 'SELECT $1'), 'F\t17\tParse\t "" "SELECT $1" 0'],
  ['F', encode.bind('', '', ['1', null]), `F\t21\tBind\t "" "" 0 2 1 '1' -1 0`],
  ['F', encode.message(Frontend.Describe, Buffer.from('P\0')), 'F\t6\tDescribe\t P ""'],
  ['F', encode.execute(), 'F\t9\tExecute\t "" 0'],
  ['F', encode.closeStatement('x'), 'F\t7\tClose\t S "x"'],
  ['F', encode.sync(), 'F\t4\tSync'],
  ['F', encode.message(Frontend.Flush), 'F\t4\tFlush'],
  ['F', encode.message(Frontend.CopyData, Buffer.from('1\t2\n')), `F\t8\tCopyData\t '1\\x092\\x0a'`],
  ['F', encode.terminate(), 'F\t4\tTerminate'],
  ['F', encode.message(Frontend.Password, Buffer.from('hush\0')), 'F\t9\tPasswordMessage\t …'],
  ['B', encode.message(Backend.ParseComplete), 'B\t4\tParseComplete'],
  ['B', encode.message(Backend.ReadyForQuery, Buffer.from('T')), 'B\t5\tReadyForQuery\t T'],
  [
    'B',
    encode.message(Backend.CommandComplete, Buffer.from('SELECT 1\0')),
    'B\t13\tCommandComplete\t "SELECT 1"',
  ],
  [
    'B',
    encode.message(
      Backend.RowDescription,
      Buffer.concat([
        int16(1),
        Buffer.from('?column?\0'),
        int32(0),
        int16(0),
        int32(23),
        int16(4),
        int32(-1),
        int16(0),
      ]),
    ),
    'B\t33\tRowDescription\t 1 "?column?" 0 0 23 4 -1 0',
  ],
  [
    'B',
    encode.message(Backend.DataRow, Buffer.concat([int16(1), int32(1), Buffer.from('1')])),
    `B\t11\tDataRow\t 1 1 '1'`,
  ],
  [
    'B',
    encode.errorResponse({ severity: 'ERROR', sqlstate: '22012', message: 'division by zero' }),
    'B\t44\tErrorResponse\t S "ERROR" V "ERROR" C "22012" M "division by zero" \\x00',
  ],
  ['B', encode.parameterStatus('TimeZone', 'UTC'), 'B\t17\tParameterStatus\t "TimeZone" "UTC"'],
  [
    'B',
    encode.message(Backend.NotificationResponse, Buffer.concat([int32(7), Buffer.from('news\0text\0')])),
    'B\t18\tNotificationResponse\t 7 "news" "text"',
  ],
  [
    'B',
    encode.message(Backend.CopyOutResponse, Buffer.concat([Buffer.alloc(1), int16(2), int16(0), int16(0)])),
    'B\t11\tCopyOutResponse\t \\x00 2 0 0',
  ],
];
const of = (direction: Direction): { bytes: Buffer; lines: string[] } => {
  const mine = SESSION.filter(([from]) => from === direction);
  return { bytes: Buffer.concat(mine.map(([, bytes]) => bytes)), lines: mine.map(([, , line]) => line) };
};

describe('a trace', () => {
  test.each(SESSION)('%s %j', (direction, bytes, line) => {
    expect(traced(direction, [bytes])).toEqual([line]);
  });

  test.each(['F', 'B'] as const)('%s: the same, wherever the bytes are cut', (direction) => {
    const { bytes, lines } = of(direction);
    for (let at = 0; at <= bytes.length; at++)
      expect(traced(direction, [bytes.subarray(0, at), bytes.subarray(at)])).toEqual(lines);
  });

  test('begins with the first whole message', () => {
    const { bytes, lines } = of('F');
    const first = encode.query('SELECT 1; SELECT 2').length;
    for (let at = 1; at < first; at++) {
      const inHeader = at < 5;
      const from = {
        ...START,
        type: Frontend.Query,
        need: inHeader ? 0 : first - at,
        header: inHeader ? bytes.subarray(0, at) : START.header,
      };
      expect(traced('F', [bytes.subarray(at)], true, from)).toEqual(inHeader ? lines : lines.slice(1));
    }
  });

  test('without values says how long they are, and nothing more', () => {
    const row = Buffer.concat([int16(2), int32(6), Buffer.from('secret'), int32(-1)]);
    expect(traced('B', [encode.message(Backend.DataRow, row)], false)).toEqual([
      `B\t20\tDataRow\t 2 6 '…' -1`,
    ]);
    expect(traced('F', [encode.bind('', '', ['secret'])], false)).toEqual([
      `F\t22\tBind\t "" "" 0 1 6 '…' 0`,
    ]);
    expect(traced('F', [encode.message(Frontend.CopyData, Buffer.from('secret'))], false)).toEqual([
      `F\t10\tCopyData\t '…'`,
    ]);
    expect(
      traced('B', [encode.message(Backend.BackendKeyData, Buffer.concat([int32(7), int32(9)]))]),
    ).toEqual(['B\t12\tBackendKeyData\t 7 …']);
  });

  test('of a long message the beginning, and what comes after it', () => {
    const long = encode.query('x'.repeat(1_000_000));
    const [first = '', second] = traced('F', [long, encode.sync()]);
    expect(first.length).toBeLessThan(10_000);
    expect(first).toContain('… (1000001 bytes)');
    expect(second).toBe('F\t4\tSync');
  });

  test('of whatever bytes: lines, and no more memory than they are', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array()), fc.constantFrom<Direction>('F', 'B'), (chunks, direction) => {
        traced(
          direction,
          chunks.map((chunk) => Buffer.from(chunk)),
        );
      }),
    );
  });
});
