/** A few cases of all that is fuzzed, always the same ones. `npm run fuzz` goes on for ten million. */
import { afterAll, beforeAll, describe, it } from 'vitest';
import { attack, type Fuzzer } from './target.js';
import { divided, targets } from './targets.js';

const SEED = 20_261_122;
const CASES = 40_000;

describe.each(divided(CASES, targets))('$name', ({ open, cases }) => {
  let fuzzer: Fuzzer;
  beforeAll(async () => {
    fuzzer = await open();
  });
  afterAll(() => fuzzer?.close());

  it('whatever comes: a defined answer', () => attack(fuzzer, SEED, cases));
});
