/** Row 14: currval and lastval are the same after the move, and the shared sequence is untouched. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { readFile } from 'node:fs/promises';
import type { EngineRecord } from '../../src/engine/index.js';
import {
  DEFAULT_LIMITS,
  replay,
  report,
  unmovable,
  type SessionState,
} from '../../src/session-state/index.js';
import { kinds } from '../../src/session-state/kinds.js';
import { directTo, withPg } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { engineKind } from '../support/provider.js';
import { Backend } from './support.js';

let engines: TestEngines;
let primary: EngineRecord;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  await withPg(directTo(primary), (admin) =>
    admin.query(`create role app login; create role owner; create role apart login noinherit;
      create role nothing; grant nothing to app;
      grant owner to apart; create schema app authorization app; create schema odd authorization owner;
      create sequence public.foreign_s; grant usage on sequence public.foreign_s to app;
      create sequence public.secret_s;
      create function public.draw() returns int8 language sql security definer as $$select nextval('public.secret_s')$$;
      create sequence odd.s; alter sequence odd.s owner to owner; grant usage on sequence odd.s to apart;
      grant usage on schema odd to apart;
      set role app;
      create table app.t (id int generated always as identity, n int);
      create sequence app.one; create sequence app.down increment -3 cache 5; create sequence app."Qu""o te's é";
      create sequence app.cached cache 10; create sequence app.narrow minvalue 5 maxvalue 100;`),
  );
});

afterAll(async () => {
  await engines?.close();
});

const open = (user = 'app'): Promise<Backend> => Backend.open(primary, { user });

/** Everything a client can see of it. */
const observe = async (backend: Backend): Promise<unknown> => {
  const seen: unknown[] = [];
  for (const sql of [
    'select lastval()',
    `select currval('app.one')`,
    `select currval('app.down')`,
    `select currval('app."Qu""o te''s é"')`,
    `select currval('app.t_id_seq')`,
    `select currval('app.cached')`,
    `select currval('app.narrow')`,
  ]) {
    const { sets, error } = await backend.query(Buffer.from(sql));
    seen.push([sql, error?.sqlstate ?? sets[0]?.[0]?.[0]]);
  }
  return seen;
};

const shared = async (): Promise<unknown> =>
  withPg(directTo(primary), async (admin) => {
    const { rows } = await admin.query<object>(`select 'one', last_value, is_called from app.one union all
      select 'down', last_value, is_called from app.down union all
      select 'id', last_value, is_called from app.t_id_seq union all
      select 'cached', last_value, is_called from app.cached union all
      select 'narrow', last_value, is_called from app.narrow
      union all select relname, relfilenode::int8, relrowsecurity from pg_class where relkind = 'S'
      union all select 'pg_sequence', seqmin, seqcycle from pg_sequence`);
    return rows;
  });

const bring = async (wanted: SessionState, user = 'app'): Promise<Backend> => {
  const target = await open(user);
  const base = await target.look();
  const { postponed } = await replay(target.connection, wanted, base, base, true);
  expect(postponed).toBe(0);
  return target;
};

const make = async (): Promise<Backend> => {
  const session = await open();
  await session.run(
    `select nextval('app.one'), nextval('app.one'), nextval('app.down'), nextval('app.cached')`,
    Buffer.from(`select nextval('app."Qu""o te''s é"')`),
    `select setval('app.narrow', 50)`,
    'insert into app.t (n) values (1), (2)',
  );
  return session;
};

