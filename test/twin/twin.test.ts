/**
 * A session that moves at random points is not to be told from a twin that never does: a short walk of the nightly hunt
 * (`npm run twin`), and proof that it would notice each kind of state that is not replayed.
 */
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { kinds, type KindName } from '../../src/session-state/kinds.js';
import { classNames, type ClassName } from './classes.js';
import { hunt } from './hunt.js';
import { World } from './world.js';

const SEED = 20261124;

let world: World;

beforeAll(async () => {
  // One pair, so that what is walked depends on the seed alone.
  world = await World.open(1);
});

afterAll(async () => {
  await world?.close();
});

afterEach(() => vi.restoreAllMocks());

it('more than a thousand steps without a difference', async () => {
  const { tally, found } = await hunt(world, { seed: SEED, steps: 1_500, classes: classNames });
  expect(found).toBeNull();
  expect(tally.steps).toBeGreaterThanOrEqual(1_500);
  expect(tally.moves).toBeGreaterThan(50);
});

it.each<[KindName, ClassName]>([
  ['settings', 'settings'],
  ['customSettings', 'settings'],
  ['role', 'roles'],
  ['preparedStatements', 'prepared'],
  ['unnamedStatement', 'prepared'],
  ['heldCursors', 'cursors'],
  ['tempObjects', 'temporary'],
  ['sequences', 'sequences'],
  ['loadedLibraries', 'loads'],
  ['listen', 'channels'],
  ['advisoryLocks', 'advisoryLocks'],
])('notices that %s are not replayed', async (kind, name) => {
  vi.spyOn(kinds[kind], 'replay', 'get').mockReturnValue(() => []);
  const { found } = await hunt(world, { seed: SEED, steps: 2_000, classes: [name], unshrunk: true });
  expect(found).not.toBeNull();
});
