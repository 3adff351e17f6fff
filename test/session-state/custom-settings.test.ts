/** Row 3: custom settings whose names are not ASCII, which everything has to pass on in the right encoding. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { EngineRecord } from '../../src/engine/index.js';
import { replay } from '../../src/session-state/index.js';
import { TestEngines } from '../support/engines.js';
import { Backend } from './support.js';

let engines: TestEngines;
let engine: EngineRecord;

beforeAll(async () => {
  engines = await TestEngines.open();
  engine = await engines.primary();
});

afterAll(async () => {
  await engines?.close();
});

const VALUES = `select n, current_setting(n, true) from unnest(array['app.größe', 'app.é', 'app.ж', 'Äpp.Ö', 'app.ä']) n`;

it('names of any letters, set by SET, by set_config, in another encoding, by a function', async () => {
  const [session, target] = [await Backend.open(engine), await Backend.open(engine)];
  session.tracker.parameters.set('client_encoding', 'UTF8');
  await session.run(
    Buffer.from('set app.größe = 5'),
    Buffer.from(`select set_config('app.ж', 'x', false), set_config('Äpp.Ö', 'y', false)`),
    Buffer.from(
      `create function hidden() returns text language sql as $$select set_config('app.ä', 'z', false)$$`,
    ),
    'select hidden()',
    `set client_encoding = 'LATIN1'`,
    `set app.\xe9 = 'latin'`,
  );
  const wanted = await session.look();
  expect(Object.fromEntries(wanted.customSettings.values)).toEqual({
    'app.größe': '5',
    'app.é': 'latin',
    'app.ж': 'x',
    'Äpp.Ö': 'y',
    'app.ä': 'z',
  });
  const base = await target.look();
  const { state } = await replay(target.connection, wanted, base, base, true);
  for (const backend of [session, target]) {
    await backend.run('reset client_encoding');
    const rows = await backend.rows(Buffer.from(VALUES).toString('latin1'));
    expect(rows.map(([, value]) => value)).toEqual(['5', 'latin', 'x', 'y', 'z']);
  }
  await session.run(Buffer.from('discard all'));
  await replay(target.connection, await session.look(), state, base, true);
  const rows = await target.rows(Buffer.from(VALUES).toString('latin1'));
  expect(rows.map(([, value]) => value)).toEqual(['', '', '', '', '']);
  for (const backend of [session, target]) backend.close();
});

it('a database in another encoding keeps those in ASCII', async () => {
  const admin = await Backend.open(engine);
  await admin.run(
    `create database bytes encoding 'SQL_ASCII' locale 'C' locale_provider 'libc' template template0`,
  );
  const [session, target] = [
    await Backend.open(engine, { database: 'bytes' }),
    await Backend.open(engine, { database: 'bytes' }),
  ];
  await session.run(Buffer.from('set app.é = 5'), 'set app.x = 6');
  const base = await target.look();
  await replay(target.connection, await session.look(), base, base, true);
  expect(await target.rows('show app.x')).toEqual([['6']]);
  for (const backend of [admin, session, target]) backend.close();
});
