/** An instance that runs with something else than `up` is asked for, and what brings it there. */
import { DbproxyError } from '../errors/index.js';

const PURGE = 'dbproxy down --purge, which removes the data';

const majorOf = (version: string | number): string => String(version).split('.')[0] ?? '';

/** By setting; the rest is for the next start. Size and version change as it runs, without a client noticing. */
const WAYS: Readonly<Record<string, (wanted: string | number, running: string | number) => string>> = {
  size: (wanted) => `dbproxy scale --to ${wanted}`,
  postgres: (wanted, running) =>
    majorOf(wanted) === majorOf(running)
      ? `dbproxy patch --to ${wanted}`
      : 'dbproxy patch changes the minor version only: dbproxy engine ls --available',
  provider: () => PURGE,
  image: () => PURGE,
};

/** `setting`: the flag of `up`, or in words what several flags say. */
export const settingsDiffer = (
  name: string,
  setting: string,
  running: string | number,
  wanted: string | number,
): DbproxyError => {
  const next = WAYS[setting]?.(wanted, running) ?? 'dbproxy down, then this once more';
  return new DbproxyError('DBP_INSTANCE_SETTINGS_DIFFER', { name, setting, running, wanted, next });
};
