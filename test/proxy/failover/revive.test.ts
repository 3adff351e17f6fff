/** Sessions whose engine has died go on on its standby, or end: what is left of either, where a test can look. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EngineRecord } from '../../../src/engine/index.js';
import { encode } from '../../../src/protocol/index.js';
import { EngineLink } from '../../../src/switchover/engine-link.js';
import { promote } from '../../../src/switchover/promote.js';
import { directTo, eventually, value, withPg } from '../../support/clients.js';
import { docker } from '../../support/docker/index.js';
import { PASSWORD, routeTo, TestEngines } from '../../support/engines.js';
import { THIS_BUILD, TestProxy } from '../../support/proxies.js';
import { RawClient } from '../../support/raw-client.js';

let engines: TestEngines;
let primary: EngineRecord;
let standby: EngineRecord;
let proxy: TestProxy;

beforeEach(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  await withPg(directTo(primary), async (admin) => {
    await admin.query(
      `create role app login password '${PASSWORD}'; create role worker; grant worker to app`,
    );
    await admin.query('create table t (n int); grant all on t to app');
  });
  standby = await engines.standbyOf(primary);
  proxy = await TestProxy.start(engines, primary);
}, 60_000);

afterEach(async () => {
  await proxy?.stop();
  await engines?.close();
});

const logIn = (): Promise<RawClient> => RawClient.login(proxy.port, { user: 'app' });

/** Sessions wait for another engine from here on; resolves when they are told to. */
const cover = (): Promise<void> =>
  new Promise((resolve) => {
    // Until the proxy ends.
    const ends = proxy.control.call('cover', { engine: primary.id }, { onProgress: () => resolve() });
    ends.catch(() => undefined);
  });
const areRead = (): Promise<boolean> =>
  eventually('every session to have been read', async () =>
    (await proxy.control.call('sessions', {})).every(({ unasked }) => unasked),
  );
const die = async (lost: Promise<void>): Promise<void> => {
  const { process: postmaster, container } = primary;
  if (container) await docker('kill', container.name);
  else process.kill(postmaster!.pid, 'SIGKILL');
  await lost;
};
/** `meanwhile`: it takes writes, and nobody is on it yet. */
async function takeOver(meanwhile: () => Promise<unknown> = () => Promise.resolve()) {
  const link = await EngineLink.open(standby);
  await promote(link).finally(() => link.close());
  await meanwhile();
  const operation = 'failover-1';
  return proxy.control.call('revive', { target: routeTo(standby), operation, dataLoss: null });
}

const put = (n: number): Buffer[] => [
  encode.parse('', `insert into t values (${n})`),
  encode.bind('', '', []),
  encode.execute(),
];

describe('a batch that has failed with its engine', () => {
  it('is skipped up to its Sync, also when the proxy is replaced in the middle of it', async () => {
    const client = await logIn();
    const other = await logIn();
    const lost = cover();
    await areRead();
    client.send(...put(1), encode.flush());
    await client.answer('C');
    await die(lost);
    await takeOver();
    expect((await client.answer('E')).errors).toEqual(['08007']);

    const replaced = proxy.control.call('handover', { program: THIS_BUILD }, { timeoutMs: 60_000 });
    // Of a session at no safe point the handover waits for one; whoever is at one has gone over by then.
    const othersHaveGone = eventually('the others to have gone over', async () => {
      return (await proxy.control.call('sessions', {})).length === 1;
    });
    await Promise.race([replaced, othersHaveGone]).finally(() => othersHaveGone.catch(() => undefined));
    client.send(...put(2), encode.sync());
    expect(await client.answer()).toMatchObject({ types: 'Z', status: 'I' });
    expect((await replaced).sessions).toEqual({ handed: 2, lost: [] });
    await proxy.reconnect();
    expect((await client.query('select n from t')).rows).toEqual([]);
    expect((await other.query('select 1')).rows).toEqual([['1']]);
    client.close();
    other.close();
  });
});

describe('a session that cannot be what it was', () => {
  it('ends, and leaves no connection to the new engine', async () => {
    const client = await logIn();
    await client.query('set role worker');
    const lost = cover();
    await areRead();
    await die(lost);
    const result = await takeOver(() =>
      withPg(directTo(standby), (admin) => admin.query('drop role worker')),
    );
    expect(result).toMatchObject({ total: 1, moved: 0 });
    expect(result.failed.map(({ reason }) => reason).join()).toContain('role');
    expect((await client.end()).errors).toEqual(['57P01']);
    await withPg(directTo(standby), (admin) =>
      eventually('its connections to be gone', async () => {
        const count = `select count(*)::int from pg_stat_activity where usename = 'app'`;
        return (await value(admin, count)) === 0;
      }),
    );
    // Whom it still knows may log in.
    const again = await logIn();
    expect((await again.query('select current_user')).rows).toEqual([['app']]);
    again.close();
  });
});
