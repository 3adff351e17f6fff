/** Three writers, and clients that work, cancel, copy and die. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { encode, Frontend, StartupCode } from '../../../src/protocol/index.js';
import { connectPg, directTo, eventually, value } from '../../support/clients.js';
import { Pause } from '../../support/pause.js';
import { RawClient } from '../../support/raw-client.js';
import { retrying, TestCluster } from './cluster.js';

let cluster: TestCluster;
const clients: pg.Client[] = [];
const connect = async (writer: number, config: pg.ClientConfig = {}): Promise<pg.Client> => {
  const client = await cluster.members[writer]!.connect(config);
  clients.push(client);
  return client;
};
const codeOf = (work: Promise<unknown>): Promise<string | null> =>
  work.then(
    () => null,
    (error: { code?: string }) => error.code ?? 'none',
  );

beforeAll(async () => {
  cluster = await TestCluster.start({ writers: 3 });
  const client = await connect(0);
  await client.query('create table t (id int primary key, n int not null default 0, v text)');
  await client.query('insert into t values (1), (2), (3)');
  await cluster.atRest();
}, 90_000);

afterAll(async () => {
  for (const client of clients) await client.end().catch(() => undefined);
  await cluster?.close();
});

const message = (type: number, body: Buffer): Buffer => {
  const head = Buffer.alloc(5);
  head[0] = type;
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
};
const cancel = async (writer: number, { processId, secret }: RawClient): Promise<void> => {
  const other = await RawClient.connect(cluster.members[writer]!.port);
  other.send(encode.cancelRequest(StartupCode.cancel, processId, secret));
  await eventually('the request to be taken', () => other.ended);
  other.close();
};

it('three writers under load count a hot row and add rows of their own, each exactly once', async () => {
  const work = async (client: pg.Client, first: number): Promise<void> => {
    for (let i = 0; i < 20; i++) {
      await retrying(() => client.query('update t set n = n + 1 where id = 1'));
      await retrying(() => client.query('insert into t values ($1)', [first + i]));
    }
  };
  const both = [0, 1, 2, 0, 1, 2].map(async (writer, i) => work(await connect(writer), 1_000 * (i + 1)));
  await Promise.all(both);
  await cluster.atRest();
  for (const writer of [0, 1, 2]) {
    const seen = `select (select n from t where id = 1) || ' ' || (select count(*) from t where id between 1000 and 9999)`;
    expect(await value(await connect(writer), seen)).toBe('120 120');
  }
}, 120_000);

describe('COPY', () => {
  const copy = async (raw: RawClient, sql: string, lines: string): Promise<void> => {
    raw.send(
      encode.query(sql),
      message(Frontend.CopyData, Buffer.from(lines)),
      message(Frontend.CopyDone, Buffer.alloc(0)),
    );
    const answer = await raw.answer();
    expect(answer).toMatchObject({ errors: [] });
  };

  it('into a table on any writer, outside of a block and in one', async () => {
    for (const writer of [1, 2]) {
      const raw = await RawClient.login(cluster.members[writer]!.port);
      await copy(raw, 'copy t from stdin', `${10_000 * writer}\t1\ta\n${10_000 * writer + 1}\t2\t\\N\n`);
      raw.send(encode.query('begin'));
      await raw.answer();
      await copy(raw, 'copy t (id, v) from stdin', `${10_000 * writer + 2}\tb\n`);
      raw.send(encode.query('commit'));
      expect(await raw.answer()).toMatchObject({ tags: ['COMMIT'], errors: [], status: 'I' });
      raw.close();
    }
    await cluster.atRest();
    const reader = await connect(0);
    expect(await value(reader, 'select count(*)::int from t where id >= 10000')).toBe(6);
  });

  it('that fails, or whose row another writer has, leaves nothing', async () => {
    const raw = await RawClient.login(cluster.members[2]!.port);
    raw.send(
      encode.query('copy t from stdin'),
      message(Frontend.CopyData, Buffer.from('77777\tx\t\n')),
      message(Frontend.CopyDone, Buffer.alloc(0)),
    );
    expect(await raw.answer()).toMatchObject({ errors: ['22P02'], status: 'I' });
    raw.close();
    await cluster.atRest();
    expect(await value(await connect(0), 'select count(*)::int from t where id = 77777')).toBe(0);
  });
});

describe('CancelRequest', () => {
  it('ends a read that waits for another writer, or what became of a transaction, with 57014, in both protocols, and nothing else', async () => {
    const holder = await connectPg(directTo(cluster.members[1]!.engine));
    await holder.query('begin');
    await holder.query('select from t where id = 2 for update');
    await (await connect(0)).query('update t set n = 5 where id = 2');
    const raw = await RawClient.login(cluster.members[1]!.port);
    raw.send(encode.query(`set dbproxy.read_mode = 'global'`));
    await raw.answer();
    const batch = (sql: string) => [
      encode.parse('', sql),
      encode.bind('', '', []),
      encode.execute(),
      encode.sync(),
    ];
    const waits = () =>
      eventually('the read to wait', async () => (await cluster.members[1]!.status()).queues.waiting > 0);
    const outcome = `select dbproxy.txn_status('${String(await value(await connect(2), 'select dbproxy.txn_id()'))}')`;
    for (const messages of [
      [encode.query('select n from t where id = 2')],
      batch('select n from t where id = 2'),
      [encode.query(outcome)],
      batch(outcome),
    ]) {
      raw.send(...messages);
      await waits();
      await cancel(1, raw);
      expect(await raw.answer()).toMatchObject({ errors: ['57014'], status: 'I' });
    }
    for (const sql of ['select n from t where id = 2', outcome]) {
      raw.send(encode.query('begin'));
      await raw.answer();
      raw.send(encode.query(sql));
      await waits();
      await cancel(1, raw);
      expect(await raw.answer()).toMatchObject({ errors: ['57014'], status: 'E' });
      raw.send(encode.query('rollback'));
      expect(await raw.answer()).toMatchObject({ errors: [], status: 'I' });
    }
    await holder.query('rollback');
    await holder.end();
    raw.send(encode.query('select n from t where id = 2'));
    expect(await raw.answer()).toMatchObject({ errors: [], rows: [['5']] });
    raw.close();
    await cluster.atRest();
  }, 60_000);

  it.each([
    ['proxy.propose', 501],
    ['proxy.certify', 502],
  ])(
    'at %s of a COMMIT does not make it half: the client reads COMMIT, and all have the row',
    async (point, id) => {
      const member = cluster.members[2]!;
      const pause = new Pause(point, cluster.engines.home);
      await member.kill();
      await member.start(pause.env);
      await member.isOpen();
      const raw = await RawClient.login(member.port);
      for (const sql of ['begin', `insert into t values (${id})`]) {
        raw.send(encode.query(sql));
        await raw.answer();
      }
      raw.send(encode.query('commit'));
      await pause.reached();
      await cancel(2, raw);
      await pause.goOn();
      expect(await raw.answer()).toMatchObject({ tags: ['COMMIT'], errors: [], status: 'I' });
      raw.close();
      await cluster.atRest();
      expect(await value(await connect(0), `select count(*)::int from t where id = ${id}`)).toBe(1);
    },
    60_000,
  );
});

it('a client that dies in the middle of a transaction, or of its COMMIT, leaves no lock and no half of it', async () => {
  const [first, other] = [await connect(0), await connect(1)];
  const raw = await RawClient.login(cluster.members[2]!.port);
  for (const sql of ['begin', 'update t set n = 100 where id = 3']) {
    raw.send(encode.query(sql));
    await raw.answer();
  }
  raw.socket.destroy();
  await retrying(() => first.query('update t set n = 7 where id = 3'));
  const last = await RawClient.login(cluster.members[2]!.port);
  for (const sql of ['begin', 'update t set n = n + 1, v = txid_current()::text where id = 2']) {
    last.send(encode.query(sql));
    await last.answer();
  }
  last.send(encode.query('commit'));
  last.socket.destroy();
  // Its COMMIT may still be on its way: before its proxy is done with it, nobody is at rest.
  await eventually('its session to be gone', async () =>
    (await cluster.members[2]!.call('sessions', {})).length === 0 ? true : null,
  );
  await cluster.atRest();
  expect(await value(other, 'select n from t where id = 3')).toBe(7);
  expect([5, 6]).toContain(await value(other, 'select n from t where id = 2'));
  expect(await codeOf(retrying(() => other.query('update t set n = 0 where id in (2, 3)')))).toBe(null);
  await cluster.atRest();
}, 60_000);

/** Restarts a writer's proxy such that it has committed something which its engine does not get before `goOn`: nobody begins there. */
async function withheld(writer: number, sql: string): Promise<Pause> {
  const member = cluster.members[writer]!;
  const restart = async (step: string): Promise<Pause> => {
    const pause = new Pause(step, cluster.engines.home);
    await member.kill();
    await member.start(pause.env);
    await member.isOpen();
    return pause;
  };
  const accepted = await restart('proxy.certify');
  const doomed = await connect(writer);
  void doomed.query(sql).catch(() => undefined);
  await accepted.reached();
  const applying = await restart('writer.applying');
  await applying.reached();
  return applying;
}

