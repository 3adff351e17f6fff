/** Row 19: what cannot be read is told of. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { encode } from '../../src/protocol/index.js';
import { DEFAULT_LIMITS, losses, report, unmovable } from '../../src/session-state/index.js';
import { MAX_SETTING_NAMES } from '../../src/session-state/setting-names.js';
import { socketInside } from '../support/clients.js';
import { TestEngines } from '../support/engines.js';
import { Backend } from './support.js';

let engines: TestEngines;
let primary: EngineRecord;

beforeAll(async () => {
  engines = await TestEngines.open();
  primary = await engines.primary();
  const admin = await Backend.open(primary);
  await admin.run('create database langs', 'create database linked');
  admin.close();
  const langs = await Backend.open(primary, { database: 'langs' });
  // The catalog's entry is what is looked for; the language itself needs a Perl that may not be there.
  await langs.run(`create language plshared handler plpgsql_call_handler`);
  langs.close();
  const linked = await Backend.open(primary, { database: 'linked' });
  await linked.run('create extension dblink');
  linked.close();
});

afterAll(async () => {
  await engines?.close();
});

it('a plain session loses nothing', async () => {
  const session = await Backend.open(primary);
  expect(report(await session.look(), DEFAULT_LIMITS)).toEqual([]);
  session.close();
});

it('variables of an installed language may be lost, and that does not stand in the way', async () => {
  const session = await Backend.open(primary, { database: 'langs' });
  const state = await session.look();
  expect(report(state, DEFAULT_LIMITS)).toMatchObject([
    { kind: 'extensionMemory', movable: true, lost: 'variables of plshared, if there are any' },
  ]);
  expect(unmovable(state, DEFAULT_LIMITS)).toEqual([]);
  // What was found is known while the session is held.
  expect(report(await session.look(state, false), DEFAULT_LIMITS)).toHaveLength(1);
  session.close();
});

it('the first look at a session finds what is installed, whatever it was for', async () => {
  const session = await Backend.open(primary, { database: 'langs' });
  expect(report(await session.look(null, false), DEFAULT_LIMITS)).toMatchObject([
    { lost: 'variables of plshared, if there are any' },
  ]);
  session.close();
});

it.each([
  ['Query', encode.query('select 1; select SetSeed (0.5)')],
  [
    'Parse',
    Buffer.concat([
      encode.parse('', 'select setseed($1)'),
      encode.bind('', '', ['0.5']),
      encode.execute(),
      encode.sync(),
    ]),
  ],
])('setseed in a %s: the position of random() is lost', async (_, messages) => {
  const session = await Backend.open(primary);
  const before = await session.look();
  await session.send(messages);
  const state = await session.look(before, false);
  expect(report(state, DEFAULT_LIMITS).find(({ kind }) => kind === 'extensionMemory')).toMatchObject({
    movable: true,
    lost: 'the position of random() after setseed()',
  });
  session.close();
});

it('dblink connections stand in the way, by name', async () => {
  const session = await Backend.open(primary, { database: 'linked' });
  expect(report(await session.look(), DEFAULT_LIMITS)).toEqual([]);
  const where = `host=${socketInside(primary)} dbname=postgres user=postgres`;
  await session.run(`select dblink_connect('far', '${where}')`);
  expect(unmovable(await session.look(), DEFAULT_LIMITS)).toMatchObject([
    { kind: 'extensionMemory', movable: false, detail: '1 dblink connection: far' },
  ]);
  session.close();
});

it('a dblink connection that is opened after the first look is found while the session is held, and gone with its extension', async () => {
  const session = await Backend.open(primary, { database: 'linked' });
  const before = await session.look();
  const where = `host=${socketInside(primary)} dbname=postgres user=postgres`;
  await session.run(`select dblink_connect('late one', '${where}')`);
  const held = await session.look(before, false);
  expect(unmovable(held, DEFAULT_LIMITS)).toMatchObject([{ detail: '1 dblink connection: late one' }]);
  expect(await session.look(held, false)).toEqual(held);
  await session.run('drop extension dblink');
  expect(unmovable(await session.look(held, false), DEFAULT_LIMITS)).toEqual([]);
  session.close();
});

it('more names than are kept: a custom setting may be lost, and that is told', async () => {
  const session = await Backend.open(primary);
  for (let i = 0; i <= MAX_SETTING_NAMES; i++) session.names.add(`app.name_${i}`);
  const state = await session.look();
  expect(report(state, DEFAULT_LIMITS)).toMatchObject([
    {
      kind: 'customSettings',
      movable: true,
      lost: expect.stringContaining('custom settings beyond') as unknown,
    },
  ]);
  expect(losses(state)).toHaveLength(1);
  session.close();
});
