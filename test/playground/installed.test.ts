/** The package as users get it: the examples of docs/test-your-app.md run with their runners, and its types hold. */
import { readFile } from 'node:fs/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { InstalledProject } from '../support/installed.js';

let project: InstalledProject;
let examples: Map<string, string>;

beforeAll(async () => {
  project = await InstalledProject.make({
    tools: ['vitest', 'jest', 'typescript', '@types/node', '@types/pg', 'pg'],
  });
  examples = await examplesOf('docs/test-your-app.md');
  for (const [name, text] of examples) await project.write(name, text);
}, 120_000);
afterAll(() => project.remove());

/** ```ts title="orders.test.ts" */
async function examplesOf(page: string): Promise<Map<string, string>> {
  const text = await readFile(new URL(`../../${page}`, import.meta.url), 'utf8');
  const blocks = [...text.matchAll(/^```\w+ title="([^"]+)"\n([^]*?)^```$/gm)];
  return new Map(blocks.map(([, name = '', code = '']) => [name, code]));
}

test('the page has an example for each runner', () => {
  expect([...examples.keys()]).toEqual(['orders.test.ts', 'checkout.test.mjs', 'watch-a-move.mjs']);
});

test('vitest', async () => {
  const run = await project.node([project.bin('vitest/vitest.mjs'), 'run', 'orders.test.ts']);
  expect(run, run.stdout + run.stderr).toMatchObject({ code: 0 });
  expect(run.stdout).toContain('1 passed');
}, 120_000);

test('jest', async () => {
  const args = ['--experimental-vm-modules', project.bin('jest/bin/jest.js'), 'checkout'];
  const run = await project.node(args, { CI: 'true' });
  expect(run, run.stdout + run.stderr).toMatchObject({ code: 0 });
  expect(run.stderr).toMatch(/Tests: +2 passed, 2 total/);
}, 120_000);

test('no runner', async () => {
  const run = await project.node(['watch-a-move.mjs']);
  expect(run, run.stderr).toMatchObject({ code: 0, stderr: '' });
  expect(run.stdout).toContain('0 of 0 sessions can move');
  expect(run.stdout).toMatch(/e2 \(medium, PostgreSQL 17\.\d+\) serves/);
}, 120_000);

/** Strict, and with our declarations checked as well. */
const TYPES = JSON.stringify({
  compilerOptions: {
    ...{
      module: 'nodenext',
      target: 'es2022',
      types: ['node'],
      noEmit: true,
      strict: true,
      skipLibCheck: false,
    },
  },
  files: ['types.ts'],
});

test('its types hold, and tell what is wrong', async () => {
  await project.write('tsconfig.json', TYPES);
  await project.write(
    'types.ts',
    `import { playground, RolledBackError, type MoveRecord, type Playground } from 'dbproxy';
     await using db: Playground = await playground.start({ size: 'small', postgres: '17' });
     const record: MoveRecord = await db.scale('large', { unmovable: 'drop' });
     const held: number | null = record.holdMs.max;
     for await (const { seq, type } of db.events({ follow: false })) console.log(seq + 1, type.length, held);
     await db.patch('17.9', { strategy: 'in-place' }).catch((error: unknown) => {
       if (error instanceof RolledBackError && error.code === 'DBP_SWITCH_UNMOVABLE') return error.record;
       throw error;
     });
     // @ts-expect-error there is no such size
     await db.scale('huge');
     // @ts-expect-error there is no such code
     const wrong = (error: RolledBackError): boolean => error.code === 'DBP_NO';
     // @ts-expect-error a name, not a number
     await playground.start({ name: 1 });`,
  );
  const run = await project.node([project.bin('typescript/bin/tsc'), '-p', '.']);
  expect(run.stdout).toBe('');
  expect(run.code).toBe(0);
}, 120_000);

test('require finds it, too', async () => {
  const run = await project.node(['--eval', "console.log(typeof require('dbproxy').playground.start)"]);
  expect(run.stdout).toBe('function\n');
});
