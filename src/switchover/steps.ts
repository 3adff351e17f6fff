/** The steps of a switchover, by name: outside of every wall, because everybody who tells of one has them. */

/** In their order. The point of no return is the proxy's `commit`, between `catchup` and `promote`. */
export const SWITCHOVER_STEPS = [
  'provision',
  'warm',
  'drain',
  'fence',
  'catchup',
  'promote',
  'move',
  'retire',
] as const;
export type SwitchoverStep = (typeof SWITCHOVER_STEPS)[number];

/** Those in which sessions are held, or are about to be. */
export const HOLDING_STEPS = [
  'drain',
  'fence',
  'catchup',
  'promote',
  'move',
] as const satisfies readonly SwitchoverStep[];
