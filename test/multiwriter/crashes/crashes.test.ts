/** A short run of what `npm run multiwriter:crashes` does for a night. */
import { expect, it } from 'vitest';
import { crashRun } from './crashes.js';

it('processes that are killed at named points lose nothing: lists, money, and every writer is equal', async () => {
  const { transactions, anomalies, sums, reached } = await crashRun(7, 6);
  expect(anomalies).toEqual([]);
  expect(sums).toEqual([0, 0]);
  expect(reached).toBeGreaterThan(0);
  expect(transactions.committed).toBeGreaterThan(0);
}, 240_000);
