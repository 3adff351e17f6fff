/** What becomes of roles on one writer becomes of them on the other: two real engines, one transaction after the other. */
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Applier, ApplyDiverged, reassigned } from '../../../src/multiwriter/engine/index.js';
import { connectAdmin } from '../../../src/engine/index.js';
import { eventually } from '../../support/clients.js';
import { killBackend } from '../../support/engines.js';
import { askAll } from '../../support/requests.js';
import { TestWriter, useTwoWriters, writeOnBoth } from './writers.js';

const { engines, a, b } = await useTwoWriters();

/** A transaction of writer 0, which writer 1 then has, too. */
async function onBoth(...statements: string[]) {
  return (await writeOnBoth(a, b, ...statements))?.writeSet ?? null;
}

/** By name, and without what is an engine's own: the roles of this test, who is in them, what is set for them. */
const ROLES = `
  select rolname, to_jsonb(a) - '{oid,rolname}'::text[] as attributes, shobj_description(oid, 'pg_authid') as comment,
         (select jsonb_agg(jsonb_build_array(pg_get_userbyid(member), pg_get_userbyid(grantor), admin_option, inherit_option, set_option)
                 order by pg_get_userbyid(member), pg_get_userbyid(grantor)) from pg_auth_members where roleid = a.oid) as members,
         (select jsonb_agg(jsonb_build_array(setdatabase <> 0, setconfig) order by setdatabase) from pg_db_role_setting where setrole = a.oid) as settings
    from pg_authid a where rolname <> 'postgres' order by rolname`;
const OF_ALL = `
  select (select jsonb_agg(setconfig order by setdatabase) from pg_db_role_setting where setrole = 0),
         (select array_agg(acl::text order by acl::text) from pg_database, unnest(datacl) acl where datname = 'postgres')`;
const areEqual = async () => {
  expect(await b.rows(ROLES)).toEqual(await a.rows(ROLES));
  expect(await b.rows(OF_ALL)).toEqual(await a.rows(OF_ALL));
};
const names = async (writer: TestWriter) =>
  (
    await writer.rows(`select rolname from pg_roles where rolname !~ '^(pg_|postgres$|dbproxy_)' order by 1`)
  ).flat();

beforeEach(() => a.client.query('reset role'));

