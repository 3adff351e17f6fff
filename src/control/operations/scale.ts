/** `scale`: every session to an engine of another size, or of another provider, of the same version. */
import type { MoveRecord, ScaleParams } from '../api.js';
import { move, runningPrimary, type OperationContext } from './move.js';

export function scale(
  context: OperationContext,
  { to, provider, image, ...limits }: ScaleParams,
): Promise<MoveRecord> {
  const { postgres } = runningPrimary(context.instance);
  const flags = [
    ...(provider === undefined ? [] : [`--provider ${provider}`]),
    ...(image === undefined ? [] : [`--image ${image}`]),
  ];
  const command = ['scale', `--to ${to}`, ...flags].join(' ');
  const elsewhere = {
    ...(provider === undefined ? {} : { provider }),
    ...(image === undefined ? {} : { image }),
  };
  const goal = { size: to, postgres, ...elsewhere };
  return move(context, { operation: 'scale', command, strategy: 'standby', to: goal, limits });
}
