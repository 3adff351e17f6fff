/** The machinery of the crash matrix on a few of its cells; all of them: `npm run crash-matrix`. */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runCell, type Cell } from './cell.js';
import { Ground } from './ground.js';
import { judge } from './judge.js';
import { Load } from './load.js';
import { OPERATIONS } from './operations.js';
import { withPg } from '../support/clients.js';

const LONG_MS = 300_000;
let ground: Ground;
beforeAll(async () => {
  ground = await Ground.open();
}, LONG_MS);
afterAll(async () => {
  expect(await ground.close()).toEqual([]);
}, LONG_MS);

const CELLS: readonly (Cell & { outcome: string; lost: number })[] = [
  {
    ...{ operation: 'scale', step: 'promote', victim: 'supervisor', fault: 'kill' },
    ...{ outcome: 'completed', lost: 0 },
  },
  {
    ...{ operation: 'patch-in-place', step: 'warm', victim: 'old-proxy', fault: 'kill' },
    ...{ outcome: 'rolled back', lost: 5 },
  },
  {
    ...{ operation: 'patch-self', step: 'handover.sockets', victim: 'new-proxy', fault: 'kill' },
    ...{ outcome: 'rolled back', lost: 0 },
  },
];

it.each(CELLS)(
  '$operation, $victim at $step: $outcome, $lost connections lost, nothing else',
  async ({ outcome, lost, ...cell }) => {
    const operation = OPERATIONS.find(({ name }) => name === cell.operation);
    const result = await runCell(ground, operation!, cell);
    expect(result).toMatchObject({ ...cell, outcome, lost, violations: [] });
    expect(result.acknowledged).toBeGreaterThan(0);
  },
  LONG_MS,
);

it(
  'a row that is taken away, one that is there twice: both are found',
  async () => {
    const load = await Load.start(ground.url);
    expect(await load.stuck()).toBe(0);
    expect(await load.stop()).toEqual([]);
    const [one, two] = load.statements.filter(({ fate }) => fate === 'acknowledged').map(({ id }) => id);
    await withPg(ground.url, async (client) => {
      await client.query('delete from written where id = $1', [one]);
      await client.query('insert into written values ($1)', [two]);
    });
    expect(judge(load.statements, await load.rows())).toEqual([
      `1 acknowledged and missing (${one})`,
      `1 doubled (${two})`,
    ]);
  },
  LONG_MS,
);