describe('roles', () => {
  it('come, change and go', async () => {
    const made = await onBoth(
      `create role app login password 'open sesame' connection limit 7 valid until '2031-05-06 07:08+09'`,
      'create user someone in role app',
      'create group many with role app, someone nosuperuser createdb',
      `comment on role app is 'it''s "the" app'`,
    );
    expect(made!.keys).toEqual([{ key: 'schema', mode: 'exclusive' }]);
    expect(made!.changes).toMatchObject([{ kind: 'roles', gone: [] }]);
    expect(made!.payload).not.toContain('open sesame');
    expect(made!.payload).toContain('SCRAM-SHA-256$');
    await areEqual();
    await onBoth('alter role app createrole bypassrls password null');
    await onBoth('comment on role app is null');
    await areEqual();
    await onBoth('drop role someone', 'drop group many');
    await areEqual();
    expect(await names(b)).toEqual(['app']);
  });

  it('may be said in one query with others, in a DO block and by a function', async () => {
    await onBoth('create role one; create role two');
    await onBoth(`do $$ begin execute 'create role three'; create role four; end $$`);
    await onBoth(
      `create function make(name) returns void language plpgsql as $$ begin execute format('create role %I', $1); end $$`,
    );
    await onBoth(`select make('five "5"; drop role one')`);
    await areEqual();
    expect(await names(b)).toEqual(['app', 'five "5"; drop role one', 'four', 'one', 'three', 'two']);
    await onBoth('drop role one, two, three, four, "five ""5""; drop role one"');
    await areEqual();
  });

  it('what failed, or was rolled back, changes nothing', async () => {
    expect(
      await onBoth(
        'savepoint s',
        'create role never',
        'rollback to s',
        'alter role app nologin; alter role app login',
      ),
    ).toBe(null);
    await expect(onBoth('create role never', 'create role app')).rejects.toMatchObject({ code: '42710' });
    expect(await names(a)).toEqual(['app']);
    expect(await onBoth('select 1')).toBe(null);
    await areEqual();
  });

  it('members, with those who granted it, and what depends on that', async () => {
    await onBoth('create role club', 'create role m1', 'create role m2', 'create role m3');
    await onBoth('grant club to m1 with admin option', 'grant pg_read_all_data to m2');
    await onBoth('set local role m1', 'grant club to m2 with admin option, inherit false', 'reset role');
    await onBoth('set local role m2', 'grant club to m3 with set false');
    await areEqual();
    await onBoth('alter role m2 rename to m2b');
    await areEqual();
    await onBoth('revoke admin option for club from m1 cascade');
    await areEqual();
    await onBoth('revoke pg_read_all_data from m2b', 'drop role club', 'drop role m1');
    await areEqual();
  });

  it('names that are exchanged, and taken again by another', async () => {
    await onBoth('alter role m2b rename to x', 'alter role m3 rename to m2b', 'alter role x rename to m3');
    await areEqual();
    await onBoth('drop role m3', 'create role m3 login', 'grant m3 to m2b');
    await areEqual();
    await onBoth('drop role m2b', 'alter role m3 rename to m2b');
    await areEqual();
    await onBoth('drop role m2b');
  });

  it('a name that others get while they are applied is for nobody: where it is taken, that writer would stop', async () => {
    await onBoth('create role leaving', 'create role other_one');
    const [[md5]] = (await a.rows(`select md5('leaving')`)) as [[string]];
    for (const sql of [
      `create role dbproxy_gone_${md5}`,
      `create role dbproxy_was_${md5}`,
      `alter role other_one rename to dbproxy_gone_${md5}`,
    ])
      await expect(onBoth(sql), sql).rejects.toMatchObject({ code: '42939' });
    await onBoth('drop role leaving', 'drop role other_one');
  });

  it('settings: of a role, of a role here, of all, of the database', async () => {
    await onBoth(
      `alter role app set search_path to "A b", public, '"', 'x; drop role app'`,
      `alter role app set dbproxy.priority = 5`,
      `alter role app in database postgres set work_mem = '7MB'`,
      `alter role all set statement_timeout = '1h'`,
      `alter database postgres set "my.own" = 'it''s'`,
      `select set_config('search_path', '"; create role evil superuser; --"', true)`,
      'alter role app in database postgres set search_path from current',
    );
    await areEqual();
    await onBoth('alter role app reset search_path', 'alter role all reset all');
    await areEqual();
    await onBoth('alter database postgres reset all', 'alter role app in database postgres reset all');
    await areEqual();
    expect(await names(b)).toEqual(['app']);
  });

  it('are there for the definitions of their transaction, and for those that come later', async () => {
    await onBoth(
      'create role builder',
      'grant create on database postgres to builder with grant option',
      'create table before (id int primary key)',
      'alter table before owner to builder',
    );
    await onBoth(
      'set local role builder',
      'create schema built',
      'create table built.t (id int primary key)',
    );
    await onBoth(
      'create role passing',
      'alter table before owner to passing',
      'drop table before',
      'drop role passing',
    );
    await areEqual();
    expect(
      await b.rows(`select pg_get_userbyid(nspowner) from pg_namespace where nspname = 'built'`),
    ).toEqual([['builder']]);
    await onBoth('revoke all on database postgres from builder', 'create role heir');
    await areEqual();
    await onBoth('reassign owned by builder to heir');
    await onBoth('grant select on built.t to builder');
    const owners = `select pg_get_userbyid(relowner), relacl::text from pg_class where relname = 't' and relkind = 'r'`;
    expect(await b.rows(owners)).toEqual(await a.rows(owners));
    expect((await b.rows(owners)).flat()[0]).toBe('heir');
    await onBoth('set local role heir', `insert into built.t values (1)`);
    expect(await b.rows('select id from built.t')).toEqual([[1]]);
    await expect(onBoth('do $$ begin drop owned by builder; end $$')).rejects.toMatchObject({
      code: '0A000',
    });
    await onBoth('drop owned by builder', 'drop role builder');
    await onBoth('drop owned by heir', 'drop role heir');
    await areEqual();
    expect(await b.rows(`select from pg_namespace where nspname = 'built'`)).toEqual([]);
  });

  it('one that is there already is made what the log says', async () => {
    await b.client.query(`create role twice superuser login password 'other'`);
    await b.client.query('create role stray; grant twice to stray');
    await onBoth(`create role twice password 'this one'`);
    const state = `select rolsuper, rolcanlogin, rolpassword from pg_authid where rolname = 'twice'`;
    expect(await b.rows(state)).toEqual(await a.rows(state));
    expect(await b.rows(`select from pg_auth_members where roleid = 'twice'::regrole`)).toEqual([]);
    await b.client.query('drop role twice');
    // One that is gone already is gone.
    await onBoth('drop role twice');
    await b.client.query('drop role stray');
    await areEqual();
  });

  it('one that has large objects elsewhere, which are that engine’s own, is dropped all the same', async () => {
    await onBoth('create role keeper');
    await b.client.query('select lo_create(11), lo_create(12)');
    await b.client.query(
      'begin; alter large object 11 owner to keeper; grant all on large object 12 to keeper',
    );
    await b.close();
    await b.client.query('commit');
    await onBoth('drop role keeper');
    expect(await b.rows(`select oid from pg_largeobject_metadata where oid in (11, 12)`)).toHaveLength(2);
    await areEqual();
  });

  it('one with temporary tables in a session elsewhere is dropped all the same; with a database there, it diverges', async () => {
    await onBoth('create role brief');
    const session = await connectAdmin(b.engine);
    session.on('error', () => undefined);
    await session.query('set session authorization brief; create temp table own (id int)');
    await onBoth('drop role brief');
    await areEqual();
    await expect(session.query('select 1')).rejects.toThrow();
    await onBoth('create role lord');
    await b.client.query('create database elsewhere owner lord');
    await expect(onBoth('drop role lord')).rejects.toBeInstanceOf(ApplyDiverged);
  }, 30_000);
});

