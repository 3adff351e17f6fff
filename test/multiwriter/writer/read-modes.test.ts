/** What a read on one writer has to show of what was committed on another: `dbproxy.read_mode`, `dbproxy.read_after`. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { adminQuery } from '../../../src/engine/index.js';
import { encode } from '../../../src/protocol/index.js';
import { connectPg, directTo, value } from '../../support/clients.js';
import { RawClient } from '../../support/raw-client.js';
import { TestCluster } from './cluster.js';

/** No read of these waits so long, if all is well. */
const LONG_MS = 60_000;

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
/** Its second writer, in a new process. */
const restart = async (readWaitMs: number): Promise<void> => {
  const [, second] = cluster.members;
  await second!.kill();
  await second!.start({}, { readWaitMs });
  await second!.isOpen();
};

beforeAll(async () => {
  cluster = await TestCluster.start();
  await restart(LONG_MS);
  const client = await connect(0);
  await client.query('create table t (id int primary key, n int not null)');
  await client.query('insert into t values (1, 0)');
  await cluster.atRest();
}, 120_000);

afterAll(async () => {
  for (const client of clients) await client.end().catch(() => undefined);
  await cluster?.close();
});

/** Holds the row on the second writer's engine, past its proxy: what the first one commits of it is not applied there until then. */
async function heldBack<T>(work: (release: () => Promise<void>) => Promise<T>): Promise<T> {
  const holder = await connectPg(directTo(cluster.members[1]!.engine));
  try {
    await holder.query('begin');
    await holder.query('select from t where id = 1 for update');
    return await work(async () => void (await holder.query('rollback')));
  } finally {
    await holder.end();
  }
}
const next = async (client: pg.Client): Promise<number> =>
  Number(await value(client, 'update t set n = n + 1 where id = 1 returning n'));

/** Of reads that wait: none of them is answered before `release`, and then all show the value. */
async function showLate(
  reads: readonly Promise<unknown>[],
  release: () => Promise<void>,
): Promise<unknown[]> {
  let answered = 0;
  for (const read of reads) void read.then(() => answered++);
  const bystander = await connect(1);
  for (let i = 0; i < 20; i++) await bystander.query('select n from t');
  expect(answered).toBe(0);
  await release();
  return Promise.all(reads);
}

const READ = 'select n from t where id = 1';
const named = async (client: pg.Client): Promise<unknown> =>
  (await client.query<{ n: number }>({ name: 'read', text: 'select n from t where id = $1', values: [1] }))
    .rows[0]?.n;
const inBlock = async (client: pg.Client, begin: string): Promise<unknown> => {
  await client.query(begin);
  const n = await value(client, READ);
  await client.query('commit');
  return n;
};

