/** What a client whose engine died is answered, by where it stood. */
import { describe, expect, test } from 'vitest';
import { Backend, MessageReader, encode, errorFields } from '../../src/protocol/index.js';
import { SkipToSync, owedTo } from '../../src/proxy/failover/owed.js';
import type { Standing } from '../../src/proxy/relay.js';

const QUIET: Standing = {
  ...{ pending: 0, batchOpen: false, status: 'I', copyIn: false, cutOff: false, mayHaveCommitted: false },
};

/** `40001 E`: an error and the status that follows it. */
const told = (standing: Partial<Standing>): string => {
  const reader = new MessageReader(10_000);
  reader.push(owedTo({ ...QUIET, ...standing }, 'failover-1').answers);
  const words: string[] = [];
  for (let message = reader.next(); message; message = reader.next())
    words.push(
      message.type === Backend.ErrorResponse
        ? (errorFields(message.body).get('C') ?? '')
        : message.body.toString('latin1'),
    );
  return words.join(' ');
};

describe('what is told', () => {
  test.each<[string, Partial<Standing>, string]>([
    ['nothing was asked', {}, ''],
    ['a statement of its own transaction', { pending: 1 }, '08007 I'],
    ['three of them in a row', { pending: 3 }, '08007 I 08007 I 08007 I'],
    ['a statement in a transaction', { status: 'T', pending: 1 }, '40001 E'],
    ['its COMMIT', { status: 'T', pending: 1, mayHaveCommitted: true }, '08007 I'],
    ['COMMIT of a failed transaction', { status: 'E', pending: 1, mayHaveCommitted: true }, '40001 E'],
    ['a batch without its Sync', { status: 'T', batchOpen: true }, '40001'],
    ['idle in a transaction: at the next request', { status: 'T' }, ''],
  ])('%s', (_name, standing, expected) => expect(told(standing)).toBe(expected));

  test('who is idle in a transaction is told later, and is in a failed one', () => {
    expect(owedTo({ ...QUIET, status: 'T' }, 'failover-1')).toMatchObject({ failed: true, toTell: true });
    expect(owedTo({ ...QUIET, status: 'E' }, 'failover-1')).toMatchObject({ failed: true, toTell: false });
  });
});

test('a batch that failed is skipped up to its Sync, whatever the pieces', () => {
  const next = encode.query('select 1');
  const bytes = Buffer.concat([encode.parse('', 'select 2'), encode.execute(), encode.sync(), next]);
  for (let cut = 1; cut < bytes.length; cut++) {
    const skipping = new SkipToSync();
    const first = skipping.push(bytes.subarray(0, cut));
    const rest =
      first === null ? skipping.push(bytes.subarray(cut)) : Buffer.concat([first, bytes.subarray(cut)]);
    expect(rest?.equals(next)).toBe(true);
  }
});
