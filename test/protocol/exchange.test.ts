/** The count of what is asked and not answered, where it is not one for one. */
import { describe, expect, test } from 'vitest';
import { Exchange } from '../../src/protocol/index.js';

describe('after an error in a batch', () => {
  test('a Query before the Sync is skipped by the engine and not waited for', () => {
    const exchange = new Exchange();
    exchange.batched();
    exchange.failed();
    exchange.asked();
    exchange.synced();
    expect(exchange.settled).toBe(false);
    exchange.ready('I');
    expect(exchange.settled).toBe(true);
  });

  test('requests behind the Sync are still waited for', () => {
    const exchange = new Exchange();
    exchange.batched();
    exchange.synced();
    exchange.asked();
    exchange.failed();
    exchange.ready('I');
    expect(exchange.pending).toBe(1);
    exchange.ready('I');
    expect(exchange.settled).toBe(true);
  });

  test('the engine waits for no more once it has been sent the Sync', () => {
    const exchange = new Exchange();
    exchange.batched();
    exchange.failed();
    exchange.asked();
    expect(exchange.waitsForMore).toBe(true);
    exchange.synced();
    expect(exchange.waitsForMore).toBe(false);
  });

  test('a simple Query that fails is answered as any other', () => {
    const exchange = new Exchange();
    exchange.asked();
    exchange.asked();
    exchange.failed();
    exchange.ready('I');
    expect(exchange.pending).toBe(1);
  });
});

test('twenty requests in flight are each answered once', () => {
  const exchange = new Exchange();
  for (let i = 0; i < 20; i++)
    if (i % 3 === 0) exchange.synced();
    else exchange.asked();
  for (let i = 0; i < 20; i++) {
    expect(exchange.settled).toBe(false);
    exchange.ready('I');
  }
  expect(exchange.settled).toBe(true);
});

describe('COPY IN whose end was sent before the engine had asked for it', () => {
  const cases = {
    'of a Query': (exchange: Exchange): void => {
      exchange.asked();
      exchange.copyEnded();
      exchange.copyInStarted();
    },
    'of a batch': (exchange: Exchange): void => {
      exchange.batched();
      exchange.copyEnded();
      exchange.synced();
      exchange.copyInStarted();
    },
    'of a batch that has not all come': (exchange: Exchange): void => {
      exchange.batched();
      exchange.copyEnded();
      exchange.copyInStarted();
      exchange.synced();
    },
    'of a batch whose first Sync is read as part of it': (exchange: Exchange): void => {
      exchange.batched();
      exchange.synced();
      exchange.copyEnded();
      exchange.synced();
      exchange.copyInStarted();
    },
    'the second one of a Query': (exchange: Exchange): void => {
      exchange.asked();
      exchange.copyEnded();
      exchange.copyEnded();
      exchange.copyInStarted();
      exchange.copyInStarted();
    },
    'behind one that failed': (exchange: Exchange): void => {
      exchange.asked();
      exchange.copyEnded();
      exchange.batched();
      exchange.copyEnded();
      exchange.synced();
      exchange.failed();
      exchange.ready('I');
      exchange.copyInStarted();
    },
  };

  test.each(Object.entries(cases))('%s: what is behind it is waited for', (_, begin) => {
    const exchange = new Exchange();
    begin(exchange);
    expect(exchange.copyIn).toBe(false);
    exchange.batched();
    exchange.synced();
    exchange.ready('I');
    expect(exchange.settled).toBe(false);
    exchange.ready('I');
    expect(exchange.settled).toBe(true);
  });

  test('another process knows of it', () => {
    const exchange = new Exchange();
    exchange.asked();
    exchange.copyEnded();
    const other = Exchange.from(exchange.save());
    other.copyInStarted();
    expect(other.copyIn).toBe(false);
  });

  test('one that ended a copy which failed ends no later one', () => {
    const exchange = new Exchange();
    exchange.asked();
    exchange.copyEnded();
    exchange.failed();
    exchange.ready('I');
    exchange.batched();
    exchange.copyInStarted();
    expect(exchange.copyIn).toBe(true);
  });
});

describe('a batch', () => {
  test('that fails in front of a Query: the Query is skipped', () => {
    const exchange = new Exchange();
    exchange.batched();
    exchange.asked();
    exchange.synced();
    exchange.failed();
    exchange.ready('I');
    expect(exchange.settled).toBe(true);
  });

  test('that is answered in front of a Query that fails: both requests are answered', () => {
    const exchange = new Exchange();
    exchange.batched();
    exchange.asked();
    exchange.synced();
    exchange.completed();
    exchange.failed();
    exchange.ready('I');
    expect(exchange.settled).toBe(false);
    exchange.ready('I');
    expect(exchange.settled).toBe(true);
  });
});

describe('a Sync within a COPY that fails', () => {
  /** With a Sync in the data, and one behind it. */
  const failedCopy = (): Exchange => {
    const exchange = new Exchange();
    exchange.batched();
    exchange.completed();
    exchange.batched();
    exchange.copyInStarted();
    exchange.synced();
    exchange.copied();
    exchange.copyEnded();
    exchange.synced();
    exchange.failed();
    return exchange;
  };

  test('was read by it, or is answered: who holds the session then knows of either', () => {
    const exchange = failedCopy();
    exchange.ready('I');
    expect(exchange.settled).toBe(true);
    expect(exchange.takeLate()).toBe(1);
    expect(exchange.takeLate()).toBe(0);
    exchange.addLate(1);
    exchange.asked();
    exchange.ready('I');
    expect(exchange.pending).toBe(1);
  });

  test('is answered if a Query behind it is not answered first', () => {
    const exchange = failedCopy();
    exchange.asked();
    exchange.ready('I');
    exchange.ready('I');
    expect(exchange.settled).toBe(false);
    exchange.completed();
    exchange.ready('I');
    expect(exchange.settled).toBe(true);
  });

  test('was read by it if a Query behind it is answered first', () => {
    const exchange = failedCopy();
    exchange.asked();
    exchange.ready('I');
    exchange.completed();
    exchange.ready('I');
    expect(exchange.settled).toBe(true);
    expect(exchange.takeLate()).toBe(0);
  });

  test('is answered if no data came behind it', () => {
    const exchange = new Exchange();
    exchange.batched();
    exchange.synced();
    exchange.copyInStarted();
    exchange.failed();
    expect(exchange.settled).toBe(false);
    exchange.ready('I');
    expect(exchange.settled).toBe(true);
  });

  test('another process knows of it', () => {
    const exchange = Exchange.from(failedCopy().save());
    exchange.ready('I');
    exchange.asked();
    exchange.ready('I');
    expect(exchange.pending).toBe(1);
  });

  test('requests keep their numbers, whether it is answered or not', () => {
    const exchange = new Exchange();
    exchange.asked();
    exchange.copyInStarted();
    exchange.synced();
    exchange.copyEnded();
    exchange.asked();
    exchange.completed();
    expect(exchange.answered).toBe(0);
    exchange.ready('I');
    expect(exchange.answered).toBe(2);
    exchange.ready('I');
    expect(exchange.answered).toBe(exchange.sent);
  });
});
