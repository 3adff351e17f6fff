/** The count of what is asked and not answered, where it is not one for one. */
import { describe, expect, test } from 'vitest';
import { Exchange } from '../../src/protocol/index.js';

describe('after an error in a batch', () => {
  test('a Query before the Sync is skipped by the engine and not waited for', () => {
    const exchange = new Exchange();
    exchange.batchOpen = true;
    exchange.failed();
    exchange.asked();
    exchange.synced();
    expect(exchange.settled).toBe(false);
    exchange.ready('I');
    expect(exchange.settled).toBe(true);
  });

  test('requests behind the Sync are still waited for', () => {
    const exchange = new Exchange();
    exchange.batchOpen = true;
    exchange.synced();
    exchange.asked();
    exchange.failed();
    exchange.ready('I');
    expect(exchange.pending).toBe(1);
    exchange.ready('I');
    expect(exchange.settled).toBe(true);
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
