/** Errors are renamed wherever the bytes are cut, and wherever in the stream the renaming begins. */
import { expect, it } from 'vitest';
import { Backend, EngineStream, Exchange, encode } from '../../src/protocol/index.js';
import { ErrorRewriter } from '../../src/proxy/rewrite-errors.js';
import { renameCancellation, canceledError } from '../../src/proxy/canceled-transaction.js';

const row = encode.message(Backend.CopyData, Buffer.alloc(40, 'x'));
const canceled = encode.errorResponse({
  severity: 'ERROR',
  sqlstate: '57014',
  message: 'as the engine says it',
});
const other = encode.errorResponse({ severity: 'ERROR', sqlstate: '22012', message: 'division by zero' });
const ready = encode.readyForQuery('I');
const stream = Buffer.concat([row, row, canceled, ready, other, ready]);
const renamed = Buffer.concat([
  row,
  row,
  encode.errorResponse(canceledError('scale-1')),
  ready,
  other,
  ready,
]);
const beforeError = 2 * row.length;

/** Where the stream stands after these bytes. */
const positionAfter = (bytes: Buffer): ReturnType<EngineStream['save']> => {
  const observer = { parameterStatus: () => undefined, commandComplete: () => undefined };
  const follower = new EngineStream(new Exchange(), observer);
  follower.scan(bytes, 0, bytes.length);
  return follower.save();
};

it('begun anywhere before the error, and cut anywhere after that', () => {
  for (let begin = 0; begin <= beforeError; begin++) {
    for (let cut = begin; cut <= stream.length; cut++) {
      const rewriter = new ErrorRewriter(
        renameCancellation('scale-1'),
        positionAfter(stream.subarray(0, begin)),
      );
      const got = [
        stream.subarray(0, begin),
        rewriter.push(stream.subarray(begin, cut)),
        rewriter.push(stream.subarray(cut)),
      ];
      if (!Buffer.concat(got).equals(renamed)) expect({ begin, cut, same: false }).toBeNull();
      expect(rewriter.kept).toHaveLength(0);
    }
  }
});

it('byte by byte; only an error and a header are kept back', () => {
  const rewriter = new ErrorRewriter(renameCancellation('scale-1'), positionAfter(Buffer.alloc(0)));
  const got: Buffer[] = [];
  for (let at = 0; at < stream.length; at++) {
    got.push(rewriter.push(stream.subarray(at, at + 1)));
    if (at < beforeError) expect(rewriter.kept.length).toBeLessThan(5);
  }
  expect(Buffer.concat(got).equals(renamed)).toBe(true);
});

it('begun in the middle of the error: the rest of it passes as it is', () => {
  for (let begin = beforeError + 1; begin < beforeError + canceled.length; begin++) {
    const rewriter = new ErrorRewriter(
      renameCancellation('scale-1'),
      positionAfter(stream.subarray(0, begin)),
    );
    expect(rewriter.push(stream.subarray(begin)).equals(stream.subarray(begin))).toBe(true);
  }
});
