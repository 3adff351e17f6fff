/** `check: {}`: can every session move as it is now? */
import { ask } from '../stage.js';
import type { RunStep } from './index.js';

const WITHIN_MS = 2_000;

export const check: RunStep<'check'> = async (step, { stage }) => {
  const { movable, sessions } = await ask(stage, 'check', { withinMs: step.check.within ?? WITHIN_MS });
  const stuck = sessions.filter((session) => !session.movable);
  const [first] = stuck;
  return {
    ok: movable === ((step.outcome ?? 'movable') === 'movable'),
    detail: movable
      ? `all of ${sessions.length} sessions can move`
      : `${stuck.length} of ${sessions.length} sessions cannot move: session ${first?.id} ${first?.reasons[0] ?? ''}`,
  };
};
