/** Definitions of one writer come one after the other. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { Turns } from '../../../src/multiwriter/writer/turns.js';
import { TestCluster } from './cluster.js';

interface Named {
  readonly name: string;
  isQuiet: boolean;
}

const PATIENT = { limitMs: 60_000, quietMs: 60_000 };

describe('turns', () => {
  it('come in the order in which they were asked for, one at a time', async () => {
    const turns = new Turns<{ name: string; isQuiet: boolean }>();
    const [a, b, c] = ['a', 'b', 'c'].map((name) => ({ name, isQuiet: false })) as [Named, Named, Named];
    const taken: string[] = [];
    const take = (who: Named): Promise<void> =>
      turns.take(who, PATIENT).then(() => void taken.push(who.name));
    await take(a);
    await take(a);
    const [second, third] = [take(b), take(c)];
    turns.pass(b);
    turns.pass(a);
    await second;
    expect(taken).toEqual(['a', 'a', 'b']);
    turns.pass(b);
    await third;
    expect(taken).toEqual(['a', 'a', 'b', 'c']);
  });

  it('who has waited long enough goes on without, and holds nobody up', async () => {
    const turns = new Turns<Named>();
    const [slow, impatient, next] = ['slow', 'impatient', 'next'].map((name) => ({
      name,
      isQuiet: false,
    })) as [Named, Named, Named];
    await turns.take(slow, PATIENT);
    await turns.take(impatient, { ...PATIENT, limitMs: 1 });
    turns.pass(impatient);
    const waits = turns.take(next, PATIENT);
    turns.pass(slow);
    await waits;
  });

  it('who waits for one whose client says nothing goes on sooner, and not while that is at work', async () => {
    const turns = new Turns<Named>();
    const [holder, other] = [
      { name: 'holder', isQuiet: false },
      { name: 'other', isQuiet: true },
    ];
    await turns.take(holder, PATIENT);
    let startedAt = performance.now();
    await turns.take(other, { limitMs: 300, quietMs: 100 });
    expect(performance.now() - startedAt).toBeGreaterThan(295);
    holder.isQuiet = true;
    await turns.take(other, { ...PATIENT, quietMs: 100 });
    turns.pass(other);
    // It has its turn all the same, and works again.
    startedAt = performance.now();
    await turns.take(holder, PATIENT);
    await turns.take(other, { ...PATIENT, quietMs: 100 });
    expect(performance.now() - startedAt).toBeGreaterThan(95);
  });
});

describe('of a writer', () => {
  let cluster: TestCluster;
  let clients: pg.Client[] = [];

  beforeAll(async () => {
    cluster = await TestCluster.start();
    clients = await Promise.all(Array.from({ length: 5 }, () => cluster.members[0]!.connect()));
  }, 90_000);
  afterAll(async () => {
    await Promise.all(clients.map((client) => client.end()));
    await cluster?.close();
  });

  it('sessions that define what is theirs at the same time are not refused', async () => {
    const define = async (client: pg.Client, schema: string): Promise<void> => {
      await client.query(`create schema ${schema}`);
      await client.query(`create table ${schema}.a (id int primary key)`);
      await client.query(`create table ${schema}.b (id int primary key, a int references ${schema}.a)`);
      await client.query('begin');
      await client.query(`create index on ${schema}.b (a)`);
      await client.query(`alter table ${schema}.a add v int`);
      await client.query('commit');
      await client.query(`create table ${schema}.c (id int primary key); drop table ${schema}.c`);
      await client.query({ text: `alter table ${schema}.a drop v`, values: [] });
      await client.query(`drop schema ${schema} cascade`);
    };
    await Promise.all(clients.map((client, i) => define(client, `s${i}`)));
    await cluster.atRest();
  });

  it('one that fails, that its client leaves or that is refused passes its turn on', async () => {
    const [first, second] = clients as [pg.Client, pg.Client];
    await expect(first.query('create table nowhere.a (id int)')).rejects.toMatchObject({ code: '3F000' });
    await expect(first.query('select 1; create table nowhere.a (id int)')).rejects.toMatchObject({
      code: '3F000',
    });
    await expect(first.query({ text: 'create tabel a', values: [] })).rejects.toMatchObject({
      code: '42601',
    });
    await first.query(`select set_config('dbproxy.read_after', 'nonsense', false)`);
    await expect(first.query('create table never (id int)')).rejects.toMatchObject({ code: '22023' });
    await first.query('reset dbproxy.read_after');
    const leaving = await cluster.members[0]!.connect();
    await leaving.query('begin; create table left_behind (id int)');
    await leaving.end();
    const startedAt = performance.now();
    await second.query('create table passed (id int primary key)');
    await first.query('drop table passed');
    // A turn that is not passed on is waited for, for five seconds.
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  it('an open block whose client says nothing holds the definitions of others up for a moment only', async () => {
    const [idle, other] = clients as [pg.Client, pg.Client];
    // From when it was seen at work: that may have been before its statement was answered.
    const begunAt = performance.now();
    await idle.query('begin; create table of_idle (id int primary key)');
    const startedAt = performance.now();
    await other.query('create table of_other (id int primary key)');
    const now = performance.now();
    expect(now - begunAt).toBeGreaterThan(995);
    // One that is at work is waited for, for five seconds.
    expect(now - startedAt).toBeLessThan(5_000);
    await expect(idle.query('commit')).rejects.toMatchObject({ code: '40001' });
  });
});
