/** `scale: { to: large }`, `scale: { to: large, strategy: resize }` */
import { ask } from '../stage.js';
import type { RunStep } from './index.js';
import { limitsOf, runMove } from './move.js';

export const scale: RunStep<'scale'> = (step, context) => {
  const { to, strategy = 'standby' } = step.scale;
  return runMove(step, context, (onProgress) =>
    ask(context.stage, 'scale', { ...limitsOf(step.scale, step), to, strategy }, { onProgress }),
  );
};
