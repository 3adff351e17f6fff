/**
 * `scale`: every session to an engine of another size, or of another provider, of the same version; or, with `resize`, the engine
 * itself to a larger size.
 */
import { DbproxyError } from '../../errors/index.js';
import type { MoveRecord, ScaleParams } from '../api.js';
import { assertNoImage } from '../provider.js';
import { move, runningPrimary, type OperationContext } from './move.js';
import { resize } from './resize.js';

/** Throws DBP_USAGE, DBP_USAGE_SHRINK for a resize that is none; nothing has begun then. */
export function scale(
  context: OperationContext,
  { to, strategy = 'standby', provider, image, ...limits }: ScaleParams,
): Promise<MoveRecord> {
  const flags = [
    ...(provider === undefined ? [] : [`--provider ${provider}`]),
    ...(image === undefined ? [] : [`--image ${image}`]),
  ];
  const command = ['scale', `--to ${to}`, ...flags].join(' ');
  if (strategy === 'resize') {
    if (flags.length === 0) return resize(context, to);
    const reason = `a resize leaves the engine where it is: without --strategy resize, ${command} moves the sessions`;
    throw new DbproxyError('DBP_USAGE', { reason });
  }
  const { postgres, provider: present } = runningPrimary(context.instance);
  if ((provider ?? present) === 'embedded') assertNoImage(image);
  const elsewhere = {
    ...(provider === undefined ? {} : { provider }),
    ...(image === undefined ? {} : { image }),
  };
  const goal = { size: to, postgres, ...elsewhere };
  return move(context, { operation: 'scale', command, strategy: 'standby', to: goal, limits });
}