it('after its proxy was killed nobody begins before what its former process committed is in the engine', async () => {
  const first = await connect(0);
  await retrying(() => first.query('update t set n = 0 where id = 3'));
  await cluster.atRest();
  const applying = await withheld(2, 'update t set n = n + 1 where id = 3');
  const client = await connect(2);
  const added = retrying(() => client.query('update t set n = n + 10 where id = 3'));
  for (let i = 0; i < 20; i++) await retrying(() => first.query('update t set n = n + 1 where id = 2'));
  await applying.goOn();
  await added;
  await cluster.atRest();
  expect(await value(first, 'select n from t where id = 3')).toBe(11);
}, 60_000);

it.each([
  ['a statement', ['insert into t values (601)']],
  ['a transaction', ['begin', 'insert into t values (602)']],
])(
  '%s of a client that goes before it could begin is not begun: nodes keep nothing for it',
  async (_what, statements) => {
    const member = cluster.members[2]!;
    const applying = await withheld(2, 'update t set n = n + 1 where id = 3');
    const raw = await RawClient.login(member.port);
    const last = statements.at(-1)!;
    for (const sql of statements.slice(0, -1)) await raw.query(sql);
    raw.send(encode.query(last));
    await eventually('it to wait', async () => (await member.status()).queues.waiting > 0);
    raw.socket.resetAndDestroy();
    await eventually('its session to be gone', async () => (await member.call('sessions', {})).length === 0);
    await applying.goOn();
    const first = await connect(0);
    for (let i = 0; i < 3; i++) await retrying(() => first.query('update t set n = n + 1 where id = 2'));
    await cluster.atRest();
    expect(await value(first, 'select count(*)::int from t where id in (601, 602)')).toBe(0);
    await eventually('the nodes to keep nothing', async () => {
      const all = await Promise.all(cluster.store!.nodes.map((node) => node.status()));
      return all.every(({ entries }) => entries === 0);
    });
  },
  60_000,
);
