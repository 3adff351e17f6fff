/** An engine's bytes, in whatever pieces they come: what is passed on, dropped or replaced is the same. */
import { expect, it } from 'vitest';
import { EngineMessages, type Treatment } from '../../../src/proxy/certify/engine-messages.js';
import { Backend, encode } from '../../../src/protocol/index.js';

const row = (text: string): Buffer => encode.message(Backend.DataRow, Buffer.from(text));
const tag = (text: string): Buffer => encode.commandComplete(text);
/** Ours begin with `own`. */
const STREAM = [
  ...[row('own row'), tag('own'), encode.readyForQuery('T')],
  ...[row('row'), row(''), tag('SELECT 2'), tag('replaced'), encode.readyForQuery('I')],
  ...[row('row that ends the stream')],
];
const ALL = Buffer.concat(STREAM);
const INSTEAD = tag('instead');
const EXPECTED = Buffer.concat([...STREAM.slice(3, 6), INSTEAD, ...STREAM.slice(7)]);

class Handler {
  readonly seen: Buffer[] = [];
  passesRows = false;

  message(type: number, buffer: Buffer, start: number, end: number): Treatment {
    const message = Buffer.from(buffer.subarray(start, end));
    this.seen.push(message);
    if (this.passesRows) return message.includes('replaced') ? INSTEAD : 'pass';
    if (type === Backend.ReadyForQuery) this.passesRows = true;
    return 'drop';
  }
}

/** What comes out of pieces that are cut there; the buffer that was lent is written over. */
const through = (...cuts: number[]): { out: Buffer; seen: readonly Buffer[] } => {
  const handler = new Handler();
  const messages = new EngineMessages(handler);
  const out: Buffer[] = [];
  const lent = Buffer.alloc(ALL.length);
  for (const [i, from] of [0, ...cuts].entries()) {
    const bytes = ALL.copy(lent, 0, from, cuts[i] ?? ALL.length);
    const parts = messages.take(lent, bytes);
    if (parts === null) out.push(Buffer.from(lent.subarray(0, bytes)));
    lent.fill(0xff);
    if (parts !== null) out.push(...parts);
  }
  return { out: Buffer.concat(out), seen: handler.seen };
};

it('split at every two offsets', () => {
  const { out, seen } = through();
  expect(out).toEqual(EXPECTED);
  for (let first = 1; first < ALL.length; first++) {
    for (let second = first; second < ALL.length; second++) {
      const split = through(first, second);
      if (!split.out.equals(EXPECTED)) expect.fail(`bytes differ, cut at ${first} and ${second}`);
      if (!Buffer.concat(split.seen).equals(Buffer.concat(seen)))
        expect.fail(`what was shown differs, cut at ${first} and ${second}`);
    }
  }
});

it('a chunk in which nothing is changed is passed on as it is, without a copy', () => {
  const handler = new Handler();
  handler.passesRows = true;
  const messages = new EngineMessages(handler);
  const chunk = Buffer.concat([
    row('a'),
    tag('SELECT 1'),
    encode.readyForQuery('I'),
    row('bc').subarray(0, 6),
  ]);
  expect(messages.take(chunk, chunk.length)).toBeNull();
  expect(messages.take(Buffer.from('c'), 1)).toBeNull();
});
