/** Of the log on etcd what takes no writer to be seen: whom it asks, whose a prefix is, whose a place, what is listed; with a real etcd. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EtcdClient, endOf } from '../../../src/multiwriter/etcd/client.js';
import { truncate, readTruncated } from '../../../src/multiwriter/etcd/housekeeping.js';
import { claimStore, removeStore } from '../../../src/multiwriter/etcd/index.js';
import { Layout } from '../../../src/multiwriter/etcd/layout.js';
import { OwnPlace } from '../../../src/multiwriter/etcd/own-place.js';
import { parseEtcdUrl } from '../../../src/multiwriter/etcd/url.js';
import { lsn } from '../../../src/multiwriter/protocol/index.js';
import { freePort } from '../../support/free-port.js';
import { hasEtcd, TestEtcd } from './server.js';

const suite = hasEtcd ? describe : describe.skip;

suite('a store on etcd', () => {
  let etcd: TestEtcd;

  beforeAll(async () => {
    etcd = await TestEtcd.start();
  });
  afterAll(() => etcd?.close());

  it('a place that a newer incarnation has is never that of the older one again', async () => {
    await etcd.withClient(async (client) => {
      const layout = new Layout('/place');
      const [older, newer] = [1, 2].map((incarnation) => new OwnPlace(client, layout, 0, incarnation));
      await older!.take({});
      await newer!.take({});
      expect(await older!.tell({ 0: lsn(1) })).toBe(false);
      expect([older!.lost, newer!.lost]).toEqual(['newer', null]);
      const commit = (place: OwnPlace) => client.txn({ if: [place.compare], then: [] });
      expect(await commit(older!)).toMatchObject({ succeeded: false });
      expect(await commit(newer!)).toMatchObject({ succeeded: true });
    });
  });

  it('a place that is gone, or older again, is lost', async () => {
    await etcd.withClient(async (client) => {
      const layout = new Layout('/gone');
      const [older, place] = [1, 2].map((incarnation) => new OwnPlace(client, layout, 0, incarnation));
      await older!.take({});
      const [before] = (await client.get(layout.writer(0))).found;
      await place!.take({});
      await client.txn({ then: [{ put: layout.writer(0), value: before!.value }] });
      expect(await place!.tell({ 0: lsn(1) })).toBe(false);
      expect(place!.lost).toBe('gone');
      await client.txn({ then: [{ remove: layout.writer(0) }] });
      expect(await older!.tell({ 0: lsn(1) })).toBe(false);
      expect(older!.lost).toBe('gone');
    });
  });

  it('a prefix above that of another instance is refused; what is below its own stays when it is purged', async () => {
    const foreign = { code: 'DBP_ETCD_FOREIGN' };
    await claimStore(etcd.url('/nested/eu'), 'inner', true);
    await expect(claimStore(etcd.url('/nested'), 'outer', true)).rejects.toMatchObject(foreign);
    await claimStore(etcd.url('/outer'), 'outer', true);
    await claimStore(etcd.url('/outer'), 'outer', true);
    await claimStore(etcd.url('/outer/eu'), 'inner', true);
    // There its entries are.
    for (const within of ['/outer/log', '/outer/key/eu'])
      await expect(claimStore(etcd.url(within), 'inner', true)).rejects.toMatchObject(foreign);
    await claimStore(etcd.url('/elsewhere/log'), 'inner', true);
    await etcd.withClient((client) => client.txn({ then: [{ put: '/outer/log/e/0/1/1', value: '' }] }));
    await removeStore(etcd.url('/outer'), 'inner');
    expect(await etcd.keys('/outer')).toEqual(['/outer/eu/store', '/outer/log/e/0/1/1', '/outer/store']);
    await removeStore(etcd.url('/outer'), 'outer');
    expect(await etcd.keys('/outer')).toEqual(['/outer/eu/store']);
    await expect(claimStore(etcd.url('/outer'), 'outer', false)).rejects.toMatchObject({
      code: 'DBP_ETCD_LOST',
    });
  });

  it('thousands of keys are listed in pages, each once, as of the first of them', async () => {
    await etcd.withClient(async (client) => {
      const keys = Array.from({ length: 1_234 }, (_, index) => `/pages/${String(index).padStart(5, '0')}`);
      for (let from = 0; from < keys.length; from += 100) {
        const some = keys.slice(from, from + 100);
        await client.txn({ then: some.map((put) => ({ put, value: '' })) });
      }
      const found: string[] = [];
      let pages = 0;
      for await (const page of client.pages('/pages/')) {
        // Behind all that is still to come, and after the first page.
        if (pages++ === 0) await client.txn({ then: [{ put: '/pages/zzz', value: '' }] });
        found.push(...page.found.map(({ key }) => key));
      }
      expect(found).toEqual(keys);
      expect(pages).toBeGreaterThan(1);
      await client.txn({ then: [{ remove: '/pages/', end: endOf('/pages/') }] });
    });
  });

  it('how far it is truncated is not moved back by one that has read it before', async () => {
    const layout = new Layout('/truncated');
    await etcd.withClient(async (client) => {
      const place = new OwnPlace(client, layout, 0, 1);
      await place.take({ 0: lsn(7) });
      /** Another one goes further while this one has read and not yet put. */
      class Late extends EtcdClient {
        override async get(...asked: Parameters<EtcdClient['get']>): ReturnType<EtcdClient['get']> {
          const found = await super.get(...asked);
          if (asked[0] === layout.truncated) {
            await place.tell({ 0: lsn(9) });
            await truncate(client, layout, [0]);
          }
          return found;
        }
      }
      const late = new Late(parseEtcdUrl(etcd.url()));
      await truncate(late, layout, [0]);
      late.close();
      expect((await readTruncated(client, layout)).truncated).toEqual({ 0: 9 });
    });
  });

  it('many at once leave a member that is gone for the next one, which all of them reach', async () => {
    const url = `etcd://127.0.0.1:${await freePort()},127.0.0.1:${etcd.port}/many`;
    await etcd.withClient(async (client) => {
      const asked = Array.from({ length: 8 }, (_, index) =>
        client.txn({ then: [{ put: `/many/${index}`, value: '' }] }),
      );
      expect((await Promise.all(asked)).map(({ succeeded }) => succeeded)).not.toContain(false);
    }, url);
  });

  it('what one member refuses after another one has not answered may still be done by that one', async () => {
    const silent = await TestEtcd.start();
    try {
      await silent.stop();
      const url = `etcd://127.0.0.1:${silent.port},127.0.0.1:${etcd.port}/refused`;
      // A key that is put twice in one transaction is refused by whoever is asked.
      const twice = [
        { put: '/refused/a', value: '' },
        { put: '/refused/a', value: '' },
      ];
      await etcd.withClient(async (client) => {
        await expect(client.txn({ then: twice })).rejects.toMatchObject({
          code: 'DBP_ETCD_AWAY',
          message: expect.stringContaining('duplicate key') as string,
        });
        await expect(client.txn({ then: twice })).rejects.toMatchObject({ code: 'DBP_ETCD_REFUSED' });
      }, url);
    } finally {
      await silent.close();
    }
  }, 30_000);
});
