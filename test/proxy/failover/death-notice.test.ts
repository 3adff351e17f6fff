/** The last words of a backend whose postmaster is dead are found, in whichever language they are. */
import { describe, expect, it } from 'vitest';
import { encode } from '../../../src/protocol/index.js';
import { beforeDeathNotice } from '../../../src/proxy/failover/death-notice.js';

/** An ErrorResponse of these fields, in this order. */
function errorResponse(fields: Readonly<Record<string, string>>): Buffer {
  const body = Buffer.from(
    Object.entries(fields)
      .map(([name, value]) => `${name}${value}\0`)
      .join('') + '\0',
  );
  const header = Buffer.alloc(5);
  header.write('E');
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

const ENGLISH = {
  S: 'FATAL',
  V: 'FATAL',
  C: '57P01',
  M: 'terminating connection due to unexpected postmaster exit',
  F: 'be-secure.c',
  L: '186',
  R: 'secure_read',
};
const BEFORE = Buffer.concat([encode.readyForQuery('I'), Buffer.from('E\0\0\0')]);

describe('beforeDeathNotice', () => {
  it.each([
    ['English', {}],
    ['Russian', { S: 'ВАЖНО', M: 'закрытие подключения из-за неожиданного завершения главного процесса' }],
    ['Polish', { S: 'KATASTROFALNY', M: 'zakończono połączenie' }],
    ['Spanish', { M: 'terminando la conexión' }],
  ])('is found: %s', (_language, translated) => {
    const notice = errorResponse({ ...ENGLISH, ...translated });
    for (const before of [Buffer.alloc(0), BEFORE]) {
      const read = Buffer.concat([before, notice]);
      // What a read is lent is longer than what was read.
      expect(beforeDeathNotice(Buffer.concat([read, read]), read.length)).toBe(before.length);
    }
  });

  it.each([
    ['an end that somebody asked for (postgres.c)', errorResponse({ ...ENGLISH, F: 'postgres.c' })],
    ['another end', errorResponse({ ...ENGLISH, C: '57P02' })],
    ['an ERROR', errorResponse({ ...ENGLISH, V: 'ERROR' })],
    ['more after it', Buffer.concat([errorResponse(ENGLISH), Buffer.alloc(2)])],
    ['not all of it', errorResponse(ENGLISH).subarray(0, -2)],
    ['its words as data', Buffer.concat([Buffer.from('x'), errorResponse(ENGLISH).subarray(6)])],
    ['zeros', Buffer.alloc(20)],
  ])('is not found: %s', (_what, read) => {
    expect(beforeDeathNotice(read, read.length)).toBeNull();
  });
});
