/** Roles with real clients: said to the primary in whatever way, they are on every writer, and can log in there. */
import { readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type pg from 'pg';
import { encode } from '../../../src/protocol/index.js';
import { eventually, value } from '../../support/clients.js';
import { RawClient } from '../../support/raw-client.js';
import { TestCluster } from './cluster.js';

let cluster: TestCluster;
let a: pg.Client;
let b: pg.Client;

beforeAll(async () => {
  cluster = await TestCluster.start();
  a = await cluster.members[0]!.connect();
  b = await cluster.members[1]!.connect();
}, 60_000);

afterAll(async () => {
  await a?.end().catch(() => undefined);
  await b?.end().catch(() => undefined);
  await cluster?.close();
});

const isThere = (name: string): Promise<boolean> =>
  eventually(
    `role ${name} on the other writer`,
    async () => (await value(b, `select count(*)::int from pg_roles where rolname = '${name}'`)) === 1,
  );
const failure = (work: Promise<unknown>): Promise<{ code?: string; hint?: string } | null> =>
  work.then(
    () => null,
    (error: { code?: string; hint?: string }) => error,
  );

describe('roles', () => {
  it('log in on the other writer, with the password that was given here; no log has it', async () => {
    await a.query(`create role app login password 'correct horse'`);
    await isThere('app');
    const app = await cluster.members[1]!.connect({ user: 'app', password: 'correct horse' });
    expect(await value(app, 'select current_user')).toBe('app');
    await app.end();
    await a.query({ text: `alter role app password 'battery staple'`, name: 'new password' });
    await cluster.atRest();
    const again = await cluster.members[1]!.connect({ user: 'app', password: 'battery staple' });
    await again.end();
    for (const { config } of cluster.store!.nodes) {
      // One that is being made has its name for a moment only.
      const files = (await readdir(config.directory)).filter((file) => !/~$|\.new$/.test(file));
      expect(files).toContain('log');
      for (const file of files) {
        const text = await readFile(join(config.directory, file), 'utf8');
        expect(text).not.toMatch(/correct horse|battery staple/);
      }
    }
  });

  it('in a transaction with other statements, in both query protocols', async () => {
    await a.query('create table shared (id int primary key)');
    await a.query('begin');
    await a.query('insert into shared values (1)');
    await a.query('create role in_block');
    await a.query('grant select on shared to in_block');
    await a.query('commit');
    await isThere('in_block');
    expect(await value(b, `select has_table_privilege('in_block', 'shared', 'select')`)).toBe(true);
    const raw = await RawClient.login(cluster.members[0]!.port);
    const batch = ['begin', 'insert into shared values (2)', 'create role in_batch', 'commit'].flatMap(
      (sql) => [encode.parse('', sql), encode.bind('', '', []), encode.execute()],
    );
    raw.send(Buffer.concat([...batch, encode.sync()]));
    expect(await raw.answer()).toMatchObject({ errors: [], status: 'I' });
    raw.close();
    await isThere('in_batch');
    expect(await value(b, 'select count(*)::int from shared')).toBe(2);
    await a.query(`do $$ begin create role in_do; end $$`);
    await isThere('in_do');
    await a.query('create role x1; create role x2');
    await isThere('x2');
  });

  it('settings of a role and of the database count on the other writer at the next login', async () => {
    await a.query(`alter role app set work_mem = '9MB'`);
    await a.query(`alter database postgres set my.flag = 'up'`);
    await a.query('grant create on database postgres to app');
    await cluster.atRest();
    const app = await cluster.members[1]!.connect({ user: 'app', password: 'battery staple' });
    expect(await value(app, `select current_setting('work_mem') || ' ' || current_setting('my.flag')`)).toBe(
      '9MB up',
    );
    expect(await value(app, `select has_database_privilege('postgres', 'create')`)).toBe(true);
    await app.end();
    expect(await failure(a.query('alter database postgres set tablespace pg_default'))).toMatchObject({
      code: '0A000',
    });
    expect(await failure(a.query('alter database postgres rename to other'))).toMatchObject({
      code: '0A000',
    });
  });

  it('what they own goes to others: REASSIGN OWNED, in a transaction, in one query with others, in a batch', async () => {
    const owner = async (client: pg.Client) =>
      value(
        client,
        `select string_agg(tableowner, ' ' order by tablename) from pg_tables where tablename like 'owned_'`,
      );
    const give = async (name: string) => {
      await a.query(`create role ${name}`);
      await a.query(`create table owned${name} (id int primary key)`);
      await a.query(`alter table owned${name} owner to ${name}`);
    };
    for (const name of ['p', 'q', 'r']) await give(name);
    await a.query('begin');
    await a.query('reassign owned by p to app');
    await a.query('insert into ownedp values (1)');
    await a.query('commit');
    await a.query('reassign owned by q to app; drop owned by q; drop role q');
    await a.query({ text: 'reassign owned by r to app', name: 'reassign' });
    await cluster.atRest();
    expect(await owner(a)).toBe('app app app');
    expect(await owner(b)).toBe('app app app');
    const hidden = a.query(`do $$ begin reassign owned by app to p; end $$`);
    expect(await failure(hidden)).toMatchObject({ code: '0A000' });
    await a.query('begin');
    expect(await failure(a.query('reassign owned by nobody to app'))).toMatchObject({ code: '42704' });
    await a.query('rollback');
    await cluster.atRest();
  });

  it('what fails changes nothing anywhere, and the primary is where it is said', async () => {
    await a.query('begin');
    await a.query('create role never');
    expect(await failure(a.query('create role app'))).toMatchObject({ code: '42710' });
    await a.query('commit');
    const elsewhere = await failure(b.query('create role elsewhere'));
    expect(elsewhere).toMatchObject({ code: '0A000' });
    expect(elsewhere?.hint).toContain(`:${cluster.members[0]!.port}/`);
    await a.query('insert into shared values (10)');
    await cluster.atRest();
    for (const client of [a, b]) {
      const found = `select count(*)::int from pg_roles where rolname in ('never', 'elsewhere')`;
      expect(await value(client, found)).toBe(0);
    }
  });

  it('a writer that was away catches up, and what a crash took is there again', async () => {
    await b.end();
    await cluster.members[1]!.kill();
    await a.query('create role missed');
    await a.query('drop role in_do');
    await a.query('alter role x1 rename to renamed');
    await cluster.members[1]!.start();
    await cluster.members[1]!.isOpen();
    b = await cluster.members[1]!.connect();
    await isThere('renamed');
    const found = `select string_agg(rolname, ' ' order by rolname) from pg_roles where rolname in ('missed', 'in_do', 'x1', 'renamed')`;
    expect(await value(b, found)).toBe('missed renamed');
    await a.query('create role before_crash');
    await isThere('before_crash');
    await b.end();
    await cluster.members[1]!.crashEngine();
    b = await eventually('a session', () => cluster.members[1]!.connect().catch(() => null), 30_000);
    await isThere('before_crash');
    // The other one leads now, and says it.
    await cluster.lead(1);
    await b.query('drop role before_crash');
    await cluster.atRest();
    expect(await value(a, `select count(*)::int from pg_roles where rolname = 'before_crash'`)).toBe(0);
  }, 60_000);
});
