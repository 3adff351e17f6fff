/** Entries that are applied in one transaction, and what becomes of them where one of them cannot be: real engines. */
import type pg from 'pg';
import { beforeAll, beforeEach, expect, it } from 'vitest';
import { connectAdmin } from '../../../src/engine/index.js';
import { Applier, ApplyDiverged, type Entry } from '../../../src/multiwriter/engine/index.js';
import { lsn } from '../../../src/multiwriter/protocol/index.js';
import { eventually } from '../../support/clients.js';
import { useTwoWriters } from './writers.js';

const { a, b, areEqual } = await useTwoWriters();
beforeAll(async () => {
  const { at, writeSet } = (await a.write('create table t (id int primary key, v int)'))!;
  await b.apply(at, writeSet.payload);
});

/** Rows 1 to 3 on both. */
beforeEach(async () => {
  await applyAll([await entry('delete from t', 'insert into t values (1, 0), (2, 0), (3, 0)')]);
});

async function entry(...statements: string[]): Promise<Entry> {
  const { at, writeSet } = (await a.write(...statements))!;
  return { lsn: at, payload: writeSet.payload };
}

/** As the writer does. */
async function applyAll(entries: readonly Entry[], onBlocked = () => undefined): Promise<boolean[]> {
  const areNew: boolean[] = [];
  while (areNew.length < entries.length)
    areNew.push(...(await b.applier.apply(entries.slice(areNew.length), onBlocked)));
  return areNew;
}
const values = () => b.rows('select v from public.t order by id').then((rows) => rows.flat());
const pidOf = async (client: pg.Client): Promise<number> =>
  (await client.query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]!.pid;

/** A client of writer 1 that has row 2. */
async function holdsRow2(): Promise<number> {
  await b.client.query('begin; update t set v = -1 where id = 2');
  return pidOf(b.client);
}

it('rows of several entries: one transaction, in their order', async () => {
  const entries = [await entry('update t set v = 1 where id < 3'), await entry('update t set v = v + 1')];
  entries.push(await entry('delete from t where id = 3', 'insert into t values (3, 7)'));
  expect(await b.applier.apply(entries, () => undefined)).toEqual([true, true, true]);
  expect(await b.rows('select distinct xmin from public.t')).toHaveLength(1);
  expect(await values()).toEqual([2, 2, 7]);
  await areEqual();
});

it('rows of several tables, by turns, with whatever a text may hold', async () => {
  const texts = [`NULL`, `"`, `\\`, `\\"`, `{a,"b"}`, `(1,"x")`, ` a, b `, ``, `it's\nso\t`, `ä€😀`];
  const { at, writeSet } = (await a.write('create table texts (id text primary key, more text, v bytea)'))!;
  await b.apply(at, writeSet.payload);
  const literal = (text: string): string => `'${text.replaceAll("'", "''")}'`;
  const entries: Entry[] = [];
  for (const text of texts) {
    entries.push(
      await entry(
        `insert into texts values (${literal(text)}, null, '\\x5c22')`,
        `update t set v = v + 1 where id = 1`,
        `update texts set more = id, v = null where id = ${literal(text)}`,
      ),
    );
  }
  entries.push(await entry(`delete from texts where id in ('NULL', '"', '')`));
  expect(await b.applier.apply(entries, () => undefined)).toEqual(entries.map(() => true));
  expect(await b.rows('select id from public.texts where id = more')).toHaveLength(texts.length - 3);
  expect(await values()).toEqual([texts.length, 0, 0]);
  await areEqual();
});

it('nothing but the rows of others goes together', async () => {
  const entries = [await entry('update t set v = 1 where id = 1'), await entry('truncate t')];
  entries.push(await entry('insert into t values (1, 5)'));
  expect(await b.applier.apply(entries, () => undefined)).toEqual([true]);
  expect(await applyAll(entries)).toEqual([false, true, true]);
  await areEqual();
});

it('one in the middle that does not fit: it is the one that is named, those before it are kept', async () => {
  const [fits, never, after] = [
    await entry('update t set v = 1 where id = 1'),
    await entry('insert into t values (4, 4)'),
    await entry('update t set v = 4 where id = 4'),
  ];
  const last = await entry('update t set v = 9 where id = 3');
  const error = await applyAll([fits, after, last]).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(ApplyDiverged);
  expect(error).toMatchObject({
    lsn: after.lsn,
    message: expect.stringMatching(/public\.t: 0 rows/) as unknown,
  });
  expect(await values()).toEqual([1, 0, 0]);
  expect(await applyAll([fits, never, after, last])).toEqual([false, true, true, true]);
  await areEqual();
});

it('one in the middle that is here already is not applied again', async () => {
  const entries = [await entry('update t set v = v + 1'), await entry('update t set v = v + 10')];
  entries.push(await entry('update t set v = v + 100'));
  await b.apply(entries[1]!.lsn, entries[1]!.payload).catch(() => undefined);
  expect(await applyAll(entries)).toEqual([true, false, true]);
});

