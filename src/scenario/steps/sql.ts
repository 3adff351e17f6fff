/** `sql: …` on a session of the scenario, with what it has to answer (`equals`) or to fail with (`fails`). */
import { DbproxyError } from '../../errors/index.js';
import { asText } from '../file/units.js';
import type { RunStep } from './index.js';

export const sql: RunStep<'sql'> = async (step, { stage }) => {
  let found: string | null;
  try {
    found = await stage.sessions.run(step.sql, step.session);
  } catch (cause) {
    const { code, message } = cause as { code?: unknown; message: string };
    if (step.fails !== undefined) return { ok: code === step.fails, detail: `${String(code)}: ${message}` };
    throw new DbproxyError('DBP_SCENARIO_SQL', { reason: message }, { cause });
  }
  if (step.fails !== undefined) return { ok: false, detail: 'it did not fail' };
  if (step.equals === undefined) return { ok: true, detail: '' };
  const wanted = asText(step.equals);
  return { ok: found === wanted, detail: found === wanted ? `${found}` : `${found}, not ${wanted}` };
};
