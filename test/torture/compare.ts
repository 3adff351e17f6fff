/** What differs between two runs of a suite, hunk by hunk, and what of it is known to. */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CACHE } from './packages.js';
import type { Known, Outcomes, Suite } from './suites.js';

/** Lines that came instead of others, in one place. */
export interface Hunk {
  readonly straight: readonly string[];
  readonly tortured: readonly string[];
}

export interface Comparison {
  readonly tests: number;
  /** Tests that differ between straight runs: they say nothing. */
  readonly unstable: readonly string[];
  /** By test, what of its differences is known. */
  readonly known: ReadonlyMap<string, ReadonlySet<Known>>;
  /** By test, what is not. */
  readonly different: ReadonlyMap<string, readonly Hunk[]>;
}

export const compare = (
  suite: Suite,
  straight: Outcomes,
  again: readonly Outcomes[],
  tortured: Outcomes,
): Comparison => {
  const names = [...new Set([...straight.keys(), ...tortured.keys()])];
  const unstable = names.filter((name) =>
    again.some((outcomes) => straight.get(name) !== outcomes.get(name)),
  );
  const known = new Map<string, ReadonlySet<Known>>();
  const different = new Map<string, readonly Hunk[]>();
  for (const name of names) {
    const [here, there] = [straight.get(name) ?? '', tortured.get(name) ?? ''];
    if (here === there || unstable.includes(name)) continue;
    const judged = hunksOf(suite, name, here, there).map((hunk) => ({
      hunk,
      known: knownAs(suite, name, hunk),
    }));
    const unknown = judged.filter((each) => each.known === null).map(({ hunk }) => hunk);
    if (unknown.length > 0) different.set(name, unknown);
    else known.set(name, new Set(judged.flatMap((each) => each.known ?? [])));
  }
  return { tests: names.length, unstable, known, different };
};

/** Every line that differs has to be one that it explains. */
const knownAs = (suite: Suite, test: string, { straight, tortured }: Hunk): Known | null =>
  suite.known.find(
    (known) =>
      known.test === test &&
      straight.every((line) => known.straight.test(line)) &&
      tortured.every((line) => known.tortured.test(line)),
  ) ?? null;

/** By diff(1); both outcomes are kept, for people who look into a difference. */
const hunksOf = (suite: Suite, test: string, straight: string, tortured: string): Hunk[] => {
  const file = (leg: string, outcome: string): string => {
    const directory = join(CACHE, 'results', suite.name.replace('/', '-'), leg);
    mkdirSync(directory, { recursive: true });
    const path = join(directory, test.replaceAll('/', '-'));
    writeFileSync(path, outcome, 'latin1');
    return path;
  };
  const argv = ['--text', '--unified=0', file('straight', straight), file('tortured', tortured)];
  const { stdout } = spawnSync('diff', argv, { encoding: 'latin1', maxBuffer: 1 << 28 });
  const [, ...hunks] = stdout.split(/^@@ .*\n/m);
  const side = (hunk: string, sign: string): string[] =>
    hunk
      .split('\n')
      .filter((line) => line.startsWith(sign))
      .map((line) => line.slice(1));
  return hunks.map((hunk) => ({ straight: side(hunk, '-'), tortured: side(hunk, '+') }));
};
