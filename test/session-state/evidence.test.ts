/** The table of docs/session-state.md claims nothing that no test shows. */
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { evidence, movesOf, mutants, parts } from '../../src/session-state/evidence.js';
import { kindNames } from '../../src/session-state/index.js';

const root = fileURLToPath(new URL('../..', import.meta.url));

describe.each(parts)('%s', (part) => {
  const { tests } = evidence[part];

  it('has a test', () => expect(tests.length).toBeGreaterThan(0));

  it.each(tests)('$file: $name', async ({ file, name }) => {
    const text = await readFile(`${root}/${file}`, 'utf8');
    expect([`'${name}'`, `"${name}"`, `\`${name}\``].filter((quoted) => text.includes(quoted))).toHaveLength(
      1,
    );
  });
});

it('every kind that moves can be left out', () => {
  expect(kindNames.filter((kind) => movesOf(kind) === 'yes' && !mutants.includes(kind))).toEqual([]);
});

describe('npm run mutants', () => {
  const run = (...args: string[]): { status: number | null; stdout: string; stderr: string } =>
    spawnSync(process.execPath, ['scripts/mutants.js', ...args], { cwd: root, encoding: 'utf8' });

  it('kills a mutant: the test of a kind fails without its replay', { timeout: 120_000 }, () => {
    const { status, stdout } = run('sequences');
    expect({ status, stdout }).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^killed +sequences/) as unknown,
    });
  });

  it('of a part that there is not is wrong usage', () => {
    expect(run('nothing')).toMatchObject({ status: 2, stdout: '' });
  });
});