it('a client stands in the way of one of them: it is told which, and the others are not held up', async () => {
  const pid = await holdsRow2();
  const entries = [
    await entry('update t set v = 1 where id = 1'),
    await entry('update t set v = 2 where id = 2'),
  ];
  const told: { at: number; pids: number[]; row1: unknown }[] = [];
  const applied: boolean[] = [];
  while (applied.length < entries.length) {
    const left = entries.slice(applied.length);
    applied.push(
      ...(await b.applier.apply(left, (at, blockers) => {
        told.push({ at, pids: blockers.map((one) => one.pid), row1: null });
        // The client goes on to the row of the first one: both would wait for each other.
        if (told.length === 1) void b.client.query('update t set v = -1 where id = 1; rollback');
      })),
    );
  }
  expect(applied).toEqual([true, true]);
  expect(told[0]).toMatchObject({ at: entries[1]!.lsn, pids: [pid] });
  expect(new Set(told.map(({ at }) => at))).toEqual(new Set([entries[1]!.lsn]));
  await areEqual();
});

it('the connection is lost while several are applied: none of them is kept, and each is applied once', async () => {
  await holdsRow2();
  const entries = [
    await entry('update t set v = v + 1 where id = 1'),
    await entry('update t set v = v + 1 where id = 2'),
  ];
  const [applying, watcher] = [await connectAdmin(b.engine), await connectAdmin(b.engine)];
  const applier = await Applier.on(b.id, applying, watcher);
  const pid = await pidOf(applying);
  // The watcher is busy: nobody looks who blocks.
  await b.client.query('select pg_advisory_lock(1)');
  const busy = watcher.query('select pg_advisory_lock(1)');
  const applied = applier.apply(entries, () => undefined).catch((error: unknown) => error);
  await eventually(
    'it to wait in the middle',
    async () =>
      (await b.rows(`select from pg_stat_activity where pid = ${pid} and wait_event_type = 'Lock'`)).length >
      0,
  );
  await b.rows(`select pg_terminate_backend(${pid})`);
  await b.client.query('rollback; select pg_advisory_unlock_all()');
  await busy;
  expect(await applied).not.toBeInstanceOf(ApplyDiverged);
  expect(await applied).toBeInstanceOf(Error);
  expect(await values()).toEqual([0, 0, 0]);
  expect(await applyAll(entries)).toEqual([true, true]);
  expect(await applyAll(entries)).toEqual([false, false]);
  expect(await values()).toEqual([1, 1, 0]);
  await Promise.all([applying.end(), watcher.end()]);
});

it('definitions between entries of one table: dropped, created again, renamed, and another one of its name', async () => {
  await applyAll([
    await entry('create table moving (id int primary key)'),
    await entry('insert into moving values (1)'),
    await entry('drop table moving'),
    await entry('create table moving (id text primary key, w int)'),
    await entry(`insert into moving values ('one', 1)`),
    await entry('alter table moving add x int default 5'),
    await entry(`insert into moving values ('two', 2)`),
    await entry('alter table moving rename to moved'),
    await entry('create table moving (id text primary key, w int, x int)'),
    await entry(`insert into moving values ('one', 3)`),
    await entry(`update moved set w = 4 where id = 'one'`),
  ]);
  expect(await b.rows('select * from public.moving')).toEqual([['one', 3, null]]);
  await areEqual();
});

it('definitions of its own clients, too, of which the applier hears nothing', async () => {
  await applyAll([await entry('create table here (id int primary key, v int)')]);
  await applyAll([await entry('insert into here values (1, 1)')]);
  for (const sql of ['alter table here rename to there', 'create table here (id int primary key, v int)']) {
    const { at, writeSet } = (await b.write(sql))!;
    expect(await a.apply(at, writeSet.payload)).toBe(true);
  }
  await applyAll([await entry('insert into here values (2, 2)')]);
  expect(await b.rows('select * from public.there')).toEqual([[1, 1]]);
  expect(await b.rows('select * from public.here order by id')).toEqual([[2, 2]]);
  const { at, writeSet } = (await b.write('drop table here'))!;
  expect(await a.apply(at, writeSet.payload)).toBe(true);
  await applyAll([
    await entry('create table here (id text primary key)'),
    await entry(`insert into here values ('x')`),
  ]);
  await areEqual();
});

it('own ones are applied alone: numbers in them move sequences', async () => {
  await applyAll([await entry('create table numbered (id serial primary key, v int)')]);
  const begun = await b.begin();
  await b.client.query('insert into numbered (v) values (1)');
  const { payload } = (await b.close(begun))!;
  const [[number]] = (await b.rows('select last_value from public.numbered_id_seq')) as [[string]];
  await b.client.query('rollback');
  await b.rows(`select dbproxy.setval('public.numbered_id_seq', ${number}, false)`);
  await b.apply(lsn((50 * 16 + 1) * 1_024), payload);
  expect(await b.rows('select last_value, is_called from public.numbered_id_seq')).toEqual([[number, true]]);
});
