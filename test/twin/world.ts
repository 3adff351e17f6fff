/**
 * One engine, and for every pair of twins a database each: what sequences, advisory locks and channels are to one session,
 * the other never sees. The sessions of both find the same there, by a reset before each walk.
 */
import type pg from 'pg';
import type { EngineRecord } from '../../src/engine/index.js';
import { EngineAdmin } from '../../src/proxy/engine-admin.js';
import { EngineConnection } from '../../src/proxy/engine-connection.js';
import { Link } from '../../src/proxy/link.js';
import type { SessionState } from '../../src/session-state/index.js';
import { connectPg, directTo, withPg } from '../support/clients.js';
import { TestEngines, routeTo } from '../support/engines.js';
import type { Backends } from './move.js';

const ROLES = `create role app login; create role other; create role "o""dd"; create role boss superuser login;
  grant other, "o""dd" to app; alter role app set application_name = 'by role'`;

const SCHEMA = `create schema a; create schema b; create schema secret;
  create table public.t (n int, v text); create table a.t (n int, v text); create table b.t (n int, v text);
  create table secret.t (n int); create table a.counted (id int generated always as identity, v int);
  create type a.pair as (n int, s text); create type a.colour as enum ('red', 'green');
  create sequence a.up; create sequence a.down increment -3; create sequence a.sevens increment 7; create sequence a."S's";
  grant usage on schema a, b to public; grant all on all tables in schema a, b, public to public;
  alter schema a owner to app; alter table a.counted owner to app; alter sequence a.up owner to app;
  alter sequence a.down owner to app; alter sequence a.sevens owner to app; alter sequence a."S's" owner to app`;

/** Walks are what takes the time: nothing of theirs has to survive. */
const UNSAFE = [
  'fsync = off',
  'synchronous_commit = off',
  'full_page_writes = off',
  'checkpoint_timeout = 3600',
];

/** Rows in the same places as those before, mostly: no new files. */
const RESET = `delete from public.t; delete from a.t; delete from b.t; delete from a.counted;
  insert into public.t values (1, 'public'); insert into a.t values (1, 'a'), (2, null), (7, 'seven');
  insert into b.t values (1, 'b');
  select setval(s, 1, false) from unnest(array['a.up', 'a.sevens', 'a."S''s"', 'a.counted_id_seq']::regclass[]) s;
  select setval('a.down', -1, false)`;

const links = Link.plain();

/** One database. */
export class Home implements Backends {
  readonly settableNames: string;
  readonly bases = new Map<string, Promise<SessionState>>();
  readonly #engine: EngineRecord;
  readonly #database: string;
  readonly #admin: pg.Client;

  private constructor(engine: EngineRecord, database: string, admin: pg.Client, settableNames: string) {
    this.#engine = engine;
    this.#database = database;
    this.#admin = admin;
    this.settableNames = settableNames;
  }

  static async open(engine: EngineRecord, database: string, settableNames: string): Promise<Home> {
    const admin = await connectPg(directTo(engine, { database }));
    return new Home(engine, database, admin, settableNames);
  }

  open(user: string): Promise<EngineConnection> {
    const parameters = new Map(Object.entries({ user, database: this.#database }));
    return EngineConnection.open(links, routeTo(this.#engine), parameters, null);
  }

  async reset(): Promise<void> {
    await this.#admin.query(RESET);
  }

  close(): Promise<void> {
    return this.#admin.end();
  }
}

export interface Pair {
  readonly moved: Home;
  readonly twin: Home;
}

export class World {
  readonly pairs: readonly Pair[];
  readonly #engines: TestEngines;

  private constructor(engines: TestEngines, pairs: readonly Pair[]) {
    this.#engines = engines;
    this.pairs = pairs;
  }

  static async open(pairs: number): Promise<World> {
    const engines = await TestEngines.open();
    const engine = await engines.primary();
    const settableNames = await readSettableNames(engine);
    await withPg(directTo(engine), async (client) => {
      await client.query(ROLES);
      for (const setting of UNSAFE) await client.query(`alter system set ${setting}`);
      await client.query('select pg_reload_conf()');
      await client.query('create database template');
      await withPg(directTo(engine, { database: 'template' }), (template) => template.query(SCHEMA));
      for (let i = 0; i < pairs; i++)
        for (const name of [`moved${i}`, `twin${i}`])
          await client.query(`create database ${name} template template`);
    });
    const homes = Array.from({ length: pairs }, async (_, i) => ({
      moved: await Home.open(engine, `moved${i}`, settableNames),
      twin: await Home.open(engine, `twin${i}`, settableNames),
    }));
    return new World(engines, await Promise.all(homes));
  }

  async close(): Promise<void> {
    await Promise.all(this.pairs.flatMap(({ moved, twin }) => [moved.close(), twin.close()]));
    await this.#engines.close();
  }
}

const readSettableNames = async (engine: EngineRecord): Promise<string> => {
  const admin = new EngineAdmin(links, routeTo(engine));
  try {
    return await admin.settableNames();
  } finally {
    admin.close();
  }
};
