/** An instance that runs with something else than `up` is asked for, and what brings it there. */
import { DbproxyError } from '../errors/index.js';

const PURGE = 'dbproxy down --purge, which removes the data';

/** By setting; the rest is for the next start. Size and version change as it runs, without a client noticing. */
const WAYS: Readonly<Record<string, (wanted: string | number) => string>> = {
  size: (wanted) => `dbproxy scale --to ${wanted}`,
  postgres: (wanted) => `dbproxy patch --to ${wanted}`,
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
  const next = WAYS[setting]?.(wanted) ?? 'dbproxy down, then this once more';
  return new DbproxyError('DBP_INSTANCE_SETTINGS_DIFFER', { name, setting, running, wanted, next });
};
