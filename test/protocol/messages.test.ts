/** Whole messages: reader, encoders against decoders. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  Backend,
  Frontend,
  MessageReader,
  ProtocolViolation,
  arrayElements,
  cstrings,
  dataRow,
  encode,
  errorFields,
  functionResult,
} from '../../src/protocol/index.js';
import { engineMessage, pieces } from './support.js';

const bodyOf = (message: Buffer): Buffer => message.subarray(5);
const byteText = fc
  .uint8Array({ maxLength: 30 })
  .map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0)).toString('latin1'));

describe('message reader', () => {
  it('gives the same messages whatever the pieces', () => {
    const input = fc.tuple(
      fc.array(engineMessage, { maxLength: 10 }),
      fc.array(fc.nat({ max: 1_000 }), { maxLength: 20 }),
    );
    fc.assert(
      fc.property(input, ([messages, cuts]) => {
        const reader = new MessageReader(10_000);
        const found: Buffer[] = [];
        for (const chunk of pieces(Buffer.concat(messages), cuts)) {
          reader.push(chunk);
          for (let next = reader.next(); next; next = reader.next())
            found.push(encode.message(next.type, next.body));
        }
        expect(found).toEqual(messages);
        expect(reader.takeRest()).toHaveLength(0);
      }),
    );
  });

  it.each([-1, 0, 3, 101, 0x7fff_ffff])('refuses a length of %d with the header alone', (length) => {
    const header = Buffer.from('p\0\0\0\0');
    header.writeInt32BE(length, 1);
    const reader = new MessageReader(100);
    reader.push(header);
    expect(() => reader.next()).toThrow(ProtocolViolation);
  });

  it('hands over what has not become a message', () => {
    const reader = new MessageReader(100);
    reader.push(Buffer.concat([encode.sync(), Buffer.from('Q\0')]));
    expect(reader.next()).toEqual({ type: Frontend.Sync, body: Buffer.alloc(0) });
    expect(reader.next()).toBeNull();
    expect(reader.takeRest()).toEqual(Buffer.from('Q\0'));
    expect(reader.takeRest()).toHaveLength(0);
  });
});

describe('encoders and decoders', () => {
  it('error fields', () => {
    const fields = {
      severity: 'FATAL',
      sqlstate: '57P01',
      message: 'grüße',
      detail: 'd',
      hint: 'h',
    } as const;
    const message = encode.errorResponse(fields);
    expect(message[0]).toBe(Backend.ErrorResponse);
    expect(Object.fromEntries(errorFields(bodyOf(message)))).toEqual({
      S: 'FATAL',
      V: 'FATAL',
      C: '57P01',
      M: 'grüße',
      D: 'd',
      H: 'h',
    });
  });

  it('error fields of a body cut anywhere are a part of the whole', () => {
    const body = bodyOf(encode.errorResponse({ severity: 'ERROR', sqlstate: '42601', message: 'syntax' }));
    const whole = errorFields(body);
    for (let end = 0; end < body.length; end++) {
      for (const [code, value] of errorFields(body.subarray(0, end))) expect(whole.get(code)).toBe(value);
    }
  });

  it('parameter status and its strings', () => {
    fc.assert(
      fc.property(byteText, byteText, (name, value) => {
        expect(cstrings(bodyOf(encode.parameterStatus(name, value)))).toEqual([name, value]);
      }),
    );
  });

  it('columns of a row', () => {
    const column = fc.option(byteText);
    fc.assert(
      fc.property(fc.array(column, { maxLength: 10 }), (columns) => {
        const parts = columns.map((value) => {
          const bytes = Buffer.from(value ?? '', 'latin1');
          const length = Buffer.alloc(4);
          length.writeInt32BE(value === null ? -1 : bytes.length);
          return Buffer.concat([length, bytes]);
        });
        const count = Buffer.alloc(2);
        count.writeInt16BE(columns.length);
        expect(dataRow(Buffer.concat([count, ...parts]))).toEqual(columns);
      }),
    );
  });

  it('Parse, as PostgreSQL lays it out', () => {
    expect(encode.parse('s1', 'select $1', [23, 0]).toString('latin1')).toBe(
      'P\0\0\0\x1bs1\0select $1\0\0\x02\0\0\0\x17\0\0\0\0',
    );
  });

  it('Bind, as PostgreSQL lays it out', () => {
    expect(encode.bind('', 's', ['ab', null]).toString('latin1')).toBe(
      'B\0\0\0\x17\0s\0\0\0\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\0',
    );
  });

  it('FunctionCall, as PostgreSQL lays it out, and what answers it', () => {
    expect(encode.functionCall(16_389, ['ab', null]).toString('latin1')).toBe(
      'F\0\0\0\x18\0\0\x40\x05\0\0\0\x02\0\0\0\x02ab\xff\xff\xff\xff\0\0',
    );
    for (const value of ['', 'äb', null]) {
      const bytes = Buffer.from(value ?? '');
      const body = Buffer.concat([encode.int32(value === null ? -1 : bytes.length), bytes]);
      expect(functionResult(body, 'utf8')).toBe(value);
    }
  });

  it('the length field counts itself and the body', () => {
    fc.assert(
      fc.property(fc.nat(255), fc.uint8Array({ maxLength: 50 }), (type, body) => {
        const message = encode.message(type, Buffer.from(body));
        expect(message[0]).toBe(type);
        expect(message.readInt32BE(1)).toBe(body.length + 4);
        expect(message.length).toBe(body.length + 5);
      }),
    );
  });
});

describe('array elements', () => {
  it.each([
    ['{}', []],
    ['{23,25}', ['23', '25']],
    ['{NULL,"NULL",null}', [null, 'NULL', null]],
    ['{""}', ['']],
    [String.raw`{"a b","c,d","e\"f","g\\h","{i}"}`, ['a b', 'c,d', 'e"f', 'g\\h', '{i}']],
    ['{"line\nbreak"}', ['line\nbreak']],
  ])('%s', (text, elements) => {
    expect(arrayElements(text)).toEqual(elements);
  });

  it('takes back every array that quotes all its elements', () => {
    fc.assert(
      fc.property(fc.array(byteText, { maxLength: 8 }), (elements) => {
        const quoted = elements.map((element) => `"${element.replace(/(["\\])/g, '\\$1')}"`);
        expect(arrayElements(`{${quoted.join(',')}}`)).toEqual(elements);
      }),
    );
  });
});

it('a large message is put together once, not with every piece of it', () => {
  const body = Buffer.alloc(32 * 1024 * 1024, 'x');
  const message = encode.message(0x64, body);
  const reader = new MessageReader(2 ** 30);
  for (let at = 0; at < message.length; at += 16 * 1024) {
    expect(reader.next()).toBeNull();
    reader.push(message.subarray(at, at + 16 * 1024));
  }
  expect(reader.next()?.body.equals(body)).toBe(true);
  expect(reader.takeRest()).toHaveLength(0);
}, 4_000);
