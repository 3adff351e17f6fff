/** How far the stream of each writer is known, applied or no longer needed: the highest LSN of it, all below included. */
import { lsn, NO_LSN, type Lsn, type WriterId, writerOf } from './lsn.js';

/** Plain object, because it travels as JSON. A writer that is absent stands at 0. */
export type Vector = Readonly<Record<WriterId, Lsn>>;

export const at = (vector: Vector, writer: WriterId): Lsn => vector[writer] ?? NO_LSN;

export const includes = (vector: Vector, what: Lsn): boolean => what <= at(vector, writerOf(what));

/** Is every component of `lower` reached by `upper`? */
export const isWithin = (lower: Vector, upper: Vector): boolean =>
  writers(lower).every((writer) => at(lower, writer) <= at(upper, writer));

export const highest = (a: Vector, b: Vector): Vector => combine(a, b, Math.max);
export const lowest = (a: Vector, b: Vector): Vector => combine(a, b, Math.min);

export const writers = (vector: Vector): WriterId[] => Object.keys(vector).map(Number);

const combine = (a: Vector, b: Vector, pick: (x: number, y: number) => number): Vector => {
  const all = new Set([...writers(a), ...writers(b)]);
  return Object.fromEntries([...all].map((writer) => [writer, lsn(pick(at(a, writer), at(b, writer)))]));
};