describe('sequences', () => {
  it('a session that never drew has nothing, and nothing is replayed', async () => {
    const session = await open();
    const state = await session.look();
    expect(state.sequences).toEqual(kinds.sequences.none);
    expect(kinds.sequences.replay?.(state.sequences, kinds.sequences.none)).toEqual([]);
    session.close();
  });

  it('currval and lastval move; the shared sequences do not notice', async () => {
    const session = await make();
    const wanted = await session.look();
    expect(unmovable(wanted, DEFAULT_LIMITS)).toEqual([]);
    expect(wanted.sequences.values.size).toBe(6);
    expect(wanted.sequences.last).toBe('app.t_id_seq');
    const before = await shared();
    const target = await bring(wanted);
    expect(await shared()).toEqual(before);
    expect(await observe(target)).toEqual(await observe(session));
    expect(await target.look()).toMatchObject({ sequences: wanted.sequences });
    // What comes next is fresh: no value is drawn twice.
    const [[next]] = (await target.rows(`select nextval('app.one')`)) as [[string]];
    expect(Number(next)).toBe(Number(wanted.sequences.values.get('app.one')?.value) + 1);
    session.close();
    target.close();
  });

  it('without the replay it is lost', async () => {
    const session = await make();
    const wanted = await session.look();
    const leftOut = vi.spyOn(kinds.sequences, 'replay', 'get').mockReturnValue(null);
    const target = await bring(wanted);
    leftOut.mockRestore();
    expect(await observe(target)).not.toEqual(await observe(session));
    session.close();
    target.close();
  });

  it('setval alone defines currval and not lastval, there too', async () => {
    const session = await open();
    await session.run(`select setval('app.narrow', 77)`);
    const wanted = await session.look();
    expect(wanted.sequences).toMatchObject({ last: null });
    const target = await bring(wanted);
    expect(await observe(target)).toEqual(await observe(session));
    expect(await target.rows(`select currval('app.narrow')`)).toEqual([['77']]);
    expect((await target.query('select lastval()')).error?.sqlstate).toBe('55000');
    session.close();
    target.close();
  });

  it('setval alone after a first look: a quick look finds it', async () => {
    const session = await open();
    const first = await session.look();
    await session.run(`select setval('app.narrow', 77)`);
    const { sequences } = await session.look(first, false);
    expect(sequences.values.get('app.narrow')).toMatchObject({ value: '77' });
    session.close();
  });

  it.each(['app.twin_a', 'app.twin_b'])('of two with the same value, lastval() tells of %s', async (last) => {
    const session = await open();
    await session.run(
      'create sequence app.twin_a; create sequence app.twin_b',
      `select nextval('app.twin_a'), nextval('app.twin_b'), setval('${last}', 1, false), nextval('${last}')`,
      'set default_transaction_read_only = on',
    );
    const wanted = await session.look();
    expect(wanted.sequences).toMatchObject({ last });
    const target = await bring(wanted);
    for (const sql of ['app.twin_a', 'app.twin_b'].map(
      (name) => `begin read write; select setval('${name}', 7); rollback; select lastval()`,
    ))
      expect(await target.query(sql)).toEqual(await session.query(sql));
    await session.run('set default_transaction_read_only = off', 'drop sequence app.twin_a, app.twin_b');
    session.close();
    target.close();
  });

  it('under a role that may read no sequence: found all the same', async () => {
    const session = await make();
    const { sequences } = await session.look();
    await session.run('set role nothing');
    const asNothing = await session.look();
    expect(unmovable(asNothing, DEFAULT_LIMITS)).toEqual([]);
    expect(asNothing.sequences).toEqual(sequences);
    session.close();
  });

  it('a value out of the bounds the sequence has by now', async () => {
    const session = await open();
    await session.run(`select setval('app.narrow', 99)`, `select nextval('app.narrow')`);
    await session.run('alter sequence app.narrow maxvalue 60 restart 50');
    const wanted = await session.look();
    const target = await bring(wanted);
    expect(await target.rows(`select currval('app.narrow'), lastval()`)).toEqual([['100', '100']]);
    await session.run('alter sequence app.narrow maxvalue 100');
    session.close();
    target.close();
  });

  it('only what changed is replayed again; DISCARD SEQUENCES and a dropped sequence are followed', async () => {
    const session = await open();
    await session.run('create sequence app.passing', `select nextval('app.one'), nextval('app.passing')`);
    const first = await session.look();
    const target = await bring(first);
    await session.run(`select nextval('app.one')`);
    const second = await session.look(first);
    expect(kinds.sequences.replay?.(second.sequences, first.sequences).map(({ what }) => what)).toEqual([
      'currval of app.one',
    ]);
    await replay(target.connection, second, first, second, true);
    expect(await observe(target)).toEqual(await observe(session));
    await session.run('drop sequence app.passing');
    const third = await session.look(second);
    expect([...third.sequences.values.keys()]).toEqual(['app.one']);
    await session.run('discard sequences');
    const fourth = await session.look(third);
    expect(fourth.sequences).toEqual(kinds.sequences.none);
    await replay(target.connection, fourth, third, fourth, true);
    expect(await observe(target)).toEqual(await observe(session));
    session.close();
    target.close();
  });

  it('a temporary sequence is found by its place in pg_temp', async () => {
    const session = await open();
    await session.run('create temp sequence s', `select nextval('s'), nextval('s')`);
    const { sequences } = await session.look();
    expect(sequences).toMatchObject({ last: 'pg_temp.s' });
    expect(kinds.sequences.shared?.(sequences)).toBe(false);
    const target = await open();
    await target.run('create temp sequence s');
    const replies = await target.connection.exchange(
      Buffer.concat(kinds.sequences.replay!(sequences, kinds.sequences.none).map(({ messages }) => messages)),
      1,
    );
    expect(replies[0]?.error).toBeNull();
    expect(await target.rows(`select lastval(), currval('s')`)).toEqual([['2', '2']]);
    // The sequence itself goes with the temporary objects.
    expect(await target.rows(`select nextval('s')`)).toEqual([['1']]);
    session.close();
    target.close();
  });

  it('the owner is a role the login user can only set', async () => {
    const session = await open('apart');
    await session.run(`select nextval('odd.s')`);
    const wanted = await session.look();
    expect(wanted.sequences.values.get('odd.s')).toMatchObject({ value: '1', owner: 'owner' });
    const target = await bring(wanted, 'apart');
    expect(await target.rows(`select lastval(), current_user`)).toEqual([['1', 'apart']]);
    session.close();
    target.close();
  });

  it.each([
    ['not owned', `select nextval('public.foreign_s')`, 'public.foreign_s: not owned'],
    ['not readable', 'select public.draw()', 'may not read'],
  ])('%s: cannot move, and says why', async (_, sql, why) => {
    const session = await open();
    await session.run(sql);
    const obstacles = unmovable(await session.look(), DEFAULT_LIMITS);
    expect(obstacles).toMatchObject([{ kind: 'sequences', movable: false }]);
    expect(obstacles[0]?.detail).toContain(why);
    session.close();
  });

  it('says how many in the report', async () => {
    const session = await open();
    await session.run(`select nextval('app.one')`);
    expect(report(await session.look(), DEFAULT_LIMITS)).toMatchObject([
      { kind: 'sequences', count: 1, movable: true, detail: '1 sequence value: app.one' },
    ]);
    session.close();
  });

  // The log of a container comes here when it ends.
  it.skipIf(engineKind() === 'docker')(
    'asking leaves no error in the log, whatever the settings of the session',
    async () => {
      const session = await open();
      const logged = (await readFile(primary.logFile)).length;
      await session.run(
        `set search_path = 'odd', "x y"`,
        'set default_transaction_read_only = on',
        'set default_transaction_isolation = serializable',
        'set standard_conforming_strings = off',
      );
      await session.look();
      await session.run('set default_transaction_read_only = off', `select nextval('app.one')`);
      await session.run('set default_transaction_read_only = on', `set lock_timeout = 1`);
      const wanted = await session.look();
      const target = await bring(wanted);
      expect(await target.rows('show search_path')).toEqual([[`odd, "x y"`]]);
      expect(await target.rows('select lastval()')).toEqual(await session.rows('select lastval()'));
      expect((await readFile(primary.logFile)).subarray(logged).toString()).not.toContain('ERROR:');
      session.close();
      target.close();
    },
  );

  it('many sessions at once, all of one sequence', async () => {
    const sessions = await Promise.all(Array.from({ length: 20 }, () => open()));
    for (const session of sessions) await session.run(`select nextval('app.one'), nextval('app.cached')`);
    const wanted = await Promise.all(sessions.map((session) => session.look()));
    const targets = await Promise.all(wanted.map((state) => bring(state)));
    for (const [i, target] of targets.entries())
      expect(await observe(target)).toEqual(await observe(sessions[i]!));
    [...sessions, ...targets].forEach((backend) => backend.close());
  });
});
