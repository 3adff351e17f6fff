import type { Connect } from '../../multiwriter/writer/index.js';

/**
 * As `connect`, with the first connections opened now: a new backend takes tens of milliseconds, and whoever asks later has everybody
 * wait. What cannot be opened now, or is lost meanwhile, is opened when it is asked for.
 */
export const connectedAhead = async (connect: Connect, count: number): Promise<Connect> => {
  const opened = await Promise.allSettled(Array.from({ length: count }, connect));
  const ready = new Set(opened.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : [])));
  for (const one of ready) one.once('end', () => ready.delete(one));
  return async () => {
    const [next] = ready;
    if (!next) return connect();
    ready.delete(next);
    return next;
  };
};
