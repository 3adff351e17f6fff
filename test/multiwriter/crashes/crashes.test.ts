/** A short run of what `npm run multiwriter:crashes` does for a night. */
import { expect, it } from 'vitest';
import { hasEtcd, TestEtcd } from '../etcd/server.js';
import { crashRun } from './crashes.js';

it('processes that are killed at named points lose nothing: lists, money, and every writer is equal', async () => {
  const { transactions, anomalies, sums, reached } = await crashRun(7, 6);
  expect(anomalies).toEqual([]);
  expect(sums).toEqual([0, 0]);
  expect(reached).toBeGreaterThan(0);
  expect(transactions.committed).toBeGreaterThan(0);
}, 240_000);

it.skipIf(!hasEtcd)(
  'the same with the log on etcd, which is killed, too',
  async () => {
    const etcd = await TestEtcd.start();
    try {
      const { transactions, anomalies, sums, reached } = await crashRun(11, 6, undefined, etcd);
      expect(anomalies).toEqual([]);
      expect(sums).toEqual([0, 0]);
      expect(reached).toBeGreaterThan(0);
      expect(transactions.committed).toBeGreaterThan(0);
    } finally {
      await etcd.close();
    }
  },
  240_000,
);
