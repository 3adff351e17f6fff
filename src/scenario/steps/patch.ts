/** `patch: { to: "17.10" }`, `patch: { self: true }` */
import { replaceSelf } from '../../control/replace-self.js';
import { ask, noteWindows } from '../stage.js';
import type { RunStep, StepContext, StepEnd } from './index.js';
import { limitsOf, runMove } from './move.js';

export const patch: RunStep<'patch'> = (step, context) => {
  const { to, size, strategy = 'standby' } = step.patch;
  if (to === undefined) return patchSelf(context);
  const params = { ...limitsOf(step.patch, step), to, strategy, ...(size === undefined ? {} : { size }) };
  return runMove(step, context, (onProgress) => ask(context.stage, 'patch', params, { onProgress }));
};

async function patchSelf({ stage, tell }: StepContext): Promise<StepEnd> {
  const record = await replaceSelf(stage.instance, ({ step, detail }) => tell(`${step}: ${detail}`));
  stage.handovers.push(record);
  await noteWindows(stage, record.operation);
  const { handed, lost } = record.sessions;
  return {
    ok: lost === 0,
    detail: `${handed} sessions handed over, ${lost} lost, held ${record.holdMs.max} ms at most`,
  };
}
