/** `fault: { kill: standby, at: warm }`: kill -9, at once, or when the operation of the same step has come so far. */
import { killEngine } from '../../control/kill-engine.js';
import { DbproxyError } from '../../errors/index.js';
import type { Step } from '../file/read.js';
import { ask, type Stage } from '../stage.js';
import type { RunStep } from './index.js';

type Victim = NonNullable<Step['fault']>['kill'];

export const fault: RunStep<'fault'> = async (step, { stage }) => {
  const what = await kill(stage, step.fault.kill);
  return { ok: true, detail: `${what} of the ${step.fault.kill} is dead` };
};

/** Waits for the step of the operation that is about to begin, which waits for the kill; what it returns takes the wait back. */
export function killAt({ fault }: Step, stage: Stage, tell: (detail: string) => void): () => void {
  if (!fault) return () => {};
  const after = stage.feed.events.at(-1)?.seq ?? 0;
  const stop = stage.feed.listen(({ seq, type, data }) => {
    if (seq <= after || type !== 'operation.step' || data?.step !== fault.at) return;
    stop();
    tell(`kill -9 of the ${fault.kill}`);
    // Somebody else may have ended it meanwhile: then the operation goes on, and its outcome says so.
    kill(stage, fault.kill)
      .catch((error: unknown) => tell(DbproxyError.from(error).message))
      .then(() => ask(stage, 'goOn', {}))
      .catch(() => undefined);
  });
  return stop;
}

/** Says what it has killed. */
async function kill(stage: Stage, victim: Victim): Promise<string> {
  const { engines, proxy } = await ask(stage, 'status', {});
  const role = victim === 'engine' ? 'primary' : victim;
  const engine = engines.find((each) => each.role === role);
  const target = victim === 'proxy' ? proxy && { pid: proxy.pid, container: null } : engine;
  const killed = target && (await killEngine(target));
  if (!killed) throw new DbproxyError('DBP_SCENARIO_FAULT', { victim });
  return killed;
}
