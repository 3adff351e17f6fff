/** What holds for two clients of two writers that fight over one row, whoever keeps the log. */
import type pg from 'pg';
import { expect } from 'vitest';
import { value } from '../../support/clients.js';
import { retrying, type TestCluster } from './cluster.js';

interface Rivals {
  readonly cluster: TestCluster;
  readonly a: pg.Client;
  readonly b: pg.Client;
}

/** In the row 100 of `account`, which is not there before. */
export async function expectEveryUpdateCounted({ cluster, a, b }: Rivals): Promise<void> {
  await a.query('insert into account values (100, 0)');
  await cluster.atRest();
  const work = async (client: pg.Client): Promise<number> => {
    let retries = -20;
    for (let i = 0; i < 20; i++) {
      await retrying(async () => {
        retries++;
        await client.query('update account set balance = balance + 1 where id = 100');
      });
    }
    return retries;
  };
  const retries = await Promise.all([work(a), work(b)]);
  await cluster.atRest();
  expect(await value(a, 'select balance from account where id = 100')).toBe(40);
  expect(await value(b, 'select balance from account where id = 100')).toBe(40);
  expect(retries[0] + retries[1]).toBeGreaterThan(0);
}

/** In the row 4 of `account`. */
export async function expectSecondRefused({ cluster, a, b }: Rivals): Promise<void> {
  await a.query('begin');
  await a.query('update account set balance = 7 where id = 4');
  await b.query('begin');
  await b.query('update account set balance = 8 where id = 4');
  await a.query('commit');
  await expect(b.query('select 1').then(() => b.query('commit'))).rejects.toMatchObject({
    code: '40001',
    hint: expect.stringMatching(/^Retry the transaction/) as string,
  });
  await b.query('rollback');
  await cluster.atRest();
  expect(await value(b, 'select balance from account where id = 4')).toBe(7);
}
