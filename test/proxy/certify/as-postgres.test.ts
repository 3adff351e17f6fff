/** The same messages straight to an engine, and to one of several writers: the same answers, in the same order. */
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { encode, Frontend } from '../../../src/protocol/index.js';
import { socketOf } from '../../support/clients.js';
import { RawClient } from '../../support/raw-client.js';
import { TestCluster } from '../../multiwriter/writer/cluster.js';

let cluster: TestCluster;
/** Its own engine, which knows nothing of writers. */
let plainSocket: string;
let plain: RawClient;
let writer: RawClient;

const TABLE = 'create table t (id int primary key, v int)';

beforeAll(async () => {
  cluster = await TestCluster.start();
  const { directory, port } = socketOf(await cluster.engines.primary());
  plainSocket = join(directory, `.s.PGSQL.${port}`);
  await connect();
  for (const raw of [plain, writer]) await raw.query(TABLE);
  await cluster.atRest();
}, 90_000);
afterAll(() => cluster?.close());

const connect = async (): Promise<void> => {
  plain = await RawClient.login({ path: plainSocket });
  writer = await RawClient.login(cluster.members[0]!.port);
};
beforeEach(async () => {
  plain.close();
  writer.close();
  await connect();
});
afterEach(async () => {
  for (const raw of [plain, writer]) {
    await raw.query('rollback');
    await raw.query('delete from t');
  }
});

const message = (type: number, ...parts: Buffer[]): Buffer => {
  const head = Buffer.alloc(5);
  head[0] = type;
  head.writeInt32BE(
    parts.reduce((sum, { length }) => sum + length, 4),
    1,
  );
  return Buffer.concat([head, ...parts]);
};
const describeStatement = (name: string): Buffer => message(Frontend.Describe, Buffer.from(`S${name}\0`));
/** Of pg_backend_pid(), without arguments. */
const functionCall = (): Buffer => {
  const body = Buffer.alloc(10);
  body.writeInt32BE(2026, 0);
  return message(Frontend.FunctionCall, body);
};
const run = (name = ''): Buffer[] => [encode.bind('', name, []), encode.execute()];
const prepareAndRun = (sql: string, name = ''): Buffer[] => [encode.parse(name, sql), ...run(name)];

const ask = async (raw: RawClient, messages: readonly Buffer[]) => {
  raw.send(...messages);
  const { types, rows, tags, errors, status } = await raw.answer();
  return { types, rows, tags, errors, status };
};
/** What the engine answers, and the writer, too. */
const same = async (...messages: Buffer[]): Promise<Awaited<ReturnType<typeof ask>>> => {
  const expected = await ask(plain, messages);
  expect(await ask(writer, messages)).toEqual(expected);
  return expected;
};
const nothingMoreOf = (raw: RawClient): Promise<unknown> => expect(raw.next(100)).rejects.toThrow('waited');

describe('a Parse that is refused', () => {
  const REFUSED = `prepare transaction 'x'`;

  it.each([
    ['a read', prepareAndRun('select 1')],
    ['a write', prepareAndRun('insert into t values (1, 1)')],
    ['a Parse of a write', [encode.parse('', 'insert into t values (1, 1)')]],
  ])('is answered behind %s that came before it, as one that fails', async (_what, before) => {
    const expected = await ask(plain, [...before, encode.parse('x', 'selekt'), encode.sync()]);
    const seen = await ask(writer, [...before, encode.parse('x', REFUSED), encode.sync()]);
    expect(seen).toEqual({ ...expected, errors: ['0A000'] });
    await same(encode.query('select * from t'));
  });

  it('behind what has failed is skipped, and leaves what was prepared before it', async () => {
    await same(encode.parse('i', 'insert into t values (1, 1)'), encode.sync());
    await same(...prepareAndRun('select 1 / 0'), encode.parse('x', REFUSED), encode.sync());
    await same(...run('i'), encode.sync());
    await same(encode.query('select * from t'));
  });
});

describe('a batch that fails, and goes on without its Sync', () => {
  const FAILING = prepareAndRun('select 1 / 0');

  it.each([
    ['a Query', encode.query('select 2')],
    ['a FunctionCall', functionCall()],
  ])('%s is skipped', async (_what, skipped) => {
    await same(...FAILING, skipped, encode.sync());
    await same(encode.query('select 3'));
    await same(encode.query('begin'));
    await same(encode.query('insert into t values (1, 1)'));
    await same(...FAILING, skipped, skipped, encode.sync());
    await same(encode.query('rollback'));
    await same(encode.query('select * from t'));
  });

  it('a Query is skipped that comes once the error was read', async () => {
    for (const raw of [plain, writer]) {
      raw.send(...FAILING, encode.flush());
      expect(await raw.answer('E')).toMatchObject({ errors: ['22012'] });
      raw.send(encode.query('select 2'));
      await nothingMoreOf(raw);
    }
    expect(await same(encode.sync())).toMatchObject({ types: 'Z' });
    await same(encode.query('select 3'));
  });
});

