/** `scale`: every session to an engine of another size, of the same version. */
import type { MoveRecord, ScaleParams } from '../api.js';
import { move, runningPrimary, type OperationContext } from './move.js';

export function scale(context: OperationContext, { to, ...limits }: ScaleParams): Promise<MoveRecord> {
  const { postgres } = runningPrimary(context.instance);
  const command = `scale --to ${to}`;
  const goal = { size: to, postgres };
  return move(context, { operation: 'scale', command, strategy: 'standby', to: goal, limits });
}
