/**
 * What the lane waits for: a promise, or the engine's answer to what was passed on as it is. A promise costs a turn through the queue
 * of microtasks for each function that waits for it; with an answer the lane goes on in the turn in which it comes.
 */
export interface Eventually<T> {
  then(goOn: (value: T) => void, failed: (error: unknown) => void): unknown;
}

/** Null: it has been dealt with. */
export type Waits = Eventually<unknown> | null;
