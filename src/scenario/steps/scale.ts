/** `scale: { to: large }` */
import { ask } from '../stage.js';
import type { RunStep } from './index.js';
import { limitsOf, runMove } from './move.js';

export const scale: RunStep<'scale'> = (step, context) =>
  runMove(step, context, (onProgress) =>
    ask(context.stage, 'scale', { ...limitsOf(step.scale), to: step.scale.to }, { onProgress }),
  );
