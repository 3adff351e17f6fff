/** A few cells of the crash matrix with a full disk, and what a person with one does. All: `npm run crash-matrix -- --fault full`. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startInstance, stopInstance } from '../../src/control/client.js';
import { killSupervisor } from '../control/live.js';
import { runCell, type Cell } from './cell.js';
import { whyNoMount } from './disk.js';
import { Ground } from './ground.js';
import { OPERATIONS } from './operations.js';

const LONG_MS = 120_000;
const noMount = await whyNoMount();

describe.skipIf(noMount !== null)(
  `a full disk${noMount === null ? '' : ` (no disk can be mounted: ${noMount})`}`,
  () => {
    let ground: Ground;
    beforeAll(async () => {
      ground = await Ground.open(true);
    }, LONG_MS);
    afterAll(async () => {
      await ground.close();
    }, LONG_MS);

    const CELLS: readonly (Cell & { outcome: string })[] = [
      {
        ...{ operation: 'scale', step: 'provision', victim: 'engine-disk', fault: 'full' },
        ...{ outcome: 'rolled back' },
      },
    ];

    it.each(CELLS)(
      '$operation, $victim full at $step: $outcome, nothing else',
      async ({ outcome, ...cell }) => {
        const operation = OPERATIONS.find(({ name }) => name === cell.operation);
        const result = await runCell(ground, operation!, cell);
        expect(result).toMatchObject({ ...cell, outcome, violations: [] });
        expect(result.acknowledged).toBeGreaterThan(0);
      },
      LONG_MS,
    );

    it(
      'a supervisor cannot be started, which is told; down needs no room',
      async () => {
        await ground.fill('whole-disk');
        await killSupervisor(ground.name);
        await expect(startInstance({ name: ground.name })).rejects.toMatchObject({
          code: 'DBP_ENV_DISK_FULL',
          exitCode: 4,
        });
        await stopInstance(ground.name);
        await ground.makeRoom('whole-disk');
        await startInstance({ name: ground.name });
        expect(await ground.settle()).toEqual([]);
      },
      LONG_MS,
    );
  },
);
