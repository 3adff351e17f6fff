/** `conflict: {}`: real conflicts between the writers; what is lost or diverged fails the step. */
import { isSound, runConflict } from '../../conflict/index.js';
import type { RunStep } from './index.js';

export const conflict: RunStep<'conflict'> = async (step, { stage, signal, tell }) => {
  const { only, clients, rounds } = step.conflict;
  const result = await runConflict(stage.instance, {
    ...(only === undefined ? {} : { scenes: only }),
    ...(clients === undefined ? {} : { clients }),
    ...(rounds === undefined ? {} : { rounds }),
    signal,
    onProgress: ({ step: scene }) => tell(scene),
  });
  stage.conflicts.push(result);
  const { committed, conflicts, adjudicated, lostUpdates, diverged } = result;
  const sound = `${lostUpdates} lost updates, diverged: ${diverged ? 'yes' : 'no'}`;
  return {
    ok: isSound(result),
    detail: `${committed} commits, ${conflicts} conflicts, ${adjudicated} verdicts; ${sound}`,
  };
};