describe('a writer that has not applied what another one has committed', () => {
  it('shows the old row in mode instance, and waits in mode global: in every kind of read', async () => {
    const first = await connect(0);
    const here = await connect(1);
    const readers = await Promise.all(Array.from({ length: 7 }, () => connect(1)));
    for (const reader of readers.slice(0, 5)) await reader.query(`set dbproxy.read_mode = 'global'`);
    await heldBack(async (release) => {
      const before = await value(here, READ);
      const n = await next(first);
      expect(await value(here, READ)).toBe(before);
      expect(n).toBe(Number(before) + 1);
      const [simple, prepared, block, repeatable, readOnly, local, together] = readers;
      const inLocal = async (): Promise<unknown> => {
        await local!.query('begin isolation level repeatable read');
        await local!.query('set local dbproxy.read_mode to global');
        const seen = await value(local!, READ);
        await local!.query('commit');
        return seen;
      };
      const inOneQuery = async (): Promise<unknown> => {
        const results = await together!.query(`set dbproxy.read_mode = 'global'; ${READ}; reset all`);
        return (results as unknown as pg.QueryResult<{ n: number }>[])[1]?.rows[0]?.n;
      };
      const reads = [
        value(simple!, READ),
        named(prepared!),
        inBlock(block!, 'begin'),
        inBlock(repeatable!, 'begin isolation level repeatable read'),
        inBlock(readOnly!, 'begin read only'),
        inLocal(),
        inOneQuery(),
      ];
      expect(await showLate(reads, release)).toEqual(reads.map(() => n));
    });
  });

  it('waits after a position of the other one', async () => {
    const first = await connect(0);
    const [here, reader] = [await connect(1), await connect(1)];
    await heldBack(async (release) => {
      const n = await next(first);
      const position = String(await value(first, 'select dbproxy.position()'));
      await reader.query(`set dbproxy.read_after = '${position}'`);
      await here.query(`set dbproxy.read_mode = 'session'`);
      expect(await value(here, READ)).toBe(n - 1);
      expect(await showLate([value(reader, READ)], release)).toEqual([n]);
    });
    await reader.query(`set dbproxy.read_after = ''`);
    expect(await value(reader, 'select dbproxy.position()')).toMatch(/^\{"\d+": \d+/);
  });

  it('in mode global shows whatever was acknowledged, and changes what it has seen', async () => {
    const first = await connect(0);
    const reader = await connect(1, { options: '-c dbproxy.read_mode=global' });
    for (let round = 0; round < 60; round++) {
      const n = await next(first);
      if (round % 3 === 0) expect(await value(reader, READ)).toBe(n);
      else if (round % 3 === 1) expect(await named(reader)).toBe(n);
      // No conflict: it begins with all that was committed.
      else expect(await next(reader)).toBe(n + 1);
      if (round % 3 === 2) await cluster.atRest();
    }
  }, 120_000);

  it('in mode global waits within a batch of the extended protocol, too', async () => {
    const first = await connect(0);
    const raw = await RawClient.login(cluster.members[1]!.port);
    try {
      await heldBack(async (release) => {
        const n = await next(first);
        const batch = [`set dbproxy.read_mode = 'global'`, 'begin', READ, 'commit'].flatMap((sql) => [
          encode.parse('', sql),
          encode.bind('', '', []),
          encode.execute(),
        ]);
        raw.send(Buffer.concat([...batch, encode.sync()]));
        const [answer] = await showLate([raw.answer()], release);
        expect(answer).toMatchObject({ errors: [], rows: [[String(n)]], status: 'I' });
      });
    } finally {
      raw.close();
    }
  });
});

describe('with too few storage nodes', () => {
  let client: pg.Client;
  const CANNOT = '55000';
  /** Whether its next read is global: only such a one is refused. */
  const isGlobal = async (who: pg.Client): Promise<boolean> => {
    const code = await codeOf(who.query(READ));
    expect([null, CANNOT]).toContain(code);
    return code !== null;
  };

  beforeAll(async () => {
    await restart(300);
    client = await connect(1);
    await client.query(READ);
    for (const node of cluster.store!.nodes.slice(0, 2)) await node.kill();
  }, 60_000);

  it('a global read fails within its bound, and says what would do; one in mode instance goes on', async () => {
    await client.query(`set dbproxy.read_mode = 'global'`);
    const error = (await client.query(READ).catch((thrown: unknown) => thrown)) as Record<string, string>;
    expect(error).toMatchObject({ code: CANNOT, severity: 'ERROR' });
    expect(error['detail']).toBe('1 of the 2 storage nodes that are needed have answered.');
    expect(error['hint']).toContain(`SET dbproxy.read_mode = 'instance'`);
    expect(await codeOf(named(client))).toBe(CANNOT);
    await client.query('begin');
    expect(await codeOf(client.query(READ))).toBe(CANNOT);
    expect(await codeOf(client.query(READ))).toBe('25P02');
    await client.query('rollback');
    await client.query('begin');
    expect(await codeOf(named(client))).toBe(CANNOT);
    expect(await codeOf(client.query(READ))).toBe('25P02');
    expect((await client.query('commit')).command).toBe('ROLLBACK');
    // Nothing is written, either: it fails before it is tried.
    expect(await codeOf(client.query('update t set n = 0'))).toBe(CANNOT);
    expect(await codeOf(client.query('insert into t select $1, 0', [7]))).toBe(CANNOT);
    await client.query(`set dbproxy.read_mode = 'instance'`);
    expect(await isGlobal(client)).toBe(false);
  });

  it('the mode is that of the session, and follows its transactions', async () => {
    const statements: [string, boolean][] = [
      [`set dbproxy.read_mode = global`, true],
      [`reset dbproxy.read_mode`, false],
      [`select set_config('dbproxy.read_mode', 'global', false)`, true],
      [`set dbproxy.read_mode to default`, false],
      [`set session "dbproxy"."read_mode" to 'Global'`, true],
      ['discard all', false],
      [`begin; set dbproxy.read_mode = 'global'; rollback`, false],
      [`begin; set local dbproxy.read_mode = 'global'; commit`, false],
      [`begin; set dbproxy.read_mode = 'global'; commit`, true],
      [`set dbproxy.read_mode = 'session'`, false],
    ];
    for (const [sql, expected] of statements) {
      await client.query(sql);
      expect([sql, await isGlobal(client)]).toEqual([sql, expected]);
    }
    await client.query('begin');
    await client.query(`set local dbproxy.read_mode = 'global'`);
    expect(await isGlobal(client)).toBe(true);
    await client.query('rollback');
    expect(await isGlobal(client)).toBe(false);
    await client.query({ text: `set dbproxy.read_mode = 'global'`, name: 'to global' });
    expect(await isGlobal(client)).toBe(true);
    await client
      .query({ text: 'select set_config($1, $2, false)', values: ['a.b', 'c'] })
      .catch(() => undefined);
    await client.query({ text: 'reset dbproxy.read_mode', name: 'back' });
    expect(await codeOf(named(client))).toBe(null);
  });

  it('it comes with the login: options, role, database', async () => {
    const { engine } = cluster.members[1]!;
    await adminQuery(engine, `create role careful superuser login password 'x'`);
    await adminQuery(engine, `alter role careful set dbproxy.read_mode = 'global'`);
    const careful = { user: 'careful', password: 'x' };
    const options = '-c dbproxy.read_mode=global';
    expect(await isGlobal(await connect(1, { options }))).toBe(true);
    expect(await isGlobal(await connect(1, careful))).toBe(true);
    const begins = await connect(1, careful);
    await begins.query('begin');
    expect(await isGlobal(begins)).toBe(true);
    expect(await codeOf(named(await connect(1, careful)))).toBe(CANNOT);
    await adminQuery(engine, `alter database postgres set dbproxy.read_mode = 'global'`);
    expect(await isGlobal(await connect(1))).toBe(true);
    await adminQuery(engine, 'alter database postgres reset dbproxy.read_mode');
    expect(await isGlobal(await connect(1))).toBe(false);
  });

  it('a value that means nothing is refused, by SET or at the next statement', async () => {
    const refused = await client.query(`set dbproxy.read_mode = 'most'`).catch((thrown: unknown) => thrown);
    expect(refused).toMatchObject({
      code: '22023',
      message: 'invalid value for parameter "dbproxy.read_mode": "most"',
      hint: 'Available values: instance, session, global.',
    });
    expect(await isGlobal(client)).toBe(false);
    for (const sql of [`set dbproxy.read_after = 'w1'`, `set local dbproxy.read_after to '{"17": 1}'`])
      expect(await codeOf(client.query(sql))).toBe('22023');
    expect(await codeOf(client.query({ text: `set dbproxy.read_after = '[]'`, name: 'none' }))).toBe('22023');
    await client.query('begin');
    expect(await codeOf(client.query(`set dbproxy.read_mode = 'most'`))).toBe('22023');
    expect(await codeOf(client.query(READ))).toBe('25P02');
    await client.query('rollback');
    await client.query(`select set_config('dbproxy.read_mode', 'most', false)`);
    expect(await codeOf(client.query(READ))).toBe('22023');
    await client.query('reset dbproxy.read_mode');
    expect(await codeOf((await connect(1, { options: '-c dbproxy.read_after=far' })).query(READ))).toBe(
      '22023',
    );
  });

  it('a position that nobody comes to is waited for as long', async () => {
    await client.query(`set dbproxy.read_after = '{"0": 9007199254740991}'`);
    const error = (await client.query(READ).catch((thrown: unknown) => thrown)) as Record<string, string>;
    expect(error).toMatchObject({ code: CANNOT });
    expect(error['detail']).toMatch(/^It goes of writer w1 up to LSN 9007199254740991, here up to \d+\.$/);
    expect(error['hint']).toContain('RESET dbproxy.read_after');
    await client.query('reset dbproxy.read_after');
    expect(await codeOf(client.query(READ))).toBe(null);
  });
});
