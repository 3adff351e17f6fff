/** For `expect.poll` and its like: what becomes true by itself, also on a machine at its limit. vitest gives it a second. */
export const SOON = { timeout: 30_000 };
