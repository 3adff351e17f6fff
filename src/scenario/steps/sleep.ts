/** `sleep: 5s` */
import { setTimeout as delay } from 'node:timers/promises';
import type { RunStep } from './index.js';

export const sleep: RunStep<'sleep'> = async (step, { signal }) => {
  await delay(step.sleep, undefined, { signal });
  return { ok: true, detail: '' };
};
