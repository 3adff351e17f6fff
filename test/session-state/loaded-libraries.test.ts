/** Row 15: libraries of LOAD, known by the text of the statement. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { encode } from '../../src/protocol/index.js';
import { DEFAULT_LIMITS, replay, unmovable, type SessionState } from '../../src/session-state/index.js';
import { kinds } from '../../src/session-state/kinds.js';
import { TestEngines } from '../support/engines.js';
import { Backend } from './support.js';

let engines: TestEngines;
let primary: EngineRecord;
let standby: EngineRecord;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  standby = await engines.standbyOf(primary);
});

afterAll(async () => {
  await engines?.close();
});

const tagged = (backend: Backend): void => backend.tagged('LOAD');
const SHOW = 'show auto_explain.log_min_duration';

const bring = async (wanted: SessionState, engine = primary, promoted = true): Promise<Backend> => {
  const target = await Backend.open(engine);
  const base = await target.look();
  await replay(target.connection, wanted, base, base, promoted);
  return target;
};

describe('LOAD', () => {
  it.each(['primary', 'standby'] as const)(
    'is run again on a %s, before the settings of the library',
    async (where) => {
      const session = await Backend.open(primary);
      await session.run(`load 'auto_explain'`);
      tagged(session);
      await session.run('set auto_explain.log_min_duration = 60000');
      const wanted = await session.look();
      expect(wanted.loadedLibraries.statements).toEqual([`load 'auto_explain'`]);
      expect(unmovable(wanted, DEFAULT_LIMITS)).toEqual([]);
      const target = await bring(wanted, where === 'primary' ? primary : standby, where === 'primary');
      expect(await target.rows(SHOW)).toEqual([['1min']]);
      // The setting is the library's own, not just a name.
      expect((await target.query(`set auto_explain.log_min_duration = 'x'`)).error?.sqlstate).toBe('22023');
      session.close();
      target.close();
    },
  );

  it('a custom setting that was reset is no value for a library that is loaded later', async () => {
    const session = await Backend.open(primary);
    await session.run('set auto_explain.log_min_duration = 7', 'reset auto_explain.log_min_duration');
    const wanted = await session.look();
    expect(wanted.customSettings.values.get('auto_explain.log_min_duration')).toBe('');
    const target = await bring(wanted);
    for (const backend of [session, target]) {
      expect(await backend.rows(SHOW)).toEqual([['']]);
      await backend.run(`load 'auto_explain'`);
      expect(
        await backend.rows(`select boot_val = setting, source from pg_settings
        where name = 'auto_explain.log_min_duration'`),
      ).toEqual([['t', 'default']]);
      backend.close();
    }
  });

  it('nor is one that was brought ahead, and reset before its library was loaded', async () => {
    const session = await Backend.open(primary);
    await session.run('set auto_explain.log_min_duration = 7');
    const ahead = await session.look();
    const target = await Backend.open(primary);
    const base = await target.look();
    const { state: there } = await replay(target.connection, ahead, base, base, true);
    await session.run('discard all', `load 'auto_explain'`);
    tagged(session);
    await replay(target.connection, await session.look(), there, base, true);
    expect(await session.rows(SHOW)).toEqual([['-1']]);
    expect(await target.rows(SHOW)).toEqual([['-1']]);
    session.close();
    target.close();
  });

  it('without the replay it is lost', async () => {
    const session = await Backend.open(primary);
    await session.run(`load 'auto_explain'`);
    tagged(session);
    const wanted = await session.look();
    const leftOut = vi.spyOn(kinds.loadedLibraries, 'replay', 'get').mockReturnValue(null);
    const target = await bring(wanted);
    leftOut.mockRestore();
    expect((await target.query(`set auto_explain.log_min_duration = 'x'`)).error).toBeNull();
    session.close();
    target.close();
  });

  it('among others, in comments, in strings, prepared', async () => {
    const session = await Backend.open(primary);
    await session.query(
      `select 'load x'; /* load 'y' */ LOAD /**/ 'auto_explain' ; -- load 'z'\n select 1 as loads`,
    );
    tagged(session);
    await session.send(
      Buffer.concat([
        encode.parse('l', ` -- first\n Load $x$auto_explain$x$`),
        encode.bind('', 'l', []),
        encode.execute(),
        encode.sync(),
      ]),
    );
    tagged(session);
    expect((await session.look()).loadedLibraries).toEqual({
      statements: [`LOAD /**/ 'auto_explain'`, 'Load $x$auto_explain$x$'],
      unsure: false,
      unknown: false,
    });
    session.close();
  });

  it('one that failed is not tried again, whoever could load it', async () => {
    const session = await Backend.open(primary);
    await session.run('create role nobody', 'set role nobody');
    expect((await session.query(`load 'auto_explain'`)).error?.sqlstate).toBe('42501');
    expect((await session.look()).loadedLibraries).toEqual(kinds.loadedLibraries.none);
    await session.run('reset role');
    expect((await session.query(`load 'plpgsql'; load 'nowhere'; load 'auto_explain'`)).error).not.toBeNull();
    tagged(session);
    expect((await session.look()).loadedLibraries).toEqual({
      statements: [`load 'plpgsql'`],
      unsure: false,
      unknown: false,
    });
    session.close();
  });

  it('of two that were parsed one may have failed, and then fails there, too; one that did not must not', async () => {
    const session = await Backend.open(primary);
    for (const library of ['nowhere', 'auto_explain'])
      await session.send(
        Buffer.concat([
          encode.parse(library, `load '${library}'`),
          encode.bind('', library, []),
          encode.execute(),
          encode.sync(),
        ]),
      );
    tagged(session);
    const wanted = await session.look();
    expect(wanted.loadedLibraries.unsure).toBe(true);
    (await bring(wanted)).close();
    const sure = { ...wanted, loadedLibraries: { ...wanted.loadedLibraries, unsure: false } };
    await expect(bring(sure)).rejects.toThrow(`load 'nowhere'`);
    session.close();
  });

  it('whose text is not known: cannot move, and says why', async () => {
    const session = await Backend.open(primary);
    await session.connection.exchange(encode.query(`load 'auto_explain'`), 1);
    tagged(session);
    expect(unmovable(await session.look(), DEFAULT_LIMITS)).toMatchObject([
      { kind: 'loadedLibraries', detail: 'a library loaded with LOAD, unknown which' },
    ]);
    session.close();
  });
});