describe('the unnamed statement', () => {
  it('outlives the questions that a read mode makes needed', async () => {
    await same(encode.parse('', 'select 5'), encode.sync());
    const batch = [
      ...prepareAndRun('begin read only', 'b'),
      ...prepareAndRun(`set local dbproxy.read_mode = 'global'`, 's'),
      ...run(),
      encode.sync(),
    ];
    expect(await same(...batch)).toMatchObject({ rows: [['5']], errors: [] });
  });

  it('outlives a FunctionCall whose read is refused', async () => {
    await same(encode.parse('', 'select 5'), encode.sync());
    // In quotes that nobody looks into: it is not refused at once.
    await same(...prepareAndRun('set dbproxy.read_mode = $$none$$', 's'), encode.sync());
    expect(await ask(plain, [functionCall()])).toMatchObject({ types: 'VZ' });
    expect(await ask(writer, [functionCall()])).toMatchObject({ errors: ['22023'], status: 'I' });
    expect(await same(describeStatement(''), encode.sync())).toMatchObject({ types: 'tTZ' });
  });

  it('is the one before, where a Parse has failed or was skipped', async () => {
    await same(encode.parse('', 'insert into t values (1, 1)'), encode.sync());
    await same(...prepareAndRun('select 1 / 0', 'x'), encode.parse('', 'select 5'), encode.sync());
    expect(await same(...run(), encode.sync())).toMatchObject({ tags: ['INSERT 0 1'] });
  });
});

describe('prepared statements', () => {
  it('are known for as long as they live, however many there are', async () => {
    await same(
      ...[encode.parse('b', 'begin'), encode.parse('i', 'insert into t values (1, 1)')],
      ...[encode.parse('c', 'commit'), encode.sync()],
    );
    for (let i = 0; i < 10_500; i += 500) {
      const many = Array.from({ length: 500 }, (_, k) => encode.parse(`n${i + k}`, 'select 1'));
      await same(...many, encode.sync());
    }
    expect(await same(...run('b'), encode.sync())).toMatchObject({ status: 'T' });
    expect(await same(...run('i'), encode.sync())).toMatchObject({ status: 'T' });
    expect(await same(...run('c'), encode.sync())).toMatchObject({ tags: ['COMMIT'], status: 'I' });
    await same(encode.query('select * from t'));
    expect(await same(...run('b'), encode.sync())).toMatchObject({ status: 'T' });
    await same(encode.query('rollback'));
  }, 60_000);

  it('are what they were, where a Parse of the same name has failed', async () => {
    await same(encode.parse('i', 'insert into t values (1, 1)'), encode.sync());
    expect(await same(encode.parse('i', 'select 1'), encode.sync())).toMatchObject({ errors: ['42P05'] });
    expect(await same(...run('i'), encode.sync())).toMatchObject({ tags: ['INSERT 0 1'] });
  });

  it.each([
    ['Close', [encode.closeStatement('s')]],
    ['DEALLOCATE', [encode.query('deallocate s')]],
    ['DEALLOCATE PREPARE', prepareAndRun('deallocate prepare S', 'd')],
    ['DEALLOCATE ALL', [encode.query('deallocate all')]],
    ['DISCARD ALL', [encode.query('discard all')]],
  ])('are others after %s', async (_what, end) => {
    const sync = end[0]![0] === Frontend.Query ? [] : [encode.sync()];
    await same(encode.parse('s', 'select 1'), encode.sync());
    await same(...end, ...sync);
    expect(await same(...run('s'), encode.sync())).toMatchObject({ errors: ['26000'] });
    await same(encode.query('prepare s as insert into t values (1, 1)'));
    expect(await same(...run('s'), encode.sync())).toMatchObject({ tags: ['INSERT 0 1'] });
  });
});

describe('a session in which something has written that seemed to read', () => {
  const MAINTENANCE = [
    ...['vacuum t', 'vacuum (analyze) t', 'analyze t', 'checkpoint', 'cluster', 'reindex table t'],
    ...['reindex table concurrently t', 'reindex (concurrently) table t', 'alter system reset work_mem'],
  ];
  /** Writes by a function that its text does not name. */
  const HIDES = 'select * from hides';

  beforeAll(async () => {
    const sqls = [
      `create function writes() returns int language plpgsql as $$ begin insert into t values (7, 7); return 7; end $$`,
      'create view hides as select writes()',
    ];
    for (const raw of [plain, writer]) for (const sql of sqls) await raw.query(sql);
    await cluster.atRest();
  });
  const becomesWary = async (): Promise<void> => {
    expect(await writer.query(HIDES)).toMatchObject({ errors: ['40001'], status: 'I' });
  };

  it('maintains its engine as any other, and certifies the rest', async () => {
    await becomesWary();
    for (const sql of MAINTENANCE) {
      expect(await same(encode.query(sql))).toMatchObject({ errors: [] });
      expect(await same(...prepareAndRun(sql), encode.sync())).toMatchObject({ errors: [] });
    }
    expect(await same(encode.query(HIDES))).toMatchObject({ rows: [['7']], errors: [] });
    await same(encode.query('select * from t'));
  });

  it('certifies it in a block, too, also what was prepared before', async () => {
    await same(encode.parse('h', HIDES), encode.sync());
    await becomesWary();
    for (const read of [[encode.query(HIDES)], [...run('h'), encode.sync()]]) {
      await same(encode.query('begin'));
      await same(...read);
      expect(await same(encode.query('commit'))).toMatchObject({ tags: ['COMMIT'], errors: [] });
      await same(encode.query('delete from t'));
    }
  });

  it('is as new after DISCARD ALL', async () => {
    await becomesWary();
    expect(await same(encode.query('discard all'))).toMatchObject({ errors: [] });
    await becomesWary();
    expect(await same(encode.query(HIDES))).toMatchObject({ rows: [['7']], errors: [] });
  });
});