it('one whose temporary tables are left of a crash is dropped all the same', async () => {
  const engine = await engines.primary();
  await (await TestWriter.open(engine, 1)).end();
  const [session, other] = [await connectAdmin(engine), await connectAdmin(engine)];
  for (const client of [session, other]) client.on('error', () => undefined);
  await session.query('create role ghost; set role ghost; create temp table own (id serial)');
  const { rows } = await session.query<{ pid: number }>('select pg_backend_pid() as pid');
  // Before the others are ended, the server has not noticed.
  const noticed = new Promise((resolve) => other.once('end', resolve));
  await killBackend(engine, rows[0]!.pid);
  await noticed;
  const after = await eventually('the engine to be up again', async () => {
    const admin = await connectAdmin(engine).catch(() => null);
    const free = await admin?.query('select 1').catch(() => null);
    return free ? admin : null;
  });
  const left = `select from pg_class where relname = 'own' and relowner = 'ghost'::regrole`;
  expect((await after.query(left)).rowCount).toBe(1);
  await Applier.on(b.id, after, b.watcher);
  await after.query(`select dbproxy.drop_role('ghost')`);
  expect((await after.query(`select from pg_roles where rolname = 'ghost'`)).rowCount).toBe(0);
  await after.end();
}, 30_000);

describe('a client becomes nobody else', () => {
  beforeAll(async () => {
    await onBoth('create role plain');
  });

  const failure = async (work: Promise<unknown>): Promise<unknown> =>
    work.then(
      () => null,
      ({ code }: { code?: string }) => code,
    );

  it('by telling of a REASSIGN OWNED itself', async () => {
    const forged = Buffer.from('alter role plain superuser');
    await a.client.query('set role plain');
    const mine = reassigned({ ...a.calls, proof: 'guess' }, forged);
    expect(await failure(askAll(a.client, mine))).toBe('42501');
    const hex = forged.toString('hex');
    for (const sql of [
      `select dbproxy.reassigned('guess', '${hex}')`,
      `select dbproxy.reassigned(null, '${hex}')`,
      `select dbproxy.after_reassign('guess', 'postgres', 'public', '${hex}')`,
      `select dbproxy.after_reassign(null, 'postgres', 'public', '${hex}')`,
    ])
      expect([sql, await failure(a.client.query(sql))]).toEqual([sql, '42501']);
    await a.client.query('reset role');
  });

  it('by the session of the other writer that carries its definitions out', async () => {
    await onBoth('create schema of_plain authorization plain');
    await onBoth(
      'set local role plain',
      `create function of_plain.grasp() returns int language plpgsql as $$
         begin
           if session_user <> 'dbproxy_apply' then return 1; end if;
           perform set_config('role', 'none', true);
           execute 'alter role plain superuser';
           return 2;
         exception when others then return 3;
         end $$`,
    );
    await onBoth(
      'set local role plain',
      'create table of_plain.made (id int primary key)',
      'insert into of_plain.made values (1)',
    );
    await onBoth('set local role plain', 'alter table of_plain.made add n int default of_plain.grasp()');
    expect(await b.rows(`select rolsuper from pg_roles where rolname = 'plain'`)).toEqual([[false]]);
    expect(await b.rows(`select from pg_proc where proname = 'run_ddl'`)).toEqual([]);
  });

  it('by writing into our tables, whatever it may write', async () => {
    await onBoth('create role writes in role pg_read_all_data, pg_write_all_data');
    await a.client.query('set role writes');
    const tables = await a.rows(
      `select relname from pg_class where relnamespace = 'dbproxy'::regnamespace and relkind = 'r'`,
    );
    expect(tables.length).toBeGreaterThan(5);
    for (const [table] of tables as [string][]) {
      expect(await a.client.query(`select from dbproxy.${table}`)).toMatchObject({ rows: [] });
    }
    expect(await failure(a.client.query(`insert into dbproxy.roles values (4294967295, 'plain', '')`))).toBe(
      '42501',
    );
    expect(
      await failure(
        a.client.query(
          `insert into dbproxy.captured values (pg_current_xact_id(), 'x', null, null, null, '["CREATE TABLE", "postgres", ""]', 'alter role plain superuser', true)`,
        ),
      ),
    ).toBe('42501');
  });

  it('by SESSION_USER, which is another one there', async () => {
    await a.client.query('reset role');
    // Of roles, what has become of them is told, and not the statement.
    await onBoth('grant plain to session_user');
    expect(
      await failure(onBoth('create table owned (id int)', 'alter table owned owner to session_user')),
    ).toBe('0A000');
    await onBoth('drop schema of_plain cascade', 'drop role plain, writes');
  });
});
