/**
 * Random transactions on one writer, which the other one then is to have, too: statements with functions that write while they are at work,
 * triggers of all timings, keys that move and are exchanged, partitions, savepoints, exceptions. DBPROXY_TEST_TRANSACTIONS says how many, and
 * DBPROXY_TEST_SEED which.
 */
import { expect, it } from 'vitest';
import { checksums } from '../../../src/multiwriter/engine/index.js';
import { type TestWriter, useTwoWriters } from './writers.js';

const TRANSACTIONS = Number(process.env.DBPROXY_TEST_TRANSACTIONS ?? 250);
const SEED = Number(process.env.DBPROXY_TEST_SEED ?? 20261130);

const { a, b } = await useTwoWriters();

/** mulberry32 */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const TABLES = ['x', 'y', 'p'] as const;
const SCHEMA = [
  'create table x (k int primary key, u int unique, n int)',
  'create table y (k int, m int not null, n int, primary key (k), unique (m, n))',
  'create unique index y_odd on y (n) where n % 7 = 3',
  'create table p (k int, u int, n int, primary key (k, u)) partition by list (u)',
  ...[0, 1, 2].map((i) => `create table p${i} partition of p for values in (${i}, ${i + 3})`),
  'create table e (k int primary key, during int4range, exclude using gist (during with &&))',
  // What a statement calls while it is at work.
  `create function act(kind int, key int, other int) returns int language plpgsql as $$ begin
     case kind
       when 0 then insert into x values (key, other, key);
       when 1 then delete from x where k = key;
       when 2 then update x set k = other where k = key;
       when 3 then update x set u = other, n = n + 1 where k = key;
       when 4 then insert into y values (key, other, key + other);
       when 5 then delete from y where k = key;
       when 6 then update p set u = other % 6, n = n + 1 where k = key;
       when 7 then insert into p values (key, other % 6, other);
       when 8 then delete from p where k = key;
       else update y set n = coalesce(n, 0) + 1 where m = other;
     end case;
     return key;
   exception when unique_violation then return -1;
   end $$`,
  `create function acts() returns trigger language plpgsql as $$ begin
     perform act(tg_argv[0]::int, coalesce((new).n, 0) % 8, coalesce((new).k, 1) % 8);
     return new;
   end $$`,
  `create trigger before_x before update on x for each row when (new.n % 5 = 1 and pg_trigger_depth() = 0) execute function acts(7)`,
  `create trigger after_y after insert on y for each row when (new.n % 3 = 1 and pg_trigger_depth() = 0) execute function acts(0)`,
  `create constraint trigger late_p after insert or update on p deferrable initially deferred for each row when (new.n % 4 = 1) execute function acts(2)`,
];

function statementOf(random: (below: number) => number): string {
  const [key, other, kind] = [random(8), random(8), random(10)];
  const table = TABLES[random(3)]!;
  const second = table === 'y' ? 'm' : 'u';
  const value = table === 'p' ? random(6) : other;
  const acts =
    random(2) === 0
      ? ` returning act(${kind}, k, ${other})`
      : random(2) === 0
        ? ` returning act(${kind}, ${key}, ${other})`
        : '';
  switch (random(12)) {
    case 0:
    case 1:
      return `insert into ${table} values (${key}, ${value}, ${random(9)}) on conflict do nothing${acts}`;
    case 2:
      return `insert into ${table} select i, ${table === 'p' ? 'i % 6' : 'i'}, act(${kind}, i, ${other}) from generate_series(${key}, ${key + 2}) i on conflict do nothing`;
    case 3:
      return `delete from ${table} where k = ${key}${acts}`;
    case 4:
      return `delete from ${table} where k % 3 = ${key % 3}${acts}`;
    case 5:
      return `update ${table} set k = k + ${other + 1} where k = ${key}${acts}`;
    case 6:
      return `update ${table} set ${second} = ${value} where k = ${key}${acts}`;
    case 7:
      return `update ${table} set n = coalesce(n, 0) + 1 where k % 2 = ${key % 2}${acts}`;
    case 8:
      return `with gone as (delete from ${table} where k = ${key} returning *) insert into ${table} select k + 8, ${second}, n from gone${acts}`;
    case 9:
      return `insert into e values (${key}, int4range(${other}, ${other + 2})) on conflict do nothing`;
    case 10:
      return `update e set during = int4range(${other}, ${other + 1 + random(2)}) where k = ${key}`;
    default:
      return `select act(${kind}, i, ${other}) from generate_series(${key}, ${key + 1}) i`;
  }
}

/** A statement that fails is taken back alone. */
async function run(
  writer: TestWriter,
  random: (below: number) => number,
): Promise<'committed' | 'nothing' | 'failed'> {
  const name = await writer.begin();
  const { client } = writer;
  try {
    for (let n = 1 + random(6); n > 0; n--) {
      const sql = statementOf(random);
      const isTakenBack = random(6) === 0;
      await client.query('savepoint s');
      const failed = await client.query(sql).then(
        () => false,
        () => true,
      );
      if (failed || isTakenBack) await client.query('rollback to s');
      else if (random(8) === 0)
        await client.query('set constraints all immediate').catch(() => client.query('rollback to s'));
      await client.query('release s');
    }
    const writeSet = await writer.close(name);
    if (!writeSet) {
      await client.query('commit');
      return 'nothing';
    }
    const at = await writer.certify();
    expect(await b.apply(at, writeSet.payload)).toBe(true);
    return 'committed';
  } catch (error) {
    await client.query('rollback');
    if (/^(23505|23P01|23514)$/.test((error as { code?: string }).code ?? '')) return 'failed';
    throw error;
  }
}

it(
  `${TRANSACTIONS} of seed ${SEED}`,
  async () => {
    for (const sql of SCHEMA) {
      const written = await a.write(sql);
      await b.apply(written!.at, written!.writeSet.payload);
    }
    const random = randomOf(SEED);
    const outcomes = { committed: 0, nothing: 0, failed: 0 };
    for (let n = 0; n < TRANSACTIONS; n++) {
      outcomes[await run(a, random)]++;
      expect(await checksums(b.watcher), `transaction ${n}`).toEqual(await checksums(a.watcher));
    }
    expect(outcomes.committed).toBeGreaterThan(TRANSACTIONS / 4);
  },
  30_000 + TRANSACTIONS * 100,
);
