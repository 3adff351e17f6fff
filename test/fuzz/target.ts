/** What is fuzzed: a property of random cases, and what has to hold after all of them. */
import fc from 'fast-check';

export interface Fuzzer {
  readonly property: fc.IAsyncProperty<unknown>;
  /** Of one run of the property. */
  readonly cases: number;
  /** Throws what did not hold. */
  close(): Promise<void>;
}

export interface Target {
  readonly name: string;
  /** In which proportion it gets of the cases. */
  readonly share: number;
  readonly open: () => Promise<Fuzzer>;
}

export const property = <T>(
  input: fc.Arbitrary<T>,
  holds: (value: T) => Promise<void> | void,
): fc.IAsyncProperty<unknown> =>
  fc.asyncProperty(input, async (value) => {
    await holds(value);
  });

/** Nothing is kept from one case to the next. */
export const pure = <T>(
  name: string,
  share: number,
  input: fc.Arbitrary<T>,
  holds: (value: T) => Promise<void> | void,
): Target => ({
  name,
  share,
  open: () => Promise.resolve({ property: property(input, holds), cases: 1, close: () => Promise.resolve() }),
});

/** Throws the counterexample, with what makes it again. */
export const attack = ({ property, cases }: Fuzzer, seed: number, count: number): Promise<void> =>
  fc.assert(property, { seed, numRuns: Math.ceil(count / cases), endOnFailure: true });
