/** Sequences of writers: a session that is moved takes along what it knew of them. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { replay } from '../../../src/session-state/index.js';
import { TestEngines } from '../../support/engines.js';
import { Backend } from '../../session-state/support.js';
import { TestWriter } from './writers.js';

let engines: TestEngines;
let a: TestWriter;
let b: TestWriter;

beforeAll(async () => {
  engines = await TestEngines.open();
  const [one, two] = await Promise.all([engines.primary(), engines.primary()]);
  [a, b] = [await TestWriter.open(one, 0), await TestWriter.open(two, 1)];
});
afterAll(async () => {
  await a?.end();
  await b?.end();
  await engines?.close();
});

async function onBoth(...statements: string[]) {
  const { at, writeSet } = (await a.write(...statements))!;
  expect(await b.apply(at, writeSet.payload)).toBe(true);
}

describe('what a session knows of sequences, on another backend of a writer', () => {
  const where = (writer: TestWriter) =>
    writer.rows(`select last_value, is_called, (select relfilenode from pg_class where relname = 'own_id_seq'),
      (select count(*) from dbproxy.captured) from app.own_id_seq`);

  it.each([0, 1])('is there, to the number, for a role without rights; writer %i', async (id) => {
    const writer = [a, b][id]!;
    if (id === 0) {
      await onBoth('create role app login', 'create schema app authorization app');
      await onBoth(
        'set local role app',
        'create table app.own (id serial primary key)',
        'create sequence app.set',
      );
    }
    const session = await Backend.open(writer.engine, { user: 'app' });
    await session.run(`select nextval('app.own_id_seq'), nextval('app.own_id_seq')`);
    const wanted = await session.look();
    const before = await where(writer);
    const target = await Backend.open(writer.engine, { user: 'app' });
    const base = await target.look();
    await replay(target.connection, wanted, base, base, true);
    expect(await target.rows(`select currval('app.own_id_seq'), lastval()`)).toEqual(
      await session.rows(`select currval('app.own_id_seq'), lastval()`),
    );
    expect(await where(writer)).toEqual(before);
    // A value that no number of this writer is; and one whose session has only set it.
    const odd = { value: '1234', owner: null, temporary: false };
    const values = new Map([['app.set', odd]]);
    await replay(
      target.connection,
      { ...base, sequences: { values, last: null, obstacle: null } },
      base,
      base,
      true,
    );
    expect(await target.rows(`select currval('app.set')`)).toEqual([['1234']]);
    session.close();
    target.close();
  });

  it('a client who says what we say cannot commit what it does, nor set a sequence past its numbers', async () => {
    await onBoth(
      'create sequence mine',
      'create sequence other',
      'create table witness (id int primary key)',
    );
    const ours = '/* dbproxy: to be rolled back */';
    const sequence = (name: string) =>
      a.rows(
        `select s.last_value, is_called, increment_by from public.${name} s, pg_sequences where sequencename = '${name}'`,
      );
    const before = [await sequence('mine'), await sequence('other')];
    const change = `${ours} alter sequence mine increment 1 restart 7; select nextval('mine')`;
    await expect(a.write(change, 'insert into witness values (1)')).rejects.toMatchObject({ code: '25000' });
    await expect(a.write('insert into witness values (2)', change)).rejects.toMatchObject({ code: '25000' });
    await expect(a.client.query(change)).rejects.toMatchObject({ code: '25000' });
    await expect(a.client.query(`${ours} alter sequence mine increment 1 restart 7`)).rejects.toMatchObject({
      code: '25000',
    });
    await expect(a.client.query(`set constraints all immediate; ${change}`)).rejects.toMatchObject({
      code: '0A000',
    });
    // Whatever else is defined there is as before.
    await expect(a.write(`${ours} create table t (id int primary key); select 1`)).rejects.toMatchObject({
      code: '0A000',
    });
    await expect(a.write(`${ours} alter sequence mine owned by none; select 1`)).rejects.toMatchObject({
      code: '0A000',
    });
    expect([await sequence('mine'), await sequence('other')]).toEqual(before);
    // Not even where it is rolled back: the other sequence is set to a number of this writer.
    await a.client.query('begin');
    await a.client.query(change);
    await a.client.query(`select setval('other', 100)`);
    await a.client.query('rollback');
    expect(await sequence('other')).toEqual([['97', true, '16']]);
    // A savepoint takes back the change, and what allowed for it.
    const kept = await a.write('savepoint s', change, 'rollback to s', `select setval('mine', 200)`);
    expect(kept?.writeSet.changes).toMatchObject([{ kind: 'setval' }]);
    expect(await sequence('mine')).toEqual([['193', true, '16']]);
    expect(await a.rows('select * from public.witness')).toEqual([]);
  });
});
